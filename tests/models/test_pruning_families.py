"""Every criterion, ablation and baseline on every family: how many tokens each block routes at each timestep, and which."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from families import FAMILIES, Family
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.schedule_evaluation import evaluate_schedule
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.training.digits import Samples

CRITERIA: dict[str, Criterion] = {
    "IRToP of the paper": Criterion(),
    "official variant": Criterion("irtop-official"),
    "firing rate": Criterion("firing-rate"),
    "random": Criterion("random"),
    "spatial only": Criterion(alpha=1.0),
    "temporal only": Criterion(alpha=0.0),
    "weighted": Criterion(alpha=0.3),
    "spatial first step": Criterion(first_step="spatial"),
    "one mask": Criterion(per_step=False),
    "official variant, spatial only": Criterion("irtop-official", alpha=1.0),
    "official variant, weighted": Criterion("irtop-official", alpha=0.3),
    "random, one mask": Criterion("random", per_step=False),
    "silent tokens first": Criterion(silent=1.0),
    "window of 5": Criterion(window=5),
}
TWO_STEPS = [name for name, c in CRITERIA.items() if c.rule == "irtop-official" and c.alpha < 1]  # what they need
SAMPLES = 3


def schedule(depth: int) -> tuple[float, ...]:
    """Falling ratios, as decimals that no float is equal to."""
    return tuple((0.55, 0.45, 0.35, 0.35, 0.3, 0.2, 0.15, 0.1)[:depth])


def tokens_to_keep(ratio: float, grid: tuple[int, int], criterion: Criterion) -> int:
    """Eq. 14 or the official code's square, in exact arithmetic."""
    exact, (height, width) = Fraction(str(ratio)), grid
    if criterion.rule == "irtop-official":
        return max(1, math.isqrt(math.floor(exact * height * height))) ** 2
    return math.ceil(exact * height * width)


@torch.no_grad()
def masks_of(network: SpikingNetwork, family: Family, criterion: Criterion) -> list[NDArray[np.bool_]]:
    network.pruning = TokenPruning(schedule(network.depth), criterion)
    return [mask.numpy() for mask in network.trace(family.images(SAMPLES)).masks]


def scored(family: str) -> list[str]:
    """The criteria that a family can be scored by; see test_the_official_temporal_score_needs_two_steps."""
    return [name for name in CRITERIA if FAMILIES[family].steps > 1 or name not in TWO_STEPS]


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in FAMILIES for name in scored(family)])
def test_every_block_routes_its_tokens_at_every_step(family: str, name: str) -> None:
    tiny, criterion = FAMILIES[family], CRITERIA[name]
    network = tiny.network()
    masks = masks_of(network, tiny, criterion)
    assert len(masks) == network.depth == len(tiny.grids)
    for mask, ratio, grid in zip(masks, schedule(network.depth), tiny.grids, strict=True):
        assert mask.shape == (tiny.steps, SAMPLES, grid[0] * grid[1])
        assert (mask.sum(-1) == tokens_to_keep(ratio, grid, criterion)).all()
        if not criterion.per_step or criterion.rule == "irtop-official":
            assert (mask == mask[0]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_ablation_is_another_choice_of_tokens(family: str) -> None:
    """But for the rules that are one at a single timestep, no two criteria route the same tokens throughout."""
    tiny = FAMILIES[family]
    network = tiny.network()
    found: dict[bytes, list[str]] = {}
    for name in scored(family):
        bits = b"".join(mask.tobytes() for mask in masks_of(network, tiny, CRITERIA[name]))
        found.setdefault(bits, []).append(name)
    same = [group for group in found.values() if len(group) > 1]
    if tiny.steps > 1:
        assert not [group for group in same if set(group) != {"IRToP of the paper", "silent tokens first"}]
    else:
        assert same == [
            ["IRToP of the paper", "one mask", "silent tokens first"],
            ["random", "random, one mask"],
            ["spatial only", "spatial first step"],
        ]


@pytest.mark.parametrize("family", [name for name, f in FAMILIES.items() if f.steps > 1])
def test_spatial_only_at_the_first_step_is_just_that(family: str) -> None:
    """In the first block, whose input does not depend on the pruning."""
    tiny = FAMILIES[family]
    network = tiny.network()
    both, first, spatial = (
        masks_of(network, tiny, c)[0] for c in (Criterion(), Criterion(first_step="spatial"), Criterion(alpha=1.0))
    )
    assert np.array_equal(first[0], spatial[0])
    assert np.array_equal(first[1:], both[1:])
    assert not np.array_equal(first[0], both[0])


def test_the_temporal_score_at_one_step_is_the_token_s_own_norm() -> None:
    """Eq. 12 at t = 1: well defined on SDT-V3, though the paper's Table 6 leaves it out there."""
    tiny = FAMILIES["sdtv3"]
    network = tiny.network()
    seen: list[torch.Tensor] = []
    first = network.get_submodule("block3.0.conv")
    handle = first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mask = masks_of(network, tiny, Criterion(alpha=0.0))[0][0]
    handle.remove()
    norms = seen[0].flatten(2).norm(dim=1).numpy()  # [B, N]
    for kept, norm in zip(mask, norms, strict=True):
        assert norm[kept].min() > norm[~kept].max()


@pytest.mark.parametrize("network", [FAMILIES["sdtv3"].network, lambda: one_step()], ids=["sdtv3", "spikformer, T = 1"])
@pytest.mark.parametrize("name", TWO_STEPS)
def test_the_official_temporal_score_needs_two_steps(network: Callable[[], SpikingNetwork], name: str) -> None:
    """One line that says so, from `forward` and from an evaluation alike."""
    model = network()
    image = FAMILIES["sdtv3" if model.depth == 8 else "spikformer"].images(1)
    retention, message = (
        (0.5,) * model.depth,
        "block 0: irtop-official compares neighbouring timesteps: it needs T >= 2",
    )
    model.pruning = TokenPruning(retention, CRITERIA[name])
    with pytest.raises(InputError, match=message):
        model(image)
    with pytest.raises(InputError, match=message):
        evaluate_schedule(model, Samples(image, torch.zeros(1, dtype=torch.int64)), retention, CRITERIA[name])


def test_an_unknown_rule_for_the_first_step_is_refused() -> None:
    with pytest.raises(ValueError, match="first_step must be 'both' or 'spatial', not 'neither'"):
        Criterion(first_step="neither")  # type: ignore[arg-type]


def one_step() -> SpikingNetwork:
    """A Spikformer with T = 1."""
    return Spikformer(SpikformerConfig(16, 16, 4, 1, 4, 16, 2, 2, depths=2, T=1, pool_stages=(3,))).eval()


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_do_not_depend_on_the_batch(family: str) -> None:
    """Also where the stream is real (SDT-V1, SDT-V3): an image alone is routed as in company."""
    tiny = FAMILIES[family]
    network = tiny.network()
    for criterion in (Criterion(), Criterion("firing-rate")):
        network.pruning = TokenPruning(schedule(network.depth), criterion)
        images = tiny.images(SAMPLES)
        batch = network.trace(images).masks[0]
        for k in range(SAMPLES):
            assert torch.equal(batch[:, k : k + 1], network.trace(images[k : k + 1]).masks[0])
