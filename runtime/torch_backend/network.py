"""A graph made ready for a device: its weights and parameters there, a function for each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.runtime.torch_backend import neurons, operations, products, synapses
from pumice.runtime.torch_backend.neurons import Lif, Program
from pumice.runtime.torch_backend.operations import Operation
from pumice.runtime.torch_backend.values import held

Late = tuple[tuple[int, Tensor], ...]  # delays that neurons have, and which have each


@dataclass(frozen=True, eq=False)
class Loaded:
    """types: how each node's values are held. operations, cells, late: of the nodes without a state, of neurons with one, of
    `Past` and `Feedback`. active: of neurons without a state, how to count those at work."""

    graph: Graph
    device: torch.device
    types: Mapping[str, torch.dtype]
    operations: Mapping[str, Operation]
    cells: Mapping[str, Lif | Program]
    late: Mapping[str, Late]
    active: Mapping[str, Callable[[list[Tensor], Tensor], Tensor]]


def load(graph: Graph, device: torch.device) -> Loaded:
    """The graph on a device; runs share it."""
    nodes = graph.nodes.values()
    types = {node.name: held(node, graph) for node in nodes}
    made = {node.name: _operation(node, graph, types[node.name], device) for node in nodes}
    return Loaded(
        graph,
        device,
        types,
        {name: operation for name, operation in made.items() if operation is not None},
        {n.name: _cell(n, graph, device) for n in nodes if isinstance(n, i.IntLif | i.Programmable)},
        {n.name: _late(n, device) for n in nodes if isinstance(n, i.Past | i.Feedback)},
        {n.name: operations.busy(n, device) for n in nodes if isinstance(n, i.Levels | i.Membrane)},
    )


def _cell(node: i.IntLif | i.Programmable, graph: Graph, device: torch.device) -> Lif | Program:
    return neurons.lif(node, graph, device) if isinstance(node, i.IntLif) else neurons.program(node, device)


def _late(node: i.Past | i.Feedback, device: torch.device) -> Late:
    return tuple((int(step), torch.from_numpy(node.steps == step).to(device)) for step in np.unique(node.steps))


def _operation(node: Node, graph: Graph, dtype: torch.dtype, device: torch.device) -> Operation | None:
    """What a node without a state does with its inputs over the timesteps that it is given; None for the others, and for masks
    that come with the samples."""
    match node:
        case i.Synapse():
            currents = synapses.currents(node, graph, device)
            return lambda inputs: currents(inputs[0])
        case i.Levels():
            return operations.levels(node, graph, device)
        case i.Membrane():
            return operations.membrane(node, graph, device)
        case i.OrPool() | i.MaxPool():
            return lambda inputs: operations.pool(inputs[0], node.kernel, node.stride, node.padding)
        case i.Sum() | i.Currents():
            return operations.added(node, graph, dtype)
        case i.Reshape():
            return lambda inputs: inputs[0].reshape(*inputs[0].shape[:2], *node.out.shape)
        case i.Delay() | i.OneToOne():
            return lambda inputs: inputs[0]
        case i.TokenSum():
            return operations.token_sum(node, graph)
        case i.SpikeAnd():
            return operations.spike_and
        case i.SpikeMatmul():
            return lambda inputs: products.spike_matmul(node, graph, inputs)
        case i.TokenGate():
            return operations.token_gate
        case i.LiveMask():
            return lambda inputs: operations.live_mask(node, inputs[0])
        case i.Readout():
            return operations.readout(node, device)
        case i.GradedInput() | i.StaticMask() | i.GivenMask() | i.IntLif() | i.Programmable() | i.Past() | i.Feedback():
            return None
        case _:
            raise TypeError(f"no integer meaning for {type(node).__name__}")
