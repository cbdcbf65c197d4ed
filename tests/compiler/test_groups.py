"""Neuron groups of a network of streams: the synapses that are counted are those through which a value changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stream_networks import every_node

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, groups_of, mask_input
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.fans import Fan, Wiring
from pumice.compiler.program import Program
from pumice.compiler.walk import stateless


@pytest.fixture(scope="module")
def program() -> Program:
    return every_node()


def reached(node: Node, number: int, graph: Graph) -> np.ndarray:
    """Targets of each neuron [C, P] of one input of `node`, over targets [C', P']: those that differ when it alone speaks.
    Of a gate of spikes the other input speaks throughout."""
    shapes = [graph.nodes[name].out.shape for name in node.inputs]
    size = int(np.prod(shapes[number]))
    rest = np.ones if isinstance(node, i.SpikeAnd) else np.zeros
    quiet = [rest((1, size, *shape), np.int64) for shape in shapes]
    quiet[number] = np.zeros((1, size, *shapes[number]), np.int64)
    loud = [x.copy() for x in quiet]
    loud[number] = np.eye(size, dtype=np.int64).reshape(1, size, *shapes[number])
    values = [stateless(node, inputs, graph, size, None) for inputs in (quiet, loud)]
    changed = (values[0] != values[1]).reshape(size, node.out.shape[0], -1)
    return changed.reshape(*shapes[number][:1], -1, *changed.shape[1:])


def by_itself(node: Node) -> Node:
    """A node that lets single payloads through: a sum without shift, a stream without current, bias and mask."""
    if isinstance(node, i.TokenSum):
        return replace(node, shift=0)
    if isinstance(node, i.Membrane):
        kept = node.inputs[: len(node.inputs) - node.gated]
        return replace(node, inputs=kept, bias_values=node.bias_values * 0, gated=False)
    return node


def fans(group: Group, graph: Graph, channels: tuple[int, int], positions: tuple[int, int]) -> list[Fan]:
    return Wiring(graph).fans(group, np.arange(*channels), np.arange(*positions))


@pytest.mark.parametrize("part", [((0, 4), (0, 9)), ((1, 3), (2, 7)), ((3, 4), (0, 1))])
def test_fans_are_what_each_neuron_reaches(program: Program, part: tuple[tuple[int, int], tuple[int, int]]) -> None:
    graph, seen = program.graph, set()
    for group in groups_of(graph):
        if isinstance(group.synapses[0], i.SpikeMatmul) or isinstance(group.neurons, i.Readout):
            continue

        channels, positions = ((min(a, n - 1), min(b, n)) for (a, b), n in zip(part, group.extent, strict=True))
        given = fans(group, graph, channels, positions)
        own = [(node, k) for node in group.synapses for k in range(len(node.inputs))]
        streams = [(by_itself(group.neurons), 1 + k) for k in range(len(group.streams))]
        for fan, (node, number) in zip(given, own + streams, strict=True):
            expected = reached(by_itself(node), number, graph)[..., slice(*channels), slice(*positions)].sum(
                axis=(2, 3)
            )
            counts = np.zeros((len(fan.per_channel), fan.width), np.int64)
            counts[:, fan.sources] = fan.counts
            np.testing.assert_array_equal(counts, expected, err_msg=f"{fan.stream} into {group.name}")
            assert np.array_equal(fan.reached, fan.counts > 0)
            seen.add(type(node).__name__)
    assert seen == {"Synapse", "OneToOne", "Membrane", "MaxPool", "TokenSum", "SpikeAnd"}


def test_a_delayed_current_still_names_its_synapse(program: Program) -> None:
    late = next(group for group in groups_of(program.graph) if group.name == "late")
    assert program.graph.nodes[late.neurons.inputs[0]].name == "late_in@1"
    assert [node.name for node in late.synapses] == ["late_in"]


def test_a_stream_that_comes_twice_has_two_synapses(program: Program) -> None:
    late = next(group for group in groups_of(program.graph) if group.name == "late")
    names = [fan.stream for fan in fans(late, program.graph, (0, 4), (0, 9))]
    assert sorted(names) == sorted([*late.synapses[0].inputs, *late.streams])
    assert len(late.streams) == 3
    assert len(set(late.streams)) == 2


def test_gated_neurons_name_their_mask(program: Program) -> None:
    masks = {name: mask_input(node).partition("@")[0] for name, node in program.graph.nodes.items()}
    gated = {name: mask for name, mask in masks.items() if mask}
    assert gated == {"q": "static", "k": "static", "mid": "static", "s": "given", "late": "given"}
