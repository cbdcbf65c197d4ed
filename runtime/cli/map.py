"""pumice map: which core holds which neurons, what their messages travel, and how other methods compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import Reading
from pumice.compiler.mapping.comparison import Comparison, Row, compare, map_by
from pumice.compiler.options import CompileOptions, MappingMethod
from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli.common import check_output, console, read_samples, write_json
from pumice.runtime.cli.compile_options import MappingName, MaxChips
from pumice.runtime.cli.map_tables import print_comparison, print_mapping
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.cli.reading_options import takes_reading
from pumice.runtime.inspection import kind_of
from pumice.runtime.mapping_picture import draw_mapping
from pumice.runtime.mapping_report import comparison_dict, mapping_dict
from pumice.runtime.mapping_source import Stages, ToMap, limited, measured, network_to_map
from pumice.runtime.model_sources import ModelSource, network_and_samples


@takes_reading
def map_command(
    file: Annotated[Path | None, typer.Argument(help="A .nir network, or a .pumice artifact to map again.")] = None,
    model: Annotated[str, typer.Option(help="Instead of a file: a zoo model, or a paper's network, by name.")] = "",
    calibration: Annotated[
        str,
        typer.Option(
            help="With a file: samples to measure spike rates on, and to choose a network's scales with: a .npy array "
            "[samples, …], `digits`, or a zoo model whose data set to use."
        ),
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the mapped .pumice program.")] = None,
    chip: Annotated[
        str, typer.Option(help="loihi2, loihi1, or a chip's .toml file; by default an artifact's own, else loihi2.")
    ] = "",
    max_chips: MaxChips = None,
    method: MappingName = "pumice",
    side_by_side: Annotated[
        bool, typer.Option("--compare", help="Map by every method, and show all side by side.")
    ] = False,
    masks: Annotated[
        str, typer.Option(help="Routing masks of a network: static, live, given or off; by default live.")
    ] = "",
    picture: Annotated[
        Path | None, typer.Option(help="Also draw the cores and the load of every link, as a .png file.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything, as JSON.")] = None,
    reading: Reading | None = None,
) -> None:
    """Cut a network into cores and place them; show what it takes, what its messages travel, and how other methods compare."""
    for path, suffix in ((output, ".pumice"), (picture, ".png")):
        if path is not None:
            check_output(path, suffix)
    options = CompileOptions(masks=masks or "live", reading=reading, mapping=method)  # type: ignore[arg-type]
    stages = Stages()
    given = _given(_Where(file, model, calibration, chip, max_chips, bool(masks or reading)), options, stages)
    compared, row = _mapped(given, side_by_side)
    if row.mapped is not None:
        program = given.program(row.mapped.mapping)
        values = mapping_dict(program, row, stages.seconds | {"mapping": row.seconds})
        print_mapping(values, console())
        write_json(json, values | ({} if compared is None else comparison_dict(compared)))
        if output is not None:
            write_artifact(program, output)
        if picture is not None:
            draw_mapping(picture, program, row.mapped.link_loads(given.chip), f"{model or file}, mapped by {method}")
    if compared is not None:
        print_comparison(compared, console())
    if row.refused is not None:
        raise row.refused


@dataclass(frozen=True)
class _Where:
    """What to map: see the command. reads: whether an option asks how a network is to be read or masked."""

    file: Path | None
    model: str
    calibration: str
    chip: str
    max_chips: int | None
    reads: bool


def _given(where: _Where, options: CompileOptions, stages: Stages) -> ToMap:
    if (where.file is None) == (not where.model):
        raise InputError("pumice map takes a file or a model", "give either FILE or --model NAME")
    if where.file is None and where.calibration:
        raise InputError("--calibration with --model", "a model by name comes with its samples")
    if where.file is not None and not where.calibration:
        raise InputError(f"{where.file}: spike rates are not known", "give samples with --calibration")
    if where.file is not None and kind_of(where.file) == "artifact":
        return _artifact(where.file, where, options.mapping, stages)
    chip = limited(load_chip(where.chip or "loihi2"), where.max_chips)
    with progress_bar("loading the network"), stages.stage("network"):
        source = _network(where)
    with progress_bar("quantizing") as progress:
        graph, source_hash = network_to_map(source.network, source.samples, chip, options, stages, progress)
    with progress_bar("measuring spike rates"):
        return measured(graph, source.samples, chip, options, source_hash, stages)


def _network(where: _Where) -> ModelSource:
    if where.file is None:
        return network_and_samples(where.model)
    return ModelSource(read_nir(where.file), read_samples(where.calibration, "calibration").inputs)


def _artifact(file: Path, where: _Where, method: MappingMethod, stages: Stages) -> ToMap:
    """An artifact's graph, on its own chip or another one that it is legal for."""
    if where.reads:
        hint = "leave --masks and the options of reading out, or map the network it was compiled from"
        raise InputError(f"{file}: a compiled program is read and masked already", hint)
    with progress_bar("loading the program"), stages.stage("network"):
        program = read_artifact(file)
        samples = read_samples(where.calibration, "calibration").inputs
    chip = limited(load_chip(where.chip) if where.chip else program.chip, where.max_chips)
    options = replace(program.options, mapping=method)
    with progress_bar("measuring spike rates"):
        return measured(program.graph, samples, chip, options, program.source_hash, stages)


def _mapped(given: ToMap, side_by_side: bool) -> tuple[Comparison | None, Row]:
    """The comparison, if wanted, and the mapping by the method chosen."""
    with progress_bar("mapping") as progress:
        if not side_by_side:
            return None, map_by(given.options.mapping, given.graph, given.chip, given.rates)
        compared = compare(given.graph, given.chip, given.rates, progress)
    return compared, next(row for row in compared.rows if row.method == given.options.mapping)
