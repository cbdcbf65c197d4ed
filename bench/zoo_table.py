"""The zoo's second table: what every model is, and what it costs on a chip. One demo each, Lava included.

python bench/zoo_table.py [NAME …]      prints markdown, a row per model as soon as it is measured
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pumice.models.checkpoints import zoo_names
from pumice.runtime.backends import make_backend
from pumice.runtime.demo import DemoPlan, demo_dict, run_demo

HEADER = (
    "model",
    "parameters",
    "weights kept",
    "accuracy float",
    "… tokens pruned",
    "compiled",
    "… every token",
    "Lava, 4 samples",
    "tokens kept",
    "cores",
    "SynOps",
    "… every token",
    "energy, `loihi1_sanafe`",
    "… every token",
)


def main() -> None:
    """Measures the models named on the command line, or all of them."""
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for name in sys.argv[1:] or zoo_names():
        with TemporaryDirectory() as folder:
            plan = DemoPlan(model=name, lava_samples=4, folder=Path(folder))
            found = demo_dict(run_demo(plan, make_backend("lava"), lambda _: None))
        print(f"| {' | '.join(_cells(name, found))} |", flush=True)


def _cells(name: str, found: dict[str, Any]) -> list[str]:
    accuracy, energy = found["accuracy"], found["energy_nj"]["loihi1_sanafe"]
    return [
        f"`{name}`",
        f"{found['parameters']:,}",
        f"{found['synapse_density']:.1%}",
        *(f"{accuracy[key]:.2%}" for key in ("float", "float_pruned", "compiled", "compiled_unpruned")),
        "equal" if found["bit_exact"]["lava"] else "DIFFERS",
        f"{found['retention']['mean']:.0%}",
        str(found["cores"]),
        *(f"{found[key]['events'] / 1e6:.2f} M" for key in ("synops", "synops_unpruned")),
        *("unknown" if energy[key] is None else f"{energy[key] / 1e3:.1f} µJ" for key in ("pruned", "unpruned")),
    ]


if __name__ == "__main__":
    main()
