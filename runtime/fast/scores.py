"""Routing masks scored while samples run: by a kernel where counts are small, else as `compiler.walk` has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.walk import live_mask
from pumice.hwsim.kernels.token_sums import sum_tokens
from pumice.hwsim.scoring import TokenSums, keep_top, paper_scores, shared_over_steps, tokens_kept
from pumice.runtime.fast.batch import Batch, all_steps
from pumice.runtime.fast.lanes import Held, held, storage

Array = NDArray[Any]
WINDOW_LIMIT, SUM_LIMIT = 1 << 16, 1 << 31


def scored(batch: Batch, node: i.LiveMask, x: Held) -> Held:
    """A mask from a block's input."""
    rows, score = all_steps(batch, x), _by_sums if _small(batch, node, x) else _by_walk
    mask = score(node, x, rows)
    return held(mask[:, :, None], batch.layout(node), storage(node.out), batch.memory)


def _small(batch: Batch, node: i.LiveMask, x: Held) -> bool:
    """Whether the paper's scores are made of sums that the kernel's integers hold."""
    out, rule = batch.plan.graph.nodes[node.inputs[0]].out, node.criterion
    window = out.high * rule.window**2
    fits = window < WINDOW_LIMIT and x.layout.shape[0] * window**2 < SUM_LIMIT
    return rule.rule == "irtop-paper" and x.rows.dtype == np.uint8 and fits and len(x.layout.shape) == 2


def _by_walk(node: i.LiveMask, x: Held, rows: Array) -> NDArray[np.bool_]:
    return live_mask(node, np.moveaxis(x.layout.positions(rows), 2, 1))


def _by_sums(node: i.LiveMask, x: Held, rows: Array) -> NDArray[np.bool_]:
    """[T, B, N]"""
    (height, width), rule = node.grid, node.criterion
    sums = np.empty((len(rows), 4, x.layout.lanes), np.int32)
    sum_tokens(rows, width, _beside(x, node.grid, rule.window // 2), sums)
    by_step = x.layout.positions(sums).astype(np.float64)  # [T, 4, B, N]
    first, later = (TokenSums(*np.moveaxis(part, 1, 0)) for part in (by_step[:1], by_step[1:]))
    scores = np.concatenate([paper_scores(first, rule, first=True), paper_scores(later, rule, first=False)])
    return keep_top(shared_over_steps(scores, rule), tokens_kept(node.retention, height, width, rule.rule))


def _beside(x: Held, grid: tuple[int, int], reach: int) -> NDArray[np.uint8]:
    """See `sum_tokens`."""
    made = np.zeros((2, reach, 2, x.layout.lanes), np.uint8)
    token = np.arange(x.layout.shape[1])
    for axis, (place, size) in enumerate(((token % grid[1], grid[1]), (token // grid[1], grid[0]))):
        for away in range(1, reach + 1):
            for side, inside in enumerate((place >= away, place < size - away)):
                x.layout.positions(made[axis, away - 1, side])[...] = inside
    return made
