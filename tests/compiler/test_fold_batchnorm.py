"""Folding changes nothing: in float64 the folded graph equals the unfolded one to 1e-9, and every spike is the same."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler import float_nodes as f
from pumice.compiler.dialect import extension
from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.passes.fold_batchnorm import FoldBatchNorm
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import load_chip

CHIP = load_chip("loihi2")


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**16), st.booleans())
def test_folded_equals_unfolded(seed: int, pool: bool) -> None:
    config = TinySpikformer(seed=seed, pool=pool, size=6)
    imported = import_nir(tiny_spikformer(config))
    folded = FoldBatchNorm()(imported, CHIP)
    x = images(config, 4, seed)
    before, after = evaluate(imported, x).values, evaluate(folded, x).values
    assert not any(isinstance(n, f.BatchNorm) for n in folded.nodes.values())
    for name, node in folded.nodes.items():
        expected = (
            before[name.replace("_linear", "_bn").replace("conv", "bn")] if isinstance(node, f.Conv) else before[name]
        )
        np.testing.assert_allclose(after[name], expected, rtol=0, atol=1e-9)


def test_every_fold_is_reported() -> None:
    folded = FoldBatchNorm()(import_nir(tiny_spikformer()), CHIP)
    assert next(c.text for c in folded.log if c.by == "fold-batchnorm") == "folded bn0 into conv0"
    assert sum(c.by == "fold-batchnorm" for c in folded.log) == 8


def test_a_batchnorm_after_anything_else_is_refused() -> None:
    network = tiny_spikformer()
    ones = {key: np.ones(8) for key in ("gamma", "beta", "mean", "var")}
    norm = extension("BatchNorm", (8, 4, 4), (8, 4, 4), {"eps": 1e-5}, arrays=ones)
    edges = [(a, "late_bn") if (a, b) == ("lif0", "rpe_conv") else (a, b) for a, b in network.edges]
    edges = [("late_bn", "rpe_conv"), ("lif0", "late_bn"), *[e for e in edges if e != ("lif0", "late_bn")]]
    with pytest.raises(UnsupportedNode, match="'late_bn': BatchNorm after Lif 'lif0'"):
        FoldBatchNorm()(import_nir(nir.NIRGraph(network.nodes | {"late_bn": norm}, edges)), CHIP)
