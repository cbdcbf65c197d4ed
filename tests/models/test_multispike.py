"""The integer neuron: its levels, ties, gradient, and its exact expansion into binary spikes."""

from __future__ import annotations

import pytest
import torch

from pumice.errors import InputError
from pumice.models.multispike import MultiSpike, binary_expansion


def test_levels_are_clamped_and_rounded_half_to_even() -> None:
    x = torch.tensor([-7.0, -0.1, 0.49, 0.5, 0.51, 1.5, 2.5, 3.5, 4.5, 100.0])
    levels = [0, 0, 0, 0, 1, 2, 2, 4, 4, 4]
    assert (MultiSpike()(x) * 4).tolist() == levels
    assert MultiSpike(norm=1)(x).tolist() == levels


def test_gradient_is_one_inside_the_range_and_zero_outside() -> None:
    x = torch.tensor([-0.1, 0.0, 1.7, 4.0, 4.1], requires_grad=True)
    MultiSpike()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.25, 0.25, 0.25, 0.0]


def test_gated_neurons_do_not_fire() -> None:
    keep = torch.tensor([[True], [False]])
    assert MultiSpike(norm=1)(torch.full((2, 3), 2.2), keep).tolist() == [[2, 2, 2], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_binary_expansion_is_exact(dtype: torch.dtype) -> None:
    levels = torch.arange(5).to(dtype)
    spikes = binary_expansion(levels)
    assert spikes.dtype == dtype
    assert spikes.tolist() == [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]
    assert torch.equal(spikes.sum(0).to(dtype), levels)


@pytest.mark.parametrize("value", [-1.0, 0.25, 5.0])
def test_what_is_no_level_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="is not one of the levels 0 to 4"):
        binary_expansion(torch.tensor([0.0, value]))


def test_a_neuron_without_levels_is_refused() -> None:
    with pytest.raises(InputError, match="largest level must be at least 1, not 0"):
        MultiSpike(0)
