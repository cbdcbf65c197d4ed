"""`fast` and `torch` give what `reference` gives, to the last bit: results, recorded layers, masks and counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from backend_runs import ENGINES, assert_equal_to_reference, assert_same_run, backend_of
from cycle_networks import NETWORKS, meaning_of
from cycle_networks import compiled as compiled_cycle
from cycle_networks import spikes as cycle_spikes
from dirty_memory import DirtyMemory
from general_networks import GENERAL, LEAKS, READ_OUTS, RESETS, STEPS, if_reading, mapped, network
from general_networks import compiled as compiled_general
from general_networks import spikes as general_spikes
from hypothesis import HealthCheck, Phase, given, settings
from networks import TinySpikformer, images
from random_graphs import RandomGraph, random_graphs
from small_graphs import chain
from stream_networks import every_node, on_cores_of
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule
from torch_networks import TINY

from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import PumiceError
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import load_chip
from pumice.models.checkpoints import zoo_names
from pumice.models.nir.export import to_nir
from pumice.models.paper_models import paper_samples
from pumice.runtime.model_sources import network_and_samples
from pumice.runtime.reference import Reference
from pumice.runtime.result import RunResult

BY_SEED = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
LIVE = TinySpikformer(pool=True, size=6, retention=0.6)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("pumice.runtime.fast.backend.Memory", DirtyMemory)
    return str(request.param)


@pytest.mark.parametrize("order", ["scores", "context"])
@pytest.mark.parametrize("masks", ["live", "static", "off"])
def test_a_spikformer(compiled: Callable[..., Program], masks: str, order: str, engine: str) -> None:
    program = compiled(LIVE, masks=masks, attention_order=order)
    run = assert_equal_to_reference(program, images(LIVE, 11), backend_of(engine, batch=4))
    assert all(spikes.any() for spikes in run.spikes.values())


@cache
def streams() -> Program:
    return every_node()


@pytest.mark.parametrize("neurons", [0, 50])
def test_streams_levels_products_gates_pools_and_given_masks(neurons: int, engine: str) -> None:
    program = on_cores_of(streams(), neurons) if neurons else streams()
    run = assert_equal_to_reference(program, stream_samples(7), backend_of(engine, batch=3), stream_schedule(7))
    assert run.counts is not None
    assert run.counts.total("weighted") > 0


@pytest.mark.parametrize("family", TINY)
def test_every_family(family: str, engine: str) -> None:
    tiny = TINY[family]
    model = tiny.model()
    if tiny.blocks:
        model.pruning = tiny.pruning(Criterion(alpha=1.0), "decay")
    options = CompileOptions(masks="live" if tiny.blocks else "static")
    program = compile_nir(to_nir(model), tiny.samples(8, seed=3), load_chip("loihi2"), options)
    run = assert_equal_to_reference(program, tiny.samples(3), backend_of(engine))
    assert len(np.unique(run.outputs, axis=0)) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_cycles_and_delays(name: str, engine: str) -> None:
    program = compiled_cycle(NETWORKS[name], meaning_of())
    run = assert_equal_to_reference(program, cycle_spikes(NETWORKS[name], 5, 3), backend_of(engine, batch=3))
    assert any(spikes.any() for spikes in run.spikes.values())


@pytest.mark.parametrize("comparator", [">", ">="])
@pytest.mark.parametrize(("reset", "reset_at"), RESETS)
def test_every_reset(reset: str, reset_at: str, comparator: str, engine: str) -> None:
    program = compiled_general(network(), if_reading(reset, reset_at, comparator), (6,))
    run = assert_equal_to_reference(program, general_spikes((30, STEPS, 6), 2), backend_of(engine))
    assert run.spikes["m"].any()


@pytest.mark.parametrize("kind", [*GENERAL, *LEAKS, *READ_OUTS])
def test_neurons_that_a_plain_lif_is_not(kind: str, engine: str) -> None:
    node, options = GENERAL.get(kind, (LEAKS.get(kind, READ_OUTS.get(kind)), {}))
    layers: dict[str, Any] = {"a": mapped(np.random.default_rng(3), 5, 6)} | ({} if node is None else {"n": node})
    meaning = reading("nir", **({"if_gain": "one"} | options))
    program = compiled_general(chain((6,), (5,), **layers), meaning, (6,))
    run = assert_equal_to_reference(program, general_spikes((30, STEPS, 6), 2), backend_of(engine))
    assert run.outputs.any()


def test_random_graphs_of_all_primitives(engine: str) -> None:
    kinds: set[str] = set()

    @settings(BY_SEED, max_examples=60)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        options, chip = CompileOptions(reading=case.reading), load_chip("loihi2")
        try:
            program = compile_nir(case.graph, case.samples(4, 5, seed=0), chip, options)
        except PumiceError:
            return
        assert_equal_to_reference(program, case.samples(3, 5, seed=1), backend_of(engine))
        kinds.update(type(node).__name__ for node in program.graph.nodes.values())

    check()
    assert kinds >= {"Programmable", "IntLif", "Membrane", "Currents", "Past", "Feedback", "Synapse"}


@cache
def zoo_program(name: str, off: bool = False) -> tuple[Program, Any]:
    """Masks as the model is made: its own, or live ones; off: every token routed."""
    source = network_and_samples(name)
    options = CompileOptions(masks="off" if off else "static" if name.startswith("sparse") else "live")
    return compile_nir(source.network, source.samples[:8], load_chip("loihi2"), options), source.samples


@pytest.mark.parametrize("name", zoo_names())
def test_every_model_of_the_zoo(name: str, engine: str) -> None:
    program, x = zoo_program(name)
    assert_equal_to_reference(program, x[:3], backend_of(engine))


@pytest.mark.slow
@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("name", zoo_names())
def test_every_model_of_the_zoo_on_more_samples_than_a_tile_has_lanes(name: str, off: bool, engine: str) -> None:
    program, x = zoo_program(name, off)
    assert_equal_to_reference(program, x[:70], backend_of(engine))


@cache
def spikformer_4_384() -> tuple[Program, Any, RunResult]:
    source, x = network_and_samples("spikformer-4-384"), paper_samples("spikformer-4-384", 8)
    program = compile_nir(source.network, x[:2], load_chip("loihi2"), CompileOptions(masks="off"))
    return program, x, Reference().run(program, x, record=True)


@pytest.mark.slow
def test_spikformer_4_384(engine: str) -> None:
    """Every spike and count of eight images."""
    program, x, reference = spikformer_4_384()
    assert sum(spikes.any() for spikes in reference.spikes.values()) > 20
    assert_same_run(backend_of(engine).run(program, x, record=True), reference)
