"""The reference executor against the float graph it was compiled from, and its refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.evaluate import evaluate
from pumice.compiler.importer import import_nir
from pumice.compiler.ir import Graph
from pumice.compiler.passes.fold_batchnorm import FoldBatchNorm
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2)


@pytest.mark.parametrize("masks", ["off", "live"])
def test_spikes_follow_the_float_graph(compiled: Callable[..., Program], masks: str) -> None:
    """Each layer alone changes few spikes; through sixteen of them the changes add up, but stay a small share."""
    x = images(CONFIG, 40, seed=5)
    program = compiled(CONFIG, masks=masks)
    mismatches = [c.data["mismatch"] for c in program.graph.log if "mismatch" in c.data]
    assert len(mismatches) == 16
    assert max(mismatches) < 0.01
    run = Reference().run(program, x, record=True)
    values = evaluate(folded(), x, gated=masks == "live").values
    agreement = [float((run.spikes[name] == values[name]).mean()) for name in run.spikes]
    assert min(agreement) > 0.88
    assert np.mean(agreement) > 0.94


def folded() -> Graph:
    return FoldBatchNorm()(import_nir(tiny_spikformer(CONFIG)), load_chip("loihi2"))


def test_logits_are_totals_in_float_units(compiled: Callable[..., Program]) -> None:
    x = images(CONFIG, 40, seed=5)
    run = Reference().run(compiled(CONFIG, masks="off"), x)
    expected = evaluate(folded(), x, gated=False).values["time_mean"][-1]
    assert np.abs(run.logits - expected).mean() < 0.1 * np.abs(expected).mean()
    assert np.array_equal(run.predictions, run.outputs.argmax(axis=1))


def test_a_sample_does_not_depend_on_its_neighbours(compiled: Callable[..., Program]) -> None:
    x = images(CONFIG, 60)
    program = compiled(CONFIG)
    together = Reference().run(program, x, record=True)
    alone = Reference().run(program, x[37:38], record=True)
    assert all(np.array_equal(together.spikes[n][:, 37:38], alone.spikes[n]) for n in alone.spikes)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((3, 1, 5, 4)), r"input: shape \(3, 1, 5, 4\), the network's 'input' takes \[samples, 1, 4, 4\]"),
        (np.zeros((0, 1, 4, 4)), r"shape \(0, 1, 4, 4\)"),
        (np.full((1, 1, 4, 4), np.nan), "non-finite"),
        (np.full((1, 1, 4, 4), "a"), "dtype <U1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(compiled: Callable[..., Program], inputs: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reference().run(compiled(CONFIG), inputs)
