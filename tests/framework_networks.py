"""Small networks of other frameworks: as the NIR graph that the framework exports, and as the framework itself runs them.

`NETWORKS` lists them all, each with the reading under which Pumice must agree.
snnTorch's graphs are written by snnTorch's exporter, Norse's by Norse's where that can write the network at all; the others of
Norse are NIR graphs that Norse's importer runs. SpikingJelly's release has no exporter: its graphs are written here by what the
`nir_exchange` of its repository documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from framework_layers import NORSE_DT, Draw, Made, Maker, Neurons, Shape, conv_layers, dense_layers
from framework_makers import (
    norse_conv_pool,
    norse_convs,
    norse_cuba,
    norse_network,
    norse_neurons,
    norse_recurrent,
    snntorch_network,
    snntorch_neurons,
    spikingjelly_network,
    spikingjelly_neurons,
)


@dataclass(frozen=True, eq=False)
class FrameworkNetwork:
    """neurons: the nodes whose values are compared, in order. options: of the reading."""

    name: str
    framework: str
    shape: Shape
    neurons: tuple[str, ...]
    make: Maker
    options: Mapping[str, Any] = field(default_factory=dict)

    def made(self, exact: bool, seed: int = 0) -> Made:
        """The network with weights of this seed; skips the test where the framework is not installed."""
        pytest.importorskip(self.framework)
        return self.make(Draw(np.random.default_rng(seed), exact))


def _snn(conv: bool = False, **options: Any) -> Maker:
    layers, shape = (conv_layers, IMAGE) if conv else (dense_layers, VECTOR)
    return lambda draw: snntorch_network(draw, layers(draw, snntorch_neurons(**options)), shape)


def _jelly(conv: bool = False, **options: Any) -> Maker:
    layers, shape = (conv_layers, IMAGE) if conv else (dense_layers, VECTOR)
    return lambda draw: spikingjelly_network(draw, layers(draw, spikingjelly_neurons(**options)), shape)


def _norse(*neurons: Neurons, **options: Any) -> Maker:
    return lambda draw: norse_network(draw, dense_layers(draw, *neurons), VECTOR, **options)


VECTOR, IMAGE = (6,), (2, 8, 8)
TWO, THREE, LAST = ("1", "3"), ("1", "4", "7"), ("lif1", "lif2")
ZERO, SUBTRACT = {"reset": "zero"}, {"reset": "subtract"}
WRITTEN = {"dt": NORSE_DT**2}  # Norse's exporter takes its dt for the unit of tau: it writes dt · tau
READ = {"dt": NORSE_DT}
NEXT = {"reset": "subtract", "reset_at": "next"}
Network = FrameworkNetwork

NETWORKS = (
    Network("snntorch-dense-zero", "snntorch", VECTOR, TWO, _snn(), ZERO),
    Network("snntorch-dense-subtract", "snntorch", VECTOR, TWO, _snn(reset_mechanism="subtract"), SUBTRACT),
    Network("snntorch-conv-zero", "snntorch", IMAGE, THREE, _snn(conv=True), ZERO),
    Network("snntorch-conv-subtract", "snntorch", IMAGE, THREE, _snn(True, reset_mechanism="subtract"), SUBTRACT),
    Network(
        *("snntorch-conv-subtract-next", "snntorch", IMAGE, THREE),
        *(_snn(True, reset_mechanism="subtract", reset_delay=True), NEXT),
    ),
    Network("snntorch-synaptic", "snntorch", VECTOR, TWO, _snn(kind="Synaptic"), ZERO),
    Network("snntorch-rleaky", "snntorch", VECTOR, ("1.lif", "3.lif"), _snn(kind="RLeaky"), ZERO),
    Network(  # with reset_delay=False it fails in its own forward
        *("snntorch-rsynaptic-next", "snntorch", VECTOR, ("1.lif", "3.lif")),
        *(_snn(kind="RSynaptic", reset_mechanism="subtract", reset_delay=True), NEXT),
    ),
    Network("norse-dense-lif", "norse", VECTOR, TWO, _norse(norse_neurons()), WRITTEN),
    Network("norse-dense-lif-dt-1", "norse", VECTOR, TWO, _norse(norse_neurons(), dt=1.0), READ),
    Network("norse-dense-if", "norse", VECTOR, TWO, _norse(norse_neurons("IAF"))),
    Network("norse-convs", "norse", IMAGE, TWO, norse_convs, WRITTEN),
    Network("norse-conv-pool", "norse", IMAGE, ("lif1", "lif2", "lif3"), norse_conv_pool, READ),
    Network(
        *("norse-li-readout", "norse", VECTOR, TWO, _norse(norse_neurons(), norse_neurons("LIBox")), WRITTEN),
    ),
    Network("norse-lif-at-rest", "norse", VECTOR, TWO, _norse(norse_neurons(v_leak=0.25)), WRITTEN),
    Network("norse-cubalif", "norse", VECTOR, LAST, norse_cuba, READ),
    Network(
        *("norse-cubalif-at-rest", "norse", VECTOR, LAST, lambda draw: norse_cuba(draw, v_leak=0.125), READ),
    ),
    Network("norse-recurrent", "norse", VECTOR, LAST, norse_recurrent, READ),
    Network("spikingjelly-dense-if", "spikingjelly", VECTOR, TWO, _jelly(kind="IFNode"), ZERO),
    Network("spikingjelly-dense-soft", "spikingjelly", VECTOR, TWO, _jelly(v_reset=None, decay_input=False), SUBTRACT),
    Network("spikingjelly-conv-decay", "spikingjelly", IMAGE, THREE, _jelly(conv=True), ZERO),
    Network("spikingjelly-conv-hard", "spikingjelly", IMAGE, THREE, _jelly(True, decay_input=False), ZERO),
    Network(
        "spikingjelly-conv-if-soft", "spikingjelly", IMAGE, THREE, _jelly(True, kind="IFNode", v_reset=None), SUBTRACT
    ),
)
