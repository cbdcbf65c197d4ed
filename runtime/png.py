"""A matplotlib figure as a PNG file: whole or not at all, and the same bytes from the same drawing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pumice.errors import BackendUnavailable
from pumice.files import write_atomically


def write_png(path: Path, size: tuple[float, float], dpi: int, paper: str, draw: Callable[[Any], None]) -> None:
    """Draws on a fresh figure of `size` inches with `draw(figure)`, and writes it at `path`.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendUnavailable("pictures need matplotlib", "pip install 'pumice[torch]'") from error
    buffer = io.BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's matplotlibrc changes nothing
        figure = Figure(figsize=size, dpi=dpi, facecolor=paper)
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())
