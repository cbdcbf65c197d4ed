"""The comparison of mapping methods: each row is what its method maps alone; what is shared is shared; refusals are rows too."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from mapped import measured_spikformer

from pumice.compiler.mapping.comparison import ABLATED, METHODS, OF_THE_FIELD, STEPS, Comparison, compare
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.mapping.mapped import Mapped
from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.mapping.shares import last_cores, mean_shares
from pumice.compiler.mapping.usage import network_of
from pumice.errors import BackendUnavailable, DoesNotFit
from pumice.hwsim.spec import ChipSpec


def chip(**limits: int) -> ChipSpec:
    return replace(measured_spikformer()[0].chip, neurons_per_core=100, **limits)  # type: ignore[arg-type]


def compared(of: ChipSpec) -> Comparison:
    program, rates = measured_spikformer()
    return compare(program.graph, of, rates)


@pytest.mark.parametrize("limits", [{}, {"output_axons_per_core": 240, "crossing_axon_entries": 1}])
def test_each_row_is_what_its_method_maps_alone_and_legal(limits: dict[str, int]) -> None:
    program, rates = measured_spikformer()
    limited = chip(usable_cores_per_chip=16, **limits)
    rows = compared(limited).rows
    for row in rows:
        if row.refused is not None:
            with pytest.raises(DoesNotFit) as refused:
                map_network(program.graph, limited, rates, row.method)  # type: ignore[arg-type]
            assert str(refused.value) == str(row.refused)
            continue
        found, alone = of(row.mapped), map_network(program.graph, limited, rates, row.method)  # type: ignore[arg-type]
        assert (found.mapping.cores, found.mapping.sites) == (alone.mapping.cores, alone.mapping.sites), row.method
        assert found.score == alone.score
        assert mapping_problems(replace(program, chip=limited, mapping=found.mapping)) == []
    assert rows[0].refused is None


def test_every_method_has_a_row_and_the_ablation_keeps_pumice_s_partition() -> None:
    found = compared(chip())
    assert tuple(row.method for row in found.rows) == METHODS
    assert tuple(row.method for row in found.ablation) == ABLATED
    own = {row.method: of(row.mapped) for row in found.rows}
    assert all(of(row.mapped).mapping.cores == own["pumice"].mapping.cores for row in found.ablation)
    assert all(of(row.mapped).score.messages == own["pumice"].score.messages for row in found.ablation)
    assert all(own[method].mapping.cores is own["sequential"].mapping.cores for method in OF_THE_FIELD)


def of(mapped: Mapped | None) -> Mapped:
    assert mapped is not None
    return mapped


def test_a_method_that_does_not_fit_has_its_refusal_for_a_row() -> None:
    needed = {row.method: len(of(row.mapped).mapping.cores) for row in compared(chip()).rows}
    assert needed["pumice"] < needed["sequential"]
    rows = {row.method: row for row in compared(chip(usable_cores_per_chip=needed["pumice"], max_chips=1)).rows}
    assert len(of(rows["pumice"].mapped).mapping.cores) == needed["pumice"]
    for method in OF_THE_FIELD:
        assert isinstance(rows[method].refused, DoesNotFit), method
        assert "chips 2/1" in str(rows[method].refused)


def test_without_mt_kahypar_the_others_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    rows = {row.method: row for row in compared(chip()).rows}
    assert isinstance(rows.pop("mtkahypar").refused, BackendUnavailable)
    assert all(row.refused is None for row in rows.values())


def test_progress_is_told_of_every_mapping() -> None:
    program, rates = measured_spikformer()
    told: list[tuple[int, int]] = []
    compare(program.graph, chip(), rates, lambda done, total: told.append((done, total)))
    assert told == [(k + 1, STEPS) for k in range(STEPS)]


def test_mean_use_leaves_out_the_last_core_of_each_layer_where_no_core_holds_two() -> None:
    program, _ = measured_spikformer()
    network = network_of(program.graph, chip())
    rows = {row.method: of(row.mapped) for row in compared(chip()).rows}
    layers = rows["sequential"].mapping
    full = [part.neurons / 100 for placed in layers.slices_of().values() for _, part in placed[:-1]]
    assert full
    found = mean_shares(layers, network)
    assert found["binding_mean"] == pytest.approx(np.mean(full))
    assert found["binding"] == pytest.approx(np.mean([core[0].neurons / 100 for core in layers.cores]))
    assert found["neurons per core"] == found["binding"]
    packed = rows["pumice"].mapping
    assert last_cores(packed.cores) == {len(packed.cores) - 1}
    shares = [sum(part.neurons for part in core) / 100 for core in packed.cores]
    assert mean_shares(packed, network)["binding_mean"] == pytest.approx(np.mean(shares[:-1]))


def test_output_axons_are_among_the_limits_where_they_are_published() -> None:
    program, rates = measured_spikformer()
    limited = chip(output_axons_per_core=150)
    found = map_network(program.graph, limited, rates, "sequential")
    network = network_of(program.graph, limited)
    own = mean_shares(found.mapping, network, found.traffic)
    assert 0 < own["output axons per core"] <= 1
    assert own == mean_shares(found.mapping, network)
