"""Chip files: every number has a source, and a bad file is one clear line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pumice.errors import InputError
from pumice.hwsim.data_files import parse_toml
from pumice.hwsim.spec import chip_from_table, chip_names, load_chip

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "hwsim" / "chips" / "loihi2.toml"
EXAMPLES = sorted(str(path) for path in (ROOT / "examples" / "chips").glob("*.toml"))


@pytest.mark.parametrize("name", [*chip_names(), *EXAMPLES])
def test_every_number_of_a_shipped_chip_names_its_source(name: str) -> None:
    chip = load_chip(name)
    assert all(len(source) > 3 for source in chip.sources.values())


def test_the_example_with_a_memory_limit_is_loihi2_in_everything_else() -> None:
    (path,) = EXAMPLES
    chip, loihi2 = load_chip(path), load_chip("loihi2")
    assert chip.synaptic_words_per_core == 192 * 1024 // 8
    assert "unverified" in chip.sources["synaptic_words_per_core"]
    assert replace(chip, name="loihi2", synaptic_words_per_core=None, sources=loihi2.sources) == loihi2


def test_unpublished_limits_are_null_and_listed() -> None:
    assert "synaptic_words_per_core" in load_chip("loihi2").unchecked()
    assert load_chip("loihi1").synaptic_words_per_core == 16_384


def test_a_users_own_chip_is_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(SHIPPED.read_text().replace("value = 8192", "value = 512"))
    assert load_chip(str(mine)).neurons_per_core == 512


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("neurons_per_core =", "neurons_a_core =", "unknown entry 'neurons_a_core', did you mean 'neurons_per_core'"),
        ("neurons_per_core =", "neurons_a_core =", "neurons_per_core is missing: write neurons_per_core = { value"),
        ("value = 8192", "value = -1", "neurons_per_core = -1: need a whole number >= 1"),
        ("value = 8192", "value = 8192.0", "neurons_per_core = 8192.0: need a whole number"),
        ("value = 8192", "value = true", "neurons_per_core = True: need a whole number"),
        ("{ value = 8192,", "{", "neurons_per_core has no value: need a whole number >= 1"),
        ("value = 62", "value = -1", "max_delay = -1: need a whole number >= 0"),
        ('{ value = 8192, source = "[WC]" }', "8192", "neurons_per_core = 8192 has no source"),
        ('{ value = 8192, source = "[WC]" }', "{ value = 8192 }", "neurons_per_core has no source"),
        ('{ value = 8192, source = "[WC]" }', '{ val = 8192, source = "[WC]" }', "neurons_per_core: unknown key 'val'"),
        ("weight_bits = { value = 8", "weight_bits = { value = 9", "weight_bits = 9: need a whole number from 1 to 8"),
        ("mesh_rows = { value = 4", "mesh_rows = { value = 3", "usable_cores_per_chip = 120: .* = 96"),
        ("synapse_prefix_bits = {", "synapse_prefix_bits = { value = 10,", "needs all four, or none"),
        ("words_per_axon = {", "words_per_axon = { value = 256,", "words_per_axon = 256 cannot be checked without"),
        ('name = "loihi2"', "name = 2", "name = 2: need some text"),
        ("name =", "name", "not valid TOML"),
    ],
)
def test_a_bad_chip_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(SHIPPED.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_chip(str(mine))


def test_one_error_names_everything_that_is_wrong_with_a_chip() -> None:
    table: dict[str, Any] = parse_toml(SHIPPED.read_text())
    del table["graded_bits"]
    table["max_chips"]["value"] = 0
    table["index_bits_min"]["value"], table["index_bits_max"]["value"] = 12, 6
    with pytest.raises(InputError) as caught:
        chip_from_table(table, "mine")
    for wanted in ("graded_bits is missing", "max_chips = 0", "index_bits_min = 12: need at most index_bits_max = 6"):
        assert wanted in str(caught.value)
    assert "index_bits_min, index_bits_max without synapse_prefix_bits, synapses_per_entry" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_field_of_a_chip_is_described() -> None:
    described = (ROOT / "docs" / "add-a-chip.md").read_text()
    assert [field for field in load_chip("loihi1").sources if f"`{field}`" not in described] == []


def test_an_unknown_chip_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown chip 'loihi3'") as caught:
        load_chip("loihi3")
    assert "loihi2" in caught.value.hint
