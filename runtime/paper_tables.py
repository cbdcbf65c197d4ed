"""A paper's table of operations and energy, computed again and set beside what was printed.

What can be computed is computed: the dense operations of the blocks (from the architecture, on as many tokens as the schedule
really keeps) and the first convolution's MACs. What cannot, firing rates, comes from the unpruned row: Eq. 25 is
OPs_block = fr · T · FLOPs_block, so that row gives fr · T; and Eq. 24 is Power = c + 0.9 pJ · OPs_block, where pruning leaves
c, the embedding and the head, as it was, so that row gives c. Every other row is then a prediction, and may miss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pumice.hwsim.energy import load_profile
from pumice.runtime.paper_data import Published, PublishedModel, PublishedTable

if TYPE_CHECKING:
    from pumice.models.profiling.dense_operations import DenseOperations

OPS_ROUNDING = 0.005  # G, half of the last digit printed
POWER_ROUNDING = 0.005  # mJ


@dataclass(frozen=True)
class TableRow:
    """One row, printed and computed.

    n_avg_printed: mean of the schedule's printed ratios; n_avg_run: share of tokens that the official code keeps, mean over
    blocks. dense_g: 10⁹ MACs of the blocks per timestep on the tokens kept. ops_g: dense_g at the unpruned row's fr · T.
    rate_needed: the fr · T that the printed figure takes. power_mj: the unpruned row's constant and 0.9 pJ per operation.
    notes: what the printed row does not share with the schedule that it names.
    """

    published: Published
    n_avg_printed: float
    n_avg_run: float
    dense_g: float
    ops_g: float
    rate_needed: float
    power_mj: float
    notes: tuple[str, ...]

    @property
    def ops_ratio(self) -> float:
        """Ours over the printed figure."""
        return self.ops_g / self.published.ops_g

    @property
    def power_ratio(self) -> float:
        """Ours over the printed figure."""
        return self.power_mj / self.published.power_mj


@dataclass(frozen=True)
class Constant:
    """What Eq. 24 adds to the blocks, in mJ. total: from the unpruned row. first: the first convolution's MACs, computed, and
    counted once. rest: what remains for the other convolutions and the head, of dense_g 10⁹ MACs per timestep; that is
    fr · T = rate in them. first_per_step: the first convolution counted at every timestep."""

    total: float
    first: float
    rest: float
    dense_g: float
    rate: float
    first_per_step: float


@dataclass(frozen=True)
class ModelTable:
    """The rows of one network; rate: fr · T of its blocks, by the unpruned row."""

    model: PublishedModel
    rate: float
    constant: Constant
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class _Basis:
    """What the unpruned row gives all others."""

    unpruned: Published
    rate: float
    constant: Constant


def compute(table: PublishedTable) -> tuple[ModelTable, ...]:
    """Every model's rows. Needs torch."""
    return tuple(compute_model(model) for model in table.models)


def compute_model(model: PublishedModel) -> ModelTable:
    """One model's rows, from its unpruned first one."""
    from pumice.models.profiling.dense_operations import block_operations, dense_operations
    from pumice.models.pruning.schedules import schedule_named

    whole = dense_operations(model.family, model.config)
    unpruned = model.rows[0]
    rate = unpruned.ops_g / _giga(whole.blocks)
    constant = _constant(unpruned, whole, model.steps)
    basis = _Basis(unpruned, rate, constant)
    rows = [_row(unpruned, (1.0, 1.0), whole.blocks, basis)]
    for published in model.rows[1:]:
        schedule = schedule_named(published.schedule)
        assert schedule.sides is not None
        assert schedule.run_average is not None
        kept = block_operations(model.family, model.config, schedule.sides)
        rows.append(_row(published, (schedule.nominal_average, schedule.run_average), kept, basis))
    return ModelTable(model, rate, constant, tuple(rows))


def _giga(blocks: Iterable[int]) -> float:
    return sum(blocks) / 1e9


def _prices() -> tuple[float, float]:
    """Picojoules per MAC and per AC, Horowitz 2014."""
    prices = load_profile("horowitz45")
    assert prices.mac is not None
    assert prices.synop_dense is not None
    return prices.mac, prices.synop_dense


def _constant(unpruned: Published, dense: DenseOperations, steps: int) -> Constant:
    mac, ac = _prices()
    total = unpruned.power_mj - ac * unpruned.ops_g
    first, others = mac * dense.first / 1e9, dense.rest / 1e9
    rest = total - first
    return Constant(total, first, rest, others, rest / ac / others, steps * first)


def _row(published: Published, averages: tuple[float, float], blocks: Iterable[int], basis: _Basis) -> TableRow:
    _, ac = _prices()
    dense = _giga(blocks)
    ops = basis.rate * dense
    row = TableRow(published, *averages, dense, ops, published.ops_g / dense, basis.constant.total + ac * ops, ())
    notes = (*_ops_notes(row, basis), *_power_notes(published, basis.constant, ac))
    return replace(row, notes=notes)


def _ops_notes(row: TableRow, basis: _Basis) -> list[str]:
    """Whether the printed OPs follow from the tokens really kept, to within the rounding of both printed figures and 0.5 %."""
    printed = row.published.ops_g
    slack = OPS_ROUNDING * (1 + row.ops_g / basis.unpruned.ops_g) + 0.005 * printed
    if abs(row.ops_g - printed) <= slack:
        return []
    share = row.rate_needed / basis.rate - 1
    side = "higher" if share > 0 else "lower"
    lines = [
        f"OPs {printed:g} does not follow from the tokens really kept at the unpruned firing rate: "
        f"it takes a rate {abs(share):.1%} {side}"
    ]
    nominal = row.n_avg_printed * basis.unpruned.ops_g
    if abs(nominal - printed) <= 0.01 * printed:
        lines.append(
            f"OPs {printed:g} is, within 1%, the printed N_avg times the unpruned figure ({nominal:.2f}), which no block runs"
        )
    return lines


def _power_notes(published: Published, constant: Constant, ac: float) -> list[str]:
    """Whether the printed power leaves everything but the blocks as it was, to within the rounding of four figures."""
    rest = published.power_mj - ac * published.ops_g
    slack = 2 * (POWER_ROUNDING + ac * OPS_ROUNDING)
    if abs(rest - constant.total) <= slack:
        return []
    return [
        f"power {published.power_mj:g} leaves {rest:.2f} mJ for embedding and head, not {constant.total:.2f}: "
        "pruned blocks cannot change that by Eq. 24"
    ]
