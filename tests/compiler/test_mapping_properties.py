"""What must be true of every mapping, recomputed without the mapper's own shortcuts: neurons, synapses, limits."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from mapped import on_cores
from mapping_networks import NETS, network, synapses_of

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import groups_of
from pumice.compiler.mapping.fans import Wiring
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.program import Program, Slice
from pumice.errors import DoesNotFit
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec, load_chip

STORAGE = [f.name for f in fields(ChipSpec) if "synapse" in f.name or "axon" in f.name or "index" in f.name]


@st.composite
def chips(draw: st.DrawFn) -> ChipSpec:
    """Loihi 2, or Loihi 1's memory with payloads, with a few neurons, words and axons on a core, some of them without limit."""
    chip = load_chip("loihi2")
    if draw(st.booleans()):
        other = load_chip("loihi1")
        chip = replace(chip, **{name: getattr(other, name) for name in STORAGE})
    neurons = draw(st.one_of(st.integers(1, 40), st.integers(41, 300)))
    words, axons = (draw(st.one_of(st.none(), st.integers(4, 600))) for _ in range(2))
    limits = {"neurons_per_core": neurons, "synaptic_words_per_core": words, "input_axons_per_core": axons}
    return replace(chip, max_chips=200, **limits)


def mapped(name: str, chip: ChipSpec) -> Program | None:
    """The network on the chip; None where a layer does not fit, which must be said with its name, used and limit."""
    try:
        return on_cores(network(name).graph, chip)
    except DoesNotFit as error:
        refusal = error
    event("refused")
    assert refusal.used > refusal.limit
    assert f"{refusal.resource} {refusal.used:,}/{refusal.limit:,}" in str(refusal)
    layers = [repr(group.name) for group in groups_of(network(name).graph)]
    assert refusal.resource in ("output axons per core", "chips") or any(layer in refusal.where for layer in layers)
    return None


any_mapping = given(st.sampled_from(sorted(NETS)), chips())


@settings(deadline=None, max_examples=40)
@any_mapping
def test_every_neuron_is_on_one_core_or_can_never_send(name: str, chip: ChipSpec) -> None:
    program = mapped(name, chip)
    if program is None:
        return
    cuts = program.mapping.slices_of()
    for group in groups_of(program.graph):
        held = np.zeros(group.extent, np.int64)
        for _, cut in cuts.get(group.name, ()):
            np.add.at(held, np.ix_(*places(program, cut)), 1)
        assert held.max() <= 1
        silent = silenced(program, group.name, group.extent)
        assert silent[held == 0].all()
        if not isinstance(group.neurons, i.SpikeMatmul):  # whose operands may never be routed in the same step
            assert (held == 0)[silent].all()


def places(program: Program, cut: Slice) -> tuple[np.ndarray, np.ndarray]:
    return program.mapping.channels_of(cut), program.mapping.positions_of(cut)


def silenced(program: Program, name: str, extent: tuple[int, int]) -> np.ndarray:
    """Neurons that static masks never let send, found by running the network on everything that is routed: with all neurons and
    inputs at their largest, what a mask never routes stays 0."""
    largest: dict[str, np.ndarray] = {}
    for node in program.graph.nodes.values():
        masks = [largest[n] for n in node.inputs if program.graph.nodes[n].out.dtype == "mask"]
        inputs = [largest[n] for n in node.inputs if program.graph.nodes[n].out.dtype != "mask"]
        largest[node.name] = _largest(node, inputs, masks)
    return largest[name].reshape(-1, *extent).max(axis=0) == 0


def _largest(node: object, inputs: list[np.ndarray], masks: list[np.ndarray]) -> np.ndarray:
    """1 where a value [T, …] may differ from 0."""
    match node:
        case i.StaticMask():
            return node.masks.astype(np.int64)
        case i.Reshape():
            return inputs[0].reshape(len(inputs[0]), *node.out.shape)
        case i.Delay():
            return (inputs or masks)[0]
        case i.TokenGate():
            return inputs[0] * masks[0][:, None]
        case i.SpikeMatmul():
            return np.minimum(arith.spike_matmul(node.pattern, *inputs, node.heads, 0, 1 << 20), 1)  # type: ignore[call-arg]
        case i.IntLif() | i.Levels() if masks:
            return np.ones((len(masks[0]), *node.out.shape), np.int64) * masks[0][:, None]
        case _:
            steps = max((len(x) for x in (*inputs, *masks)), default=1)
            return np.ones((steps, *node.out.shape), np.int64)  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=40)
@any_mapping
def test_every_synapse_is_mapped_once(name: str, chip: ChipSpec) -> None:
    """Each slice's fans hold the synapses of exactly its own neurons, so that those of all slices are those of the network."""
    program = mapped(name, chip)
    if program is None:
        return
    wiring, cuts = Wiring(program.graph), program.mapping.slices_of()
    for group in groups_of(program.graph):
        wanted = list(synapses_of(group, program.graph))
        for _, cut in cuts.get(group.name, ()):
            held = places(program, cut)
            targets = (held[0][:, None] * group.extent[1] + held[1]).ravel()
            found = wiring.fans(group, *held)
            assert [fan.stream for fan in found] == [stream for stream, _ in wanted]
            for fan, (_, every) in zip(found, wanted, strict=True):
                into = every[:, targets]
                counts = np.zeros((len(fan.per_channel), fan.width), np.int64)
                counts[:, fan.sources] = fan.counts
                assert np.array_equal(counts.ravel(), into.sum(axis=1))
                reached = np.zeros_like(counts)
                reached[:, fan.sources] = fan.reached
                assert np.array_equal(reached.ravel() > 0, into.any(axis=1))


@settings(deadline=None, max_examples=30)
@any_mapping
def test_a_shared_weight_is_stored_once_a_slice(name: str, chip: ChipSpec) -> None:
    program = mapped(name, chip)
    if program is None:
        return
    groups = {group.name: group for group in groups_of(program.graph)}
    for core in program.mapping.cores:
        for cut in core:
            group = groups[cut.group]
            if not group.streams and all(isinstance(node, i.Synapse) for node in group.synapses):
                assert cut.synapses == sum(
                    stored_weights(node, *places(program, cut), program) for node in group.synapses
                )


def stored_weights(node: i.Synapse, channels: np.ndarray, positions: np.ndarray, program: Program) -> int:
    """Synapses of weights that join some neuron to the slice: one after the other alone in the kernel."""
    shape = program.graph.nodes[node.inputs[0]].out.shape
    counts = arith.synapse_counts(node.weight[channels], node.signs)
    total = 0
    for tap in np.ndindex(*node.weight.shape[2:]):
        alone = np.zeros((1, 1, *node.weight.shape[2:]), np.int64)
        alone[(0, 0, *tap)] = 1
        joined = arith.synaptic_currents(
            np.ones((1, 1, *shape[1:]), np.int64), alone, node.stride, node.padding, 1, len(node.out.shape)
        )
        if joined.reshape(-1)[positions if node.name not in readers(program) else slice(None)].any():
            total += int(counts[(slice(None), slice(None), *tap)].sum())
    return total


def readers(program: Program) -> set[str]:
    """The synapses of read-outs, each of which takes all positions."""
    return {node.inputs[0] for node in program.graph.nodes.values() if isinstance(node, i.Readout)}


@settings(deadline=None, max_examples=40)
@any_mapping
def test_no_limit_is_exceeded(name: str, chip: ChipSpec) -> None:
    program = mapped(name, chip)
    if program is None:
        return
    assert mapping_problems(program) == []
    event(f"several cores: {len(program.mapping.cores) > 4}")
    for core in program.mapping.cores:
        assert sum(len(c) * len(p) for c, p in (places(program, cut) for cut in core)) <= chip.neurons_per_core
        for limit, used in (("synaptic_words_per_core", "words"), ("input_axons_per_core", "input_axons")):
            if getattr(chip, limit) is not None:
                assert sum(getattr(cut, used) for cut in core) <= getattr(chip, limit)
    assert len(set(program.mapping.sites)) == len(program.mapping.sites) == len(program.mapping.cores)


@pytest.mark.parametrize("name", NETS)
def test_the_networks_are_cut(name: str) -> None:
    """The properties above speak of several cores, of layers cut along both axes, and of neurons without a core."""
    program = on_cores(network(name).graph, replace(load_chip("loihi2"), neurons_per_core=12))
    assert len(program.mapping.cores) > 3
