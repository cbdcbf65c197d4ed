"""Whether executors that are compared gave the same bits. No time is worth reporting where they did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.errors import RunError
from pumice.runtime.fast.backend import Fast
from pumice.runtime.reference import Reference
from pumice.runtime.torch_backend.backend import TorchBackend


def check_outputs(where: str, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Outputs [B, K] by executor, of the first so many images each. Raises RunError where two differ on an image of both."""
    names = list(outputs)
    for name in names[1:]:
        images = min(len(outputs[name]), len(outputs[names[0]]))
        same = (outputs[name][:images] == outputs[names[0]][:images]).all(axis=1)
        if not same.all():
            raise RunError(
                f"{where}: {name} and {names[0]} differ in {int((~same).sum())} of {images} images",
                "their bits must be equal: report it; no time was written",
            )


def check_spikes(where: str, program: Program, images: NDArray[Any], threads: int) -> NDArray[np.int64]:
    """Every recorded array and the outputs of `fast` and `torch` beside `reference`, whose outputs [B, K] are returned. Raises
    RunError as above."""
    wanted = Reference(counts=False).run(program, images, record=True)
    found = {
        "fast": Fast(counts=False, threads=threads).run(program, images, record=True),
        "torch": TorchBackend("cpu", counts=False).run(program, images, record=True),
    }
    for name, result in found.items():
        same = result.spikes.keys() == wanted.spikes.keys()
        wrong = [
            layer for layer in wanted.spikes if same and not np.array_equal(result.spikes[layer], wanted.spikes[layer])
        ]
        if not same or wrong:
            raise RunError(
                f"{where}: spikes of {name} and reference differ in {wrong[0] if wrong else 'which layers are recorded'}",
                "their bits must be equal: report it; no time was written",
            )
    check_outputs(where, {"reference": wanted.outputs, **{name: result.outputs for name, result in found.items()}})
    return wanted.outputs
