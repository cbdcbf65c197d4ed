"""What moves frames about: sources, delays, sums, and the recorder."""

from __future__ import annotations

from pathlib import Path
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
from numpy.typing import NDArray

INPUTS = LavaPyType(PyInPort.VEC_DENSE, np.int32)
OUTPUTS = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


class FrameSource(AbstractProcess):
    """Plays frames [T, samples, …], sample after sample, one frame a step; then silence."""

    def __init__(self, *, frames: NDArray[Any], name: str) -> None:
        super().__init__(frames=frames, name=name)
        self.out = OutPort(shape=(int(np.prod(frames.shape[2:])),))


@implements(proc=FrameSource, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyFrameSource(PyLoihiProcessModel):
    """Frames are read where they lie: child processes share the memory of their parent."""

    out: PyOutPort = OUTPUTS

    def run_spk(self) -> None:
        """Send the frame of this step."""
        frames = self.proc_params["frames"]
        sample, t = divmod(self.time_step - 1, frames.shape[0])
        frame = frames[t, sample] if sample < frames.shape[1] else np.zeros(frames.shape[2:], np.int32)
        self.out.send(frame.reshape(-1).astype(np.int32))


class DelayLine(AbstractProcess):
    """The input [size] at out0 … out7, each tap its own number of `steps` later; 0 passes it on.

    One Process for all delays of a source: what Lava spends on a step grows faster than the number of Processes.
    """

    TAPS = 8

    def __init__(self, *, size: int, steps: list[int], name: str) -> None:
        super().__init__(size=size, steps=steps, name=name)
        self.x = InPort(shape=(size,))
        self.out0, self.out1, self.out2, self.out3, self.out4, self.out5, self.out6, self.out7 = (
            OutPort(shape=(size,)) for _ in range(self.TAPS)
        )


@implements(proc=DelayLine, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDelayLine(PyLoihiProcessModel):
    """A ring of the frames that are still on their way."""

    x: PyInPort = INPUTS
    out0: PyOutPort = OUTPUTS
    out1: PyOutPort = OUTPUTS
    out2: PyOutPort = OUTPUTS
    out3: PyOutPort = OUTPUTS
    out4: PyOutPort = OUTPUTS
    out5: PyOutPort = OUTPUTS
    out6: PyOutPort = OUTPUTS
    out7: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.ring = np.zeros((max(1, *proc_params["steps"]), proc_params["size"]), np.int32)

    def run_spk(self) -> None:
        """Send every frame that is due, then receive."""
        ports = (self.out0, self.out1, self.out2, self.out3, self.out4, self.out5, self.out6, self.out7)
        taps = list(zip(ports, self.proc_params["steps"], strict=False))
        for port, steps in taps:
            if steps > 0:
                port.send(self.ring[(self.time_step - steps) % len(self.ring)])
        frame = self.x.recv()
        for port, steps in taps:
            if steps == 0:
                port.send(frame)
        self.ring[self.time_step % len(self.ring)] = frame


class Past(AbstractProcess):
    """The input [size] as it was some timesteps before, 0 where that was before the sample's first frame.

    steps: of the user's delay, `waits`: timesteps that pass in between; both [size]. lag: of the output.
    """

    def __init__(
        self, *, steps: NDArray[np.int64], waits: NDArray[np.int64], timesteps: int, lag: int, name: str
    ) -> None:
        super().__init__(steps=steps, waits=waits, timesteps=timesteps, lag=lag, name=name)
        self.x = InPort(shape=steps.shape)
        self.out = OutPort(shape=steps.shape)


@implements(proc=Past, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyPast(PyLoihiProcessModel):
    """A ring of the frames that are still on their way."""

    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        longest = int(proc_params["waits"].max(initial=0))
        self.ring = np.zeros((longest + 1, len(proc_params["waits"])), np.int32)

    def run_spk(self) -> None:
        """Receive, and send what is due: something on every cycle sends before it receives."""
        p = self.proc_params
        self.ring[self.time_step % len(self.ring)] = self.x.recv()
        due = self.ring[(self.time_step - p["waits"]) % len(self.ring), np.arange(self.ring.shape[1])]
        step = (self.time_step - 1 - p["lag"]) % p["timesteps"]
        self.out.send(np.where(p["steps"] <= step, due, 0))


class Sum(AbstractProcess):
    """Adds everything connected to `x` [size], one step later."""

    def __init__(self, *, size: int, name: str) -> None:
        super().__init__(size=size, name=name)
        self.x = InPort(shape=(size,))
        self.out = OutPort(shape=(size,))


@implements(proc=Sum, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PySum(PyLoihiProcessModel):
    """A Lava port that has several connections receives their sum."""

    x: PyInPort = INPUTS
    out: PyOutPort = OUTPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.buffer = np.zeros(proc_params["size"], np.int32)

    def run_spk(self) -> None:
        """Send last step's sum, then receive."""
        self.out.send(self.buffer)
        self.buffer = self.x.recv()


class Recorder(AbstractProcess):
    """Writes what reaches its ports x0 … x7 into .npy files, one row [size] per frame of every sample.

    paths: a file of an array [samples * T, size] for each port in use. lags: how far each port trails the input. A file,
    since reading a Lava Var costs 80 µs an element.
    """

    PORTS = 8

    def __init__(self, *, paths: list[Path], sizes: list[int], lags: list[int], name: str) -> None:
        super().__init__(paths=paths, lags=lags, name=name)
        unused = [1] * (self.PORTS - len(sizes))
        self.x0, self.x1, self.x2, self.x3, self.x4, self.x5, self.x6, self.x7 = (
            InPort(shape=(size,)) for size in [*sizes, *unused]
        )


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecorder(PyLoihiProcessModel):
    """A port without a connection receives nothing and takes no time."""

    x0: PyInPort = INPUTS
    x1: PyInPort = INPUTS
    x2: PyInPort = INPUTS
    x3: PyInPort = INPUTS
    x4: PyInPort = INPUTS
    x5: PyInPort = INPUTS
    x6: PyInPort = INPUTS
    x7: PyInPort = INPUTS

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.files = [np.load(path, mmap_mode="r+") for path in proc_params["paths"]]

    def run_spk(self) -> None:
        """Store the frames of this step; those of no sample, before the first and after the last, are dropped."""
        ports = (self.x0, self.x1, self.x2, self.x3, self.x4, self.x5, self.x6, self.x7)
        for port, file, lag in zip(ports, self.files, self.proc_params["lags"], strict=False):
            frame, row = port.recv(), self.time_step - 1 - lag
            if 0 <= row < len(file):
                file[row] = frame
