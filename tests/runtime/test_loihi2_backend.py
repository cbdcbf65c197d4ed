"""The hardware backend says what it needs; where it has that, it must agree with the reference."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images

from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable
from pumice.runtime import lava_backend
from pumice.runtime.loihi2_backend import Loihi2Backend, missing_for_hardware
from pumice.runtime.reference import Reference

MISSING = missing_for_hardware(os.environ)


@pytest.mark.skipif(MISSING == "", reason="a Loihi 2 board is here")
def test_without_hardware_the_backend_names_what_is_missing_and_how_to_get_it(compiled: Callable[..., Program]) -> None:
    pytest.importorskip("lava")
    with pytest.raises(BackendUnavailable, match=r"needs Intel's Lava extension|needs a Loihi 2 host") as caught:
        Loihi2Backend().run(compiled(), images(TinySpikformer(), 1))
    assert "INRC" in caught.value.hint


def test_an_extension_without_a_board_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.runtime.loihi2_backend.EXTENSION", "numpy")
    assert "use_slurm_host" in missing_for_hardware({})
    assert missing_for_hardware({"LOIHI_GEN": "N3B3"}) == ""


def test_without_lava_both_backends_say_what_to_install(
    compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(lava_backend, "find_spec", missing)
    for backend in (lava_backend.LavaBackend(), Loihi2Backend()):
        with pytest.raises(BackendUnavailable, match="lava-nc") as caught:
            backend.run(compiled(), images(TinySpikformer(), 1))
        assert caught.value.hint == "pip install 'pumice[lava]' on Python 3.10"


def test_looking_for_lava_does_not_import_it() -> None:
    """Importing Lava fixes how every later process of the caller starts."""
    code = "import sys; from pumice.runtime import loihi2_backend as b; b.installed('lava.magma'); b.missing_for_hardware({})"
    check = "assert not {'lava.magma', 'multiprocessing.context'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], timeout=60, check=True)


@pytest.mark.loihi2
@pytest.mark.skipif(MISSING != "", reason=f"needs {MISSING}")
def test_the_chip_equals_the_reference(compiled: Callable[..., Program]) -> None:
    program, samples = compiled(), images(TinySpikformer(), 2)
    chip, reference = Loihi2Backend().run(program, samples, record=True), Reference().run(program, samples)
    np.testing.assert_array_equal(chip.outputs, reference.outputs)
