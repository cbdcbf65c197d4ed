"""Programs as NIR files, read back: what the files take and hold."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
from convert_networks import Net
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.nir_program import NirProgram, nir_bytes, nir_program
from pumice.compiler.importing.nir_file import read_nir_file


def payloads(net: Net) -> NDArray[np.float64]:
    """What the file takes for the program's samples."""
    node = next(n for n in net.program.graph.nodes.values() if isinstance(n, i.GradedInput))
    found: NDArray[np.float64] = np.clip(np.rint(net.samples * node.scale), node.out.low, node.out.high)
    return found


def written(net: Net, folder: Path) -> tuple[NirProgram, nir.NIRGraph]:
    """The export, and its file read back with NIR's type check."""
    made = nir_program(net.program)
    (folder / "net.nir").write_bytes(nir_bytes(made.graph))
    file = read_nir_file(folder / "net.nir")
    assert not file.repairs, "nir.read refused it"
    return made, file.graph
