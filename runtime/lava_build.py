"""A program's integer graph as a network of Lava Processes: one per node, stock where Lava has it.

Everything between Processes is a flat int32 vector, feature maps and tokens in C order, so a `Reshape` is no Process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from lava.proc.lif.process import LIFReset

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.passes.balance_delays import depths
from pumice.hwsim import arith
from pumice.hwsim.lava.neurons import GatedLif, LiveMask, Readout, SpikeMatmul, TokenGate
from pumice.hwsim.lava.wiring import DelayLine, FrameSource, OrPool, Recorder, Sum
from pumice.hwsim.scoring import tokens_kept
from pumice.runtime.lava_job import Job, source_frames
from pumice.runtime.lava_synapse import synapse

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Network:
    """The Processes built so far. ports: for each node, the OutPort that carries its value."""

    job: Job
    lags: Mapping[str, int]
    ports: dict[str, Any] = field(default_factory=dict)

    def lag(self, node: Node) -> int:
        """Steps by which the inputs of a node trail the network's input."""
        return self.lags[node.name] - i.latency(node)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a node's value."""
        return self.job.graph.nodes[name].out.shape


def build(job: Job) -> Any:
    """The network of Lava Processes of a job, connected; returns the read-out's Process, by which Lava runs them all."""
    network = Network(job, depths(job.graph))
    for node in job.graph.nodes.values():
        network.ports[node.name] = add(network, node)
    add_recorders(network)
    return network.ports[job.graph.output].process


def add(network: Network, node: Node) -> Any:
    """Build one node, connect its inputs; returns the OutPort of its value."""
    match node:
        case i.Reshape():
            return network.ports[node.inputs[0]]
        case i.GradedInput() | i.StaticMask() | i.GivenMask():
            return FrameSource(frames=source_frames(network.job, node), name=node.name).out
        case i.Synapse():
            return add_synapse(network, node)
        case i.IntLif():
            return add_lif(network, node)
        case i.Sum():
            return add_sum(network, node)
        case i.SpikeMatmul():
            return add_matmul(network, node)
        case i.LiveMask():
            return add_live_mask(network, node)
        case i.OrPool():
            window = (node.kernel, node.stride, node.padding)
            pool = OrPool(shape=network.shape(node.inputs[0]), out_shape=node.out.shape, window=window, name=node.name)
            return joined(network, node, pool.out, pool.x)
        case i.TokenGate():
            gate = TokenGate(shape=node.out.shape, name=node.name)
            return joined(network, node, gate.out, gate.x, gate.mask)
        case i.Delay():
            return network.ports[node.name] if node.name in network.ports else add_delays(network, node)
        case i.Readout():
            return add_readout(network, node)
        case _:
            raise TypeError(f"no Lava Process for {type(node).__name__}")


def size(node: Node) -> int:
    """Values in one frame of a node."""
    return int(np.prod(node.out.shape))


def joined(network: Network, node: Node, out: Any, *ins: Any) -> Any:
    """Connect a node's inputs to its InPorts, in order; returns its OutPort."""
    for name, port in zip(node.inputs, ins, strict=True):
        network.ports[name].connect(port)
    return out


def add_synapse(network: Network, node: i.Synapse) -> Any:
    """The stock Process of a convolution."""
    source = network.job.graph.nodes[node.inputs[0]].out
    return synapse(network.ports[node.inputs[0]], node, source, network.job.synapse)


def add_lif(network: Network, node: i.IntLif) -> Any:
    """Stock neurons, reset when a sample's first frame reaches them; ours where a mask gates them."""
    timesteps, lag = network.job.graph.timesteps, network.lag(node)
    if node.gate_state != "":
        params = arith.LifParams(node.vth, node.dv, node.bias)
        gated = GatedLif(
            shape=node.out.shape, params=params, state=node.gate_state, timesteps=timesteps, lag=lag, name=node.name
        )
        return joined(network, node, gated.s_out, gated.a_in, gated.mask)
    mantissa = np.broadcast_to(node.bias_mant.reshape(node.bias.shape), node.out.shape).reshape(-1)
    lif = LIFReset(
        shape=(size(node),),
        du=arith.NO_CURRENT_MEMORY,
        dv=node.dv,
        vth=node.vth,
        bias_mant=mantissa.astype(np.int32),
        bias_exp=node.bias_exp,
        reset_interval=timesteps,
        reset_offset=lag + 1,
        name=node.name,
    )
    return joined(network, node, lif.s_out, lif.a_in)


def add_sum(network: Network, node: i.Sum) -> Any:
    """All inputs into one port. Lava connects two ports once only, so an input that comes twice passes a relay."""
    total = Sum(size=size(node), name=node.name)
    for index, name in enumerate(node.inputs):
        port = network.ports[name]
        if name in node.inputs[:index]:
            relay = DelayLine(size=size(node), steps=[0], name=f"{node.name}.relay{index}")
            port.connect(relay.x)
            port = relay.out0
        port.connect(total.x)
    return total.out


def add_delays(network: Network, node: i.Delay) -> Any:
    """A line for this delay and all others of the same source."""
    source = node.inputs[0]
    delays = [n for n in network.job.graph.nodes.values() if isinstance(n, i.Delay) and n.inputs[0] == source]
    for taps in batches(delays, DelayLine.TAPS):
        line = DelayLine(size=size(node), steps=[tap.steps for tap in taps], name=f"{taps[0].name}…")
        network.ports[source].connect(line.x)
        for index, tap in enumerate(taps):
            network.ports[tap.name] = getattr(line, f"out{index}")
    return network.ports[node.name]


def add_matmul(network: Network, node: i.SpikeMatmul) -> Any:
    """One half of attention."""
    shapes = (*(network.shape(name) for name in node.inputs), node.out.shape)
    matmul = SpikeMatmul(
        shapes=shapes, pattern=node.pattern, heads=node.heads, shift=node.shift, bound=node.out.high, name=node.name
    )
    return joined(network, node, matmul.out, matmul.a, matmul.b)


def add_live_mask(network: Network, node: i.LiveMask) -> Any:
    """The scorer of a block."""
    scorer = LiveMask(
        shape=(network.shape(node.inputs[0])[0], *node.grid),
        criterion=node.criterion,
        keep=tokens_kept(node.retention, *node.grid, node.criterion.rule),
        block=node.block,
        timesteps=network.job.graph.timesteps,
        lag=network.lag(node),
        name=node.name,
    )
    return joined(network, node, scorer.out, scorer.x)


def add_readout(network: Network, node: i.Readout) -> Any:
    """The read-out."""
    tokens = int(np.prod(network.shape(node.inputs[0])[1:]))
    readout = Readout(
        offset=node.offset, tokens=tokens, timesteps=network.job.graph.timesteps, lag=network.lag(node), name=node.name
    )
    return joined(network, node, readout.out, readout.a_in)


def add_recorders(network: Network) -> None:
    """Recorders for the nodes whose frames are stored, eight a Process."""
    for index, names in enumerate(batches(list(network.job.records), Recorder.PORTS)):
        recorder = Recorder(
            paths=[network.job.records[name] for name in names],
            sizes=[size(network.job.graph.nodes[name]) for name in names],
            lags=[network.lags[name] for name in names],
            name=f"recorder{index}",
        )
        for port, name in enumerate(names):
            network.ports[name].connect(getattr(recorder, f"x{port}"))


def batches(items: list[Item], length: int) -> Iterator[list[Item]]:
    """The items in runs of `length`."""
    return (items[start : start + length] for start in range(0, len(items), length))
