"""Test accuracy of every float model of the zoo, unpruned and with tokens pruned without training for it: the first table
of `models/zoo/README.md`.

python bench/zoo_accuracy.py [NAME ...]
"""

from __future__ import annotations

import sys

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.checkpoints import load_zoo, zoo_names
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.training.datasets import zoo_data
from pumice.models.training.digits import Samples
from pumice.models.training.loop import evaluate

CRITERIA = {
    "irtop-paper": Criterion(),
    "irtop-official": Criterion("irtop-official"),
    "firing-rate": Criterion("firing-rate"),
    "random": Criterion("random"),
}
RETENTIONS = (0.5, 0.25)


def main() -> None:
    """Per model its accuracy in per cent, then one line per criterion: retention 0.5 and 0.25 in every block, hold."""
    for name in sys.argv[1:] or zoo_names():
        model, test = load_zoo(name), zoo_data(name).test
        print(f"{name:28}{'unpruned':>16}{100 * evaluate(model, test)[0]:8.2f}", flush=True)
        for rule, criterion in CRITERIA.items():
            found = [pruned_accuracy(model, test, TokenPruning((r,) * model.depth, criterion)) for r in RETENTIONS]
            print(f"{'':28}{rule:>16}" + "".join(found), flush=True)


def pruned_accuracy(model: SpikingNetwork, test: Samples, pruning: TokenPruning) -> str:
    """Per cent under a pruning, or a dash where the network or the criterion does not allow it."""
    try:
        model.pruning = pruning
        return f"{100 * evaluate(model, test)[0]:8.2f}"
    except InputError:
        return f"{'-':>8}"
    finally:
        model.pruning = None


if __name__ == "__main__":
    main()
