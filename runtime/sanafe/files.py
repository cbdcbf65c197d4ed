"""The files: architecture.yaml and network.yaml for SANA-FE, index.json for whoever reads its results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.hwsim.energy import load_profile
from pumice.runtime.reference import input_frames
from pumice.runtime.sanafe.architecture import architecture_lines
from pumice.runtime.sanafe.network import network_lines
from pumice.runtime.sanafe.plan import Plan, plan_of

PROFILE = "loihi1_sanafe"
NAMES = ("architecture.yaml", "network.yaml", "index.json")
LINES_AT_ONCE = 4096


def write_sanafe(program: Program, folder: Path, samples: NDArray[Any] | None = None, sample: int = 0) -> Plan:
    """`program` for SANA-FE into `folder`, which is made where its parent is there. samples [B, …]: the input plays number
    `sample` of them; nothing where there are none.

    Raises UnsupportedNode for what SANA-FE cannot express, InputError for several chips, samples of another shape or that are
    not spikes, and a folder that cannot be written; files that were there then stay.
    """
    plan, profile = plan_of(program), load_profile(PROFILE)
    frames = _frames(plan, samples, sample)
    architecture = list(
        architecture_lines(plan, profile)
    )  # small; and a missing price is found before anything is written
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be a folder ({error.strerror})", "choose another; its parent must exist"
        ) from error
    index = json.dumps(index_of(plan), indent=2) + "\n"
    for name, lines in zip(NAMES, (architecture, network_lines(plan, frames), [index.rstrip("\n")]), strict=True):
        write_atomically(folder / name, _pieces(lines))
    return plan


def _frames(plan: Plan, samples: NDArray[Any] | None, sample: int) -> NDArray[np.int64]:
    graph = plan.program.graph
    if samples is None:
        return np.zeros((graph.timesteps, *plan.entry.out.shape), np.int64)
    if not 0 <= sample < len(samples):
        raise InputError(f"--sample {sample}: the input has {len(samples)} samples", f"0 to {len(samples) - 1}")
    if not np.isin(samples[sample], (0, 1)).all():
        raise InputError(f"sample {sample}: values other than 0 and 1", "SANA-FE's input is spikes")
    return input_frames(graph, samples[sample : sample + 1])[:, 0]


def index_of(plan: Plan) -> dict[str, Any]:
    """What to run and where to look: steps, and per population its node, shape, the step at which its sample begins, whether
    membranes must be set to 0 there, and whether it only adds up."""
    layers = [
        {
            "population": p.name,
            "node": name,
            "source": p.group.neurons.source,
            "shape": list(p.group.neurons.out.shape),
            "first_step": p.depth,
            "set_to_0": p.soma.late,
            "reads_out": isinstance(p.group.neurons, i.Readout),
            "synapses": p.synapse,
            "units": [f"soma_{part.unit}" for part in p.parts],
        }
        for name, p in plan.populations.items()
    ]
    return {
        "steps": plan.steps,
        "timesteps": plan.program.graph.timesteps,
        "profile": PROFILE,
        "source_hash": plan.program.source_hash,
        "inputs": list(plan.hosts.values()),
        "layers": layers,
    }


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines as a few large pieces, never all of them."""
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == LINES_AT_ONCE:
            yield ("\n".join(held) + "\n").encode()
            held = []
    yield "".join(f"{line}\n" for line in held).encode()
