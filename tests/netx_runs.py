"""Runs NetX files in lava-dl itself: `python netx_runs.py FOLDER` runs every N.net there on N.npy, with the function that
docs/convert.md shows, in a process of its own, because Lava forks and may hang."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "convert.md"


def run_files(
    files: Mapping[str, tuple[bytes, NDArray[Any]]], folder: Path, timeout_s: float
) -> dict[str, NDArray[Any]]:
    """Output spikes [B, T, …] of each file's content on its samples [B, T, …]. Whatever happens, no process is left."""
    from pumice.runtime.child_process import SINGLE_THREADED
    from pumice.runtime.lava_watchdog import end_group, module_path

    for name, (content, samples) in files.items():
        (folder / f"{name}.net").write_bytes(content)
        np.save(folder / f"{name}.npy", samples)
    log = folder / "log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env={**os.environ, **SINGLE_THREADED, "PYTHONPATH": module_path()},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        status = worker.wait(timeout_s)
    finally:
        end_group(worker)
    assert status == 0, log.read_text(errors="replace")
    return {name: np.load(folder / f"{name}.out") for name in files}


def documented() -> str:
    """The Python of the document."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(block)


def main() -> None:
    """The worker."""
    shown: dict[str, Any] = {}
    exec(documented(), shown)
    folder = Path(sys.argv[1])
    for path in sorted(folder.glob("*.net")):
        spikes = shown["run_netx"](str(path), np.load(path.with_suffix(".npy")))
        with path.with_suffix(".out").open("wb") as out:
            np.save(out, spikes)


if __name__ == "__main__":
    main()
