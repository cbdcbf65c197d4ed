"""The float backend runs every family, and records spikes as programs have them: channels first, tokens at their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_networks import TINY

from pumice.models.network import SpikingNetwork
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerImagenetConfig, QKFormerTpConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.runtime.float_model import run_float

V1 = SdtV1Config(16, 24, 4, 3, 5, 16, 2, 3, depths=2, T=3, pooling_stat="0101")
V3 = SdtV3Config(64, 48, 16, 2, 5, (4, 8, 8, 16), 2, 2)
QK = QKFormerImagenetConfig(32, 48, 16, 2, 5, 16, 2, 3, depths=4, T=3)
QK_TP = QKFormerTpConfig(**(QK.as_dict() | {"k_values": (0.9, 0.8, 0.8, 0.6)}))


def twins(build: Callable[[], SpikingNetwork], gathered: Callable[[], SpikingNetwork]) -> list[SpikingNetwork]:
    """Two networks with the same weights."""
    torch.manual_seed(0)
    first, second = build().double().eval(), gathered().double().eval()
    for norm in (m for m in first.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 2.0, 4.0)
        nn.init.uniform_(norm.bias, 0.0, 1.0)
    second.load_state_dict(first.state_dict())
    return [first, second]


@pytest.mark.parametrize("family", TINY)
def test_batches_do_not_matter(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = TINY[family].model(), TINY[family].samples(3)
    whole = run_float(model, samples)
    monkeypatch.setattr("pumice.runtime.float_model.BATCH", 2)
    parts = run_float(model, samples)
    np.testing.assert_allclose(parts.logits, whole.logits, rtol=0, atol=1e-12)
    assert all(np.array_equal(parts.spikes[name], spikes) for name, spikes in whole.spikes.items())
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(parts.masks, whole.masks, strict=True))
    assert all(spikes.dtype == np.uint8 and spikes.shape[1] == 3 for spikes in whole.spikes.values())


@pytest.mark.parametrize(
    ("build", "gathered", "sample"),
    [
        (lambda: SdtV1(V1), lambda: SdtV1(replace(V1, k_values=(3, 2))), (3, 16, 24)),
        (lambda: SdtV3(V3), lambda: SdtV3(replace(V3, k_values=(0.75,) * 4 + (0.5,) * 4)), (2, 64, 48)),
        (lambda: QKFormer(QK), lambda: QKFormer(QK_TP), (2, 32, 48)),
    ],
    ids=["sdt-v1", "sdt-v3", "qkformer"],
)
def test_gathered_tokens_are_recorded_at_their_places(
    build: Callable[[], SpikingNetwork], gathered: Callable[[], SpikingNetwork], sample: tuple[int, ...]
) -> None:
    """The same tokens, gated in place by a given schedule in a network that gathers nothing, are the witness."""
    whole, slotted = twins(build, gathered)
    samples = np.random.default_rng(0).random((2, *sample))
    wanted = run_float(slotted, samples)
    schedule = [np.moveaxis(mask, 0, 1) for mask in wanted.masks]
    got = run_float(whole, samples, schedule)
    assert not all(mask.all() for mask in wanted.masks)
    np.testing.assert_allclose(got.logits, wanted.logits, rtol=0, atol=1e-9)
    assert set(got.spikes) == set(wanted.spikes)
    for name, spikes in got.spikes.items():
        np.testing.assert_array_equal(spikes, wanted.spikes[name], err_msg=name)


def test_a_schedule_is_an_array_where_blocks_have_equally_many_tokens() -> None:
    model, samples = TINY["spikformer"].model(), TINY["spikformer"].samples(3)
    masks = np.random.default_rng(0).random((3, 2, 3, 24)) < 0.5
    run = run_float(model, samples, masks)
    for block in range(2):
        np.testing.assert_array_equal(run.masks[block], np.moveaxis(masks[:, block], 0, 1))
        attended = run.spikes[f"block.{block}.attn.q_lif"]
        assert attended.any()
        assert not (attended & ~run.masks[block][:, :, None, :]).any()
