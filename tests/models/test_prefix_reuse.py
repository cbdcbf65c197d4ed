"""Skipping what has not changed gives the same bits as running everything, and really skips."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from pumice.hwsim.scoring import Criterion
from pumice.models.neuron import GateState
from pumice.models.pruning.prefix_reuse import reused_prefixes
from pumice.models.pruning.schedule_space import SearchSpace
from pumice.models.pruning.token_pruning import TokenPruning


def prunings(depth: int, state: GateState = "hold") -> list[TokenPruning | None]:
    """Schedules that share long and short prefixes, in no order, some twice."""
    found = SearchSpace(ratios=(1.0, 0.6, 0.3)).candidates(depth)[0][:24]
    chosen: list[TokenPruning | None] = [TokenPruning(s, Criterion(), state) for s in (*found, *found[::-3])]
    return [*chosen[:4], None, *chosen[4:]]


@torch.no_grad()
@pytest.mark.parametrize("state", ["hold", "decay"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_computes_the_same_bits_with_reuse(family: str, state: GateState) -> None:
    network, images = FAMILIES[family].network(), FAMILIES[family].images(3)
    plain, reused = [], []
    for pruning in prunings(network.depth, state):
        network.pruning = pruning
        plain.append(network(images))
    with reused_prefixes(network):
        for pruning in prunings(network.depth, state):
            network.pruning = pruning
            reused.append(network(images))
    assert all(torch.equal(a, b) for a, b in zip(plain, reused, strict=True))
    assert len({tuple(logits.flatten().tolist()) for logits in plain}) > 2  # the schedules do differ


@torch.no_grad()
def test_a_shared_prefix_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    family = FAMILIES["spikformer"]
    network, images = family.network(), family.images(2)
    calls: Counter[str] = Counter()
    for name in ("patch_embed", "block.0", "block.1", "block.2", "head"):
        count_calls(network.get_submodule(name), name, calls, monkeypatch)
    with reused_prefixes(network):
        for last in (1.0, 0.6, 0.3):
            network.pruning = TokenPruning((1.0, 1.0, last))
            network(images)
        network(images.clone())  # other memory: everything runs again
    assert calls == {"patch_embed": 2, "block.0": 2, "block.1": 2, "block.2": 4, "head": 4}
    network(images)
    network(images)
    assert calls["patch_embed"] == 4  # the network is as it was


def count_calls(part: nn.Module, name: str, calls: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts the calls of a part's own forward, which its class holds."""

    def counted(*arguments: Any) -> Tensor:
        calls[name] += 1
        out: Tensor = type(part).forward(part, *arguments)
        return out

    monkeypatch.setattr(part, "forward", counted)


@torch.no_grad()
def test_a_tensor_written_in_place_is_not_taken_for_the_old_one() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    x = torch.ones(1, 2)
    with reused_prefixes(network):
        before = network(x)
        x.mul_(2)
        after = network(x)
        kept = after.clone()
        after.zero_()
        again = network(x)
    assert not torch.equal(before, kept)
    assert torch.equal(kept, again)


@torch.no_grad()
def test_the_network_is_put_back_after_an_error() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(RuntimeError), reused_prefixes(network):
        network(torch.ones(1, 3))
    assert "forward" not in vars(network[0])
