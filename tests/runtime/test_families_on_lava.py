"""Every family on the real Lava runtime: every spike and level of every layer, and the read-out, equal to `reference`."""

from __future__ import annotations

import numpy as np
import pytest
from torch_networks import TINY

from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import load_chip
from pumice.models.nir.export import to_nir
from pumice.runtime.backends import make_backend
from pumice.runtime.reference import Reference

SPATIAL = Criterion(alpha=1.0)  # what one timestep allows


@pytest.mark.parametrize("family", ["spikformer-dvs", "sparse-spikformer", "sdt-v1", "qkformer", "sdt-v3"])
def test_lava_equals_reference(family: str) -> None:
    """Tokens pruned: by live masks where a chip can score them, by static ones of the selector otherwise."""
    tiny = TINY[family]
    model, x = tiny.model(), tiny.samples(2)
    if tiny.blocks:
        model.pruning = tiny.pruning(SPATIAL)
    options = CompileOptions(masks="live" if tiny.blocks else "static")
    program = compile_nir(to_nir(model), tiny.samples(8, seed=3), load_chip("loihi2"), options)
    reference = Reference(counts=False).run(program, x, record=True)
    lava = make_backend("lava").run(program, x, record=True)
    assert np.array_equal(lava.outputs, reference.outputs)
    assert lava.spikes.keys() == reference.spikes.keys()
    assert [name for name, spikes in reference.spikes.items() if not np.array_equal(lava.spikes[name], spikes)] == []
    assert len(np.unique(reference.outputs, axis=0)) == len(x)
