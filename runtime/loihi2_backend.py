"""The `loihi2` backend: the Lava network of a program on Loihi 2, through Intel's closed extension of Lava.

Written from Lava's public interface and never run: we had no access to the hardware. Lava picks neuro-core models for the
stock Processes where the extension has them; Pumice's own Processes have CPU models only, so they run on the host.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable
from pumice.runtime.lava_backend import LavaBackend, check_lava, installed
from pumice.runtime.result import RunResult

EXTENSION = "lava.utils.loihi2_profiler"  # what lava.utils.loihi.is_installed() looks for
ACCESS = (
    "access comes with membership of the Intel Neuromorphic Research Community (INRC, inrc_interest@intel.com); "
    "`--backend lava` runs the same network in simulation"
)


@dataclass(frozen=True)
class Loihi2Backend:
    """timeout_s: as in `LavaBackend`; booting a board takes minutes."""

    timeout_s: float = 600.0

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Raises BackendUnavailable where extension or board are missing."""
        check_lava()
        missing = missing_for_hardware(os.environ)
        if missing:
            raise BackendUnavailable(f"the loihi2 backend needs {missing}", ACCESS)
        return LavaBackend(self.timeout_s).stream(program, inputs, masks, record, hardware=True)


def missing_for_hardware(environment: Mapping[str, str]) -> str:
    """What keeps this machine from reaching a Loihi 2 board; empty where nothing does.

    Looks without importing or asking Lava: its own check for SLURM fails on machines without it.
    """
    if not installed(EXTENSION):
        return "Intel's Lava extension for Loihi (lava-loihi), which is not installed here"
    if "LOIHI_GEN" not in environment:
        return "a Loihi 2 host: call lava.utils.loihi.use_slurm_host or use_ethernet_host first"
    return ""
