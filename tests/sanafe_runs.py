"""Runs what Pumice wrote for SANA-FE in SANA-FE itself: `python sanafe_runs.py FOLDER …` writes FOLDER/found.json for each, in a
process of its own, which alone holds SANA-FE's code and memory."""

from __future__ import annotations

import csv
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TIMEOUT_S = 120
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "sanafe.md"


def documented() -> str:
    """The Python of the document."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(block)


def run_folders(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What SANA-FE found for each folder, see `_found`."""
    command = [sys.executable, __file__, *map(str, folders)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return [json.loads((folder / "found.json").read_text()) for folder in folders]


def _found(sanafe: Any, folder: Path) -> dict[str, Any]:
    """fired: (step, population, neuron); messages: (step, population, to (x, y, core), synapses, hops E-W, hops N-S); soma_j: per
    soma unit its energy in each step; potentials: of the watched neurons after the last step; and SANA-FE's own totals."""
    shown: dict[str, Any] = {"sanafe": sanafe}
    exec(documented(), shown)
    parts = shown["run_sanafe"](folder)
    every = [step for part in parts for step in zip(part["spike_trace"], part["message_trace"], strict=True)]
    rows = [row for path in sorted(folder.glob("energy_*.csv")) for row in csv.DictReader(path.open())]
    totals = ("spikes", "packets_sent", "neurons_fired", "neurons_updated", "timesteps_executed")
    return {
        **{name: sum(part[name] for part in parts) for name in totals},
        "hops": sum(int(row["hops"]) for row in rows),
        "energy": {term: sum(part["energy"][term] for part in parts) for term in parts[0]["energy"]},
        "fired": [(t, *str(at).rsplit(".", 1)) for t, (fired, _) in enumerate(every) for at in fired],
        "messages": [_message(t, message) for t, (_, sent) in enumerate(every) for message in sent],
        "potentials": parts[-1]["potential_trace"][-1],
        "soma_j": {key.split(".")[2]: [float(row[key]) for row in rows] for key in rows[0] if key.count(".") == 3},
    }


def _message(step: int, message: dict[str, Any]) -> list[Any]:
    assert not message["placeholder"]
    ew, ns = (abs(int(message[f"src_{axis}"]) - int(message[f"dest_{axis}"])) for axis in "xy")
    to = [int(message["dest_x"]), int(message["dest_y"]), int(message["dest_core_offset"])]
    return [step, message["src_neuron_group_id"], to, int(message["spikes"]), ew, ns]


def main() -> None:
    """The worker."""
    sanafe = importlib.import_module("sanafe")
    for folder in map(Path, sys.argv[1:]):
        (folder / "found.json").write_text(json.dumps(_found(sanafe, folder)))


if __name__ == "__main__":
    main()
