"""The pages of `pumice explain`: one node in lines, a network in a table, either as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pumice.compiler.explaining.explanation import Errors, Explanation, Step, Weights
from pumice.compiler.options import CompileOptions
from pumice.hwsim.spec import ChipSpec

COLUMNS = ("node", "s", "integers", "largest w", "clipped", "to 0", "error of", "mean", "most", "alike", "changed")
TOLD = {
    "vth": "vth",
    "threshold": "threshold",
    "dv": "dv",
    "du": "du",
    "most": "most spikes",
    "shift": "shift",
    "log2(s)": "log2(s)",
    "log2(s/unit)": "log2(s/unit)",
    "thresholds": "levels",
}


def explain_dict(found: Sequence[Explanation], chip: ChipSpec, options: CompileOptions) -> dict[str, Any]:
    """Everything, for JSON. Numbers are whole: from them, `rule` gives `integers` again."""
    nodes = [asdict(one) for one in found]
    return {"chip": chip.name, "weight_bits": options.weight_bits, "input_bits": options.input_bits, "nodes": nodes}


def node_lines(one: Explanation) -> Iterator[str]:
    """What is said of one node."""
    others = [name for name in one.covers if name != one.node]
    yield one.node + (f" (with {', '.join(others)})" if others else "")
    yield f"  {one.kind}" + ("; nothing is rounded" if one.exact else "")
    for step in one.steps:
        yield from _step_lines(step)
    if one.weights:
        yield f"  weights: {weights_line(one.weights)}"
    yield from (f"    of {name}: {weights_line(lost)}" for name, lost in one.synapses)
    yield from (f"  {note}" for note in one.notes)
    if one.errors:
        yield "  on calibration data, this node alone on the float network's input:"
        yield from (f"    {line}" for line in error_lines(one.errors))


def _step_lines(step: Step) -> Iterator[str]:
    yield f"  {step.result} = {step.rule}"
    yield f"    {step.filled}" + (f"   ({step.remark})" if step.remark else "")


def weights_line(lost: Weights) -> str:
    """What rounding did to the weights, in a line."""
    return (
        f"{lost.count:,}, of them {lost.clipped:,} clipped and {lost.zeroed:,} rounded to zero; "
        f"|w_int/s - w| at most {lost.largest_error:.3g}, {lost.mean_error:.3g} on average"
    )


def error_lines(e: Errors) -> Iterator[str]:
    """How far the node is from the float one."""
    yield f"|error of {e.of}|, float units: {e.mean:.3g} on average, {e.largest:.3g} at most"
    if e.before_change is not None:
        yield f"{e.before_change:.3g} at most among neurons that have sent the same so far"
    if e.changed is not None:
        yield f"{e.changed:.4%} of the {e.sent} changed"


def network_table(found: Sequence[Explanation]) -> Table:
    """A row for every node that rounds. most: the largest error; alike: among neurons that have sent the same so far."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in COLUMNS:
        table.add_column(name, overflow="fold", no_wrap=name == "node")
    for one in found:
        if not one.exact:
            table.add_row(*_row(one))
    return table


def _row(one: Explanation) -> tuple[str, ...]:
    steps = {step.result: step for step in one.steps}
    scale = next((s.numbers["s"] for s in reversed(one.steps) if "s" in s.numbers), None)
    integers = ", ".join(f"{TOLD[name]} {_integers(step)}" for name, step in steps.items() if name in TOLD)
    weights = [
        step.integers for name, step in steps.items() if name.startswith("w_int") and isinstance(step.integers, int)
    ]
    largest = str(max(weights, key=abs)) if weights else ""
    lost = (f"{one.weights.clipped:,}", f"{one.weights.zeroed:,}") if one.weights else ("", "")
    return (one.node, "" if scale is None else f"{scale:.5g}", integers, largest, *lost, *_errors(one.errors))


def _integers(step: Step) -> str:
    return str(step.integers) if isinstance(step.integers, int) else f"{min(step.integers)} to {max(step.integers)}"


def _errors(e: Errors | None) -> tuple[str, ...]:
    if e is None:
        return ("",) * 5
    alike = "" if e.before_change is None else f"{e.before_change:.2g}"
    changed = "" if e.changed is None else f"{e.changed:.3%}"
    return (e.of, f"{e.mean:.2g}", f"{e.largest:.2g}", alike, changed)


def exact_line(found: Sequence[Explanation]) -> str:
    """The nodes that the table leaves out."""
    kinds: dict[str, int] = {}
    for one in found:
        if one.exact:
            kind = one.kind.partition(":")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    total = sum(kinds.values())
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"exact, so not in the table: {total} nodes that move or add integers" + (f" ({said})" if said else "")
