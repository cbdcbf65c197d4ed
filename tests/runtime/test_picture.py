"""The demo's picture: a whole PNG of the promised size, the same bytes every time, never half written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pngs import size_of

from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.picture import DemoPicture, Headline, change, draw_demo, joules, quantity, tiles
from pumice.runtime.picture_cores import PlacedCore
from pumice.runtime.picture_panels import FAMILIES, MAX_BARS, _largest, family_of, routed, short

HEADLINE = Headline(0.983, 0.978, 0.967, 0.9987, 0.5, 3, 1, 29, 2.95e6, 5.75e6)
LAYERS = ("lif0", "block.0.q_lif", "block.0.attn_lif", "block.0.proj_lif", "block.0.fc1_lif", "block.0.out", "head")


def picture(samples: int = 3, blocks: int = 2) -> DemoPicture:
    rng = np.random.default_rng(0)
    energy = {name: (k + 1.0, 2.0 * k + 2) for k, name in enumerate(LAYERS)}
    cores = tuple(PlacedCore(0, k, 0, 0, ((name, 100),), 1024) for k, name in enumerate(LAYERS))
    return DemoPicture(
        model="spikformer-digits",
        chip="loihi2",
        images=rng.random((samples, 8, 8)),
        labels=np.arange(samples),
        predictions=np.zeros(samples, np.int64),
        masks={block: rng.random((4, samples, 4, 4)) < 0.5 for block in range(blocks)},
        energy={"first profile": energy, "second profile": energy},
        bars="first profile",
        cores=cores,
        mesh=(8, 4, 4),
        headline=HEADLINE,
        incomplete=("second profile",),
    )


def test_the_picture_is_1600_by_1000_small_and_deterministic(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    draw_demo(first, picture())
    draw_demo(second, picture())
    assert size_of(first.read_bytes()) == (1600, 1000)
    assert first.stat().st_size < 400 * 1024
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("samples", "blocks"), [(1, 1), (12, 3), (2, 0)])
def test_other_numbers_of_samples_and_blocks_draw_too(tmp_path: Path, samples: int, blocks: int) -> None:
    pytest.importorskip("matplotlib")
    draw_demo(tmp_path / "a.png", picture(samples, blocks))
    assert size_of((tmp_path / "a.png").read_bytes()) == (1600, 1000)


def test_a_picture_that_cannot_be_written_is_the_users_error_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match="cannot be written"):
        draw_demo(tmp_path / "missing" / "a.png", picture())
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendUnavailable, match="pictures need matplotlib") as caught:
        draw_demo(tmp_path / "a.png", picture())
    assert "pumice[torch]" in caught.value.hint


def test_bars_of_an_absent_profile_are_refused() -> None:
    with pytest.raises(InputError, match="no energies by profile 'third'"):
        replace(picture(), bars="third")


def test_every_layer_of_the_models_finds_its_family() -> None:
    wanted = {
        "patch_embed.proj_lif3": "patch embedding",
        "rpe_lif": "patch embedding",
        "pool": "patch embedding",
        "block.0.attn.k_lif": "queries, keys, values",
        "block.1.attn.attn_lif": "attention",
        "block.1.attn.ssa.scores": "attention",
        "patch_embed.sum": "residual sums",
        "patch_embed.maxpool2": "patch embedding",
        "block.0.attn.proj_lif": "projection",
        "block.0.mlp.fc2_lif": "MLP",
        "time_mean": "read-out",
        "block.0.residual": "residual sums",
        "sum": "residual sums",
        "patch_embed3.proj4_maxpool": "patch embedding",
        "downsample1_1.encode_conv": "patch embedding",
        "block3.0.conv.spike2": "patch embedding",
        "block.0.attn.shortcut_lif": "queries, keys, values",
        "block3.0.attn.v_spike": "queries, keys, values",
        "stage1.0.tssa.qk_gate": "attention",
        "block.0.attn.talking_heads_lif": "attention",
        "stage3.0.ssa.proj_lif": "projection",
        "stage1.0.mlp.mlp2_lif": "MLP",
        "head_lif": "read-out",
        "spike": "read-out",
    }
    assert {name: family_of(name) for name in wanted} == wanted
    assert set(wanted.values()) == set(FAMILIES)


def test_routed_tokens_keep_their_ink_on_a_warm_ground_and_others_fade() -> None:
    image = np.array([[0.0, 1.0], [0.0, 1.0]])
    colors = routed(image, np.array([[True, True], [False, False]]))
    contrast = np.ptp(colors.sum(axis=2), axis=1)
    assert colors[0, 0, 0] > colors[0, 0, 2] + 0.3  # orange
    assert contrast[0] > 4 * contrast[1]


def test_many_layers_are_drawn_as_the_largest_and_the_rest() -> None:
    layers = {f"layer{k}": (1.0, float(k)) for k in range(40)}
    drawn = _largest(layers)
    assert len(drawn) == MAX_BARS
    assert sum(pair[1] for pair in drawn.values()) == sum(range(40))


def test_numbers_are_written_for_people() -> None:
    assert [change(1, 2), change(3, 2), change(2, 2), change(1, 0)] == ["−50%", "+50%", "0%", "–"]
    assert [quantity(n) for n in (12, 1234, 2.95e6)] == ["12", "1.23 k", "2.95 M"]
    assert [joules(n) for n in (12, 90_600, 2e6)] == ["12 nJ", "90.6 µJ", "2 mJ"]
    names = ("block.0.attn.q_lif", "block.0.mlp.residual", "patch_embed.proj_lif2")
    assert [short(name) for name in names] == ["block 0 q", "block 0 mlp residual", "embed proj2"]
    assert tiles(picture())[4][0] == "−50%"
