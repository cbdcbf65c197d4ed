"""A mapping edited by hand: each rule is broken once, and one error names all that is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mapped import on_cores
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.artifact import check, read_artifact, write_artifact
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program, Site, Slice
from pumice.errors import ArtifactError
from pumice.hwsim.spec import load_chip


@cache
def legal() -> Program:
    config = TinySpikformer()
    chip = replace(load_chip("loihi2"), neurons_per_core=100, output_axons_per_core=2000, usable_cores_per_chip=20)
    program = compile_nir(tiny_spikformer(config), images(config, 8), load_chip("loihi2"), CompileOptions())
    return on_cores(program.graph, chip)


def with_cores(cores: tuple[tuple[Slice, ...], ...]) -> Program:
    return replace(legal(), mapping=replace(legal().mapping, cores=cores))


def with_slice(core: int, index: int = 0, **changes: Any) -> Program:
    """The program with one slice changed by hand."""
    cores = [list(parts) for parts in legal().mapping.cores]
    cores[core][index] = replace(cores[core][index], **changes)
    return with_cores(tuple(tuple(parts) for parts in cores))


def with_site(index: int, **changes: int) -> Program:
    sites = list(legal().mapping.sites)
    sites[index] = replace(sites[index], **changes)
    return replace(legal(), mapping=replace(legal().mapping, sites=tuple(sites)))


def with_chip(**limits: int) -> Program:
    return replace(legal(), chip=replace(legal().chip, **limits))


def with_a_slice_twice() -> Program:
    cores = legal().mapping.cores
    return with_cores((*cores[:-1], (*cores[-1], cores[0][0])))


def with_a_slice_less() -> Program:
    cores = legal().mapping.cores
    return with_cores((cores[0][1:], *cores[1:]))


def with_two_on_a_site() -> Program:
    sites = legal().mapping.sites
    return replace(legal(), mapping=replace(legal().mapping, sites=(sites[1], *sites[1:])))


def with_a_site_less() -> Program:
    return replace(legal(), mapping=replace(legal().mapping, sites=legal().mapping.sites[1:]))


def with_a_chip_too_many() -> Program:
    edited = with_site(0, chip=1)
    return replace(edited, chip=replace(edited.chip, max_chips=1))


def one_too_few(limit: str, what: str) -> Program:
    """The program on a chip with one less of a resource than its fullest core takes."""
    return with_chip(**{limit: largest(what) - 1})


def largest(what: str) -> int:
    return max(sum(getattr(part, what) for part in core) for core in legal().mapping.cores)


BROKEN: dict[str, tuple[Callable[[], Program], str]] = {
    "a neuron twice": (with_a_slice_twice, r"lif0: 96/128 neurons are on more than one core"),
    "a neuron lost": (with_a_slice_less, "lif0: 96/128 neurons are on no core"),
    "a layer that is none": (lambda: with_slice(0, group="lif9"), "lif9: not a layer of the network"),
    "channels that are none": (
        lambda: with_slice(0, channels=(0, 9)),
        r"core 0: lif0: channels \(0, 9\) or positions .* outside of \(8, 16\)",
    ),
    "positions below 0": (lambda: with_slice(0, positions=(-1, 5)), r"positions \(-1, 5\) outside of"),
    "an empty slice": (lambda: with_slice(0, positions=(3, 3)), r"positions \(3, 3\) outside of"),
    "false words": (
        lambda: with_slice(0, words=1),
        r"core 0: lif0: stored resource counts do not match its weights: words 1, really \d+",
    ),
    "false synapses": (lambda: with_slice(0, synapses=1), r"synapses 1, really \d+"),
    "false axons": (lambda: with_slice(0, input_axons=1), r"input_axons 1, really \d+"),
    "false neurons": (lambda: with_slice(0, neurons=1), "neurons 1, really 96"),
    "false formats": (lambda: with_slice(0, formats=("shared dense",)), r"formats \('shared dense',\), really"),
    "two cores on a site": (
        with_two_on_a_site,
        r"core 1: site \(chip 0, .*\) is also that of core 0, cores on a site 2/1",
    ),
    "a site off the mesh": (lambda: with_site(0, x=8), r"core 0: site \(chip 0, .*: column 8, there are 8, from 0"),
    "a site above the mesh": (lambda: with_site(0, y=-1), "row -1, there are 4"),
    "a core that no tile has": (lambda: with_site(0, core=4), "core of the tile 4, there are 4"),
    "a chip that is none": (lambda: with_site(0, chip=1152), "chip 1152, there are 1,152"),
    "more chips than allowed": (with_a_chip_too_many, "the whole network: chips 2/1"),
    "a core without a site": (with_a_site_less, r"\d+ sites for \d+ cores"),
    "too many cores on a chip": (lambda: with_chip(usable_cores_per_chip=5), r"chip 0: cores per chip \d+/5"),
    "too many synapses on a chip": (
        lambda: with_chip(synapses_per_chip=100),
        r"chip 0: synapses per chip [\d,]+/100",
    ),
    "too many neurons on a core": (
        lambda: with_chip(neurons_per_core=99),
        r"core \d+ \(.*\): neurons per core 100/99",
    ),
    "too many words on a core": (
        lambda: one_too_few("synaptic_words_per_core", "words"),
        r"core \d+ \(.*\): synaptic memory words per core \d+/\d+",
    ),
    "too many input axons": (
        lambda: one_too_few("input_axons_per_core", "input_axons"),
        r"core \d+ \(.*\): input axons per core \d+/\d+",
    ),
    "too many output axons": (
        lambda: with_chip(output_axons_per_core=100),
        r"core \d+ \(.*\): output axons per core \d+/100",
    ),
    "too many thresholds": (lambda: with_chip(threshold_configs=1), r"core \d+ \(.*\): thresholds per core \d+/1"),
}


def test_the_mapping_that_is_broken_below_is_legal() -> None:
    assert mapping_problems(legal()) == []
    assert legal().mapping.chips == 1


@pytest.mark.parametrize("what", BROKEN)
def test_each_rule_is_checked_and_named(what: str) -> None:
    broken, message = BROKEN[what]
    program = broken()
    with pytest.raises(ArtifactError, match=message) as caught:
        check(program, "net.pumice")
    assert str(caught.value).startswith("net.pumice: ")
    assert "\n" not in str(caught.value)


def test_one_error_names_every_violation() -> None:
    edited = replace(with_slice(0, words=1), chip=replace(legal().chip, neurons_per_core=99, usable_cores_per_chip=5))
    sites = (Site(0, 9, 0, 0), *legal().mapping.sites[1:])
    edited = replace(edited, mapping=replace(edited.mapping, sites=sites))
    with pytest.raises(ArtifactError) as caught:
        check(edited, "net.pumice")
    for message in ("words 1, really", "neurons per core 100/99", "cores per chip", "column 9, there are 8"):
        assert message in str(caught.value)


def test_limits_are_held_against_what_slices_take_not_what_they_say() -> None:
    """A count that was lowered by hand does not hide that a core is too full."""
    used = largest("words")
    core = next(k for k, parts in enumerate(legal().mapping.cores) if sum(part.words for part in parts) == used)
    edited = with_slice(core, words=0)
    problems = mapping_problems(replace(edited, chip=replace(edited.chip, synaptic_words_per_core=used - 1)))
    assert any(f"synaptic memory words per core {used}/{used - 1}" in problem for problem in problems)


def test_a_file_edited_into_illegality_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.pumice"
    write_artifact(with_site(0, x=8), path)
    with pytest.raises(ArtifactError, match="column 8, there are 8"):
        read_artifact(path)
