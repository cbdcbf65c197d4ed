"""TP-Spikformer's retention schedules (Tables 7 and 8, appendix A.1) as data, and what the official code makes of them.

The printed ratios are squares cut to two decimals: a block keeps k*k tokens, and A.1 writes its ratios as 0.9 x 0.9,
0.8 x 0.8. SDT-V1's k is a whole side, so 0.73 is (12/14)^2; QKFormer and SDT-V3 take a share of the side and cut k to
int(H * share), so that they run fewer tokens than printed: 0.72 (0.85 of the side) becomes 11 of 14, or 0.617.
`Schedule.k_values` undoes the cut. The official repository states k for four columns, in the constructors' defaults (0.51
of SDT-V1, 0.65 of QKFormer) and in a comment (0.65 and 0.56 of SDT-V3); the others follow by the same rule. It has no
Spikformer, so that the k of Table 7 are inferred alone.

Where the paper contradicts itself or the code:
- N_avg is the mean ratio cut, not rounded: SDT-V1's 0.51 averages 0.5175 (Table 6 calls it 0.52), QKFormer's 0.53
  averages 0.535 (Table 9 lists 0.51 in its place), SDT-V3's 0.56 averages 0.565.
- A.1's text has 0.65 for CIFAR-100 where Tables 1 and 7 have 0.60, which is what its ratios average.
- 0.78 of DVS-CIFAR10 is no square of 64 tokens (49 or 64): it has no k, and Eq. 14 keeps 50.
- The default k_values of SDT-V3's official constructor are none of Table 8's columns (`sdt_v3.OFFICIAL_K_VALUES`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pumice.errors import InputError
from pumice.models.pruning.token_pruning import TokenPruning

Grid = tuple[int, int]
SHARES = (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)  # of the side: the steps of 0.05 that A.1 and the code use


@dataclass(frozen=True)
class Schedule:
    """One column of Table 7 or 8.

    name: family and N_avg as printed. source: the table. ratios: share of tokens per block as printed, first block first.
    grids: token rows and columns (H', W') of every block at the paper's image size. unit: what the official code counts k
    in, whole "side"s or "share"s of the side.
    """

    name: str
    source: str
    ratios: tuple[float, ...]
    grids: tuple[Grid, ...]
    unit: Literal["side", "share"]

    def __post_init__(self) -> None:
        TokenPruning(self.ratios).check_depth(len(self.grids))

    @property
    def nominal_average(self) -> float:
        """Mean of the printed ratios."""
        return average(self.ratios)

    @property
    def k_values(self) -> tuple[float, ...] | None:
        """k per block as the official constructors take it (see `unit`); None if some ratio is not one that a k gives."""
        found = [self._k_value(ratio, *grid) for ratio, grid in zip(self.ratios, self.grids, strict=True)]
        return None if None in found else tuple(k for k in found if k is not None)

    @property
    def sides(self) -> tuple[int, ...] | None:
        """Side k per block that the official code runs: it keeps k*k tokens. None as for `k_values`."""
        if self.k_values is None:
            return None
        cut = (
            (rows if self.unit == "share" else 1) * k for (rows, _), k in zip(self.grids, self.k_values, strict=True)
        )
        return tuple(map(int, cut))

    @property
    def kept(self) -> tuple[float, ...] | None:
        """Share of its tokens that the official code routes in each block. None as for `k_values`."""
        if self.sides is None:
            return None
        return tuple(k * k / (rows * columns) for k, (rows, columns) in zip(self.sides, self.grids, strict=True))

    @property
    def run_average(self) -> float | None:
        """Mean of `kept`: the retention really run. None as for `k_values`."""
        return None if self.kept is None else average(self.kept)

    @property
    def retention(self) -> tuple[float, ...]:
        """The ratios before they were cut to two decimals, for `TokenPruning`; with "irtop-official" they keep `sides`.
        The printed ratios where there is no k."""
        if self.k_values is None:
            return self.ratios
        if self.unit == "share":
            return tuple(share * share for share in self.k_values)
        return self.kept or self.ratios

    def _k_value(self, ratio: float, rows: int, columns: int) -> float | None:
        """The one k whose square, cut to two decimals, is `ratio`; the official grids are square."""
        squares: dict[float, float] = {share: share * share for share in SHARES}
        if self.unit == "side":
            squares = {k: k * k / (rows * columns) for k in range(1, rows + 1)}
        return next((k for k, square in squares.items() if hundredths(square) == hundredths(ratio)), None)


def average(ratios: Sequence[float]) -> float:
    """Mean over blocks, the paper's N_avg."""
    return math.fsum(ratios) / len(ratios)


def hundredths(ratio: float) -> int:
    """A ratio cut to two decimals, times 100."""
    return math.floor(round(100 * ratio, 6))


def schedule_named(name: str) -> Schedule:
    """The schedule of that name, e.g. "sdtv1-0.65". Raises InputError for an unknown one."""
    found = next((schedule for schedule in SCHEDULES if schedule.name == name), None)
    if found is None:
        known = ", ".join(schedule.name for schedule in SCHEDULES)
        raise InputError(f"no schedule {name!r} in Tables 7 and 8 of the paper", f"known: {known}")
    return found


CIFAR_GRID = DVS_GRID = (8, 8)  # 32 x 32 pixels after two max-pools, 128 x 128 after four
IMAGENET_GRID = (14, 14)  # 224 x 224 pixels after four halvings
QK_GRIDS = ((56, 56), *((28, 28),) * 2, *(IMAGENET_GRID,) * 7)  # stages of 1, 2 and 7 blocks

SCHEDULES: tuple[Schedule, ...] = (
    Schedule("spikformer-cifar10-0.25", "Table 7", (0.76, 0.14, 0.06, 0.06), (CIFAR_GRID,) * 4, "side"),
    Schedule("spikformer-cifar10-0.20", "Table 7", (0.56, 0.14, 0.06, 0.06), (CIFAR_GRID,) * 4, "side"),
    Schedule("spikformer-cifar100-0.60", "Table 7", (0.76, 0.76, 0.76, 0.14), (CIFAR_GRID,) * 4, "side"),
    Schedule("spikformer-cifar100-0.55", "Table 7", (0.76, 0.76, 0.56, 0.14), (CIFAR_GRID,) * 4, "side"),
    Schedule("spikformer-dvscifar10-0.78", "Table 7", (0.78, 0.78), (DVS_GRID,) * 2, "side"),
    Schedule("spikformer-dvscifar10-0.50", "Table 7", (0.76, 0.25), (DVS_GRID,) * 2, "side"),
    Schedule("sdtv1-0.74", "Table 8", (1, 1, 0.73, 0.73, 0.73, 0.73, 0.51, 0.51), (IMAGENET_GRID,) * 8, "side"),
    Schedule("sdtv1-0.65", "Table 8", (1, 0.73, 0.73, 0.73, 0.51, 0.51, 0.51, 0.51), (IMAGENET_GRID,) * 8, "side"),
    Schedule("sdtv1-0.51", "Table 8", (0.73, 0.73, 0.51, 0.51, 0.51, 0.51, 0.32, 0.32), (IMAGENET_GRID,) * 8, "side"),
    Schedule("qkformer-0.72", "Table 8", (0.9,) * 2 + (0.72,) * 4 + (0.64,) * 4, QK_GRIDS, "share"),
    Schedule("qkformer-0.65", "Table 8", (0.81,) * 2 + (0.64,) * 5 + (0.56,) * 3, QK_GRIDS, "share"),
    Schedule("qkformer-0.53", "Table 8", (0.64,) * 3 + (0.49,) * 7, QK_GRIDS, "share"),
    Schedule("sdtv3-0.78", "Table 8", (1, 0.9, 0.9, 0.9, 0.64, 0.64, 0.64, 0.64), (IMAGENET_GRID,) * 8, "share"),
    Schedule("sdtv3-0.65", "Table 8", (0.81, 0.81, 0.64, 0.64, 0.64, 0.56, 0.56, 0.56), (IMAGENET_GRID,) * 8, "share"),
    Schedule("sdtv3-0.56", "Table 8", (0.64,) * 4 + (0.49,) * 4, (IMAGENET_GRID,) * 8, "share"),
)
