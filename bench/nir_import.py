"""How long, and with how much memory, a NIR file of 67 million parameters is read and imported.

    python bench/nir_import.py [--json F]

The file is written to a temporary folder, uncompressed and as `nir.write` compresses it; each is then imported by a process of
its own, whose peak memory is measured. Targets: below 10 s and 3 GB.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np

WIDTH, LAYERS = 2048, 16  # 67 million weights
SECONDS, BYTES = 10.0, 3e9


def main() -> None:
    """Measure both files, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.write:
        nir.write(chosen.write, graph(), **({"compression": None} if chosen.write.stem == "uncompressed" else {}))
        return
    if chosen.read:
        print(json.dumps(imported(chosen.read)))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {kind: measured(kind, Path(folder)) for kind in ("uncompressed", "gzip")}
    result = {"machine": platform.node(), "parameters": WIDTH * WIDTH * LAYERS, **found}
    text = json.dumps(result, indent=2)
    print(text)
    if chosen.json:
        chosen.json.write_text(text + "\n")
    missed = [kind for kind, row in found.items() if row["seconds"] >= SECONDS or row["peak_bytes"] >= BYTES]
    sys.exit(f"missed with {', '.join(missed)}" if missed else 0)


def measured(kind: str, folder: Path) -> dict[str, Any]:
    """Write the file and import it, in processes of their own: a child's peak begins at the size of its parent."""
    path = folder / f"{kind}.nir"
    subprocess.run([sys.executable, __file__, "--write", str(path)], check=True)
    done = subprocess.run([sys.executable, __file__, "--read", str(path)], check=True, capture_output=True, text=True)
    return {"file_bytes": path.stat().st_size, **json.loads(done.stdout)}


def graph() -> nir.NIRGraph:
    """Affine and LIF layers in a row, float32."""
    rng, ones = np.random.default_rng(0), np.ones(WIDTH, np.float32)
    nodes: dict[str, Any] = {"input": nir.Input(np.array([WIDTH]))}
    for k in range(LAYERS):
        weight = rng.standard_normal((WIDTH, WIDTH), np.float32)
        nodes[f"affine{k}"] = nir.Affine(weight, 0 * ones)
        nodes[f"lif{k}"] = nir.LIF(2e-4 * ones, ones, 0 * ones, ones, 0 * ones)
    nodes["output"] = nir.Output(np.array([WIDTH]))
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)))


def imported(path: Path) -> dict[str, float]:
    """Seconds and the peak memory of this process, imports of packages included in the memory only."""
    from pumice.compiler.importing.importer import import_nir
    from pumice.compiler.importing.nir_file import read_nir_file
    from pumice.compiler.importing.readings import reading

    start = time.perf_counter()
    file = read_nir_file(path)
    import_nir(file.graph, reading("nir"), file.repairs)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0}


if __name__ == "__main__":
    main()
