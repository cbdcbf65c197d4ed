"""The shared scoring rules on spike counts: order, ties, K, and independence of the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumice.hwsim.scoring import (
    RULES,
    Criterion,
    best_tokens,
    keep_top,
    official_spatial,
    official_temporal,
    sample_masks,
    sample_scores,
    step_scores,
    tokens_kept,
)


def counts(seed: int, shape: tuple[int, ...] = (4, 3, 6, 4, 5), density: float = 0.3) -> NDArray[np.float64]:
    """Spike counts [T, B, C, H, W] as a residual stream holds them: small integers, many zeros."""
    rng = np.random.default_rng(seed)
    return rng.binomial(3, density, shape).astype(np.float64)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_keep_top_prefers_the_higher_score_then_the_lower_index(scores: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(scores)))
    best = sorted(range(len(scores)), key=lambda token: (-scores[token], token))[:k]
    assert np.flatnonzero(keep_top(np.array(scores, np.float64), k)).tolist() == sorted(best)


@given(st.integers(1, 100), st.integers(1, 20), st.integers(1, 20))
def test_kept_tokens_follow_equation_14_exactly(percent: int, height: int, width: int) -> None:
    exact = -(-percent * height * width // 100)  # the ceiling, in integers
    assert tokens_kept(percent / 100, height, width) == exact


@pytest.mark.parametrize(("side", "retention", "kept"), [(14, 0.5, 81), (14, 1.0, 196), (8, 0.25, 16), (8, 0.01, 1)])
def test_the_official_rule_keeps_a_square_number(side: int, retention: float, kept: int) -> None:
    assert tokens_kept(retention, side, side, "irtop-official") == kept


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("per_step", [True, False])
@given(seed=st.integers(0, 10_000), chosen=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_scores_of_a_sample_are_the_same_bits_in_any_batch(rule: str, per_step: bool, seed: int, chosen: int) -> None:
    criterion = Criterion(rule, per_step=per_step)  # type: ignore[arg-type]
    x = counts(seed, (3, 5, 7, 4, 5))
    batch = sample_scores(x, criterion, 1)[:, chosen]
    alone = sample_scores(x[:, chosen : chosen + 1], criterion, 1)[:, 0]
    as_float32 = sample_scores(np.asfortranarray(x[:, chosen : chosen + 1].astype(np.float32)), criterion, 1)[:, 0]
    assert batch.tobytes() == alone.tobytes() == as_float32.tobytes()


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "irtop-official"])
def test_stepwise_scores_equal_the_sample_s(rule: str) -> None:
    criterion, x = Criterion(rule), counts(1)  # type: ignore[arg-type]
    assert criterion.causal
    whole = sample_scores(x, criterion, 0)
    for t in range(len(x)):
        assert np.array_equal(whole[t], step_scores(x[t], x[t - 1] if t else None, criterion, 0, t))


def test_paper_score_equals_equations_10_to_13_written_as_loops() -> None:
    x = counts(2, (2, 1, 5, 3, 4))
    for t in range(2):
        spatial, temporal = np.zeros(12), np.zeros(12)
        for token, (h, w) in enumerate(np.ndindex(3, 4)):
            here = x[t, 0, :, h, w]
            window = [x[t, 0, :, p, q] for p, q in np.ndindex(3, 4) if abs(p - h) <= 1 and abs(q - w) <= 1]
            mean = np.mean(window, axis=0)
            norms = np.linalg.norm(here) * np.linalg.norm(mean)
            spatial[token] = 1 - here @ mean / norms if norms > 0 else 0.0
            temporal[token] = np.linalg.norm(here - x[t - 1, 0, :, h, w]) if t else np.linalg.norm(here)
        wanted = spatial / spatial.sum() + temporal / temporal.sum()
        np.testing.assert_allclose(sample_scores(x, Criterion(), 0)[t, 0], wanted, rtol=1e-12)


def plain_scores(x: NDArray[np.float64], previous: NDArray[np.float64] | None, window: int) -> NDArray[np.float64]:
    """The paper's score of one step, in float64 throughout. x, previous: [B, C, H, W]; returns [B, N]."""
    pad, (height, width) = window // 2, x.shape[-2:]
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    around = sum(padded[..., i : i + height, j : j + width] for i in range(window) for j in range(window))
    norms = np.sqrt((x * x).sum(axis=1)) * np.sqrt((around * around).sum(axis=1))
    cosine = np.divide((x * around).sum(axis=1), norms, out=np.zeros_like(norms), where=norms > 0)
    change = x if previous is None else x - previous
    parts = np.where(norms > 0, np.maximum(1 - cosine, 0.0), 0.0), np.sqrt((change * change).sum(axis=1))
    flat = [part.reshape(len(x), -1) for part in parts]
    totals = [np.cumsum(part, axis=-1)[..., -1:] for part in flat]
    spatial, temporal = (np.divide(p, s, out=np.zeros_like(p), where=s > 0) for p, s in zip(flat, totals, strict=True))
    return np.asarray(spatial + temporal)


@given(
    shape=st.tuples(*(st.integers(1, most) for most in (3, 3, 70, 6, 6))),
    largest=st.sampled_from([0, 1, 2, 4, 28, 29, 85, 255, 256, 1 << 15, 1 << 20]),
    dtype=st.sampled_from([np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.float32, np.float64]),
    signed=st.booleans(),
    window=st.sampled_from([1, 3, 5, 9]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_scores_are_those_of_float64_to_the_last_bit(
    shape: tuple[int, ...], largest: int, dtype: type[Any], signed: bool, window: int, seed: int
) -> None:
    top = largest if dtype in (np.float32, np.float64, np.bool_) else min(largest, np.iinfo(dtype).max)
    low = -top if signed and np.dtype(dtype).kind in "if" else 0
    rng = np.random.default_rng(seed)
    x = (rng.integers(low, top + 1, shape) * rng.binomial(1, 0.5, shape)).astype(dtype)
    x.reshape(-1)[-1] = top  # the widest sums that there may be
    as_float = x.astype(np.float64)
    for laid in (x, np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 2, 1)), 1, 2)):
        scores = sample_scores(laid, Criterion(window=window), 0)
        for t in range(len(x)):
            wanted = plain_scores(as_float[t], as_float[t - 1] if t else None, window)
            assert scores[t].tobytes() == wanted.tobytes()


def test_official_spatial_score_sees_only_the_sign_of_its_neighbours() -> None:
    """The quirk of the released code: softmax(-sign(Y) sum_c x_c / (|x| sqrt(C))) of the time average."""
    x = counts(3, (4, 2, 6, 4, 4), density=0.4)
    scores = sample_scores(x, Criterion("irtop-official", alpha=1.0), 0)[0] / 2
    mean = x.mean(axis=0)
    norms = np.sqrt((mean * mean).sum(axis=1))
    cosine = np.divide(mean.sum(axis=1), norms * math.sqrt(6), out=np.zeros_like(norms), where=norms > 0)
    weights = np.exp(-cosine.reshape(2, 16))  # counts are never negative, so sign(Y) is 1 where x is not 0
    wanted = weights / weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_silent_input_scores_without_nan_and_keeps_the_lowest_indices(rule: str) -> None:
    x = np.zeros((3, 2, 4, 4, 4))
    criterion = Criterion(rule)  # type: ignore[arg-type]
    assert np.isfinite(sample_scores(x, criterion, 0)).all()
    masks = sample_masks(x, criterion, 0.25, 0)
    assert (masks.sum(-1) == 4).all()
    if rule != "random":
        assert masks[..., :4].all()


def test_options_change_what_they_say() -> None:
    x = counts(4)
    shared = sample_masks(x, Criterion(per_step=False), 0.5, 0)
    assert (shared == shared[0]).all()
    assert not (sample_masks(x, Criterion(), 0.5, 0) == shared).all()
    spatial_only = sample_scores(x, Criterion(alpha=1.0), 0)[0] / 2
    np.testing.assert_allclose(sample_scores(x, Criterion(first_step="spatial"), 0)[0], spatial_only)
    random = [sample_masks(x, Criterion("random", seed=seed), 0.5, 0) for seed in (0, 0, 1)]
    assert np.array_equal(random[0], random[1])
    assert not np.array_equal(random[0], random[2])


def test_a_criterion_survives_its_dictionary() -> None:
    criterion = Criterion("irtop-paper", 5, 0.25, "spatial", False, 1.0, 7)
    assert Criterion(**criterion.as_dict()) == criterion


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown token criterion 'best'"):
        Criterion("best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window must be odd and positive, not 4"):
        Criterion(window=4)
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\], not 1.5"):
        Criterion(alpha=1.5)
    with pytest.raises(ValueError, match=r"retention must lie in \(0, 1\], not 0"):
        tokens_kept(0.0, 8, 8)
    with pytest.raises(ValueError, match="it needs T >= 2"):
        sample_scores(counts(0, (1, 1, 2, 3, 3)), Criterion("irtop-official"), 0)
    with pytest.raises(ValueError, match="it has no score at one step"):
        step_scores(counts(0)[0], None, Criterion("irtop-official"), 0, 0)


@given(seed=st.integers(0, 10_000), chosen=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_official_scores_of_membranes_are_the_same_bits_in_any_batch(seed: int, chosen: int) -> None:
    x = np.random.default_rng(seed).normal(size=(3, 5, 7, 4, 5))
    alone = x[:, chosen : chosen + 1]
    batch = official_temporal(x)[chosen] + official_spatial(x.mean(axis=0), 3)[chosen]
    single = official_temporal(alone)[0] + official_spatial(alone.mean(axis=0), 3)[0]
    assert batch.tobytes() == single.tobytes()


def test_official_scores_of_membranes_equal_their_definition_written_as_loops() -> None:
    x = np.random.default_rng(5).normal(size=(3, 1, 4, 3, 4))
    mean, cosine, change = x.mean(axis=0)[0], np.zeros(12), np.zeros(12)
    for token, (h, w) in enumerate(np.ndindex(3, 4)):
        window = sum(mean[:, p, q].sum() for p, q in np.ndindex(3, 4) if abs(p - h) <= 1 and abs(q - w) <= 1) / 9
        around = np.full(4, window)
        cosine[token] = mean[:, h, w] @ around / np.linalg.norm(mean[:, h, w]) / np.linalg.norm(around)
        change[token] = np.mean([abs((x[t + 1] - x[t])[0, :, h, w].mean()) for t in range(2)])
    np.testing.assert_allclose(official_spatial(mean[None], 3)[0], np.exp(-cosine) / np.exp(-cosine).sum(), rtol=1e-12)
    np.testing.assert_allclose(official_temporal(x)[0], np.exp(change) / np.exp(change).sum(), rtol=1e-12)
    assert np.isfinite(official_spatial(np.zeros((1, 4, 3, 4)), 3)).all()
    with pytest.raises(ValueError, match="it needs T >= 2"):
        official_temporal(x[:1])


def test_best_tokens_come_best_first_and_lower_index_first_on_ties() -> None:
    assert best_tokens(np.array([[1.0, 3.0, 1.0, 3.0, 2.0]]), 4).tolist() == [[1, 3, 4, 0]]
