"""Comparison finds the first difference, and names layer, step, sample and neuron."""

from __future__ import annotations

import numpy as np
import pytest

from pumice.errors import InputError
from pumice.runtime.validation import accuracy, compare

SPIKES = {"a": np.zeros((4, 3, 5, 2), np.uint8), "b": np.zeros((4, 3, 7), np.uint8)}
LOGITS = np.eye(3)


def test_equal_runs_are_exact() -> None:
    comparison = compare(SPIKES, SPIKES, LOGITS, LOGITS)
    assert comparison.exact
    assert comparison.spikes == 1.0
    assert comparison.agree == 1.0


def test_the_first_divergence_is_the_earliest_in_time() -> None:
    other = {name: spikes.copy() for name, spikes in SPIKES.items()}
    other["a"][3, 0, 0, 0] = 1
    other["b"][2, 1, 6] = 1
    comparison = compare(SPIKES, other, LOGITS, LOGITS[::-1])
    assert str(comparison.first) == "b, step 2, sample 1, neuron (6,): 0 became 1"
    assert comparison.layers[0].by_step == (1.0, 1.0, 1.0, 1 - 1 / 30)
    assert comparison.spikes == pytest.approx(1 - 2 / 204)
    assert comparison.agree == pytest.approx(1 / 3)


def test_models_with_other_layers_are_refused() -> None:
    with pytest.raises(InputError, match="layer 'b' is in the program but not in the float model"):
        compare({"a": SPIKES["a"]}, SPIKES, LOGITS, LOGITS)
    with pytest.raises(InputError, match="layer 'a'"):
        compare({"a": SPIKES["b"], "b": SPIKES["b"]}, SPIKES, LOGITS, LOGITS)
    with pytest.raises(InputError, match="recorded no spikes"):
        compare(SPIKES, {}, LOGITS, LOGITS)


def test_accuracy_is_the_share_of_right_classes() -> None:
    assert accuracy(LOGITS, np.array([0, 1, 0])) == pytest.approx(2 / 3)
