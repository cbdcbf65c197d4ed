"""balance-delays: every join receives its inputs of the same timestep, by axonal delays on the shorter paths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class BalanceDelays:
    """A spike sent at step t is integrated at t+1, so paths of different length through the network drift apart."""

    name: ClassVar[str] = "balance-delays"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        depth: dict[str, int] = {}
        nodes: dict[str, Node] = {}
        for node in graph.nodes.values():
            ready = max((depth[name] for name in node.inputs), default=0)
            inputs = []
            for name in node.inputs:
                delayed = _delayed(name, ready - depth[name], graph)
                nodes.setdefault(delayed.name, delayed)
                inputs.append(delayed.name)
            nodes[node.name] = replace(node, inputs=tuple(inputs))
            depth[node.name] = ready + i.latency(node)
        steps = depth[graph.output]
        added = sum(isinstance(n, i.Delay) for n in nodes.values())
        text = f"{added} delays; the first frame reaches the read-out after {steps} steps, samples follow every {graph.timesteps}"
        change = Change(self.name, graph.output, text, {"depth": steps, "delays": added, "interval": graph.timesteps})
        return rebuilt(graph, nodes.values(), "balanced", [change])


def _delayed(name: str, steps: int, graph: Graph) -> Node:
    if steps == 0:
        return graph.nodes[name]
    source = graph.nodes[name]
    return i.Delay(f"{name}@{steps}", (name,), source.out, source.source, steps)


def depths(graph: Graph) -> dict[str, int]:
    """Per node of a balanced graph, the steps by which its output trails the input."""
    depth: dict[str, int] = {}
    for node in graph.nodes.values():
        depth[node.name] = max((depth[name] for name in node.inputs), default=0) + i.latency(node)
    return depth


def latency_steps(graph: Graph) -> int:
    """Timesteps from a sample's first frame to its complete read-out."""
    return depths(graph)[graph.output] + graph.timesteps
