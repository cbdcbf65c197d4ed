"""A program whose weights are on a device, ready for any number of runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.pipeline import check_samples
from pumice.compiler.program import Program
from pumice.compiler.walk import graded_frames
from pumice.progress import Progress, no_progress
from pumice.runtime.counting import Counter
from pumice.runtime.recording import result_of
from pumice.runtime.reference import joined, mask_schedule
from pumice.runtime.report import mask_nodes
from pumice.runtime.result import RunResult
from pumice.runtime.tally import Tally, Wanted, wanted
from pumice.runtime.torch_backend.batches import batch_size, in_batches
from pumice.runtime.torch_backend.devices import exact_products
from pumice.runtime.torch_backend.gather import Gathered
from pumice.runtime.torch_backend.network import Loaded, load
from pumice.runtime.torch_backend.values import to_device
from pumice.runtime.torch_backend.walk import Walk

Schedule = NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A program, and its graph on a device."""

    program: Program
    network: Loaded

    def run(
        self,
        inputs: NDArray[Any],
        masks: Schedule = None,
        record: bool = False,
        counts: bool = True,
        batch: int = 0,
        progress: Progress = no_progress,
    ) -> RunResult:
        """Samples in batches; see `backend.TorchBackend`, whose options these are."""
        graph, device, samples = self.program.graph, self.network.device, len(inputs)
        check_samples(graph, inputs, "input")
        schedule, parts = mask_schedule(graph, masks, samples), list[RunResult]()
        counter = Counter(self.program, network_of(graph, self.program.chip)) if counts else None
        names = wanted(graph) if counts else None
        with exact_products(device):
            size = batch or batch_size(self.network)
            for done, (result, tally) in in_batches(
                samples, size, device, lambda at: self._run(inputs[at], _of(schedule, at), names, record)
            ):
                parts.append(result)
                if counter is not None and tally is not None:
                    counter.add(tally)
                progress(done.stop, samples)
        return replace(joined(parts), counts=counter.table() if counter else None)

    def _run(
        self, inputs: NDArray[Any], schedule: Schedule, names: Wanted | None, record: bool
    ) -> tuple[RunResult, Tally | None]:
        """One batch."""
        graph, found = self.program.graph, Gathered(self.program.graph, names, record)
        self._walk(inputs, schedule, names is not None).through(found.see)
        masks = {node.name: found.arrays[node.name].astype(np.bool_) for node in mask_nodes(self.program)}
        tally = None if names is None else found.tally(len(inputs))
        return result_of(graph, found.arrays, masks, record), tally

    def _walk(self, inputs: NDArray[Any], schedule: Schedule, counts: bool) -> Walk:
        graph, device = self.program.graph, self.network.device
        source = next(node for node in graph.nodes.values() if isinstance(node, i.GradedInput))
        frames = to_device(graded_frames(graph, inputs), self.network.types[source.name], device)
        given = None if schedule is None else to_device(schedule, torch.uint8, device)
        return Walk(self.network, frames, given, counts)


def prepare(program: Program, device: torch.device) -> Prepared:
    """A program's weights and parameters on a device."""
    return Prepared(program, load(program.graph, device))


def _of(schedule: Schedule, batch: slice) -> Schedule:
    return None if schedule is None else schedule[:, batch]
