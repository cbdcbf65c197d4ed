"""Neurons that stock Lava does not have in fixed point: programmable ones, of which LIF with other resets and `>=` are some."""

from __future__ import annotations

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

from pumice.hwsim.programmable import NeuronParams, neuron_step

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
STATE = LavaPyType(np.ndarray, np.int64, precision=24)


class Programmable(AbstractProcess):
    """Programmable neurons, which begin anew when a sample's first frame arrives.

    shape: of the layer. params: see `programmable.NeuronParams`.
    """

    def __init__(self, *, shape: tuple[int, ...], params: NeuronParams, timesteps: int, lag: int, name: str) -> None:
        super().__init__(shape=shape, params=params, timesteps=timesteps, lag=lag, name=name)
        self.a_in = InPort(shape=(int(np.prod(shape)),))
        self.s_out = OutPort(shape=(int(np.prod(shape)),))
        self.u = Var(shape=shape, init=0)
        self.v = Var(shape=shape, init=0)


@implements(proc=Programmable, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyProgrammable(PyLoihiProcessModel):
    """See `programmable.neuron_step`."""

    a_in: PyInPort = INPUTS
    s_out: PyOutPort = OUTPUTS
    u: NDArray[np.int64] = STATE
    v: NDArray[np.int64] = STATE

    def run_spk(self) -> None:
        """Integrate and fire, without delay."""
        p = self.proc_params
        current = self.a_in.recv().reshape(p["shape"]).astype(np.int64)
        if (self.time_step - 1 - p["lag"]) % p["timesteps"] == 0:
            self.u[:], self.v[:] = p["params"].begin(p["shape"])
        self.u[:], self.v[:], sent = neuron_step(self.u, self.v, current, p["params"])
        self.s_out.send(sent.reshape(-1).astype(np.int32))
