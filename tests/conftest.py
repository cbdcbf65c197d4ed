"""What tests share: golden files and compiled tiny networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip

pytest.register_assert_rewrite("oracles")  # its assertions explain themselves as a test's do

GOLDEN = Path(__file__).parent / "golden"
KERNELS = Path(__file__).parents[1] / "hwsim" / "kernels"


def pytest_configure() -> None:
    """Kernels on disk belong to all of their sources: numba looks at one file only, and what is made of the others stays old."""
    digest = sha256(b"".join(path.read_bytes() for path in sorted(KERNELS.glob("*.py")))).hexdigest()[:16]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(gettempdir()) / f"pumice-kernels-{os.getuid()}-{digest}"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """golden(name, text): text must equal tests/golden/name."""

    def compare(name: str, text: str) -> None:
        if request.config.getoption("--update-golden"):
            (GOLDEN / name).write_text(text)
        assert text == (GOLDEN / name).read_text()

    return compare


@pytest.fixture
def compiled() -> Callable[..., Program]:
    """compiled(config, **options): a tiny Spikformer compiled for loihi2 on its own random images."""

    def build(config: TinySpikformer | None = None, chip: str = "loihi2", **options: Any) -> Program:
        config = config or TinySpikformer()
        calibration = images(config, 12)
        return compile_nir(tiny_spikformer(config), calibration, load_chip(chip), replace(CompileOptions(), **options))

    return build
