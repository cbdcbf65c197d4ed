"""A core as one Lava Process: it sends what its neurons computed in the step before, receives, and computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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

from pumice.hwsim.lava import CORE_PORTS

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


class Work(Protocol):
    """What a core computes. step: from 0; received: [1, size] for each port in use; returns what it sends, [1, size]."""

    def step(self, step: int, received: Sequence[NDArray[Any]]) -> NDArray[np.int32]: ...


class Core(AbstractProcess):
    """One core. inputs: sizes of the vectors at ports x0, x1, …, up to 64; None for the core's own last one, which takes no port.
    size: of the vector that it sends."""

    def __init__(self, *, work: Work, inputs: Sequence[int | None], size: int, name: str) -> None:
        super().__init__(work=work, inputs=list(inputs), size=size, name=name)
        for index in range(CORE_PORTS):
            held = inputs[index] if index < len(inputs) else None
            setattr(self, f"x{index}", InPort(shape=(held or 1,)))
        self.out = OutPort(shape=(size,))


@implements(proc=Core, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyCore(PyLoihiProcessModel):
    """Cores send before they receive, so that two that read each other never wait for each other."""

    out: PyOutPort = OUTPUTS
    vars().update(
        {f"x{index}": INPUTS for index in range(CORE_PORTS)}
    )  # Lava looks for ports among a class's attributes

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(proc_params["size"], np.int32)

    def run_spk(self) -> None:
        """Send last step's spikes, then receive, and compute the next ones."""
        p = self.proc_params
        self.out.send(self.buffer)
        received = [
            self.buffer if size is None else getattr(self, f"x{index}").recv() for index, size in enumerate(p["inputs"])
        ]
        self.buffer = p["work"].step(self.time_step - 1, [vector[None] for vector in received])[0]
