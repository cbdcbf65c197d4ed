"""Token masks: materialised statically, scored live, given, or off; the routing rules hold in the executed program."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images

from pumice.compiler import int_nodes as i
from pumice.compiler.program import Program
from pumice.compiler.walk import walk
from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion, tokens_kept
from pumice.runtime.reference import Reference, input_frames

CONFIG = TinySpikformer(retention=0.3, blocks=2)
GATED = ("q_lif", "k_lif", "v_lif", "attn_lif", "proj_lif", "fc1_lif", "fc2_lif")


@pytest.mark.parametrize("mode", ["static", "live"])
def test_every_step_routes_exactly_k_tokens(compiled: Callable[..., Program], mode: str) -> None:
    run = Reference().run(compiled(CONFIG, masks=mode), images(CONFIG, 5))
    assert len(run.masks) == 2
    for mask in run.masks.values():
        assert np.all(mask.sum(axis=-1) == tokens_kept(0.3, 4, 4))


@pytest.mark.parametrize("mode", ["static", "live"])
def test_unrouted_tokens_fire_nowhere_in_the_block_and_pass_it_unchanged(
    compiled: Callable[..., Program], mode: str
) -> None:
    program = compiled(CONFIG, masks=mode)
    values, _ = walk(program.graph, input_frames(program.graph, images(CONFIG, 5)), None)
    off = values["block.0.gate.mask"][:, :, None, :] == 0
    for name in GATED:
        assert not np.any(values[f"block.0.{name}"] * off)
    assert np.array_equal(values["block.0.out"] * off, values["flatten"] * off)
    assert any(np.any(values[f"block.0.{name}"]) for name in GATED)  # and the routed ones do fire


def test_static_masks_are_part_of_the_program_and_the_same_for_every_sample(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG, masks="static")
    node = program.graph.nodes["block.0.gate.mask"]
    assert isinstance(node, i.StaticMask)
    run = Reference().run(program, images(CONFIG, 3, seed=9))
    assert np.array_equal(run.masks["block.0.gate.mask"], np.repeat(node.masks[:, None], 3, axis=1))


def test_given_masks_come_with_the_samples(compiled: Callable[..., Program]) -> None:
    live, given = compiled(CONFIG, masks="live"), compiled(CONFIG, masks="given")
    x = images(CONFIG, 4)
    scored = Reference().run(live, x, record=True)
    names = ["block.0.gate.mask", "block.1.gate.mask"]
    schedule = np.stack([np.moveaxis(scored.masks[name], 1, 0) for name in names], axis=1)
    same = Reference().run(given, x, schedule, record=True)
    assert np.array_equal(scored.outputs, same.outputs)
    assert all(np.array_equal(scored.spikes[n], same.spikes[n]) for n in scored.spikes)
    with pytest.raises(InputError, match="takes its routing masks with each sample"):
        Reference().run(given, x)
    with pytest.raises(InputError, match="masks: shape"):
        Reference().run(given, x, schedule[:, :, :, :-1])


def test_off_is_the_unpruned_network(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG, masks="off")
    assert not [n for n in program.graph.nodes.values() if isinstance(n, i.TokenGate) or n.out.dtype == "mask"]


def test_a_block_that_keeps_every_token_needs_no_mask(compiled: Callable[..., Program]) -> None:
    program = compiled(TinySpikformer(retention=1.0), masks="live")
    assert not [n for n in program.graph.nodes.values() if n.out.dtype == "mask"]


@pytest.mark.parametrize("criterion", [Criterion("irtop-official"), Criterion(per_step=False)])
def test_a_criterion_that_sees_the_future_cannot_run_live(
    compiled: Callable[..., Program], criterion: Criterion
) -> None:
    config = TinySpikformer(criterion=criterion)
    with pytest.raises(InputError, match="looks at all timesteps"):
        compiled(config, masks="live")
    shared = compiled(config, masks="static").graph.nodes["block.0.gate.mask"]
    assert isinstance(shared, i.StaticMask)
    assert np.all(shared.masks == shared.masks[0])


def test_hold_and_decay_are_different_programs(compiled: Callable[..., Program]) -> None:
    x = images(CONFIG, 20)
    runs = [
        Reference().run(compiled(TinySpikformer(retention=0.3, state=s)), x, record=True) for s in ("hold", "decay")
    ]
    assert any(np.any(runs[0].spikes[n] != runs[1].spikes[n]) for n in runs[0].spikes)
