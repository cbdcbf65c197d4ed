"""Neurons without memory: levels, and the stream of real values. They answer within the step, and are never reset."""

from __future__ import annotations

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from pumice.hwsim import arith

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


class Levels(AbstractProcess):
    """Neurons [C, …] that send how many thresholds they exceed; bias [C, 1, …]. `mask` is read where gated: tokens [C, N]."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        thresholds: NDArray[np.int64],
        bias: NDArray[np.int64],
        gated: bool,
        name: str,
    ) -> None:
        super().__init__(shape=shape, thresholds=thresholds, bias=bias, gated=gated, name=name)
        size = int(np.prod(shape))
        self.a_in = InPort(shape=(size,))
        self.mask = InPort(shape=(shape[1] if gated else 1,))
        self.out = OutPort(shape=(size,))


@implements(proc=Levels, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLevels(PyLoihiProcessModel):
    """See `arith.spike_levels`."""

    a_in: PyInPort = INPUTS
    mask: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def run_spk(self) -> None:
        """Compare and send, without delay."""
        p = self.proc_params
        current = self.a_in.recv().reshape(p["shape"]).astype(np.int64)
        levels = arith.spike_levels(current, p["bias"], p["thresholds"])
        if p["gated"]:
            levels = levels * (self.mask.recv() > 0)
        self.out.send(levels.reshape(-1).astype(np.int32))


class Membrane(AbstractProcess):
    """Neurons [C, …] that send their input and bias [C, 1, …], plus the streams connected to `x`. `mask` is read where gated.

    limits: lowest and highest payload. streams: whether anything is connected to `x`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        shift: int,
        bias: NDArray[np.int64],
        limits: tuple[int, int],
        streams: bool,
        gated: bool,
        name: str,
    ) -> None:
        super().__init__(shape=shape, shift=shift, bias=bias, limits=limits, streams=streams, gated=gated, name=name)
        size = int(np.prod(shape))
        self.a_in = InPort(shape=(size,))
        self.x = InPort(shape=(size,))
        self.mask = InPort(shape=(shape[1] if gated else 1,))
        self.out = OutPort(shape=(size,))


@implements(proc=Membrane, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyMembrane(PyLoihiProcessModel):
    """See `arith.membrane`. A Lava port that has several connections receives their sum."""

    a_in: PyInPort = INPUTS
    x: PyInPort = INPUTS
    mask: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def run_spk(self) -> None:
        """Add and send, without delay."""
        p = self.proc_params
        current = self.a_in.recv().reshape(p["shape"]).astype(np.int64)
        streams = self.x.recv().reshape(p["shape"]).astype(np.int64) if p["streams"] else 0
        routed = self.mask.recv() > 0 if p["gated"] else None
        value = arith.membrane(current, streams, routed, p["shift"], p["bias"], *p["limits"])
        self.out.send(value.reshape(-1).astype(np.int32))
