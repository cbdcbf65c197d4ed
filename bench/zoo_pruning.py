"""Accuracy of the zoo's `spikformer-digits`, as floats, under every token criterion: its table in `models/zoo/README.md`.

python bench/zoo_pruning.py
"""

from __future__ import annotations

import torch

from pumice.hwsim.scoring import Criterion, keep_top, sample_scores, tokens_kept
from pumice.models.checkpoints import load_zoo
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer import Spikformer
from pumice.models.training.digits import Digits, load_digits
from pumice.models.training.loop import evaluate

CRITERIA = {
    "irtop-paper, mask per step": Criterion(),
    "score 1 for silent tokens": Criterion(silent=1.0),
    "spatial only at the first step": Criterion(first_step="spatial"),
    "5x5 window": Criterion(window=5),
    "spatial score only": Criterion(alpha=1.0),
    "temporal score only": Criterion(alpha=0.0),
    "one mask for all steps": Criterion(per_step=False),
    "irtop-official": Criterion("irtop-official"),
    "firing-rate": Criterion("firing-rate"),
    "random": Criterion("random"),
    "random, one mask for all steps": Criterion("random", per_step=False),
}


def main() -> None:
    """Prints one line per criterion: retention 0.5 hold, decay, static; retention 0.25 hold, decay; per cent."""
    model, digits = load_zoo("spikformer-digits"), load_digits()
    assert isinstance(model, Spikformer)
    print(f"unpruned {100 * evaluate(model, digits.test)[0]:.2f}")
    for name, criterion in CRITERIA.items():
        half, quarter = (0.5, 0.5), (0.25, 0.25)
        found = [
            live_accuracy(model, digits, TokenPruning(half, criterion, "hold")),
            live_accuracy(model, digits, TokenPruning(half, criterion, "decay")),
            static_accuracy(model, digits, criterion, 0.5),
            live_accuracy(model, digits, TokenPruning(quarter, criterion, "hold")),
            live_accuracy(model, digits, TokenPruning(quarter, criterion, "decay")),
        ]
        print(f"{name:32}" + "".join(f"{100 * value:8.2f}" for value in found), flush=True)


def live_accuracy(model: Spikformer, digits: Digits, pruning: TokenPruning) -> float:
    """Accuracy on the test images with masks scored per image."""
    model.pruning = pruning
    accuracy = evaluate(model, digits.test)[0]
    model.pruning = None
    return accuracy


def static_accuracy(model: Spikformer, digits: Digits, criterion: Criterion, retention: float) -> float:
    """The same with masks fixed by the mean score over the calibration images, block after block."""
    images = digits.calibration.images
    steps, (height, width) = model.config.T, model.config.grid
    masks: list[torch.Tensor] = []
    with torch.no_grad():
        tokens = model.patch_embed(images, steps).flatten(3).transpose(2, 3)
        for index, block in enumerate(model.block):
            counts = tokens.transpose(2, 3).reshape(steps, len(images), -1, height, width).numpy()
            mean = sample_scores(counts, criterion, index).mean(axis=1)
            kept = keep_top(mean, tokens_kept(retention, height, width, criterion.rule))
            masks.append(torch.from_numpy(kept)[:, None])
            tokens = block(tokens, masks[-1].expand(-1, len(images), -1), "hold")
        shape = (-1, len(digits.test.images), -1)
        logits = model.trace(digits.test.images, tuple(mask.expand(shape) for mask in masks)).logits
    return float((logits.argmax(1) == digits.test.labels).double().mean())


if __name__ == "__main__":
    main()
