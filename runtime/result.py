"""What a run gives back, whichever backend made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable


@dataclass(frozen=True, eq=False)
class RunResult:
    """outputs: integer totals of the read-out [B, K]; logits: the same in the float model's units. Of a network that ends in
    neurons, or in values of another kind, the output is what each of the K sent, summed over the sample's timesteps; the trace
    itself is in `spikes`.

    spikes: per layer, what it sent in each step, [T, B, C, …] (empty unless recorded): spikes and levels as uint8, membranes as
    int32. masks: per mask node, [T, B, N] (as spikes). counts: per layer, core and step, summed over samples; None where the
    backend does not count. named: of a network of several outputs, the totals [B, K] of each by its name; `outputs` is the first.
    """

    outputs: NDArray[np.int64]
    logits: NDArray[np.float64]
    spikes: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    masks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    counts: CountTable | None = None
    named: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The class of each sample, from the integer totals; ties go to the lower index."""
        return np.asarray(self.outputs.argmax(axis=1))


class Backend(Protocol):
    """An executor of compiled programs."""

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """inputs: samples [B, …] as the network takes them; masks: routing schedules [B, blocks, T, N] for mode "given"."""
        ...
