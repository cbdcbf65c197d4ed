"""Iterative magnitude pruning with rewinding: train, prune the smallest weights, wind the others back, again.

Sources: SparseSpikformer (arXiv 2311.08806) prunes Spikformer to 90 % this way; Frankle & Carbin, "The Lottery Ticket
Hypothesis" (2019), wind back to initialization; Frankle et al., "Linear Mode Connectivity and the Lottery Ticket
Hypothesis" (2020), to a step early in training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.pruning.weight_pruning import (
    Grouping,
    WeightMasks,
    apply_masks,
    check_amount,
    named_layers,
    prune_l1,
    weight_sparsity,
)

AfterStep = Callable[[], None]
TrainRound = Callable[[int, AfterStep], object]
State = dict[str, Tensor]


@dataclass(frozen=True)
class ImpOptions:
    """`rounds` prunings reach `sparsity`, each taking the same share of the weights still there.

    rewind_step: after how many optimizer steps of the first training the weights are those that are wound back to; 0 is
    initialization. grouping: see `prune_l1`.
    """

    sparsity: float = 0.9
    rounds: int = 5
    rewind_step: int = 0
    grouping: Grouping = "global"

    def __post_init__(self) -> None:
        check_amount(self.sparsity)
        if self.rounds < 1:
            raise InputError(f"magnitude pruning: rounds is {self.rounds}, but must be at least 1", "4 or 5 will do")
        if self.rewind_step < 0:
            raise InputError(f"magnitude pruning: rewind_step is {self.rewind_step}, but must be 0 or more", "0: start")

    def amounts(self) -> tuple[float, ...]:
        """The share of all weights that is pruned after each round, ending at `sparsity`."""
        kept = 1 - self.sparsity
        return (*(1 - kept ** (number / self.rounds) for number in range(1, self.rounds)), self.sparsity)


@dataclass(frozen=True)
class Ticket:
    """What iterative magnitude pruning found: masks by layer name (True: the weight stays), the state dict that was
    wound back to (dense), and the sparsity reached after each round."""

    masks: WeightMasks
    rewound_to: State
    sparsities: tuple[float, ...]


def find_ticket(
    model: nn.Module, train: TrainRound, options: ImpOptions, layers: Sequence[str] | None = None
) -> Ticket:
    """Prunes `model` in place over `options.rounds` rounds and trains it a last time.

    train: called as `train(round, after_step)` for rounds 0 to `rounds`; trains `model` in place from the weights it finds
    and calls `after_step()` after every optimizer step, which keeps pruned weights at zero. All parameters and buffers are
    wound back, the pruned layers' weights (None: the blocks') through their masks. No chance of its own: the result
    depends on the model and on `train`. Raises InputError as `prune_l1`, and where training ends before `rewind_step`.
    """
    names = tuple(named_layers(model, layers))
    start = _EarlyState(model, options.rewind_step)
    train(0, start.after_step)
    masks: WeightMasks = {}
    sparsities = []
    for number, amount in enumerate(options.amounts(), 1):
        found = prune_l1(model, amount, options.grouping, names)
        masks = {name: mask & masks[name] if masks else mask for name, mask in found.items()}
        model.load_state_dict(start.state())
        apply_masks(model, masks)
        sparsities.append(weight_sparsity(model, names))
        train(number, lambda: apply_masks(model, masks))  # noqa: B023  # called within this round only
    return Ticket(masks, start.state(), tuple(sparsities))


class _EarlyState:
    """A copy of the model's state dict as it was after so many optimizer steps."""

    def __init__(self, model: nn.Module, step: int) -> None:
        self._model, self._step, self._taken = model, step, 0
        self._state = _copied(model) if step == 0 else None

    def after_step(self) -> None:
        """Counts the step, and takes the copy when it is the one."""
        self._taken += 1
        if self._taken == self._step:
            self._state = _copied(self._model)

    def state(self) -> State:
        """The copy. Raises InputError where training was too short to take it."""
        if self._state is None:
            raise InputError(
                f"magnitude pruning: training took {self._taken} steps, so it has no step {self._step} to wind back to",
                "train longer, or choose an earlier rewind_step",
            )
        return self._state


def _copied(model: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
