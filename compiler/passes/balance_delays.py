"""balance-delays: every join receives its inputs of the same timestep, by axonal delays on the shorter paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class BalanceDelays:
    """A spike sent at step t is integrated at t+1, so paths of different length through the network drift apart. A delay of the
    user's own hides as much of that as it is long; on a cycle it must hide all of it."""

    name: ClassVar[str] = "balance-delays"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        depth = settled_depths(graph)
        nodes: dict[str, Node] = {}
        for node in graph.nodes.values():
            ready = max((depth[name] for name in node.inputs), default=0)
            inputs = []
            for name in node.inputs:
                delayed = _delayed(name, ready - depth[name], graph)
                nodes.setdefault(delayed.name, delayed)
                inputs.append(delayed.name)
            placed = replace(node, at=depth[node.name]) if isinstance(node, i.Past | i.Feedback) else node
            nodes[node.name] = replace(placed, inputs=tuple(inputs))
        steps = max(depth[name] for name in graph.ends)
        added = sum(isinstance(n, i.Delay) for n in nodes.values())
        text = f"{added} delays; the first frame reaches the read-out after {steps} steps, samples follow every {graph.timesteps}"
        change = Change(self.name, graph.output, text, {"depth": steps, "delays": added, "interval": graph.timesteps})
        return rebuilt(graph, nodes.values(), "balanced", [change])


def _delayed(name: str, steps: int, graph: Graph) -> Node:
    if steps == 0:
        return graph.nodes[name]
    source = graph.nodes[name]
    return i.Delay(f"{name}@{steps}", (name,), source.out, source.source, steps)


def settled_depths(graph: Graph) -> dict[str, int]:
    """Per node, the least steps by which its output can trail the network's input; of a feedback, the most that delays nothing
    else. Raises UnsupportedNode for a cycle that takes more steps than the user's delay on it."""
    feedbacks = [node for node in graph.nodes.values() if isinstance(node, i.Feedback)]
    at = dict.fromkeys((node.name for node in feedbacks), 0)
    for _ in range(len(feedbacks) + 1):
        depth = _depths(graph, at)
        needed = {node.name: max(0, depth[node.of] - int(node.steps.min())) for node in feedbacks}
        late = [node for node in feedbacks if needed[node.name] > at[node.name]]
        if not late:
            return depth | _latest(graph, depth, at)
        at |= {node.name: needed[node.name] for node in late}
    raise _too_long(late[0], graph)


def _too_long(node: i.Feedback, graph: Graph) -> UnsupportedNode:
    steps = int(node.steps.min())
    return UnsupportedNode(
        f"node {graph.nodes[node.of].source!r}: the cycle behind it has {steps} timestep{'s' * (steps > 1)} of delay, fewer than "
        "the synapses that its spikes cross, one timestep each",
        "on the chip a cycle takes a step for each layer in it: put a Delay of as many steps into it",
    )


def _depths(graph: Graph, at: dict[str, int]) -> dict[str, int]:
    """Depths, with feedbacks where `at` puts them."""
    depth: dict[str, int] = {}
    for node in graph.nodes.values():
        ready = max((depth[name] for name in node.inputs), default=0)
        if isinstance(node, i.Feedback):
            depth[node.name] = at[node.name]
        elif isinstance(node, i.Past):
            depth[node.name] = max(0, ready - int(node.steps.min()))
        else:
            depth[node.name] = ready + i.latency(node)
    return depth


def _latest(graph: Graph, depth: dict[str, int], at: dict[str, int]) -> dict[str, int]:
    """Feedbacks put off until the first of their readers is ready, so that no other delay is needed for them."""
    readers = graph.consumers()
    return {
        name: min((max(depth[other] for other in reader.inputs) for reader in readers[name]), default=at[name])
        for name in at
    }


def depths(graph: Graph) -> dict[str, int]:
    """Per node of a balanced graph, the steps by which its output trails the input."""
    depth: dict[str, int] = {}
    for node in graph.nodes.values():
        before = max((depth[name] for name in node.inputs), default=0)
        depth[node.name] = node.at if isinstance(node, i.Past | i.Feedback) else before + i.latency(node)
    return depth


def axon_delays(node: i.Past | i.Feedback, depth: Mapping[str, int]) -> i.Ints:
    """Timesteps that each axon of a balanced delay really waits, of the shape of its `steps`."""
    source = node.of if isinstance(node, i.Feedback) else node.inputs[0]
    return node.steps + (node.at - depth[source])


def latency_steps(graph: Graph) -> int:
    """Timesteps from a sample's first frame to its complete read-outs."""
    depth = depths(graph)
    return max(depth[name] for name in graph.ends) + graph.timesteps
