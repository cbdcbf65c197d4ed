"""The demo's picture: where tokens went, what each layer cost, which core holds what. One PNG of 1600 x 1000 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.runtime.picture_cores import PlacedCore, draw_cores
from pumice.runtime.png import write_png

DPI = 100
SIZE = (16.0, 10.0)  # inches
PAPER, INK, MUTED = "#FBFAF7", "#22262B", "#6B7178"
RIGHT_HALF = 0.560  # where the right panels start
TOKEN_CAPTION = "each block, at each timestep, routes the glowing tokens; the others pass it by on the residual path"
ENERGY_CAPTION = "filled: tokens pruned; outlined: all tokens. Counts times published prices, not a measurement"


@dataclass(frozen=True)
class Headline:
    """accuracy, float_accuracy, static_accuracy: fractions, of the compiled program, the float model, and static masks.
    spike_agreement: fraction of spikes equal to the float model's. retention: mean fraction of tokens routed. latency in
    timesteps. synops, synops_unpruned: per sample."""

    float_accuracy: float
    accuracy: float
    static_accuracy: float
    spike_agreement: float
    retention: float
    cores: int
    chips: int
    latency: int
    synops: float
    synops_unpruned: float


@dataclass(frozen=True, eq=False)
class DemoPicture:
    """images [k, H, W], 0 white to 1 black; labels, predictions [k]; masks: per block, bool [T, k, h, w], h·w tokens.

    energy: per profile title and layer, nanojoules per sample (pruned, unpruned). bars: the profile whose layers are drawn;
    of the others only the totals are. incomplete: profiles whose sums lack an unpublished number. mesh: tile columns, tile
    rows and cores per tile of one chip.
    """

    model: str
    chip: str
    images: NDArray[Any]
    labels: NDArray[Any]
    predictions: NDArray[Any]
    masks: Mapping[int, NDArray[np.bool_]]
    energy: Mapping[str, Mapping[str, tuple[float, float]]]
    bars: str
    cores: tuple[PlacedCore, ...]
    mesh: tuple[int, int, int]
    headline: Headline
    incomplete: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.bars not in self.energy:
            raise InputError(f"picture: no energies by profile {self.bars!r}", f"known: {', '.join(self.energy)}")


def draw_demo(path: Path, picture: DemoPicture) -> None:
    """Draws `picture` as a PNG at `path`, whole or not at all; the same picture gives the same bytes.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    write_png(path, SIZE, DPI, PAPER, lambda figure: _fill(figure, picture))


def _fill(figure: Any, picture: DemoPicture) -> None:
    from pumice.runtime.picture_panels import draw_energy, draw_tokens, draw_totals

    _draw_title(figure, picture)
    draw_headline(figure, tiles(picture))
    _heading(figure, 0.030, 0.800, "Where the tokens went", TOKEN_CAPTION)
    draw_tokens(bare_axes(figure, (0.030, 0.030, 0.490, 0.750)), picture)
    _heading(figure, RIGHT_HALF, 0.800, "Energy by layer", ENERGY_CAPTION)
    draw_energy(bare_axes(figure, (0.665, 0.414, 0.310, 0.366)), picture)
    draw_totals(figure, picture, RIGHT_HALF, 0.361)
    _heading(figure, RIGHT_HALF, 0.246, "Cores of the mesh", _core_caption(picture))
    draw_cores(bare_axes(figure, (RIGHT_HALF, 0.030, 0.415, 0.190)), picture.cores, picture.mesh)


def _heading(figure: Any, left: float, bottom: float, title: str, caption: str) -> None:
    """A panel's title and the line under it; left, bottom: of the latter, fractions of the page."""
    figure.text(left, bottom + 0.022, title, fontsize=14, fontweight="bold", color=INK, va="baseline")
    figure.text(left, bottom, caption, fontsize=9.5, color=MUTED, va="baseline")


def bare_axes(figure: Any, box: tuple[float, float, float, float]) -> Any:
    """Bare axes in a box: left, bottom, width, height as fractions of the page."""
    axes = figure.add_axes(box)
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def _draw_title(figure: Any, picture: DemoPicture) -> None:
    figure.text(0.030, 0.940, "Pumice", fontsize=30, fontweight="bold", color=INK, va="baseline")
    subtitle = f"{picture.model}, tokens pruned,\ncompiled for {picture.chip}"
    figure.text(0.0315, 0.921, subtitle, fontsize=10.5, color=MUTED, va="top", linespacing=1.4)


def draw_headline(figure: Any, entries: list[tuple[str, str, str]], page: float = SIZE[1]) -> None:
    """Large numbers along the top of a page of that height in inches: (number, what it is, detail)."""
    left, width = 0.285, 0.700 / len(entries)
    for index, (number, what, detail) in enumerate(entries):
        x = left + index * width
        figure.text(x, 1 - 0.60 / page, number, fontsize=23, fontweight="bold", color=INK, va="baseline")
        figure.text(x, 1 - 0.88 / page, what, fontsize=10, color=INK, va="baseline")
        figure.text(x, 1 - 1.07 / page, detail, fontsize=8.5, color=MUTED, va="top", linespacing=1.35)


def tiles(picture: DemoPicture) -> list[tuple[str, str, str]]:
    """The headline: (number, what it is, detail)."""
    h = picture.headline
    energy = totals(picture)[picture.bars]
    return [
        (f"{h.accuracy:.1%}", "accuracy", f"float model {h.float_accuracy:.1%}\nstatic masks {h.static_accuracy:.1%}"),
        (f"{h.spike_agreement:.2%}", "equal spikes", "compiled against\nthe float model"),
        (f"{h.retention:.0%}", "of tokens routed", "mean over blocks\nand timesteps"),
        (
            change(h.synops, h.synops_unpruned),
            "SynOps",
            f"{quantity(h.synops_unpruned)} →\n{quantity(h.synops)} an image",
        ),
        (change(*energy), "energy, modelled", f"{joules(energy[1])} →\n{joules(energy[0])} an image"),
        (str(h.cores), "cores", f"{h.chips} chip{'s' if h.chips > 1 else ''}, read-out\nafter {h.latency} steps"),
    ]


def totals(picture: DemoPicture) -> dict[str, tuple[float, float]]:
    """Per profile, nanojoules per sample (pruned, unpruned) over all layers."""
    return {
        title: (sum(pair[0] for pair in layers.values()), sum(pair[1] for pair in layers.values()))
        for title, layers in picture.energy.items()
    }


def change(now: float, before: float) -> str:
    """A relative change, with a true minus sign."""
    if before <= 0:
        return "–"
    percent = round(100 * (now / before - 1))
    return f"{'−' if percent < 0 else '+' if percent else ''}{abs(percent)}%"


def quantity(number: float) -> str:
    """A count with three digits and a suffix."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {suffix}"
    return f"{number:.3g}"


def energy_unit(nanojoules: float) -> tuple[float, str]:
    """The unit for an energy: its size in nanojoules, and its name."""
    return (1e6, "mJ") if nanojoules >= 1e6 else (1e3, "µJ") if nanojoules >= 1e3 else (1.0, "nJ")


def joules(nanojoules: float) -> str:
    """An energy with three digits in nJ, µJ or mJ."""
    size, unit = energy_unit(nanojoules)
    return f"{nanojoules / size:.3g} {unit}"


def _core_caption(picture: DemoPicture) -> str:
    chips = f", chip 1 of {picture.headline.chips}" if picture.headline.chips > 1 else ""
    return f"{picture.mesh[0]} × {picture.mesh[1]} tiles of {picture.mesh[2]} cores{chips}; grey cores are free"
