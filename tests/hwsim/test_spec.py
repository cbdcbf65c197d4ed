"""Chip files: every number has a source, and a bad file is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.errors import InputError
from pumice.hwsim.spec import chip_names, load_chip

SHIPPED = Path(__file__).parents[2] / "hwsim" / "chips" / "loihi2.toml"


@pytest.mark.parametrize("name", chip_names())
def test_every_number_of_a_shipped_chip_names_its_source(name: str) -> None:
    chip = load_chip(name)
    assert all(len(source) > 3 for source in chip.sources.values())


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
        ("neurons_per_core =", "neurons_a_core =", "unknown entry 'neurons_a_core'"),
        ("value = 8192", "value = -1", "neurons_per_core = -1"),
        ("{ value = 8192,", "{", "neurons_per_core = None"),
        ("name =", "name", "not valid TOML"),
    ],
)
def test_a_bad_chip_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(SHIPPED.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_chip(str(mine))


def test_an_unknown_chip_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown chip 'loihi3'") as caught:
        load_chip("loihi3")
    assert "loihi2" in caught.value.hint
