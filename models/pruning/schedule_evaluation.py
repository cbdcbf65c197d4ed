"""How accurate a network is under token pruning schedules, without fine-tuning, and which schedules no other beats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import GateState
from pumice.models.pruning.pareto import front
from pumice.models.pruning.prefix_reuse import reused_prefixes
from pumice.models.pruning.schedule_space import Ratios
from pumice.models.pruning.schedules import average
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.training.digits import Samples
from pumice.progress import Progress, no_progress

BATCH = 128


@dataclass(frozen=True)
class Point:
    """One schedule, evaluated. retention: the ratios per block; kept: the share of tokens that each block then routes, which
    rounding makes a little different. correct of `samples` images; loss: their mean cross-entropy in nats."""

    retention: Ratios
    kept: Ratios
    correct: int
    samples: int
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of images classified rightly."""
        return self.correct / self.samples

    @property
    def average(self) -> float:
        """Mean over blocks of the tokens really kept."""
        return average(self.kept)

    @property
    def nominal_average(self) -> float:
        """Mean over blocks of the ratios, the paper's N_avg."""
        return average(self.retention)


def pareto_front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other beats: none keeps fewer tokens and is as accurate, none is more accurate with as many. Fewest
    tokens first. Of equals the lower loss stands, then the schedule that keeps less in its first blocks."""
    return tuple(front(points, lambda p: p.average, lambda p: p.accuracy, lambda p: (p.loss, p.retention)))


def evaluate_schedule(
    model: SpikingNetwork,
    samples: Samples,
    retention: Ratios | None,
    criterion: Criterion,
    state: GateState = "hold",
    batch: int = BATCH,
) -> Point:
    """One schedule, or with None the network without pruning, on labelled images. The model comes back as it was.

    Raises InputError for a schedule that does not fit the model, and as `search` does.
    """
    if retention is not None:
        TokenPruning(retention, criterion, state).check_depth(model.depth)
    with undisturbed(model):
        bench = open_bench(model, samples, retention or (), criterion, state, batch)
        return bench.unpruned() if retention is None else bench.evaluate([retention])[0]


@dataclass(frozen=True, eq=False)
class Bench:
    """A network and what its evaluations share; made by `open_bench`.

    batches: images and labels; shares: per ratio the share of tokens that every block keeps.
    """

    model: SpikingNetwork
    batches: tuple[tuple[Tensor, Tensor], ...]
    criterion: Criterion
    state: GateState
    shares: Mapping[float, Ratios]

    def unpruned(self) -> Point:
        """The network without pruning."""
        ones = (1.0,) * self.model.depth
        return self._point(ones, ones, [self._run(None, *batch) for batch in self.batches])

    def evaluate(
        self, schedules: Sequence[Ratios], progress: Progress = no_progress, planned: int = 1, done: int = 0
    ) -> list[Point]:
        """The schedules' points. Batch by batch, so that one schedule after the other can reuse the blocks they share.

        planned, done: schedules, of the whole work; progress counts batches of them.
        """
        found: list[list[tuple[int, float]]] = [[] for _ in schedules]
        count = len(self.batches)
        for number, (images, labels) in enumerate(self.batches):
            with reused_prefixes(self.model):
                for index, schedule in enumerate(schedules):
                    pruning = TokenPruning(schedule, self.criterion, self.state)
                    found[index].append(self._run(pruning, images, labels))
                    progress(done * count + number * len(schedules) + index + 1, planned * count)
        kept = [tuple(self.shares[r][block] for block, r in enumerate(schedule)) for schedule in schedules]
        return [self._point(*parts) for parts in zip(schedules, kept, found, strict=True)]

    def _run(self, pruning: TokenPruning | None, images: Tensor, labels: Tensor) -> tuple[int, float]:
        """How many of a batch are right, and their summed cross-entropy."""
        self.model.pruning = pruning
        logits = self.model(images)
        steps_or_not = logits.mean(0) if logits.ndim == 3 else logits  # SDT-V1 with TET gives logits per step
        loss = nn.functional.cross_entropy(steps_or_not.double(), labels, reduction="sum")
        return int((steps_or_not.argmax(1) == labels).sum()), float(loss)

    def _point(self, retention: Ratios, kept: Ratios, found: Sequence[tuple[int, float]]) -> Point:
        samples = sum(len(labels) for _, labels in self.batches)
        return Point(retention, kept, sum(f[0] for f in found), samples, math.fsum(f[1] for f in found) / samples)


def open_bench(
    model: SpikingNetwork, samples: Samples, ratios: Ratios, criterion: Criterion, state: GateState, batch: int
) -> Bench:
    """A bench for schedules of these ratios. Call it and its methods where the network is `undisturbed`.

    Raises InputError where images, labels or criterion do not fit the model.
    """
    device = next(model.parameters()).device
    images, labels = samples.images.to(device), samples.labels.to(device).long()
    if len(images) == 0 or labels.shape != images.shape[:1]:
        raise InputError(
            f"{tuple(labels.shape)} labels for {len(images)} images", "give at least one image, and a label for each"
        )
    classes = model(images[:1]).shape[-1]
    if not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise InputError(
            f"labels from {int(labels.min())} to {int(labels.max())}, but the model has {classes} classes",
            "count from 0",
        )
    batches = tuple(zip(torch.split(images, batch), torch.split(labels, batch), strict=True))
    shares = {
        ratio: _shares(model, images[:1], TokenPruning((ratio,) * model.depth, criterion, state)) for ratio in ratios
    }
    return Bench(model, batches, criterion, state, shares)


def _shares(model: SpikingNetwork, image: Tensor, pruning: TokenPruning) -> Ratios:
    """Share of its tokens that each block keeps; the number does not depend on the image."""
    model.pruning = pruning
    return tuple(float(mask.double().mean()) for mask in model.trace(image).masks)


@contextmanager
def undisturbed(model: SpikingNetwork) -> Iterator[None]:
    """Eval mode and no gradients inside; mode and pruning as they were afterwards."""
    mode, pruning = model.training, model.pruning
    try:
        with torch.no_grad():
            model.eval()
            model.pruning = None
            yield
    finally:
        model.train(mode)
        model.pruning = pruning
