"""Count tables written by hand."""

from __future__ import annotations

import numpy as np

from pumice.hwsim.counters import COUNT_FIELDS, CountRow, CountTable
from pumice.hwsim.flows import Flows, no_flows


def count_row(
    layer: str = "layer", core: int = 0, kind: str = "dense", **counts: tuple[float, float] | float
) -> CountRow:
    """A row of two steps: counts by name, one number for the first step alone."""
    zero = {name: np.zeros(2) for name in COUNT_FIELDS}
    given = {name: np.array(n if isinstance(n, tuple) else (n, 0), np.float64) for name, n in counts.items()}
    return CountRow(layer, core, kind, **(zero | given))


def count_table(*rows: CountRow, flows: Flows | None = None) -> CountTable:
    """Two samples of two steps."""
    return CountTable(rows, samples=2, timesteps=2, flows=flows or no_flows())
