"""A sweep as a Parquet file: a row for each finished point, in the grid's order."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumice.errors import BackendUnavailable
from pumice.files import write_atomically
from pumice.hwsim.energy import profile_names
from pumice.runtime.sweep.fronts import fronts, objectives
from pumice.runtime.sweep.points import Outcome, Point

SPLITS = ("calibration", "validation", "test")
WHOLE = ("samples", "samples_test", "cores", "chips", "latency_steps", "interval_steps")
SYNOPS = ("synops_events", "synops_events_weighted", "synops_eq25", "synops_dense", "macs")


def check_parquet() -> None:
    """Raises BackendUnavailable without pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable("pumice sweep writes Parquet with pyarrow", "pip install 'pumice[sweep]'") from error


def result_columns() -> tuple[str, ...]:
    """The values of a point, as `evaluate` names them; each is null where it is not measured or not published."""
    priced = [f"{what}_{name}" for what in ("energy_nj", "latency_us", "us_per_sample") for name in profile_names()]
    counted = (*SYNOPS, "spikes", "messages", "hops", *priced)
    shares = ("synapse_density", "spike_agreement")
    return (*(f"accuracy_{split}" for split in SPLITS), *WHOLE, *shares, *counted)


def rows(points: Sequence[Point], outcomes: Mapping[int, Outcome], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each finished point. `run_seconds` and `run_worker` depend on where it ran, nothing else does."""
    best = fronts(list(outcomes.values()), f"accuracy_{settings['split']}")
    return [_row(point, outcomes[point.index], best, settings) for point in points if point.index in outcomes]


def _row(
    point: Point, outcome: Outcome, best: Mapping[str, Sequence[int]], settings: Mapping[str, Any]
) -> dict[str, Any]:
    shared = {name: settings[name] for name in ("model", "split", "criterion", "backend", "version")}
    return {
        **vars(point),
        "retention": list(point.retention),
        **shared,
        **{name: outcome.result.get(name) for name in result_columns()},
        **{f"front_{name}": _on(best[name], outcome, name) for name in objectives()},
        "error": outcome.error,
        "error_kind": outcome.kind,
        "run_seconds": outcome.seconds,
        "run_worker": outcome.worker,
    }


def _on(front: Sequence[int], outcome: Outcome, objective: str) -> bool | None:
    return None if outcome.result.get(objective) is None else outcome.index in front


def write_table(path: Path, table: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> None:
    """Writes the rows; the settings of the sweep are in the file's metadata, key `pumice`, as JSON. Whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {"pumice": json.dumps(settings, sort_keys=True)}
    schema = pa.schema([(name, _type(name)) for name in columns()], metadata=said)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in table], schema=schema), buffer)
    write_atomically(path, buffer.getvalue())


def columns() -> tuple[str, ...]:
    """The names of all columns, in order."""
    point = ("index", "retention", "bits", "density", "chip", "mapping", "masks")
    shared = ("model", "split", "criterion", "backend", "version")
    found = (*result_columns(), *(f"front_{name}" for name in objectives()))
    return (*point, *shared, *found, "error", "error_kind", "run_seconds", "run_worker")


def _type(name: str) -> Any:
    import pyarrow as pa

    if name == "retention":
        return pa.list_(pa.float64())
    if name in ("index", "bits", *WHOLE):
        return pa.int64()
    if name.startswith("front_"):
        return pa.bool_()
    words = ("chip", "mapping", "masks", "model", "split", "criterion", "backend", "version", "error", "error_kind")
    return pa.string() if name in (*words, "run_worker") else pa.float64()
