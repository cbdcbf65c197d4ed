"""pumice inspect: what is in a .nir or .pumice file, for someone who did not make it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pumice.compiler.importing.readings import Reading, reading_of_dict
from pumice.compiler.importing.support import UNSUPPORTED
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli.common import console, write_json
from pumice.runtime.cli.reading_options import takes_reading
from pumice.runtime.inspection import ArtifactContents, Layer, Mask, inspect_artifact, kind_of
from pumice.runtime.inspection_nir import Gate, LifLayer, NirContents, inspect_nir

CHANGE_WIDTH = 120


@takes_reading
def inspect_command(
    file: Annotated[Path, typer.Argument(help="A .nir network or a .pumice artifact.")],
    full: Annotated[bool, typer.Option("--full", help="What each pass did, unshortened.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write everything, as JSON.")] = None,
    chip: Annotated[
        str, typer.Option(help="Of a network: the chip to tell of, loihi2, loihi1, or a chip's .toml file.")
    ] = "loihi2",
    reading: Reading | None = None,
) -> None:
    """Show what is in a file; of a network, what becomes of each node before anything runs."""
    out = console(markup=True)
    if kind_of(file) == "nir":
        network = inspect_nir(file, reading, load_chip(chip))
        write_json(json, asdict(network))
        print_nir(network, out)
        return
    artifact = inspect_artifact(file)
    write_json(json, asdict(artifact))
    print_artifact(artifact, out, full)


def print_nir(found: NirContents, out: Console) -> None:
    """A network's tables."""
    neurons = sum(layer.neurons for layer in found.lif)
    out.print(f"[bold]{escape(found.path)}[/bold]: NIR network, {_size(found.bytes)}")
    out.print(
        f"{len(found.nodes)} nodes, {found.edges} edges, {found.parameters:,} parameters, {neurons:,} LIF neurons"
    )
    for key, value in found.facts.items():
        out.print(f"{escape(key)}: {escape(_value(value))}")
    for line in (*_verdict(found), *map(escape, found.log)):
        out.print(line)
    out.print("", _node_table(found))
    if found.lif:
        out.print("", _lif_table(found.lif))
    if found.gates:
        out.print("", _gate_table(found.gates))


def _verdict(found: NirContents) -> Iterator[str]:
    """What Pumice can do with a network, and what it cannot say yet."""
    if found.problem:
        yield f"[red]Pumice cannot import it:[/red] {escape(found.problem)}"
    elif found.refused:
        refused = [n.name for n in found.nodes if any(what.startswith(UNSUPPORTED) for what in n.lowered)]
        yield f"Pumice can run it in float, but not {escape(found.chip)}: {escape(', '.join(refused) or found.refused)}"
        yield from [escape(found.refused)] if refused else []
    else:
        yield f"Pumice can import it; nothing is known that keeps it from running {escape(found.chip)}"
    yield from (escape(line) for line in found.later)


def _node_table(found: NirContents) -> Table:
    """One row a node; the last column only where there is something to say."""
    remarks = any(node.notes or node.problem for node in found.nodes)
    last = [found.chip, *(["remarks"] if remarks else [])]
    table = _table("nodes", "node", "type", "inputs", "shape", "parameters", "imported as", *last)
    for node in found.nodes:
        imported, lowered = " + ".join(node.imported), "; ".join(node.lowered)
        what = "; ".join([*([f"unsupported: {node.problem}"] if node.problem else []), *node.notes])
        cells = (node.name, node.type, ", ".join(node.inputs), _shape(node.shape), _count(node.parameters), imported)
        table.add_row(*_cells(*cells, lowered, *([what] if remarks else [])))
    return table


def _lif_table(layers: Iterable[LifLayer]) -> Table:
    """One row per distinct setting, with the layers that have it."""
    table = _table("LIF neurons", "tau (steps)", "threshold", "fires when", "reset", "layers")
    settings: dict[tuple[str, ...], list[str]] = {}
    for layer in layers:
        compared = f"v {layer.comparator} threshold" if layer.comparator in (">", ">=") else layer.comparator
        key = (_number(layer.tau_steps, "not said"), _number(layer.threshold, "varies"), compared, layer.reset)
        settings.setdefault(key, []).append(layer.name)
    for setting, names in settings.items():
        table.add_row(*_cells(*setting, f"{len(names)}: {', '.join(names)}"))
    return table


def _gate_table(gates: Iterable[Gate]) -> Table:
    table = _table(
        "token gates", "block", "gate", "tokens kept", "retention", "criterion", "gated membranes", "gated layers"
    )
    for gate in gates:
        tokens = gate.grid[0] * gate.grid[1]
        kept = "invalid" if gate.kept is None else f"{gate.kept} of {tokens} ({gate.grid[0]}×{gate.grid[1]})"
        cells = (gate.name, kept, f"{gate.retention:g}", _criterion(gate.criterion), gate.state, str(len(gate.neurons)))
        table.add_row(*_cells(str(gate.block), *cells))
    return table


def _criterion(entry: dict[str, Any]) -> str:
    """The rule, and the options that this rule reads."""
    rule = str(entry.get("rule", "not said"))
    wanted = (
        ("window", "alpha", "first_step", "silent")
        if rule.startswith("irtop")
        else ("seed",)
        if rule == "random"
        else ()
    )
    said = [f"{key} {entry[key]}" for key in wanted if key in entry]
    when = "per step" if entry.get("per_step", True) and rule != "irtop-official" else "one mask for all steps"
    return ", ".join([rule, *said, when])


def print_artifact(found: ArtifactContents, out: Console, full: bool) -> None:
    """An artifact's tables."""
    report = found.report
    out.print(f"[bold]{escape(found.path)}[/bold]: Pumice artifact, format {found.format}, {_size(found.bytes)}")
    unchecked = ", ".join(report["unchecked_limits"])
    out.print(f"chip: {escape(report['chip'])}" + (f"; unpublished, so unchecked: {unchecked}" if unchecked else ""))
    _print_options(report["options"], out)
    out.print(f"compiled from: network {found.source_hash[:16] or 'unknown'}…")
    latency = f"read-out complete after {report['latency_steps']} steps, depth {report['depth']}"
    out.print(
        f"time: {found.timesteps} timesteps a sample ({found.encoding}), {latency}, a sample every {report['interval_steps']}"
    )
    out.print("", _layer_table(found.layers))
    _print_masks(found.masks, out)
    _print_mapping(found, out)
    out.print("\n[bold]what each pass did[/bold]")
    for by, text in _changes(report["changes"], full):
        out.print(f"[dim]{escape(by)}[/dim]  {escape(text)}")


def _print_options(options: Mapping[str, Any], out: Console) -> None:
    plain = {key: value for key, value in options.items() if key != "reading"}
    out.print("options: " + ", ".join(f"{key} {value}" for key, value in plain.items()))
    if "reading" in options:
        chosen = reading_of_dict(options["reading"])
        out.print(f"read as {chosen.name}: {chosen.sentence()}")


def _changes(changes: list[dict[str, Any]], full: bool) -> Iterator[tuple[str, str]]:
    """(pass, what it did); shortened: one line for all folded BatchNorms, long lines cut."""
    folded = [change for change in changes if "batchnorm" in change["data"]]
    for change in changes:
        by, text = change["by"], change["text"]
        if full:
            yield by, text
        elif change not in folded:
            yield by, text if len(text) <= CHANGE_WIDTH else text[: CHANGE_WIDTH - 1] + "…"
        elif change is folded[0]:
            yield by, f"folded {len(folded)} BatchNorms into the layers before them"


def _layer_table(layers: Iterable[Layer]) -> Table:
    columns = ("layer", "kind", "shape", "input", "nonzero weights", "scale", "vth", "bias exp", "gated", "cores")
    table = _table("layers", *columns)
    for layer in layers:
        weights = f"{layer.nonzero_weights:,}/{layer.weights:,}" if layer.weights else ""
        integers = ("" if n is None else str(n) for n in (layer.vth, layer.bias_exp))
        scale, gated = _number(layer.scale, ""), "yes" if layer.gated else ""
        span = f"{layer.low}..{layer.high}"
        table.add_row(
            *_cells(
                layer.name, layer.kind, _shape(layer.shape), span, weights, scale, *integers, gated, str(layer.cores)
            )
        )
    return table


def _print_masks(masks: tuple[Mask, ...], out: Console) -> None:
    out.print("\n[bold]routing masks[/bold]" + ("" if masks else ": none, every token is routed"))
    for mask in masks:
        kept = "one mask per sample"
        if mask.kept is not None:
            counts = ", ".join(str(n) for n in (mask.kept[:1] if len(set(mask.kept)) == 1 else mask.kept))
            kept = f"{counts} of {mask.tokens} tokens per step"
        rule = f" by {mask.rule}" if mask.source != "given" and mask.rule else ""
        out.print(
            f"block {mask.block}: {mask.source}{rule}, {kept} (retention {mask.retention:g}), gated membranes {mask.state}"
        )
        for row in zip(*mask.token_map, strict=True):
            out.print("  " + "   ".join(row))


def _print_mapping(found: ArtifactContents, out: Console) -> None:
    report = found.report
    cores = f"{report['cores']} cores on {report['chips']} chip(s)"
    out.print(f"\n[bold]mapping[/bold]: {cores}, {found.neurons:,} neurons, {found.stored_weights:,} stored weights")
    shares = ", ".join(
        f"{name} {share:.1%}" for name, share in report["utilisation"].items() if not name.startswith("binding")
    )
    out.print(f"mean use of a core: {shares}; of its binding limit {report['utilisation']['binding']:.1%}")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=f"[bold]{title}[/bold]", title_justify="left", title_style="", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", header_style="dim")
    return table


def _cells(*texts: str) -> list[str]:
    return [escape(text) for text in texts]


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def _number(number: float | None, missing: str) -> str:
    return missing if number is None else f"{number:.4g}"


def _value(value: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _size(size: int) -> str:
    return f"{size / 1024:,.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):,.1f} MiB"
