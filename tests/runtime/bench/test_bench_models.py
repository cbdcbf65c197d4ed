"""The variants that are measured: pruned as they say, firing as the unpruned network does, equal to the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import TinySpikformer, images

from pumice.compiler.program import Program
from pumice.errors import RunError
from pumice.models.pruning.weight_pruning import weight_density, weight_layers
from pumice.runtime.bench import equality
from pumice.runtime.bench.activity import activity
from pumice.runtime.bench.equality import check_outputs, check_spikes
from pumice.runtime.bench.machine import file_name, machine
from pumice.runtime.bench.models import rates_of, thinned
from pumice.runtime.bench.plans import IN_BLOCKS
from pumice.runtime.model_sources import float_source
from pumice.runtime.reference import Reference
from pumice.runtime.result import RunResult

DIGITS = "spikformer-digits"


def test_a_thinned_network_has_a_tenth_of_its_weights_and_fires_as_before() -> None:
    source = float_source(DIGITS)
    x = torch.from_numpy(np.asarray(source.samples[:16], np.float32))
    before = rates_of(source.network, x)
    network = thinned(source, 0.1)
    first, *others = weight_layers(network)
    left = weight_density(network)
    assert left[first] > 0.9
    assert [left[name] for name in others] == pytest.approx([0.1] * len(others), abs=0.01)
    after = rates_of(network, x)
    own = [name for name in before.special if not name.endswith("attn_lif")]  # no BatchNorm of its own
    assert [after.special[name] for name in own] == pytest.approx([before.special[name] for name in own], abs=0.02)


def test_every_variant_has_a_name_of_its_own() -> None:
    assert len({variant.name for variant in IN_BLOCKS}) == len(IN_BLOCKS)


def test_rates_and_counts_are_those_of_the_spikes(compiled: Callable[..., Program]) -> None:
    program = compiled(masks="static")
    x = images(TinySpikformer(), 5)
    found = activity(program, x, threads=1)
    result = Reference().run(program, x, record=True)
    assert result.counts is not None
    layers = [spikes != 0 for spikes in result.spikes.values()]
    assert found["firing"]["neurons"]["mean"] == pytest.approx(
        sum(layer.sum() for layer in layers) / sum(layer.size for layer in layers)
    )
    assert found["firing"]["neurons"]["most_layer"] == pytest.approx(max(layer.mean() for layer in layers))
    assert found["per_image"]["synops"] == result.counts.per_sample("synops")
    assert 0 < found["per_image"]["synops_in_blocks"] < found["per_image"]["synops"]
    assert found["tokens_kept"] == pytest.approx(0.5)


def test_other_bits_end_the_benchmark() -> None:
    outputs = np.arange(6).reshape(3, 2)
    check_outputs("here", {"fast": outputs, "reference": outputs[:2]})
    with pytest.raises(RunError, match="here: torch and fast differ in 1 of 3 images"):
        check_outputs("here", {"fast": outputs, "torch": outputs + np.array([[0, 0], [0, 1], [0, 0]])})


def test_other_spikes_end_the_benchmark(compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> None:
    program, other = compiled(), compiled(replace(TinySpikformer(), seed=1))
    x = images(TinySpikformer(), 3)
    check_spikes("tiny", program, x, threads=2)

    class Another:
        def __init__(self, *options: object, **named: object) -> None:
            pass

        def run(self, program: Program, x: np.ndarray, record: bool) -> RunResult:
            return Reference().run(other, x, record=record)

    monkeypatch.setattr(equality, "TorchBackend", Another)
    with pytest.raises(RunError, match="tiny: spikes of torch and reference differ in"):
        check_spikes("tiny", program, x, threads=2)


def test_results_are_named_by_the_processor() -> None:
    assert (
        file_name({"processor": "Intel(R) Xeon(R) CPU E5 @ 2.20GHz", "cores": 4}, 2)
        == "intel-xeon-e5-4-cores-2-threads"
    )
    assert machine()["cores"] >= 1
