"""The kernels as they are compiled for processors without AVX-512, beside the same meaning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
KERNELS = [
    str(FOLDER / f"test_kernels_{name}.py") for name in ("bits", "dots", "rows", "lif", "pools")
]  # those in LLVM's words
PLAIN = """
import sys
import pytest
from pumice.hwsim.kernels import bit_sums, dot_tile, pair_tile
assert not bit_sums.WIDE and not dot_tile.VNNI and not pair_tile.WIDE
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_on_a_processor_of_no_instruction_sets_every_kernel_means_the_same() -> None:
    generic = {"NUMBA_CPU_NAME": "generic"}  # the least that LLVM knows, SSE2 on x86
    run = subprocess.run(
        [sys.executable, "-c", PLAIN, *KERNELS],
        env=os.environ | generic,
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout
