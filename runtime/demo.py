"""The demo: a trained, token-pruned spiking transformer from PyTorch to Lava, every step measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.artifact import write_artifact
from pumice.compiler.nir_file import read_nir
from pumice.compiler.options import CompileOptions, MaskMode
from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.compiler.program import Program
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.attribution import Rung, ladder
from pumice.runtime.float_model import FloatRun, run_float
from pumice.runtime.reference import Reference
from pumice.runtime.report import core_utilisation, energy_dict, mask_nodes, synops_dict
from pumice.runtime.result import Backend, RunResult
from pumice.runtime.validation import Comparison, accuracy, compare, compare_with_float

Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoPlan:
    """What the demo runs. retention: tokens kept, one ratio per block. criterion: how tokens are scored. lava_samples: how
    many samples run on Lava."""

    model: str = "spikformer-digits"
    chip: str = "loihi2"
    retention: tuple[float, ...] = (0.5, 0.5)
    criterion: Criterion = field(default_factory=Criterion)
    lava_samples: int = 16
    folder: Path = Path("out")


@dataclass(frozen=True, eq=False)
class Variant:
    """A compiled program and its run over all samples."""

    program: Program
    run: RunResult


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Everything that the demo measured, for its tables, its JSON and its picture."""

    plan: DemoPlan
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    unpruned_float: FloatRun
    pruned_float: FloatRun
    live: Variant
    static: Variant
    unpruned: Variant
    agreement: Comparison
    lava: Comparison
    rungs: list[Rung]
    artifact: Path
    seconds: float


def run_demo(plan: DemoPlan, lava: Backend, say: Say) -> DemoResult:
    """Runs the plan; `say` is told what is being done. Raises PumiceError as the parts do."""
    from pumice.models.checkpoints import load_zoo
    from pumice.models.digits import load_digits
    from pumice.models.nir_export import to_nir, write_nir
    from pumice.models.token_pruning import TokenPruning

    started = time.perf_counter()
    plan.folder.mkdir(parents=True, exist_ok=True)
    model, digits, chip = load_zoo(plan.model), load_digits(), load_chip(plan.chip)
    inputs, labels = digits.test.images.numpy(), digits.test.labels.numpy()
    say(f"running the float model on {len(inputs)} test images")
    unpruned_float = run_float(model, inputs, record=False)
    model.pruning = TokenPruning(plan.retention, plan.criterion)
    pruned_float = run_float(model, inputs)
    say("exporting to NIR, reading it back, quantizing")
    path = plan.folder / f"{plan.model}.nir"
    write_nir(to_nir(model), path)
    network = quantize(read_nir(path), digits.calibration.images.numpy(), chip, CompileOptions())
    say("compiling and running on `reference`: live masks, static masks, no masks")
    live, static, off = (_variant(network, chip, mode, inputs) for mode in ("live", "static", "off"))
    artifact = plan.folder / f"{plan.model}.pumice"
    write_artifact(live.program, artifact)
    say(f"running {plan.lava_samples} images on Lava, every layer recorded")
    on_lava = lava.run(live.program, inputs[: plan.lava_samples], record=True)
    say("validating against the float model")
    rungs = ladder(network.folded, off.program, unpruned_float.logits, off.run.logits, live.run.logits, inputs, labels)
    return DemoResult(
        plan,
        inputs,
        labels,
        unpruned_float,
        pruned_float,
        live,
        static,
        off,
        compare_with_float(live.run, pruned_float),
        _against_reference(on_lava, live.run),
        rungs,
        artifact,
        time.perf_counter() - started,
    )


def _variant(network: Quantized, chip: ChipSpec, mode: MaskMode, inputs: NDArray[Any]) -> Variant:
    program = finish(network, chip, replace(CompileOptions(), masks=mode))
    return Variant(program, Reference().run(program, inputs, record=mode == "live"))


def _against_reference(on_lava: RunResult, reference: RunResult) -> Comparison:
    """A run of the first samples against a run of all of them: samples do not depend on each other."""
    few = len(on_lava.outputs)
    spikes = {name: all_spikes[:, :few] for name, all_spikes in reference.spikes.items()}
    return compare(spikes, on_lava.spikes, reference.logits[:few], on_lava.logits)


def block_retention(run: RunResult, program: Program) -> dict[int, list[float]]:
    """Per block, the share of tokens routed at each timestep, measured in the run."""
    return {node.block: [float(step.mean()) for step in run.masks[node.name]] for node in mask_nodes(program)}


def demo_dict(result: DemoResult) -> dict[str, Any]:
    """The demo's figures as JSON-ready values. Energies in nanojoules per sample, counts per sample, time in seconds."""
    live, off = result.live.run, result.unpruned.run
    assert live.counts is not None
    assert off.counts is not None
    pruned, unpruned = energy_dict(live.counts), energy_dict(off.counts)
    by_block = block_retention(live, result.live.program)
    return {
        "model": result.plan.model,
        "chip": result.plan.chip,
        "samples": len(result.inputs),
        "accuracy": {
            "float": accuracy(result.unpruned_float.logits, result.labels),
            "float_pruned": accuracy(result.pruned_float.logits, result.labels),
            "compiled": accuracy(live.logits, result.labels),
            "compiled_static": accuracy(result.static.run.logits, result.labels),
            "compiled_unpruned": accuracy(off.logits, result.labels),
        },
        "attribution": [vars(rung) for rung in result.rungs],
        "spike_agreement": result.agreement.spikes,
        "first_divergence": str(result.agreement.first) if result.agreement.first else None,
        "bit_exact": {"lava": result.lava.exact and result.lava.logits_max == 0, "samples": result.plan.lava_samples},
        "retention": {"mean": float(np.mean([np.mean(v) for v in by_block.values()])), "by_block_and_step": by_block},
        "cores": len(result.live.program.mapping.cores),
        "chips": result.live.program.mapping.chips,
        "utilisation": core_utilisation(result.live.program),
        "latency_steps": latency_steps(result.live.program.graph),
        "interval_steps": result.live.program.graph.timesteps,
        "synops": synops_dict(live.counts),
        "synops_unpruned": synops_dict(off.counts),
        "mask_bits": live.counts.mask_bits / live.counts.samples,
        "score_operations": live.counts.score_operations / live.counts.samples,
        "energy_excludes": ["off-core token scorer", "mask lookup"],
        "energy_nj": {name: {"pruned": pruned[name], "unpruned": unpruned[name]} for name in pruned},
        "device": result.unpruned_float.device,
        "seconds": result.seconds,
    }
