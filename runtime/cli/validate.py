"""pumice validate: hold a program against the float model it came from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from numpy.typing import NDArray
from rich.table import Table

from pumice.compiler.artifact import read_artifact
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.runtime.attribution import Rung, attribute
from pumice.runtime.backends import make_backend
from pumice.runtime.cli.common import LabelledSamples, console, read_array, read_model, read_samples, write_json
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.float_model import run_float
from pumice.runtime.pruning import float_run_as, given_schedule
from pumice.runtime.reference import Reference
from pumice.runtime.validation import Comparison, accuracy, compare, compare_with_float

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork


def validate_command(
    program: Annotated[Path, typer.Argument(help="The .pumice artifact.")],
    model: Annotated[str, typer.Option(help="The model it was compiled from: a zoo name or a checkpoint.")],
    input: Annotated[
        str,
        typer.Option(
            help="Samples [samples, …] in a .npy file; by default the data set that the model was trained on."
        ),
    ] = "",
    labels: Annotated[Path | None, typer.Option(help="Labels [samples] in a .npy file, for accuracies.")] = None,
    calibration: Annotated[
        str,
        typer.Option(help="The calibration samples that the artifact was compiled with; by default the model's own."),
    ] = "",
    backend: Annotated[str, typer.Option(help="reference or lava.")] = "reference",
    samples: Annotated[int | None, typer.Option(help="Use only the first so many samples.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything, as JSON.")] = None,
) -> None:
    """Compare layer by layer and step by step with the torch model and with the model compiled again, and say where
    accuracy went."""
    compiled = read_artifact(program)
    data = _first(read_samples(input, model=model) if labels is None else _labelled(input, labels), samples)
    network = read_model(model)
    unpruned = run_float(network, data.inputs, record=False)
    reference = float_run_as(network, compiled, data.inputs)
    schedule = given_schedule(compiled, reference.masks)
    with progress_bar(f"running on {backend}") as progress:
        result = make_backend(backend, progress).run(compiled, data.inputs, schedule, record=True)
    comparison = compare_with_float(result, reference)
    found: dict[str, Any] = {
        "comparison": comparison.as_dict(),
        "device": reference.device,
        "samples": len(data.inputs),
    }
    _print_comparison(comparison)
    halfway = _quantized_again(network, read_samples(calibration, "calibration", model).inputs, compiled)
    again = finish(halfway, compiled.chip, compiled.options, measure=measure_rates)
    fresh = Reference(counts=False).run(again, data.inputs, schedule, record=True)
    recompiled = compare(fresh.spikes, result.spikes, fresh.logits, result.logits)
    found["recompiled"] = recompiled.as_dict()
    console().print(f"first spike that differs from the model compiled again: {recompiled.first or 'none'}")
    if data.labels is not None:
        rungs = attribute(halfway, compiled, unpruned.logits, result.logits, data.inputs, data.labels)
        found["accuracy"] = {
            "float_pruned": accuracy(reference.logits, data.labels),
            "compiled": accuracy(result.logits, data.labels),
        }
        found["attribution"] = [vars(rung) for rung in rungs]
        _print_rungs(rungs)
    write_json(json, found)


def _quantized_again(network: SpikingNetwork, calibration: NDArray[Any], compiled: Program) -> Quantized:
    """The model through the first half of the compiler once more: an artifact that was changed since differs from it."""
    from pumice.models.nir.export import to_nir

    with progress_bar("quantizing again") as progress:
        return quantize(to_nir(network), calibration, compiled.chip, compiled.options, progress=progress)


def _labelled(inputs: str, labels: Path) -> LabelledSamples:
    data = read_samples(inputs)
    wanted = read_array(labels)
    if wanted.shape != (len(data.inputs),):
        raise InputError(f"{labels}: shape {wanted.shape} for {len(data.inputs)} samples", "one label per sample")
    return LabelledSamples(data.inputs, wanted)


def _first(data: LabelledSamples, count: int | None) -> LabelledSamples:
    return (
        data
        if count is None
        else LabelledSamples(data.inputs[:count], None if data.labels is None else data.labels[:count])
    )


def _print_comparison(comparison: Comparison) -> None:
    table = Table("layer", "equal spikes", "by step", "rate float", "rate compiled", "first divergence", box=None)
    for layer in comparison.layers:
        steps = " ".join(f"{share:.1%}" for share in layer.by_step)
        first = (
            ""
            if layer.first is None
            else f"step {layer.first.step}, sample {layer.first.sample}, neuron {layer.first.neuron}"
        )
        table.add_row(
            layer.layer, f"{layer.spikes:.2%}", steps, f"{layer.rate_expected:.2%}", f"{layer.rate_got:.2%}", first
        )
    out = console()
    out.print(table)
    out.print(f"equal spikes over all layers {comparison.spikes:.3%}; same class {comparison.agree:.2%}")
    out.print(f"logits differ by {comparison.logits_mean:.4f} on average, {comparison.logits_max:.4f} at most")
    out.print(f"first divergence: {comparison.first or 'none'}")


def _print_rungs(rungs: list[Rung]) -> None:
    table = Table("after", "accuracy", "lost", box=None)
    for rung in rungs:
        table.add_row(rung.change, f"{rung.accuracy:.2%}", f"{rung.lost:+.2%}")
    console().print(table)
