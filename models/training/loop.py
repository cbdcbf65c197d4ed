"""Training of any of the networks: AdamW, cosine schedule, mild augmentation, token dropout, deterministic by seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import Surrogate
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.training.augmentation import augment
from pumice.models.training.digits import LabelledSplit, Samples
from pumice.models.training.losses import Loss, smoothed_cross_entropy
from pumice.models.training.token_dropout import mask_shapes, random_masks

AfterStep = Callable[[], None]


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. Angles in degrees, shifts in pixels; `zoom` and `label_smoothing` are fractions. `token_dropout` is
    the share of batches in which random tokens are gated (each block and step keeps a fraction drawn from
    `dropout_retention`), so that the network later bears token pruning by any criterion without fine-tuning. The result
    depends on `threads`, because float sums do. `surrogate` is for networks built by `train` or a recipe; one that is
    given to `train_model` has its own."""

    epochs: int = 80
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup_epochs: int = 2
    label_smoothing: float = 0.05
    angle: float = 8.0
    zoom: float = 0.08
    shift: float = 0.6
    token_dropout: float = 0.5
    dropout_retention: tuple[float, float] = (0.3, 0.9)
    threads: int = 2
    surrogate: Surrogate = field(default_factory=Surrogate)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"training: {name} is {getattr(self, name)}, but must be at least 1", "give 1 or more")


@dataclass(frozen=True)
class Epoch:
    """One epoch's mean training loss, and accuracy and loss on the validation images."""

    number: int
    train_loss: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class TrainingResult:
    """The model after the last epoch, in eval mode; every epoch; wall-clock seconds.

    The learning rate ends at zero, so the last epoch needs no choosing: the held-out images only report.
    """

    model: SpikingNetwork
    history: tuple[Epoch, ...]
    seconds: float


def train(
    config: SpikformerConfig,
    data: LabelledSplit,
    seed: int = 0,
    options: TrainingOptions | None = None,
    progress: bool | None = None,
) -> TrainingResult:
    """Trains a Spikformer from scratch: `train_new` with this one network."""
    options = options or TrainingOptions()
    return train_new(lambda: Spikformer(config, surrogate=options.surrogate), data, options, seed, progress=progress)


def train_new(
    build: Callable[[], SpikingNetwork],
    data: LabelledSplit,
    options: TrainingOptions,
    seed: int = 0,
    *,
    loss: Loss | None = None,
    progress: bool | None = None,
) -> TrainingResult:
    """Builds a network and trains it. Same seed, options and torch build: same weights, bit for bit.

    `loss`, `progress`: as in `train_model`.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return _train(build(), data, options, None, loss, progress)


def train_model(
    model: SpikingNetwork,
    data: LabelledSplit,
    options: TrainingOptions,
    seed: int = 0,
    *,
    after_step: AfterStep | None = None,
    loss: Loss | None = None,
    progress: bool | None = None,
) -> TrainingResult:
    """Trains `model` in place, from the weights that it has. Same weights, seed, options and torch build: same result.

    after_step: called after every step of the optimizer, e.g. to put pruned weights back to zero. loss: of the model, a
    batch of images, its labels and the token dropout's masks (None: no dropout in this batch); cross entropy with label
    smoothing by default. A `pruning` set on the model is in force, but for batches with masks. progress: draw a progress
    bar; None draws one on a terminal only. Raises InputError if token dropout is asked of a network that takes no masks.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return _train(model, data, options, after_step, loss, progress)


def evaluate(model: SpikingNetwork, samples: Samples, batch: int = 120) -> tuple[float, float]:
    """(accuracy as a fraction, mean cross entropy) of `model` in eval mode; the model's mode is put back afterwards."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(images) for images in torch.split(samples.images, batch)])
    model.train(was_training)
    accuracy = (logits.argmax(1) == samples.labels).double().mean().item()
    return accuracy, nn.functional.cross_entropy(logits, samples.labels).item()


def _train(
    model: SpikingNetwork,
    data: LabelledSplit,
    options: TrainingOptions,
    after_step: AfterStep | None,
    loss: Loss | None,
    progress: bool | None,
) -> TrainingResult:
    start = time.perf_counter()
    if options.token_dropout > 0:
        mask_shapes(model, data.fit.images[:1])  # refuses at once a network that takes no masks
    loss = loss or smoothed_cross_entropy(options.label_smoothing)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, data.fit, options))

    def step(value: Tensor) -> None:
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if after_step is not None:
            after_step()

    history: list[Epoch] = []
    with _threads(options.threads), _progress_bar(options.epochs, progress) as report:
        for number in range(1, options.epochs + 1):
            train_loss = _one_epoch(model.train(), data.fit, options, loss, step)
            history.append(Epoch(number, train_loss, *evaluate(model, data.validation)))
            report(history[-1])
    return TrainingResult(model.eval(), tuple(history), time.perf_counter() - start)


def _one_epoch(
    model: SpikingNetwork, samples: Samples, options: TrainingOptions, loss: Loss, step: Callable[[Tensor], None]
) -> float:
    losses: list[float] = []
    for chosen in _batches(len(samples.labels), options.batch):
        images = augment(samples.images[chosen], options.angle, options.zoom, options.shift)
        masks = random_masks(model, images, options.token_dropout, options.dropout_retention)
        value = loss(model, images, samples.labels[chosen], masks)
        step(value)
        losses.append(value.item())
    return sum(losses) / len(losses)


def _batches(samples: int, batch: int) -> Iterator[Tensor]:
    """Shuffled index batches of equal size; the few samples left over wait for the next shuffle."""
    order = torch.randperm(samples)
    size = min(batch, samples)
    return iter(torch.split(order[: samples // size * size], size))


def _rate(step: int, samples: Samples, options: TrainingOptions) -> float:
    """Learning-rate factor: linear warm-up, then a cosine to zero."""
    per_epoch = max(1, len(samples.labels) // options.batch)
    warmup, total = options.warmup_epochs * per_epoch, options.epochs * per_epoch
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _progress_bar(epochs: int, wanted: bool | None) -> Iterator[Callable[[Epoch], None]]:
    console = Console(stderr=True)
    shown = console.is_terminal if wanted is None else wanted
    with Progress(console=console, disable=not shown) as bar:
        task = bar.add_task("training", total=epochs)

        def report(epoch: Epoch) -> None:
            text = f"epoch {epoch.number}: loss {epoch.train_loss:.3f}, validation {100 * epoch.accuracy:.1f} %"
            bar.update(task, advance=1, description=text)

        yield report
