"""Neurons that are their own synapse, one step later: windows of feature maps, sums over tokens, spikes that meet."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from pumice.hwsim import arith

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


class Pool(AbstractProcess):
    """Windows of feature maps [C, H, W]: the OR of binary spikes, or the largest payload.

    window: kernel, stride, padding. largest: see `arith.max_pool`; otherwise `arith.or_pool`.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        window: tuple[int, int, int],
        largest: bool,
        name: str,
    ) -> None:
        super().__init__(shape=shape, out_shape=out_shape, window=window, largest=largest, name=name)
        self.x = InPort(shape=(int(np.prod(shape)),))
        self.out = OutPort(shape=(int(np.prod(out_shape)),))


@implements(proc=Pool, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPool(PyLoihiProcessModel):
    """See `Pool`."""

    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(int(np.prod(proc_params["out_shape"])), np.int32)

    def run_spk(self) -> None:
        """Send last step's maps, then receive."""
        self.out.send(self.buffer)
        p = self.proc_params
        pool = arith.max_pool if p["largest"] else arith.or_pool
        self.buffer = pool(self.x.recv().reshape(p["shape"]), *p["window"]).reshape(-1).astype(np.int32)


class TokenSum(AbstractProcess):
    """Sums of tokens [C, N] over N, shifted right. See `arith.token_sum`."""

    def __init__(self, *, shape: tuple[int, ...], shift: int, name: str) -> None:
        super().__init__(shape=shape, shift=shift, name=name)
        self.x = InPort(shape=(shape[0] * shape[1],))
        self.out = OutPort(shape=(shape[0],))


@implements(proc=TokenSum, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTokenSum(PyLoihiProcessModel):
    """See `TokenSum`."""

    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(proc_params["shape"][0], np.int32)

    def run_spk(self) -> None:
        """Send last step's sums, then receive."""
        self.out.send(self.buffer)
        tokens = self.x.recv().reshape(self.proc_params["shape"]).astype(np.int64)
        self.buffer = arith.token_sum(tokens, self.proc_params["shift"]).reshape(-1).astype(np.int32)


class SpikeAnd(AbstractProcess):
    """Spikes [C, N] where their gate [G, 1 or N] spikes. See `arith.spike_and`; shapes: of the gate and the spikes."""

    def __init__(self, *, shapes: tuple[tuple[int, ...], tuple[int, ...]], name: str) -> None:
        super().__init__(shapes=shapes, name=name)
        gate, x = (int(np.prod(shape)) for shape in shapes)
        self.gate = InPort(shape=(gate,))
        self.x = InPort(shape=(x,))
        self.out = OutPort(shape=(x,))


@implements(proc=SpikeAnd, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySpikeAnd(PyLoihiProcessModel):
    """See `SpikeAnd`."""

    gate: PyInPort = INPUTS
    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(int(np.prod(proc_params["shapes"][1])), np.int32)

    def run_spk(self) -> None:
        """Send the spikes that met in the last step, then receive."""
        self.out.send(self.buffer)
        gate, x = self.proc_params["shapes"]
        met = arith.spike_and(self.gate.recv().reshape(gate), self.x.recv().reshape(x))
        self.buffer = met.reshape(-1).astype(np.int32)
