"""What a point of a sweep is: the model pruned, quantized, compiled and run."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pumice import __version__
from pumice.compiler.int_nodes import GivenMask
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable, InputError, PumiceError
from pumice.hwsim.scoring import Criterion
from pumice.runtime.backends import make_backend
from pumice.runtime.demo_models import demo_models
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.pruning import float_run_as, given_schedule
from pumice.runtime.report import mask_nodes, synapse_density
from pumice.runtime.result import RunResult
from pumice.runtime.sweep.facts import count_facts, size_facts
from pumice.runtime.sweep.limits import TimeLimitReached, one_thread, within
from pumice.runtime.sweep.points import Outcome, Point, Task
from pumice.runtime.validation import accuracy, compare_with_float

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork
    from pumice.models.training.digits import LabelledSplit, Samples


def run_task(task: Task) -> list[Outcome]:
    """The outcome of each point, in order. A point that is refused or takes too long is an outcome of its own; InputError is
    raised where this worker has another Pumice or another checkpoint than the sweep."""
    if task.settings.version != __version__:
        found = f"this worker has Pumice {__version__}, the sweep {task.settings.version}"
        raise InputError(f"{worker_name()}: {found}", "install the same version on all workers")
    checkpoint = checkpoint_path(task.settings.model)
    if model_hash(checkpoint) != task.settings.model_hash:
        raise InputError(f"{worker_name()}: {checkpoint} is not the sweep's checkpoint", "copy it to all workers")
    with one_thread():
        bench = Bench(task)
        return list(_outcomes(bench))


def worker_name() -> str:
    """This process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


def checkpoint_path(model: str) -> Path:
    """The file of a zoo model or a checkpoint. Raises InputError where there is none."""
    from pumice.models.checkpoints import zoo_path

    return Path(model) if model.endswith(".safetensors") else zoo_path(model)


def model_hash(path: Path) -> str:
    """SHA-256 of a checkpoint. Raises InputError where there is none."""
    if not path.is_file():
        raise InputError(f"{worker_name()}: {path}: no such checkpoint", "copy it to all workers")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _outcomes(bench: Bench) -> Iterator[Outcome]:
    for point in bench.task.points:
        started = time.perf_counter()
        kind, error, result = None, None, {}
        try:
            result = within(bench.task.limit_s, partial(bench.result, point))
        except TimeLimitReached:
            kind, error = "time limit", f"took longer than {bench.task.limit_s:g} s"
        except BackendUnavailable as missing:
            kind, error = "missing", _line(missing)
        except PumiceError as refused:
            kind, error = "refused", _line(refused)
        except Exception as fault:  # ours: the other points go on, and the command ends with an error
            kind, error = "internal", f"{type(fault).__name__}: {fault}"
        yield Outcome(point.index, result, error, kind, time.perf_counter() - started, worker_name())  # type: ignore[arg-type]


def _line(error: PumiceError) -> str:
    return f"{error} — {error.hint}" if error.hint else str(error)


@dataclass(frozen=True, eq=False)
class Bench:
    """A task's model and data. by_masks: what points with the same masks share, for mapping changes no spike. refused: why the
    network cannot be quantized, once that is known."""

    task: Task
    by_masks: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[PumiceError] = field(default_factory=list)

    @cached_property
    def data(self) -> LabelledSplit:
        """The data set, by splits."""
        from pumice.models.training.datasets import described

        return described(self.task.settings.data).load()

    @cached_property
    def chosen(self) -> Samples:
        """The images that points are compared by."""
        from pumice.models.training.digits import Samples

        split, count = getattr(self.data, self.task.settings.split), self.task.settings.samples
        return Samples(split.images[:count], split.labels[:count])

    @cached_property
    def network(self) -> SpikingNetwork:
        """The torch model with the points' retention and density."""
        from pumice.models.checkpoints import load_checkpoint
        from pumice.models.pruning.weight_pruning import prune_l1
        from pumice.models.sparse_spikformer import SparseSpikformer

        model, point = load_checkpoint(checkpoint_path(self.task.settings.model)), self.task.points[0]
        forms = demo_models(model, point.retention, criterion(self.task.settings.criterion))
        whole = min(point.retention) == 1 and not isinstance(model, SparseSpikformer)
        pruned = forms.unpruned if whole else forms.pruned
        if point.density < 1:
            prune_l1(pruned, 1 - point.density)
        return pruned

    @cached_property
    def quantized(self) -> Quantized:
        """The network in integers."""
        from pumice.models.nir.export import to_nir

        if self.refused:
            raise self.refused[0]
        images = self.data.calibration.images.numpy()[: self.task.settings.calibration]
        try:
            return quantize(to_nir(self.network), images, self.task.chip, self.options(self.task.points[0]))
        except PumiceError as error:
            self.refused.append(error)
            raise

    def options(self, point: Point) -> CompileOptions:
        """How a point is compiled."""
        return CompileOptions(weight_bits=point.bits, masks=point.masks, mapping=point.mapping)  # type: ignore[arg-type]

    def result(self, point: Point) -> dict[str, Any]:
        """All values of a point. Raises PumiceError where it cannot be compiled or run."""
        program = finish(self.quantized, self.task.chip, self.options(point), measure=measure_rates)
        if point.masks not in self.by_masks:
            self.by_masks[point.masks] = self._shared(program)
        run = self._run(program, self.chosen.images.numpy())
        right = accuracy(run.logits, self.chosen.labels.numpy())
        values = {f"accuracy_{self.task.settings.split}": right, "samples": len(run.outputs)}
        return values | self.by_masks[point.masks] | size_facts(program) | count_facts(program, run.counts)

    def _shared(self, program: Program) -> dict[str, Any]:
        """What the mapping does not change, beside the run that is counted."""
        few = self.chosen.images.numpy()[: self.task.settings.agreement]
        shared: dict[str, Any] = {"synapse_density": synapse_density(program), "spike_agreement": None}
        if len(few):
            reference = float_run_as(self.network, program, few)
            got = self._run(program, few, record=True)
            shared["spike_agreement"] = compare_with_float(got, reference).spikes
        if self.task.settings.test:
            run = self._run(program, self.data.test.images.numpy())
            shared["accuracy_test"] = accuracy(run.logits, self.data.test.labels.numpy())
            shared["samples_test"] = len(run.outputs)
        return shared

    def _run(self, program: Program, inputs: NDArray[Any], record: bool = False) -> RunResult:
        given = any(isinstance(node, GivenMask) for node in mask_nodes(program))
        schedule = given_schedule(program, float_run_as(self.network, program, inputs).masks) if given else None
        return make_backend(self.task.settings.backend).run(program, inputs, schedule, record)


def criterion(rule: str) -> Criterion:
    """The criterion of this name, else by default. Raises InputError for an unknown one."""
    try:
        return Criterion(rule)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(str(error), "see `pumice sweep --help`") from error
