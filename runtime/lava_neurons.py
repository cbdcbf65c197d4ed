"""The Lava Processes of a program's neurons, connected: stock where Lava has them, ours where not."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.proc.lif.process import LIFReset

from pumice.compiler import int_nodes as i
from pumice.hwsim import arith
from pumice.hwsim.lava.memoryless import Levels, Membrane
from pumice.hwsim.lava.neurons import GatedLif, Readout
from pumice.hwsim.lava.programmable import Programmable
from pumice.hwsim.programmable import program_of
from pumice.runtime.lava_network import Network, joined, size, summed


def add_neurons(network: Network, node: i.Neurons) -> Any:
    """The neurons of a node; returns the OutPort of what they send."""
    match node:
        case i.IntLif():
            if node.gate_state != "":
                return add_gated_lif(network, node)
            return add_lif(network, node) if node.params.stock else add_programmable(network, node)
        case i.Programmable():
            return add_programmable(network, node)
        case i.Levels():
            return add_levels(network, node)
        case i.Membrane():
            return add_membrane(network, node)
        case i.Readout():
            return add_readout(network, node)


def add_lif(network: Network, node: i.IntLif) -> Any:
    """Stock neurons, reset when a sample's first frame reaches them."""
    mantissa = np.broadcast_to(node.bias_mant.reshape(node.bias.shape), node.out.shape).reshape(-1)
    lif = LIFReset(
        shape=(size(node),),
        du=arith.NO_CURRENT_MEMORY,
        dv=node.dv,
        vth=node.vth,
        bias_mant=mantissa.astype(np.int32),
        bias_exp=node.bias_exp,
        reset_interval=network.job.graph.timesteps,
        reset_offset=network.lag(node) + 1,
        name=node.name,
    )
    return joined(network, node, lif.s_out, lif.a_in)


def add_programmable(network: Network, node: i.IntLif | i.Programmable) -> Any:
    """Ours: programmable neurons, and LIF neurons that subtract their threshold, or compare with `>=`."""
    params = program_of(node.params, len(node.out.shape)) if isinstance(node, i.IntLif) else node.params
    own = Programmable(
        shape=node.out.shape,
        params=params,
        timesteps=network.job.graph.timesteps,
        lag=network.lag(node),
        name=node.name,
    )
    return joined(network, node, own.s_out, own.a_in)


def add_gated_lif(network: Network, node: i.IntLif) -> Any:
    """Ours: a mask rules them."""
    gated = GatedLif(
        shape=node.out.shape,
        params=node.params,
        state=node.gate_state,
        timesteps=network.job.graph.timesteps,
        lag=network.lag(node),
        name=node.name,
    )
    return joined(network, node, gated.s_out, gated.a_in, gated.mask)


def add_levels(network: Network, node: i.Levels) -> Any:
    """Levels; without memory, so that samples need no reset."""
    levels = Levels(shape=node.out.shape, thresholds=node.thresholds, bias=node.bias, gated=node.gated, name=node.name)
    return joined(network, node, levels.out, levels.a_in, *([levels.mask] if node.gated else []))


def add_membrane(network: Network, node: i.Membrane) -> Any:
    """The current into one port, all streams into another."""
    membrane = Membrane(
        shape=node.out.shape,
        shift=node.shift,
        bias=node.bias,
        limits=(node.out.low, node.out.high),
        streams=bool(node.streams),
        gated=node.gated,
        name=node.name,
    )
    summed(network, node, node.inputs[:1], membrane.a_in)
    summed(network, node, node.streams, membrane.x)
    if node.gated:
        network.ports[node.inputs[-1]].connect(membrane.mask)
    return membrane.out


def add_readout(network: Network, node: i.Readout) -> Any:
    """The read-out."""
    tokens = int(np.prod(network.shape(node.inputs[0])[1:]))
    readout = Readout(
        offset=node.offset, tokens=tokens, timesteps=network.job.graph.timesteps, lag=network.lag(node), name=node.name
    )
    return joined(network, node, readout.out, readout.a_in)
