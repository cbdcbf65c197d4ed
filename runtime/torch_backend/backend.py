"""The `torch` backend: large batches, on a GPU where there is one; every bit is that of `reference`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.progress import Progress, no_progress
from pumice.runtime.result import RunResult
from pumice.runtime.torch_backend.devices import choose_device


@dataclass(frozen=True)
class TorchBackend:
    """device: see `devices.choose_device`. counts=False skips the accounting. batch: samples at once, at most; 0 for as many as
    fit. progress: told samples done and in all."""

    device: str = "auto"
    counts: bool = True
    batch: int = 0
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        if self.batch < 0:
            raise InputError(f"batch = {self.batch}", "give a number of samples, or 0 for as many as fit")

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Raises BackendUnavailable without torch, InputError for a device that is not here,
        RunError where its memory does not hold a single sample."""
        device = choose_device(self.device)
        from pumice.runtime.torch_backend.prepared import prepare

        return prepare(program, device).run(inputs, masks, record, self.counts, self.batch, self.progress)
