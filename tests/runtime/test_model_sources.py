"""Networks by their names, with samples."""

from __future__ import annotations

import pytest

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import fold
from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.model_sources import network_and_samples


@pytest.mark.parametrize("name", ["spikformer-digits", "spikformer-dvs-events", "spikformer-4-384"])
def test_a_name_gives_a_network_and_samples_that_fit_it(name: str) -> None:
    source = network_and_samples(name)
    fold(import_nir(source.network), source.samples, load_chip("loihi2"), CompileOptions())


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="no model 'spikformer'") as refused:
        network_and_samples("spikformer")
    assert "spikformer-digits" in refused.value.hint
    assert "sdt-v1-8-768" in refused.value.hint
