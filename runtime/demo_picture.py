"""The demo's figures, arranged for its picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.counters import CountTable
from pumice.hwsim.energy import energy_per_sample, load_profile, profile_names
from pumice.runtime.demo import DemoResult
from pumice.runtime.demo_models import as_images
from pumice.runtime.picture import DemoPicture, Headline, draw_demo
from pumice.runtime.picture_cores import placed_cores
from pumice.runtime.pruning import scoring_gates
from pumice.runtime.report import mask_nodes

BARS = "loihi1_sanafe"


def draw(path: Path, result: DemoResult, figures: dict[str, Any]) -> None:
    """Draws the demo's picture at `path`. figures: its `demo_dict`."""
    shown = first_of_each_class(result.labels)
    routed, off = result.routed.run.counts, result.unpruned.run.counts
    assert routed is not None
    assert off is not None
    chip = result.routed.program.chip
    picture = DemoPicture(
        model=result.plan.model,
        chip=chip.name,
        images=as_images(result.inputs[shown]),
        labels=result.labels[shown],
        predictions=result.routed.run.predictions[shown],
        masks=_masks(result, shown),
        energy=_energies(routed, off),
        bars=load_profile(BARS).title,
        cores=placed_cores(result.routed.program),
        mesh=(chip.mesh_columns, chip.mesh_rows, chip.cores_per_tile),
        headline=_headline(figures),
        incomplete=tuple(
            load_profile(name).title for name, both in figures["energy_nj"].items() if None in both.values()
        ),
    )
    draw_demo(path, picture)


def first_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the first sample of each class, in class order."""
    return np.array([int(np.argmax(labels == k)) for k in np.unique(labels)])


def _masks(result: DemoResult, shown: NDArray[np.int64]) -> dict[int, NDArray[np.bool_]]:
    found = {}
    grids = {gate.block: gate.grid for gate in scoring_gates(result.routed.program)}
    for node in mask_nodes(result.routed.program):
        mask = result.routed.run.masks[node.name][:, shown]
        grid = grids[node.block]
        found[node.block] = mask.reshape(*mask.shape[:2], *grid)
    return found


def _energies(routed: CountTable, off: CountTable) -> dict[str, dict[str, tuple[float, float]]]:
    table = {}
    for profile in map(load_profile, profile_names()):
        pruned, unpruned = energy_per_sample(routed, profile), energy_per_sample(off, profile)
        # The cheaper order of an attention may differ between the two, and with it the name of its first product.
        names = dict.fromkeys([*pruned.by_layer, *unpruned.by_layer])
        table[profile.title] = {n: (pruned.by_layer.get(n, 0.0), unpruned.by_layer.get(n, 0.0)) for n in names}
    return table


def _headline(figures: dict[str, Any]) -> Headline:
    return Headline(
        float_accuracy=figures["accuracy"]["float"],
        accuracy=figures["accuracy"]["compiled"],
        static_accuracy=figures["accuracy"]["compiled_static"],
        spike_agreement=figures["spike_agreement"],
        retention=figures["retention"]["mean"],
        cores=figures["cores"],
        chips=figures["chips"],
        latency=figures["latency_steps"],
        synops=figures["synops"]["events"],
        synops_unpruned=figures["synops_unpruned"]["events"],
    )
