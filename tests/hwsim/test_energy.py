"""Energy is counts times a profile; what nobody published stays unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from count_rows import count_row, count_table

from pumice.errors import InputError
from pumice.hwsim.energy import TERMS, energy_per_sample, load_profile, profile_names


@pytest.mark.parametrize("name", profile_names())
def test_every_number_of_a_profile_names_its_source(name: str) -> None:
    profile = load_profile(name)
    assert set(profile.sources) == set(TERMS)
    assert all(len(source) > 3 for source in profile.sources.values())


def test_the_45_nm_convention_counts_macs_and_accumulates_only() -> None:
    counts = count_table(count_row(macs=1000, synops=10_000, active=500, spikes=70, messages=70, hops_ew=30))
    assert energy_per_sample(counts, load_profile("horowitz45")).nj == pytest.approx(
        (4.6 * 1000 + 0.9 * 10_000) / 1000 / 2
    )


def test_loihi_profiles_price_synapse_kinds_and_hops() -> None:
    counts = count_table(
        count_row(kind="conv", synops=1000, active=10, idle=20, gated=5, spikes=4, messages=6, hops_ew=7, hops_ns=8)
    )
    expected = 24.0 * 1000 + 72.8 * 10 + 51.2 * 25 + 69.3 * 4 + 111 * 6 + 3.0 * 7 + 4.2 * 8
    assert energy_per_sample(counts, load_profile("loihi1_sanafe")).nj == pytest.approx(expected / 1000 / 2)


def test_an_unpublished_term_makes_the_energy_unknown_not_zero() -> None:
    energy = energy_per_sample(count_table(count_row(hops_chip=1)), load_profile("loihi1_davies2018"))
    assert energy.nj is None
    assert energy.unknown == ("hop_chip",)


def test_an_unpublished_term_that_was_not_needed_changes_nothing() -> None:
    profile = replace(load_profile("horowitz45"), hop_chip=None)
    assert energy_per_sample(count_table(count_row(synops=2)), profile).nj == pytest.approx(0.0009)


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown energy profile 'loihi9'"):
        load_profile("loihi9")
