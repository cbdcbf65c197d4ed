"""Token scores and routing masks: the one set of rules that the torch models and every executor share.

Inputs are spike counts, so every sum that decides an order is a sum of integers, exact in float64 whatever the batch
shape; normalising sums run strictly left to right (`cumsum`) for the same reason. Two executors that see the same spikes
therefore route the same tokens, ties included: the higher score wins, then the lower token index.

Sources: TP-Spikformer (IRToP, Eq. 10-15) and its official code, which differ; SparseSpikformer (firing rate).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.integer_sums import channel_dot, channels_first, difference, window_sum

Floats = NDArray[np.float64]
Rule = Literal["irtop-paper", "irtop-official", "firing-rate", "random"]
OFFICIAL_EPS = 1e-6  # the official cosine's guard against norms of zero
RULES: tuple[Rule, ...] = ("irtop-paper", "irtop-official", "firing-rate", "random")


@dataclass(frozen=True)
class Criterion:
    """How tokens are scored and how many are kept.

    rule: which score. `window`: side k of the spatial window (Eq. 11), odd. `alpha`: weight of the spatial score, 1-alpha
    of the temporal one, scaled so that 0.5 is the plain sum of Eq. 13; 1 is spatial only, 0 temporal only (appendix D).
    `first_step`: the paper recommends "spatial" scores only at t=1. `per_step`: one mask per timestep (paper) or one for
    the whole sample from the mean score (official code). `silent`: the spatial score of a token without a spike, whose
    cosine is undefined. `seed`: for `random` only.
    """

    rule: Rule = "irtop-paper"
    window: int = 3
    alpha: float = 0.5
    first_step: Literal["both", "spatial"] = "both"
    per_step: bool = True
    silent: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown token criterion {self.rule!r}; known: {', '.join(RULES)}")
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"the criterion's window must be odd and positive, not {self.window}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], not {self.alpha}")
        if self.first_step not in ("both", "spatial"):
            raise ValueError(f"first_step must be 'both' or 'spatial', not {self.first_step!r}")

    @property
    def causal(self) -> bool:
        """Whether the mask of step t needs nothing later than step t, so that a chip can route live."""
        return self.per_step and self.rule != "irtop-official"

    def as_dict(self) -> dict[str, Any]:
        """The criterion as JSON-ready values; `Criterion(**d)` reads it back."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TokenSums:
    """What the paper's scores are made of, sums over channels [..., B, N], whole numbers where counts are: of each token's count
    times the sum of its window (Eq. 10, 11), of the squares of both, and of the square of the change since the last step, or of
    the count itself at the first (Eq. 12)."""

    dot: Floats
    own: Floats
    around: Floats
    change: Floats


def tokens_kept(retention: float, height: int, width: int, rule: Rule = "irtop-paper") -> int:
    """How many of the `height * width` tokens a block keeps: K of Eq. 14, or k*k by the official code."""
    if not 0.0 < retention <= 1.0:
        raise ValueError(f"retention must lie in (0, 1], not {retention}")
    if rule == "irtop-official":
        return max(1, int(height * math.sqrt(retention) + 1e-9)) ** 2
    return math.ceil(round(retention * height * width, 9))


def keep_top(scores: Floats, k: int) -> NDArray[np.bool_]:
    """`best_tokens` as a mask. scores: [..., N]; returns [..., N]."""
    mask = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(mask, best_tokens(scores, k), True, axis=-1)
    return mask


def step_scores(x: NDArray[Any], previous: NDArray[Any] | None, criterion: Criterion, block: int, step: int) -> Floats:
    """Scores of one timestep. x, previous: spike counts [B, C, H, W]; previous is None at the first step. Returns [B, N].

    Raises ValueError for a rule that needs the whole sample (see `Criterion.causal`).
    """
    if criterion.rule == "random":
        return _random_scores(x, criterion, block, step)
    if criterion.rule == "irtop-official":
        raise ValueError("irtop-official averages over all timesteps, so it has no score at one step")
    now = channels_first(x)
    if criterion.rule == "firing-rate":
        return _flat(now.sum(axis=0).astype(np.float64))
    sums = token_sums(now, None if previous is None else channels_first(previous), criterion.window)
    return paper_scores(sums, criterion, first=previous is None)


def token_sums(x: NDArray[Any], previous: NDArray[Any] | None, window: int) -> TokenSums:
    """Of counts x and those of the step before, [C, B, H, W]."""
    around, change = window_sum(x, window), x if previous is None else difference(x, previous)
    pairs = ((x, around), (x, x), (around, around), (change, change))
    return TokenSums(*(_flat(channel_dot(a, b)) for a, b in pairs))


def paper_scores(sums: TokenSums, criterion: Criterion, first: bool) -> Floats:
    """Eq. 10 to 13 of TP-Spikformer, [..., B, N]; first: whether there was no step before."""
    spatial = _normalised(_spatial_paper(sums, criterion))
    if first and criterion.first_step == "spatial":
        return spatial
    temporal = _normalised(np.sqrt(sums.change))  # Eq. 12
    return 2 * criterion.alpha * spatial + 2 * (1 - criterion.alpha) * temporal


def sample_scores(x: NDArray[Any], criterion: Criterion, block: int) -> Floats:
    """Scores of a whole sample. x: spike counts [T, B, C, H, W]; returns [T, B, N], equal over T if masks are shared."""
    if criterion.rule == "irtop-official":
        scores = _official(np.asarray(x, np.float64), criterion)
        return np.broadcast_to(scores, (x.shape[0], x.shape[1], x.shape[3] * x.shape[4]))
    steps = [step_scores(x[t], x[t - 1] if t else None, criterion, block, t) for t in range(x.shape[0])]
    return shared_over_steps(np.stack(steps), criterion)


def shared_over_steps(scores: Floats, criterion: Criterion) -> Floats:
    """Scores [T, B, N] of each step, or their mean where all steps share a mask."""
    if criterion.per_step:
        return scores
    return np.broadcast_to(np.cumsum(scores, axis=0)[-1] / len(scores), scores.shape)


def sample_masks(x: NDArray[Any], criterion: Criterion, retention: float, block: int) -> NDArray[np.bool_]:
    """Routing masks of a whole sample. x: spike counts [T, B, C, H, W]; returns [T, B, N]."""
    k = tokens_kept(retention, x.shape[3], x.shape[4], criterion.rule)
    return keep_top(sample_scores(x, criterion, block), k)


def official_spatial(x: NDArray[Any], window: int) -> Floats:
    """The spatial score of the official code for models that gather tokens: softmax over tokens of -cos(token, window).

    x: membranes or counts averaged over time, [B, C, H, W]; returns [B, N]. The zero-padded window sums *all* channels, so
    it has one value for every channel and the cosine sees little more than its sign.
    """
    x = np.asarray(x, np.float64)
    totals = _ordered_sum(x, 1)
    around = window_sum(totals, window) / window**2
    norms = np.maximum(np.sqrt(_ordered_sum(x * x, 1)), OFFICIAL_EPS)
    norms_around = np.maximum(np.abs(around) * math.sqrt(x.shape[1]), OFFICIAL_EPS)
    return _softmax(-_flat(totals * around / (norms * norms_around)))


def official_temporal(x: NDArray[Any]) -> Floats:
    """The official code's temporal score: softmax over tokens of the mean |change between steps of the channels' mean|.

    x: [T, B, C, H, W]; returns [B, N]. Raises ValueError at T = 1, where the official code scores NaN.
    """
    if x.shape[0] < 2:
        raise ValueError("irtop-official compares neighbouring timesteps: it needs T >= 2, or alpha = 1")
    means = _ordered_sum(np.asarray(x, np.float64), 2) / x.shape[2]
    return _softmax(_flat(_ordered_sum(np.abs(means[1:] - means[:-1]), 0) / (x.shape[0] - 1)))


def best_tokens(scores: Floats, k: int) -> NDArray[np.int64]:
    """Indices [..., k] of the best tokens of scores [..., N], best first. Ties: the lower index wins."""
    return np.ascontiguousarray(np.argsort(-scores, axis=-1, kind="stable")[..., :k], np.int64)


def score_operations(channels: int, tokens: int, criterion: Criterion) -> int:
    """Arithmetic operations that an off-core scorer spends on one step of one block (multiplies, adds, compares)."""
    if criterion.rule == "random":
        return tokens
    if criterion.rule == "firing-rate":
        return tokens * channels
    window_sums = tokens * channels * 2 * criterion.window  # separable box sum
    dots = tokens * channels * 2 * 3  # <x, y>, |x|^2, |y|^2
    temporal = tokens * channels * 3
    return window_sums + dots + temporal + tokens * 8


def _flat(x: Floats) -> Floats:
    return x.reshape(*x.shape[:-2], -1)


def _ordered_sum(x: Floats, axis: int) -> Floats:
    """Sum strictly left to right, so that reals give the same bits in any batch."""
    return np.asarray(np.cumsum(x, axis=axis).take(-1, axis=axis))


def _normalised(scores: Floats) -> Floats:
    """Scores [B, N] divided by their sum over tokens; all zero where the sum is zero."""
    total = np.cumsum(scores, axis=-1)[..., -1:]
    return np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)


def _spatial_paper(sums: TokenSums, criterion: Criterion) -> Floats:
    """1 - cos(token, mean of its window), Eq. 10. The mean's divisor cancels in the cosine, so integer sums do."""
    norms = np.sqrt(sums.own) * np.sqrt(sums.around)
    cosine = np.divide(sums.dot, norms, out=np.zeros_like(sums.dot), where=norms > 0)
    return np.where(norms > 0, np.maximum(1.0 - cosine, 0.0), criterion.silent)


def _random_scores(x: NDArray[Any], criterion: Criterion, block: int, step: int) -> Floats:
    rng = np.random.default_rng([criterion.seed, block, step if criterion.per_step else 0])
    return np.broadcast_to(rng.random(x.shape[2] * x.shape[3]), (x.shape[0], x.shape[2] * x.shape[3]))


def _official(x: Floats, criterion: Criterion) -> Floats:
    """The official code's score, [B, N]: spatial on the time average, temporal on channel means. alpha = 1 is spatial only,
    as for SDT-V3, and works at T = 1."""
    spatial = official_spatial(_ordered_sum(x, 0) / x.shape[0], criterion.window)
    if criterion.alpha == 1:
        return 2 * spatial
    return np.asarray(2 * criterion.alpha * spatial + 2 * (1 - criterion.alpha) * official_temporal(x))


def _softmax(x: Floats) -> Floats:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / np.cumsum(e, axis=-1)[..., -1:])
