"""Iterative magnitude pruning: which weights go in which round, and what the others are wound back to."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.pruning.magnitude_pruning import AfterStep, ImpOptions, Ticket, find_ticket
from pumice.models.pruning.weight_pruning import weight_sparsity

LAYERS = ("0", "2")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 20), nn.BatchNorm1d(20), nn.Linear(20, 4))


class Trainer:
    """A few steps of real training, the same in every round; remembers the weights at each start and each end."""

    def __init__(self, model: nn.Module, steps: int = 4) -> None:
        self.model, self.steps = model, steps
        self.starts: list[dict[str, Tensor]] = []
        self.ends: list[dict[str, Tensor]] = []
        self.steps_taken: list[dict[str, Tensor]] = []

    def __call__(self, number: int, after_step: AfterStep) -> None:
        assert number == len(self.starts)
        self.starts.append(copied(self.model))
        generator = torch.Generator().manual_seed(1)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)
        for _ in range(self.steps):
            optimizer.zero_grad()
            self.model(torch.randn(8, 10, generator=generator)).square().sum().backward()
            optimizer.step()
            after_step()
            self.steps_taken += [copied(self.model)] if number == 0 else []
        self.ends.append(copied(self.model))


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def search(options: ImpOptions, seed: int = 0) -> tuple[nn.Module, Trainer, Ticket]:
    model = network(seed)
    trainer = Trainer(model)
    return model, trainer, find_ticket(model, trainer, options, LAYERS)


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([state[f"{name}.weight"].flatten() for name in LAYERS])


def test_every_round_prunes_the_smallest_weights_that_training_left() -> None:
    options = ImpOptions(sparsity=0.9, rounds=3)
    _, trainer, ticket = search(options)
    assert ticket.sparsities == pytest.approx(options.amounts(), abs=1 / 280)
    before = torch.zeros(280, dtype=torch.bool)
    for number in range(3):
        trained, gone = flat(trainer.ends[number]).abs(), flat(trainer.starts[number + 1]) == 0
        assert trained[gone].max() <= trained[~gone].min()
        assert (gone | ~before).all()
        assert gone.sum() == round(options.amounts()[number] * 280)
        before = gone


@pytest.mark.parametrize("step", [0, 1, 3])
def test_survivors_are_wound_back_to_the_step_asked_for(step: int) -> None:
    _, trainer, ticket = search(ImpOptions(sparsity=0.75, rounds=2, rewind_step=step))
    origin = trainer.starts[0] if step == 0 else trainer.steps_taken[step - 1]
    assert all(torch.equal(origin[name], ticket.rewound_to[name]) for name in origin)
    for start in trainer.starts[1:]:
        stays = flat(start) != 0
        assert torch.equal(flat(start)[stays], flat(origin)[stays])
        others = [name for name in origin if name not in ("0.weight", "2.weight")]
        assert all(torch.equal(start[name], origin[name]) for name in others)
    assert torch.equal(flat(trainer.starts[-1]), flat(origin) * torch.cat([ticket.masks[n].flatten() for n in LAYERS]))


def test_the_model_ends_trained_and_as_sparse_as_asked() -> None:
    model, trainer, ticket = search(ImpOptions(sparsity=0.8, rounds=4))
    assert len(trainer.ends) == 5
    assert weight_sparsity(model, LAYERS) == pytest.approx(0.8, abs=1 / 280)
    assert ticket.sparsities[-1] == weight_sparsity(model, LAYERS)
    assert not torch.equal(flat(trainer.ends[-1]), flat(trainer.starts[-1]))


def test_same_seed_same_ticket_other_seed_another() -> None:
    options = ImpOptions(sparsity=0.8, rounds=2)
    first, again, other = (search(options, seed)[2].masks for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in LAYERS)
    assert not all(torch.equal(first[name], other[name]) for name in LAYERS)


def test_the_rounds_take_equal_shares_of_what_is_left() -> None:
    kept = [1.0] + [1 - amount for amount in ImpOptions(sparsity=0.9, rounds=5).amounts()]
    shares = [after / before for before, after in itertools.pairwise(kept)]
    assert shares == pytest.approx([0.1**0.2] * 5)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"the share of weights to prune is 1\.0"):
        ImpOptions(sparsity=1.0)
    with pytest.raises(InputError, match="magnitude pruning: rounds is 0, but must be at least 1"):
        ImpOptions(rounds=0)
    with pytest.raises(InputError, match="rewind_step is -1, but must be 0 or more"):
        ImpOptions(rewind_step=-1)
    with pytest.raises(InputError, match="training took 4 steps, so it has no step 5 to wind back to"):
        search(ImpOptions(rewind_step=5))
    with pytest.raises(InputError, match="Sequential has no layer '7'"):
        find_ticket(network(), lambda *_: None, ImpOptions(), ["7"])
