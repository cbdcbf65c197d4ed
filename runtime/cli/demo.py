"""pumice demo: the whole path on a shipped model, with every figure measured on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pumice.errors import BackendUnavailable, InputError
from pumice.hwsim.scoring import Criterion
from pumice.runtime.backends import make_backend
from pumice.runtime.cli.common import console, write_json
from pumice.runtime.cli.export import parse_schedule
from pumice.runtime.demo import DemoPlan, DemoResult, demo_dict, run_demo
from pumice.runtime.demo_picture import draw
from pumice.runtime.report import report_dict


def demo_command(
    model: Annotated[str, typer.Option(help="A model of the zoo.")] = "spikformer-digits",
    retention: Annotated[
        str, typer.Option(help="Share of tokens that blocks keep: one for all, or one per block.")
    ] = "0.5",
    alpha: Annotated[float, typer.Option(help="Weight of IRToP's spatial score; 0.5 is Eq. 13's plain sum.")] = 0.5,
    lava_samples: Annotated[int, typer.Option(help="Test samples to run on Lava, at least 1.")] = 16,
    folder: Annotated[Path, typer.Option(help="Where artifact, JSON and picture go.")] = Path("out"),
    json: Annotated[Path | None, typer.Option(help="Write the figures here too.")] = None,
) -> None:
    """Compile a shipped, token-pruned model, run it on `reference` and Lava, validate it, and account for it."""
    if lava_samples < 1:
        raise InputError(f"--lava-samples {lava_samples}", "run at least one image on Lava")
    out = console()
    if not 0 <= alpha <= 1:
        raise InputError(f"--alpha {alpha}", "choose a weight in [0, 1]")
    plan = DemoPlan(model, "loihi2", parse_schedule(retention), Criterion(alpha=alpha), lava_samples, folder)
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise BackendUnavailable("the demo needs PyTorch", "pip install 'pumice[torch,lava]'") from error
    result = run_demo(plan, make_backend("lava"), lambda text: out.print(f"· {text}", style="dim"))
    figures = demo_dict(result)
    _print(out, result, figures)
    picture = folder / f"{model}.png"
    draw(picture, result, figures)
    write_json(folder / f"{model}.json", figures | {"report": report_dict(result.routed.program)})
    write_json(json, figures)
    out.print(
        f"\nwrote {result.artifact}, {folder / f'{model}.nir'}, {folder / f'{model}.json'}, {picture}; {figures['seconds']:.0f} s"
    )
    if not figures["bit_exact"]["lava"]:
        raise RuntimeError(f"Lava and reference disagree: {result.lava.first}")


def _print(out: Console, result: DemoResult, figures: dict) -> None:  # type: ignore[type-arg]
    divergence = result.agreement.first or "none"
    for title, table in (
        ("What each pass did", _changes(result)),
        ("Accuracy on the test samples", _accuracies(result, figures)),
        ("Where the accuracy went", _rungs(result)),
        ("Spikes equal to the float model's", _agreement(result)),
        ("Tokens routed, per block and timestep", _retention(figures)),
        ("Per sample", _costs(figures)),
    ):
        out.print(f"\n{title}", style="bold")
        out.print(table)
    out.print(f"\nfirst spike that differs from the float model's: {divergence}", style="dim")
    out.print(
        "energies are counts times published prices; the off-core token scorer has none and is not in them", style="dim"
    )


def _changes(result: DemoResult) -> Table:
    table = Table.grid(padding=(0, 2))
    folded = [c for c in result.routed.program.graph.log if c.by == "fold-batchnorm"]
    table.add_row("fold-batchnorm", f"folded {len(folded)} BatchNorms")
    for change in result.routed.program.graph.log:
        if change.by not in ("fold-batchnorm", "import-nir"):
            table.add_row(change.by, change.text)
    return table


def _accuracies(result: DemoResult, figures: dict) -> Table:  # type: ignore[type-arg]
    names = {
        "float": "float model (torch)",
        "float_pruned": "float model, tokens pruned",
        "compiled": f"compiled, {result.masks} masks",
        "compiled_static": "compiled, static masks",
        "compiled_unpruned": "compiled, no masks",
    }
    table = Table.grid(padding=(0, 2))
    for key, name in names.items():
        table.add_row(name, f"{figures['accuracy'][key]:.2%}")
    exact = (
        "every spike of every layer equal to reference"
        if figures["bit_exact"]["lava"]
        else f"DIFFERS: {result.lava.first}"
    )
    table.add_row(f"Lava, {result.plan.lava_samples} samples", exact)
    return table


def _rungs(result: DemoResult) -> Table:
    table = Table.grid(padding=(0, 2))
    for rung in result.rungs:
        table.add_row(rung.change, f"{rung.accuracy:.2%}", f"lost {rung.lost:+.2%}")
    return table


def _agreement(result: DemoResult) -> Table:
    table = Table("layer", "equal spikes", "firing rate float", "compiled", box=None)
    for layer in result.agreement.layers:
        table.add_row(layer.layer, f"{layer.spikes:.2%}", f"{layer.rate_expected:.2%}", f"{layer.rate_got:.2%}")
    table.add_row("all layers", f"{result.agreement.spikes:.3%}", "", "")
    return table


def _retention(figures: dict) -> Table:  # type: ignore[type-arg]
    table = Table.grid(padding=(0, 2))
    for block, steps in figures["retention"]["by_block_and_step"].items():
        table.add_row(f"block {block}", " ".join(f"{share:.1%}" for share in steps))
    return table


def _costs(figures: dict) -> Table:  # type: ignore[type-arg]
    table = Table("", "pruned", "unpruned", box=None)
    use = ", ".join(
        f"{share:.0%} of {name}" for name, share in figures["utilisation"].items() if not name.startswith("binding")
    )
    table.add_row("cores", str(figures["cores"]), use)
    table.add_row("latency", f"{figures['latency_steps']} timesteps", f"a sample every {figures['interval_steps']}")
    for key, value in figures["synops"].items():
        table.add_row(
            "MACs (first layer)" if key == "macs" else f"SynOps, {key}",
            f"{value:,.0f}",
            f"{figures['synops_unpruned'][key]:,.0f}",
        )
    for name, both in figures["energy_nj"].items():
        table.add_row(f"energy, {name}", *(f"{v:,.0f} nJ" if v is not None else "unknown" for v in both.values()))
    for name, models in figures["latency_model"].items():
        table.add_row(f"time a sample, modelled, {name}", *(_microseconds(model) for model in models.values()))
    table.add_row(
        "mask bits, scorer operations", f"{figures['mask_bits']:,.0f}, {figures['score_operations']:,.0f}", ""
    )
    return table


def _microseconds(model: dict) -> str:  # type: ignore[type-arg]
    return "unknown" if model["us_per_sample"] is None else f"{model['us_per_sample']:,.1f} µs"
