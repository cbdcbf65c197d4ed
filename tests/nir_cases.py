"""Networks that other frameworks exported, with their own outputs, and the reading under which we must agree with them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "tests" / "data" / "nir_cases"


@dataclass(frozen=True)
class Case:
    """input: the key of the input [T, …]. wanted: for each key of the stored outputs, the node whose spikes they are ("" for the
    network's output)."""

    file: str
    reading: str
    wanted: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    input: str = "input"

    @property
    def id(self) -> str:
        return "-".join([self.file, self.reading, self.input])


SNNTORCH = {"act_1": "1", "act_4": "4", "output": ""}
JELLY = {"act_1": "_1", "act_4": "_4", "output": ""}
SUBTRACT = {"reset": "subtract"}
CASES = (
    Case("snntorch_conv_shaped_zero", "snntorch", SNNTORCH),
    Case("snntorch_conv_shaped_subtract", "snntorch", SNNTORCH, SUBTRACT),
    Case("spikingjelly_conv_hard_decay", "spikingjelly", JELLY),
    Case("spikingjelly_conv_hard_nodecay", "spikingjelly", JELLY),
    Case("spikingjelly_conv_soft", "spikingjelly", JELLY, SUBTRACT),
    Case("lif_norse", "norse", {"paper_spikes": ""}, {"dt": 1e-4}, "paper_input"),
    Case("lif_norse", "norse", {"random_spikes": ""}, {"dt": 1e-4}, "random_input"),
    Case("braille_noDelay_bias_zero", "norse", {"norse_act_lif1": "lif1.lif", "norse_output": ""}, {"dt": 1e-4}),
    Case("braille_noDelay_bias_zero", "snntorch", {"ref_act_lif1": "lif1.lif", "ref_output": ""}),
)


def case_path(file: str) -> Path:
    """Where a case lies; skips the test where it is absent, for not all of them are ours to ship."""
    folders = [SHIPPED, Path(os.environ.get("PUMICE_NIR_CASES", ROOT.parent / "shared" / "nir_cases"))]
    found = next((folder / f"{file}.nir" for folder in folders if (folder / f"{file}.nir").is_file()), None)
    if found is None:
        pytest.skip(f"{file}.nir is not ours to ship; name its folder in PUMICE_NIR_CASES")
    return found


def case_arrays(file: str) -> dict[str, NDArray[Any]]:
    """The input and the framework's outputs."""
    with np.load(case_path(file).with_suffix(".npz")) as archive:
        return {key: archive[key] for key in archive}
