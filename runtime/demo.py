"""The demo: a trained, token-pruned spiking transformer from PyTorch to Lava, every step measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.artifact import write_artifact
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.options import CompileOptions, MaskMode
from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.compiler.program import Program
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.attribution import Rung, ladder
from pumice.runtime.demo_models import demo_models
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.float_model import FloatRun, run_float
from pumice.runtime.latency_report import latency_dict
from pumice.runtime.links import busiest_links
from pumice.runtime.pruning import given_schedule
from pumice.runtime.reference import Reference
from pumice.runtime.report import core_utilisation, energy_dict, mask_nodes, synapse_density, synops_dict
from pumice.runtime.result import Backend, RunResult
from pumice.runtime.validation import Comparison, accuracy, compare, compare_with_float

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork

Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoPlan:
    """What the demo runs. retention: tokens kept, one ratio for all blocks or one per block. criterion: how tokens are
    scored. lava_samples: how many samples run on Lava."""

    model: str = "spikformer-digits"
    chip: str = "loihi2"
    retention: tuple[float, ...] = (0.5,)
    criterion: Criterion = field(default_factory=Criterion)
    lava_samples: int = 16
    folder: Path = Path("out")


@dataclass(frozen=True, eq=False)
class Variant:
    """A compiled program and its run over all samples. schedule: the masks that it was given with them, if any."""

    program: Program
    run: RunResult
    schedule: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Everything that the demo measured, for its tables, its JSON and its picture. masks: where those of `routed` come from."""

    plan: DemoPlan
    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    unpruned_float: FloatRun
    pruned_float: FloatRun
    masks: MaskMode
    parameters: int
    routed: Variant
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
    from pumice.models.training.datasets import zoo_data

    started = time.perf_counter()
    plan.folder.mkdir(parents=True, exist_ok=True)
    models = demo_models(load_zoo(plan.model), plan.retention, plan.criterion)
    data, chip = zoo_data(plan.model), load_chip(plan.chip)
    inputs, labels = data.test.images.numpy(), data.test.labels.numpy()
    say(f"running the float model on {len(inputs)} test samples")
    unpruned_float = run_float(models.unpruned, inputs, record=False)
    pruned_float = run_float(models.pruned, inputs)
    say("exporting to NIR, reading it back, quantizing")
    calibration = data.calibration.images.numpy()
    network = _quantized(models.pruned, plan.folder / f"{plan.model}.nir", calibration, chip)
    whole = network if models.masks == "live" else quantize(_nir(models.unpruned), calibration, chip, CompileOptions())
    say(f"compiling and running on `reference`: {models.masks} masks, static masks, no masks")
    routed = _routed(network, chip, models.masks, inputs, pruned_float)
    static, off = _variant(network, chip, "static", inputs), _variant(whole, chip, "off", inputs)
    artifact = plan.folder / f"{plan.model}.pumice"
    write_artifact(routed.program, artifact)
    say(f"running {plan.lava_samples} samples on Lava, every layer recorded")
    few = None if routed.schedule is None else routed.schedule[: plan.lava_samples]
    on_lava = lava.run(routed.program, inputs[: plan.lava_samples], few, record=True)
    say("validating against the float model")
    logits = (unpruned_float.logits, off.run.logits, routed.run.logits)
    return DemoResult(
        plan=plan,
        inputs=inputs,
        labels=labels,
        unpruned_float=unpruned_float,
        pruned_float=pruned_float,
        masks=models.masks,
        parameters=sum(weight.numel() for weight in models.pruned.parameters()),
        routed=routed,
        static=static,
        unpruned=off,
        agreement=compare_with_float(routed.run, pruned_float),
        lava=_against_reference(on_lava, routed.run),
        rungs=ladder(whole.folded, off.program, *logits, inputs, labels),
        artifact=artifact,
        seconds=time.perf_counter() - started,
    )


def _nir(model: SpikingNetwork) -> nir.NIRGraph:
    from pumice.models.nir.export import to_nir

    return to_nir(model)


def _quantized(model: SpikingNetwork, path: Path, calibration: NDArray[Any], chip: ChipSpec) -> Quantized:
    """The model through its NIR file, as any other program would read it."""
    from pumice.models.nir.export import write_nir

    write_nir(_nir(model), path)
    return quantize(read_nir(path), calibration, chip, CompileOptions())


def _routed(network: Quantized, chip: ChipSpec, mode: MaskMode, inputs: NDArray[Any], model: FloatRun) -> Variant:
    """The program that routes tokens, with the float model's own choice where masks are given."""
    program = finish(network, chip, replace(CompileOptions(), masks=mode), measure=measure_rates)
    schedule = given_schedule(program, model.masks)
    return Variant(program, Reference().run(program, inputs, schedule, record=True), schedule)


def _variant(network: Quantized, chip: ChipSpec, mode: MaskMode, inputs: NDArray[Any]) -> Variant:
    program = finish(network, chip, replace(CompileOptions(), masks=mode), measure=measure_rates)
    return Variant(program, Reference().run(program, inputs))


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
    routed, off = result.routed.run, result.unpruned.run
    assert routed.counts is not None
    assert off.counts is not None
    pruned, unpruned = energy_dict(routed.counts), energy_dict(off.counts)
    times = latency_dict(result.routed.program, routed.counts)
    times_off = latency_dict(result.unpruned.program, off.counts)
    by_block = block_retention(routed, result.routed.program)
    return {
        "model": result.plan.model,
        "chip": result.plan.chip,
        "masks": result.masks,
        "samples": len(result.inputs),
        "parameters": result.parameters,
        "synapse_density": synapse_density(result.routed.program),
        "accuracy": {
            "float": accuracy(result.unpruned_float.logits, result.labels),
            "float_pruned": accuracy(result.pruned_float.logits, result.labels),
            "compiled": accuracy(routed.logits, result.labels),
            "compiled_static": accuracy(result.static.run.logits, result.labels),
            "compiled_unpruned": accuracy(off.logits, result.labels),
        },
        "attribution": [vars(rung) for rung in result.rungs],
        "spike_agreement": result.agreement.spikes,
        "first_divergence": str(result.agreement.first) if result.agreement.first else None,
        "bit_exact": {"lava": result.lava.exact and result.lava.logits_max == 0, "samples": result.plan.lava_samples},
        "retention": {"mean": float(np.mean([np.mean(v) for v in by_block.values()])), "by_block_and_step": by_block},
        "cores": len(result.routed.program.mapping.cores),
        "chips": result.routed.program.mapping.chips,
        "utilisation": core_utilisation(result.routed.program),
        "latency_steps": latency_steps(result.routed.program.graph),
        "interval_steps": result.routed.program.graph.timesteps,
        "synops": synops_dict(routed.counts),
        "synops_unpruned": synops_dict(off.counts),
        "mask_bits": routed.counts.mask_bits / routed.counts.samples,
        "score_operations": routed.counts.score_operations / routed.counts.samples,
        "energy_excludes": ["off-core token scorer", "mask lookup"],
        "energy_nj": {name: {"pruned": pruned[name], "unpruned": unpruned[name]} for name in pruned},
        "latency_model": {name: {"pruned": times[name], "unpruned": times_off[name]} for name in times},
        "busiest_links": [link.as_dict() for link in busiest_links(result.routed.program, routed.counts)],
        "device": result.unpruned_float.device,
        "seconds": result.seconds,
    }
