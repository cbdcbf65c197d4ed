"""What a benchmark measures: models, their variants, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pumice.errors import InputError


@dataclass(frozen=True)
class Variant:
    """retention: share of tokens that every block routes; 1 is no pruning at all. density: share of weights left in every synapse
    layer but the first. masks: where the routing masks of a retention below 1 come from."""

    retention: float = 1.0
    density: float = 1.0
    masks: Literal["static", "live"] = "static"

    @property
    def name(self) -> str:
        """e.g. "retention 0.5 live"."""
        tokens = "" if self.retention == 1 else f"retention {self.retention:g} {self.masks}"
        weights = "" if self.density == 1 else f"density {self.density:g}"
        return " ".join(filter(None, (tokens, weights))) or "unpruned"


UNPRUNED = Variant()
HALF, TENTH = Variant(retention=0.5), Variant(density=0.1)
QUARTER_LIVE = Variant(retention=0.25, masks="live")
COMPARED = (UNPRUNED, HALF, Variant(retention=0.25), TENTH)
IN_BLOCKS = (
    *COMPARED,
    Variant(retention=0.75),
    Variant(retention=0.5, masks="live"),
    QUARTER_LIVE,
)


@dataclass(frozen=True)
class ModelPlan:
    """batch: images of a run of `fast`, `torch` and `float`. reference, lava: images of theirs, 0 where they do not run.
    compared: variants on which executors run side by side, repeated so often; the first is unpruned. variants: those whose time
    in the blocks is measured. batches, timesteps: of the series of `fast` that exponents are fitted to. checked: images whose
    recorded spikes are compared."""

    name: str
    batch: int = 8
    reference: int = 2
    lava: int = 0
    compared: tuple[Variant, ...] = COMPARED
    variants: tuple[Variant, ...] = IN_BLOCKS
    repeats: int = 7
    block_repeats: int = 15
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    timesteps: tuple[int, ...] = (1, 2, 4, 8)
    checked: int = 1

    @property
    def all_variants(self) -> tuple[Variant, ...]:
        """Every variant that has to be made, once."""
        return tuple(dict.fromkeys((UNPRUNED, *self.compared, *self.variants)))


@dataclass(frozen=True)
class Plan:
    """headline: the model whose ratios are the headline's. beside_lava: the one that Lava runs. digits: how often 360 digits are
    run from the command line. job_seconds: after which a job is ended."""

    models: tuple[ModelPlan, ...]
    headline: str = "spikformer-4-384"
    beside_lava: str = "spikformer-digits"
    digits: int = 5
    job_seconds: float = 3600.0

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if not names or len(set(names)) < len(names):
            raise InputError(f"benchmark of the models {names}", "name at least one model, and each once")


DIGITS = ModelPlan(
    "spikformer-digits", batch=64, reference=8, lava=8, checked=4, batches=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
CIFAR = ModelPlan("spikformer-4-384")
IMAGENET = ModelPlan(
    "sdt-v1-8-512",
    batch=4,
    reference=1,
    repeats=3,
    block_repeats=3,
    batches=(1, 2, 4, 8),
    timesteps=(1, 2, 4),
)


def full_plan() -> Plan:
    """All models."""
    return Plan((DIGITS, CIFAR, IMAGENET))


def quick_plan() -> Plan:
    """The two small models and fewer repeats: within ten minutes on two cores, Lava included."""
    fewer = tuple(one for one in IN_BLOCKS if one != QUARTER_LIVE)
    few = [replace(model, repeats=3, block_repeats=9, variants=fewer) for model in (DIGITS, CIFAR)]
    return Plan(tuple(few), digits=3, job_seconds=600.0)
