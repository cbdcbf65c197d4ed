"""A program's integer graph as a network of Lava Processes: one per node, stock where Lava has it."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.passes.balance_delays import axon_delays, depths
from pumice.hwsim.lava.neurons import LiveMask, SpikeMatmul, TokenGate
from pumice.hwsim.lava.pools import Pool, SpikeAnd, TokenSum
from pumice.hwsim.lava.wiring import DelayLine, FrameSource, Past, Recorder, Sum
from pumice.hwsim.scoring import tokens_kept
from pumice.runtime.lava_job import Job, source_frames
from pumice.runtime.lava_network import Network, batches, joined, size, summed
from pumice.runtime.lava_neurons import add_neurons
from pumice.runtime.lava_synapse import one_to_one, synapse


def build(job: Job) -> Any:
    """The network of Lava Processes of a job, connected; returns the read-out's Process, by which Lava runs them all."""
    network = Network(job, depths(job.graph))
    for node in job.graph.nodes.values():
        network.ports[node.name] = add(network, node)
    close_cycles(network)
    add_recorders(network)
    return network.ports[job.graph.output].process


def add(network: Network, node: Node) -> Any:
    """Build one node, connect its inputs; returns the OutPort of its value."""
    match node:
        case i.Reshape():
            return network.ports[node.inputs[0]]
        case i.Currents():
            return None  # their readers connect the parts
        case i.Past() | i.Feedback():
            return add_past(network, node)
        case i.GradedInput() | i.StaticMask() | i.GivenMask():
            return FrameSource(frames=source_frames(network.job, node), name=node.name).out
        case i.Synapse():
            source = network.job.graph.nodes[node.inputs[0]].out
            return synapse(network.ports[node.inputs[0]], node, source, network.job.synapse)
        case i.OneToOne():
            return one_to_one(network.ports[node.inputs[0]], node)
        case i.IntLif() | i.Programmable() | i.Levels() | i.Membrane() | i.Readout():
            return add_neurons(network, node)
        case i.Sum() | i.OrPool() | i.MaxPool() | i.TokenSum() | i.SpikeAnd():
            return add_self_fed(network, node)
        case i.SpikeMatmul():
            return add_matmul(network, node)
        case i.LiveMask():
            return add_live_mask(network, node)
        case i.TokenGate():
            gate = TokenGate(shape=node.out.shape, name=node.name)
            return joined(network, node, gate.out, gate.x, gate.mask)
        case i.Delay():
            return network.ports[node.name] if node.name in network.ports else add_delays(network, node)
        case _:
            raise TypeError(f"no Lava Process for {type(node).__name__}")


def add_self_fed(network: Network, node: i.SelfFed) -> Any:
    """Neurons that are their own synapse."""
    shape = network.shape(node.inputs[0])
    match node:
        case i.Sum():
            total = Sum(size=size(node), name=node.name)
            summed(network, node, node.inputs, total.x)
            return total.out
        case i.OrPool() | i.MaxPool():
            window, largest = (node.kernel, node.stride, node.padding), isinstance(node, i.MaxPool)
            pool = Pool(shape=shape, out_shape=node.out.shape, window=window, largest=largest, name=node.name)
            return joined(network, node, pool.out, pool.x)
        case i.TokenSum():
            tokens = TokenSum(shape=shape, shift=node.shift, name=node.name)
            return joined(network, node, tokens.out, tokens.x)
        case i.SpikeAnd():
            both = SpikeAnd(shapes=(shape, node.out.shape), name=node.name)
            return joined(network, node, both.out, both.gate, both.x)


def add_delays(network: Network, node: i.Delay) -> Any:
    """A line for this delay and all others of the same source."""
    source = node.inputs[0]
    delays = [n for n in network.job.graph.nodes.values() if isinstance(n, i.Delay) and n.inputs[0] == source]
    for taps in batches(delays, DelayLine.TAPS):
        line = DelayLine(size=size(node), steps=[tap.steps for tap in taps], name=f"{taps[0].name}…")
        summed(network, node, (source,), line.x)
        for index, tap in enumerate(taps):
            network.ports[tap.name] = getattr(line, f"out{index}")
    return network.ports[node.name]


def add_past(network: Network, node: i.Past | i.Feedback) -> Any:
    """A delay of the user's own; that of a cycle is connected when the cycle is there."""
    steps, waits = (
        np.broadcast_to(x, node.out.shape).reshape(-1) for x in (node.steps, axon_delays(node, network.lags))
    )
    past = Past(steps=steps, waits=waits, timesteps=network.job.graph.timesteps, lag=node.at, name=node.name)
    return joined(network, node, past.out, past.x) if isinstance(node, i.Past) else past.out


def close_cycles(network: Network) -> None:
    """Connect what feedbacks read. The Processes of a cycle are found from its feedback, so Lava compiles all of them."""
    for node in network.job.graph.nodes.values():
        if isinstance(node, i.Feedback):
            network.ports[node.of].connect(network.ports[node.name].process.x)


def add_matmul(network: Network, node: i.SpikeMatmul) -> Any:
    """One half of attention."""
    shapes = (*(network.shape(name) for name in node.inputs), node.out.shape)
    bound = i.largest_sum(node, *(network.job.graph.nodes[name].out for name in node.inputs))
    matmul = SpikeMatmul(
        shapes=shapes,
        pattern=node.pattern,
        heads=node.heads,
        shift=node.shift,
        bound=bound,
        most=node.out.high,
        name=node.name,
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
