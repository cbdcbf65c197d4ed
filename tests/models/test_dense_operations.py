"""Dense operations from the architecture: by hand, and against profiles of networks that really ran."""

from __future__ import annotations

import pytest
from oracles import load_oracle

from pumice.errors import InputError
from pumice.models import profile
from pumice.models.official import load_official
from pumice.models.profiling.dense_operations import block_operations, dense_operations
from pumice.models.profiling.profiler import Profile

SDT_768 = {"img_size_h": 224, "img_size_w": 224, "in_channels": 3, "num_classes": 1000, "embed_dims": 768, "depths": 8}
SDT_768 |= {"num_heads": 8}
QK_768 = {"embed_dims": 768, "num_heads": 12, "depths": 10}
V3_19M = {"embed_dim": [64, 128, 256, 360], "num_heads": 8}


def test_sdt_v1_by_hand() -> None:
    """Per block q, k, v, proj and an MLP of ratio 4 on 14 x 14 tokens; the embedding has five 3 x 3 convolutions."""
    found = dense_operations("sdtv1", SDT_768)
    assert found.blocks == (12 * 768**2 * 196,) * 8
    assert found.first == 3 * 96 * 9 * 224**2
    convs = 9 * (96 * 192 * 112**2 + 192 * 384 * 56**2 + 384 * 768 * 28**2 + 768 * 768 * 14**2)
    assert found.rest == convs + 768 * 1000


def test_qkformer_by_hand() -> None:
    """Token attention has no v; stage 3 has d x d matrices per head, d = 64."""
    found = dense_operations("qkformer_imagenet", QK_768)
    assert found.blocks[0] == 11 * 192**2 * 56**2
    assert found.blocks[1:3] == (11 * 384**2 * 28**2,) * 2
    assert found.blocks[3:] == (12 * 768**2 * 196 + 2 * 196 * 768 * 64,) * 7


def test_sdt_v3_by_hand() -> None:
    """A SepConv of 2C channels, q, k, C -> 4C -> C for v and proj, an MLP of ratio 4, and the products q k and (q k) v."""
    found = dense_operations("sdtv3", V3_19M)
    blocks = [(4 * c * c + 2 * c * 9 + 18 * c * c) * 196 + 196**2 * 5 * c for c in (256, 360)]
    assert found.blocks == (blocks[0],) * 6 + (blocks[1],) * 2
    assert found.first == 3 * 32 * 49 * 112**2


def blocks_of(found: Profile, places: tuple[str, ...]) -> list[float]:
    """Dense operations per block of a profile, without element-wise products; places: where blocks stand, e.g. "block"."""
    names = [tuple(layer.name.split(".")[:2]) for layer in found.layers]
    chosen = [place for place in dict.fromkeys(names) if place[0] in places]
    rows = [(name, layer.dense) for name, layer in zip(names, found.layers, strict=True) if layer.kind != "mul"]
    return [sum(dense for name, dense in rows if name == place) for place in chosen]


@pytest.mark.parametrize(
    ("case", "family", "places", "sides"),
    [
        ("sdtv1_2-64_img32", "sdtv1", ("block",), None),
        ("sdtv1_2-64_img32__TP_k6-4", "sdtv1_tp", ("block",), (6, 4)),
        ("sdtv3_tiny_img64", "sdtv3", ("block3", "block4"), None),
        ("sdtv3_tiny_img64__TP_0.75", "sdtv3_tp", ("block3", "block4"), (3,) * 8),
    ],
)
def test_equal_to_what_official_models_ran(
    case: str, family: str, places: tuple[str, ...], sides: tuple[int, ...] | None
) -> None:
    oracle = load_oracle(case)
    found = profile(load_official(family, oracle.kwargs, oracle.weights), [oracle.input])
    steps = found.steps or 1
    plain = {name: value for name, value in oracle.kwargs.items() if name != "k_values"}
    dense = dense_operations(family.removesuffix("_tp"), plain)
    blocks = dense.blocks if sides is None else block_operations(family.removesuffix("_tp"), plain, sides)
    assert blocks_of(found, places) == [steps * macs for macs in blocks]
    layers = sum(layer.dense for layer in found.layers if layer.kind != "mul")
    assert layers == dense.first + steps * (sum(blocks) + dense.rest)


def test_qkformer_equals_what_the_official_pruned_model_ran() -> None:
    oracle = load_oracle("qk_imagenet_5-64__TP_0.5")
    found = profile(load_official("qkformer_tp", oracle.kwargs, oracle.weights), [oracle.input])
    plain = {name: value for name, value in oracle.kwargs.items() if name != "k_values"}
    dense = block_operations("qkformer_imagenet", plain, (8, 4, 4, 2, 2))
    ran = blocks_of(found, ("stage1", "stage2", "stage3"))
    sums = [layer.dense for layer in found.layers if layer.kind == "sum"] + [0, 0]  # of the three token blocks
    assert [a - b for a, b in zip(ran, sums, strict=True)] == [4 * macs for macs in dense]


def test_no_schedule_is_the_schedule_that_keeps_everything() -> None:
    assert block_operations("sdtv3", V3_19M, (14,) * 8) == dense_operations("sdtv3", V3_19M).blocks


def test_a_schedule_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="7 sides for the 8 blocks of sdtv1"):
        block_operations("sdtv1", SDT_768, (14,) * 7)


def test_a_family_without_such_blocks_is_refused() -> None:
    with pytest.raises(InputError, match="Spikformer has no blocks to count"):
        dense_operations("spikformer_cifar", {})
