"""Neurons and attention: what a routing mask gates, what coincides, what is read out."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from numpy.typing import NDArray

from pumice.hwsim import arith
from pumice.hwsim.scoring import Criterion, keep_top, step_scores

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
STATE = LavaPyType(np.ndarray, np.int64, precision=24)


class GatedLif(AbstractProcess):
    """LIF neurons [C, N] whose tokens are routed or not, reset when a sample's first frame arrives.

    params: see `arith.LifParams`, bias [C, 1]. state: "hold" or "decay", for tokens that are not routed.
    """

    def __init__(
        self, *, shape: tuple[int, ...], params: arith.LifParams, state: str, timesteps: int, lag: int, name: str
    ) -> None:
        super().__init__(shape=shape, params=params, state=state, timesteps=timesteps, lag=lag, name=name)
        self.a_in = InPort(shape=(shape[0] * shape[1],))
        self.mask = InPort(shape=(shape[1],))
        self.s_out = OutPort(shape=(shape[0] * shape[1],))
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)


@implements(proc=GatedLif, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyGatedLif(PyLoihiProcessModel):
    """See `arith.gated_lif_step`."""

    a_in: PyInPort = INPUTS
    mask: PyInPort = INPUTS
    s_out: PyOutPort = OUTPUTS
    u: NDArray[np.int64] = STATE
    v: NDArray[np.int64] = STATE

    def run_spk(self) -> None:
        """Integrate and fire, without delay."""
        p = self.proc_params
        current = self.a_in.recv().reshape(p["shape"]).astype(np.int64)
        routed = self.mask.recv() > 0
        if (self.time_step - 1 - p["lag"]) % p["timesteps"] == 0:
            self.u[:], self.v[:] = 0, 0
        self.u[:], self.v[:], spikes = arith.gated_lif_step(self.u, self.v, current, routed, p["params"], p["state"])
        self.s_out.send(spikes.reshape(-1).astype(np.int32))


class TokenGate(AbstractProcess):
    """Tokens [C, N] times their mask [N], without delay."""

    def __init__(self, *, shape: tuple[int, ...], name: str) -> None:
        super().__init__(shape=shape, name=name)
        self.x = InPort(shape=(shape[0] * shape[1],))
        self.mask = InPort(shape=(shape[1],))
        self.out = OutPort(shape=(shape[0] * shape[1],))


@implements(proc=TokenGate, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyTokenGate(PyLoihiProcessModel):
    """See `TokenGate`."""

    x: PyInPort = INPUTS
    mask: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def run_spk(self) -> None:
        """Pass routed tokens on."""
        tokens = self.x.recv().reshape(self.proc_params["shape"])
        self.out.send((tokens * self.mask.recv()).reshape(-1))


class SpikeMatmul(AbstractProcess):
    """One half of attention, one step later. See `arith.spike_matmul`; shapes: of a, b and the output."""

    def __init__(
        self,
        *,
        shapes: tuple[tuple[int, ...], ...],
        pattern: str,
        heads: int,
        shift: int,
        bound: int,
        most: int,
        name: str,
    ) -> None:
        super().__init__(shapes=shapes, call=(heads, shift, bound, most), pattern=pattern, name=name)
        a, b, out = (int(np.prod(shape)) for shape in shapes)
        self.a = InPort(shape=(a,))
        self.b = InPort(shape=(b,))
        self.out = OutPort(shape=(out,))


@implements(proc=SpikeMatmul, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySpikeMatmul(PyLoihiProcessModel):
    """See `SpikeMatmul`."""

    a: PyInPort = INPUTS
    b: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(int(np.prod(proc_params["shapes"][2])), np.int32)

    def run_spk(self) -> None:
        """Send last step's counts, then receive."""
        self.out.send(self.buffer)
        shape_a, shape_b, _ = self.proc_params["shapes"]
        pattern, call = self.proc_params["pattern"], self.proc_params["call"]
        a, b = self.a.recv().reshape(shape_a), self.b.recv().reshape(shape_b)
        self.buffer = arith.spike_matmul(pattern, a, b, *call).reshape(-1).astype(np.int32)


class LiveMask(AbstractProcess):
    """Routing mask [N] scored from the tokens [C, N] of this step and of the sample's step before, one step later.

    keep: how many tokens are routed. It stands for a chip's embedded processor, off the neuron cores.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        criterion: Criterion,
        keep: int,
        block: int,
        timesteps: int,
        lag: int,
        name: str,
    ) -> None:
        """shape: channels, rows, columns."""
        super().__init__(
            shape=shape, criterion=criterion, keep=keep, block=block, timesteps=timesteps, lag=lag, name=name
        )
        self.x = InPort(shape=(int(np.prod(shape)),))
        self.out = OutPort(shape=(shape[1] * shape[2],))


@implements(proc=LiveMask, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLiveMask(PyLoihiProcessModel):
    """See `pumice.hwsim.scoring`."""

    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(proc_params["shape"][1] * proc_params["shape"][2], np.int32)
        self.previous: NDArray[Any] | None = None

    def run_spk(self) -> None:
        """Send last step's mask, then score the tokens that arrive."""
        self.out.send(self.buffer)
        p = self.proc_params
        x = self.x.recv().reshape(1, *p["shape"])
        step = (self.time_step - 1 - p["lag"]) % p["timesteps"]
        scores = step_scores(x, self.previous if step else None, p["criterion"], p["block"], step)
        self.buffer = keep_top(scores, p["keep"])[0].astype(np.int32)
        self.previous = x


class Readout(AbstractProcess):
    """Sums currents [K, N] over tokens and over a sample's steps, from offset [K], and sends the running totals [K]."""

    def __init__(self, *, offset: NDArray[np.int64], tokens: int, timesteps: int, lag: int, name: str) -> None:
        super().__init__(offset=offset, timesteps=timesteps, lag=lag, name=name)
        self.a_in = InPort(shape=(len(offset) * tokens,))
        self.out = OutPort(shape=(len(offset),))
        self.total = Var(shape=(len(offset),), init=0)


@implements(proc=Readout, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyReadout(PyLoihiProcessModel):
    """See `arith.accumulate`."""

    a_in: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS
    total: NDArray[np.int64] = STATE

    def run_spk(self) -> None:
        """Accumulate, without delay."""
        p = self.proc_params
        current = self.a_in.recv().reshape(len(p["offset"]), -1).astype(np.int64).sum(axis=1)
        if (self.time_step - 1 - p["lag"]) % p["timesteps"] == 0:
            self.total[:] = p["offset"]
        self.total[:] = arith.accumulate(self.total, current)
        self.out.send(self.total.astype(np.int32))
