"""No kernel reads behind the memory that it was given: each buffer ends at a page that nobody may touch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FENCED = """
import sys
sys.path.insert(0, "tests")
import dirty_memory, one_node, pytest
one_node.DirtyMemory = dirty_memory.DirtyMemory = dirty_memory.FencedMemory
sys.exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", "not torch", *sys.argv[1:]]))
"""
TOUCHED = """
import sys
sys.path.insert(0, "tests")
import dirty_memory
import ctypes
made = dirty_memory.FencedMemory().array((4096,), "u1")
assert made.sum() == 0
ctypes.string_at(made.ctypes.data + 4096, 4096)
"""


@pytest.mark.parametrize("name", ["layers", "bits", "products", "operations"])
def test_kernels_stay_within_their_buffers(name: str) -> None:
    file = "test_exact_operations.py" if name == "operations" else f"test_fast_{name}.py"
    run = child(FENCED, f"tests/runtime/{file}")
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout


def test_a_fence_is_felt() -> None:
    run = child(TOUCHED)
    assert run.returncode < 0, run.stderr


def child(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=240, check=False)
