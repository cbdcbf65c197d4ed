"""A thousand NIR graphs of all primitives: integers on which every executor agrees bit for bit, or a refusal that says why."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from lava_threads import run_threaded
from random_graphs import RandomGraph, random_graphs

from pumice.compiler import int_nodes as i
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import PumiceError
from pumice.hwsim.spec import load_chip
from pumice.runtime.lava_discovery import searched_once
from pumice.runtime.reference import Reference

GRAPHS, SAMPLES, STEPS = 1000, 2, 5
BY_SEED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


PLAIN: dict[str, Any] = {"signs": "mixed", "synapses": 1}  # a synapse is one Lava Process and not up to six


def compiled(case: RandomGraph) -> Program | PumiceError:
    """Anything else that is raised is a crash, and fails the test."""
    options = CompileOptions(reading=case.reading, **({} if len(case.graph.nodes) % 5 == 0 else PLAIN))
    try:
        return compile_nir(case.graph, case.samples(4, STEPS, seed=0), load_chip("loihi2"), options)
    except PumiceError as error:
        return error


def kinds(program: Program) -> set[str]:
    return {type(node).__name__ for node in program.graph.nodes.values()}


@pytest.mark.timeout(1200)
def test_a_thousand_graphs_agree_bit_for_bit_or_are_refused_with_a_typed_error() -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    seen: Counter[str] = Counter()

    @settings(BY_SEED, max_examples=GRAPHS)
    @given(random_graphs())
    def check(case: RandomGraph) -> None:
        program = compiled(case)
        if isinstance(program, PumiceError):
            assert str(error := program)
            assert "\n" not in f"{error}{error.hint}"
            seen["refused"] += 1
            return
        x = case.samples(SAMPLES, STEPS, seed=1)
        reference, lava = Reference().run(program, x, record=True), run_threaded(program, x)
        assert np.array_equal(lava.outputs, reference.outputs)
        assert lava.spikes.keys() == reference.spikes.keys()
        assert all(np.array_equal(lava.named[name], totals) for name, totals in reference.named.items())
        assert all(np.array_equal(lava.spikes[name], sent) for name, sent in reference.spikes.items())
        seen["two outputs"] += len(reference.named) == 2
        seen.update(
            kinds(program) | {"agreed"} | ({"fired"} if any(s.any() for s in reference.spikes.values()) else set())
        )

    with searched_once():
        check()
    assert seen["agreed"] + seen["refused"] == GRAPHS
    assert seen["agreed"] > 0.6 * GRAPHS
    assert seen["fired"] > 0.8 * seen["agreed"]
    assert seen["two outputs"] > 0.05 * GRAPHS
    for kind in (i.Programmable, i.IntLif, i.Membrane, i.Currents, i.Past, i.Feedback, i.Synapse):
        assert seen[kind.__name__] > 0.05 * GRAPHS, kind.__name__
