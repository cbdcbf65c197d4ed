"""Training of the zoo's Spikformer on the digits: AdamW, cosine schedule, mild augmentation, deterministic by seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.checkpoints import save_checkpoint
from pumice.models.digits import Digits, Samples, load_digits
from pumice.models.neuron import Surrogate
from pumice.models.spikformer import Spikformer, SpikformerConfig

DIGITS_CONFIG = SpikformerConfig(
    img_size_h=8, img_size_w=8, in_channels=1, num_classes=10, embed_dims=48, num_heads=4, depths=2, pool_stages=()
)

SEED = 0


@dataclass(frozen=True)
class TrainingOptions:
    """How to train. Angles in degrees, shifts in pixels; `zoom` and `label_smoothing` are fractions. `token_dropout` is
    the share of batches in which random tokens are gated (each block and step keeps a fraction drawn from
    `dropout_retention`), so that the network later bears token pruning by any criterion without fine-tuning. The result
    depends on `threads`, because float sums do."""

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

    model: Spikformer
    history: tuple[Epoch, ...]
    seconds: float


def train(
    config: SpikformerConfig,
    data: Digits,
    seed: int = 0,
    options: TrainingOptions | None = None,
    progress: bool | None = None,
) -> TrainingResult:
    """Trains a Spikformer from scratch. Same seed, options and torch build: same weights, bit for bit.

    `progress`: draw a progress bar; None draws one on a terminal only.
    """
    options = options or TrainingOptions()
    start = time.perf_counter()
    with _threads(options.threads), _progress_bar(options.epochs, progress) as report, torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = Spikformer(config, surrogate=options.surrogate)
        history = _run_epochs(model, data, options, report)
    return TrainingResult(model.eval(), tuple(history), time.perf_counter() - start)


def train_recipe(
    output: str | Path, seed: int | None = None, epochs: int | None = None, progress: bool | None = None
) -> dict[str, Any]:
    """Trains the zoo's `spikformer-digits` and writes its checkpoint to `output`; None means the shipped model's choice.

    Returns what was measured: accuracies as fractions, wall-clock seconds.
    """
    seed = SEED if seed is None else seed
    options = TrainingOptions() if epochs is None else replace(TrainingOptions(), epochs=epochs)
    data = load_digits()
    result = train(DIGITS_CONFIG, data, seed, options, progress)
    command = f"pumice train spikformer-digits --seed {seed} --epochs {options.epochs}"
    made = {"seed": seed, "command": command, "options": asdict(options)}
    save_checkpoint(result.model, output, made)
    return {
        "seed": seed,
        "epochs": options.epochs,
        "validation_accuracy": round(result.history[-1].accuracy, 4),
        "test_accuracy": round(evaluate(result.model, data.test)[0], 4),
        "seconds": round(result.seconds, 1),
    }


def evaluate(model: Spikformer, samples: Samples, batch: int = 120) -> tuple[float, float]:
    """(accuracy as a fraction, mean cross entropy) of `model` in eval mode; the model's mode is put back afterwards."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits = torch.cat([model(images) for images in torch.split(samples.images, batch)])
    model.train(was_training)
    accuracy = (logits.argmax(1) == samples.labels).double().mean().item()
    return accuracy, nn.functional.cross_entropy(logits, samples.labels).item()


def _run_epochs(
    model: Spikformer, data: Digits, options: TrainingOptions, report: Callable[[Epoch], None]
) -> list[Epoch]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, data.fit, options))
    history: list[Epoch] = []
    for number in range(1, options.epochs + 1):
        train_loss = _one_epoch(model.train(), data.fit, options, optimizer, schedule)
        history.append(Epoch(number, train_loss, *evaluate(model, data.validation)))
        report(history[-1])
    return history


def _one_epoch(
    model: Spikformer,
    samples: Samples,
    options: TrainingOptions,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> float:
    losses: list[float] = []
    for chosen in _batches(len(samples.labels), options.batch):
        images = augment(samples.images[chosen], options)
        logits = model(images, random_masks(model.config, len(images), options))
        loss = nn.functional.cross_entropy(logits, samples.labels[chosen], label_smoothing=options.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def augment(images: Tensor, options: TrainingOptions) -> Tensor:
    """Images `[B, 1, H, W]`, each turned, scaled and moved a little, by torch's global random numbers."""
    batch, _, height, width = images.shape
    angle, zoom_x, zoom_y, move_x, move_y = (torch.rand(5, batch) * 2 - 1).unbind()
    angle = angle * math.radians(options.angle)
    zoom_x, zoom_y = 1 + zoom_x * options.zoom, 1 + zoom_y * options.zoom
    row_x = torch.stack([zoom_x * angle.cos(), -zoom_x * angle.sin(), move_x * options.shift * 2 / width], 1)
    row_y = torch.stack([zoom_y * angle.sin(), zoom_y * angle.cos(), move_y * options.shift * 2 / height], 1)
    grid = nn.functional.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def random_masks(config: SpikformerConfig, batch: int, options: TrainingOptions) -> tuple[Tensor, ...] | None:
    """Token dropout of one batch: None, or per block a random bool mask `[T, B, N]`, by torch's global random numbers."""
    if torch.rand(()).item() >= options.token_dropout:
        return None
    low, high = options.dropout_retention
    keep = low + (high - low) * torch.rand(1, batch, 1)
    shape = (config.T, batch, config.tokens)
    return tuple(torch.rand(shape) < keep for _ in range(config.depths))


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
