"""A network of Lava Processes while it is being built.

Everything between Processes is a flat int32 vector, feature maps and tokens in C order, so a `Reshape` is no Process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.hwsim.lava.wiring import DelayLine
from pumice.runtime.lava_job import Job

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Network:
    """The Processes built so far. ports: for each node, the OutPort that carries its value; of a synapse, those that do so
    together."""

    job: Job
    lags: Mapping[str, int]
    ports: dict[str, Any] = field(default_factory=dict)

    def lag(self, node: Node) -> int:
        """Steps by which the inputs of a node trail the network's input."""
        return self.lags[node.name] - i.latency(node)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a node's value."""
        return self.job.graph.nodes[name].out.shape


def size(node: Node) -> int:
    """Values in one frame of a node."""
    return int(np.prod(node.out.shape))


def joined(network: Network, node: Node, out: Any, *ins: Any) -> Any:
    """Connect a node's inputs to its InPorts, in order; returns its OutPort."""
    for name, port in zip(node.inputs, ins, strict=True):
        summed(network, node, (name,), port)
    return out


def summed(network: Network, node: Node, names: Iterable[str], into: Any) -> None:
    """Several inputs into one InPort, which receives their sum. Lava connects two ports once only, so a port that comes
    twice passes a relay."""
    taken: list[Any] = []
    for index, port in enumerate(port for name in names for port in ports_of(network, name)):
        if any(port is other for other in taken):
            relay = DelayLine(size=size(node), steps=[0], name=f"{node.name}.relay{index}")
            port.connect(relay.x)
            port = relay.out0
        port.connect(into)
        taken.append(port)


def ports_of(network: Network, name: str) -> Iterator[Any]:
    """The OutPorts whose sum is a value."""
    for part in parts_of(network, name):
        ports = network.ports[part]
        yield from ports if isinstance(ports, tuple) else (ports,)


def parts_of(network: Network, name: str) -> Iterator[str]:
    """The nodes whose ports carry a value: several for currents that are added up where they arrive."""
    node = network.job.graph.nodes[name]
    while isinstance(node, i.Reshape):
        node = network.job.graph.nodes[node.inputs[0]]
    if not isinstance(node, i.Currents):
        yield name
        return
    for part in node.inputs:
        yield from parts_of(network, part)


def batches(items: list[Item], length: int) -> Iterator[list[Item]]:
    """The items in runs of `length`."""
    return (items[start : start + length] for start in range(0, len(items), length))
