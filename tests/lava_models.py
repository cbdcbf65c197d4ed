"""A stock Lava Process's fixed-point model in this process, without Lava's runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Port:
    """What a model sends, or is to receive."""

    frames: list[NDArray[Any]] = field(default_factory=list)

    def send(self, data: NDArray[Any]) -> None:
        self.frames.append(np.array(data))

    def recv(self) -> NDArray[Any]:
        return self.frames.pop(0)


def run_stock(process: Any, into: str, out: str, frames: NDArray[Any]) -> tuple[Any, NDArray[np.int64]]:
    """Its model over frames [T, …], its ports replaced by queues; returns the model and its output."""
    from lava.magma.core.run_configs import Loihi2SimCfg

    executable = process.compile(Loihi2SimCfg(select_tag="fixed_pt"))
    (builder,) = executable.proc_builders.values()
    model = builder.build()
    source, sink = Port([np.array(frame, np.int32) for frame in frames]), Port()
    setattr(model, into, source)
    setattr(model, out, sink)
    for _ in range(len(frames)):
        model.time_step += 1
        model.run_spk()
    return model, np.stack(sink.frames).astype(np.int64)
