"""The schedule search: what it tries, that it measures what an evaluation measures, its front, its choices, its refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion, tokens_kept
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.schedule_evaluation import Point, evaluate_schedule, pareto_front
from pumice.models.pruning.schedule_search import SearchResult, search
from pumice.models.pruning.schedule_space import SearchSpace
from pumice.models.pruning.schedules import SCHEDULES, average
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.training.digits import Samples

COARSE = SearchSpace(ratios=(1.0, 0.6, 0.3, 0.1))


def labelled(family: str, samples: int = 12) -> tuple[SpikingNetwork, Samples]:
    """A network, and images labelled by the network itself, so that accuracy is agreement with the unpruned network."""
    network, images = FAMILIES[family].network(), FAMILIES[family].images(samples)
    with torch.no_grad():
        return network, Samples(images, network(images).argmax(1))


def found_points(draws: list[tuple[int, int]]) -> list[Point]:
    return [Point((tokens / 10,), (tokens / 10,), correct, 10, float(i)) for i, (tokens, correct) in enumerate(draws)]


# --- which schedules


@given(st.sets(st.integers(1, 100), min_size=1, max_size=4), st.integers(1, 5))
@settings(deadline=None)
def test_candidates_are_all_schedules_that_never_grow(percents: set[int], blocks: int) -> None:
    space = SearchSpace(ratios=tuple(p / 100 for p in percents))
    candidates, whole = space.candidates(blocks)
    wanted = [s for s in product(space.ratios, repeat=blocks) if all(a >= b for a, b in pairwise(s))]
    assert sorted(candidates) == sorted(wanted)
    assert whole
    assert len(wanted) == space.size(blocks)
    assert candidates == sorted(candidates, reverse=True)


def test_targets_keep_the_schedules_near_them() -> None:
    space = SearchSpace(ratios=(1.0, 0.5, 0.25), targets=(0.5, 0.75), tolerance=0.05)
    candidates, _ = space.candidates(2)
    assert candidates == [(1.0, 0.5), (0.5, 0.5)]
    with pytest.raises(InputError, match=r"no schedule of 2 blocks averages within 0.001 of 0.7"):
        SearchSpace(ratios=(1.0, 0.5), targets=(0.7,), tolerance=0.001).candidates(2)


@pytest.mark.parametrize("name", ["sdtv3-0.78", "sdtv3-0.65", "sdtv3-0.56"])
def test_the_paper_s_search_space_holds_the_schedule_it_found(name: str) -> None:
    """Table 10's ratios, Table 8's result."""
    ratios = (
        (1, 0.90, 0.81, 0.72, 0.64, 0.56, 0.49) if name.endswith("78") else (0.81, 0.72, 0.64, 0.56, 0.49, 0.42, 0.36)
    )
    space = SearchSpace(ratios, targets=(float(name[-4:]),), tolerance=0.006)
    candidates, whole = space.candidates(8)
    assert whole
    assert next(schedule.ratios for schedule in SCHEDULES if schedule.name == name) in candidates
    assert space.size(8) == math.comb(14, 8) == 3003


def test_no_tolerance_gives_the_65_combinations_of_table_10() -> None:
    """The paper does not say how it chose them; the sums are multiples of 0.01, so that these tolerances are all there are."""
    space = SearchSpace((1, 0.90, 0.81, 0.72, 0.64, 0.56, 0.49), targets=(0.78,))
    counts = [len(replace(space, tolerance=step * 0.01 / 8).candidates(8)[0]) for step in range(4)]
    assert counts == sorted(counts)
    assert counts[0] < 65 < counts[-1]
    assert 65 not in counts


@given(seed=st.integers(0, 500), count=st.sampled_from([1, 5, 7, 11, 13, 17, 19, 23, 60]))
@settings(max_examples=20, deadline=None)
def test_a_sample_is_spread_over_the_averages_and_the_same_for_a_seed(seed: int, count: int) -> None:
    """One schedule at least in each of as many bands as it has schedules. At primes below 25 every band has candidates, and
    none on its edge: averages are multiples of 1/30."""
    space = SearchSpace(ratios=(1.0, 0.8, 0.6, 0.4, 0.2), seed=seed)
    candidates, _ = space.candidates(6)
    sample = space.sample(candidates, count)
    assert sample == space.sample(candidates, count)
    assert len(set(sample)) == len(sample) == count
    assert sample == sorted(set(sample) & set(candidates), reverse=True)
    if count < 25:
        assert (np.histogram([average(s) for s in sample], bins=count, range=(0.2, 1.0))[0] == 1).all()


def test_a_space_too_large_to_list_is_drawn_from() -> None:
    space = SearchSpace(ratios=tuple(k / 20 for k in range(1, 21)), targets=(0.5,))
    assert space.size(12) > 10**8
    candidates, whole = space.candidates(12)
    assert not whole
    assert len(set(candidates)) == len(candidates) > 100
    for schedule in candidates:
        TokenPruning(schedule)  # legal
        assert abs(average(schedule) - 0.5) <= 0.02 + 1e-9


def test_neighbours_differ_by_one_step_and_never_grow() -> None:
    space = SearchSpace(ratios=(1.0, 0.5, 0.25))
    assert set(space.neighbours((0.5, 0.5))) == {(1.0, 0.5), (0.5, 0.25)}
    assert set(space.neighbours((1.0, 0.25))) == {(0.5, 0.25), (1.0, 0.5)}
    assert set(replace(space, targets=(0.75,)).neighbours((0.5, 0.5))) == {(1.0, 0.5)}


# --- what it measures


@pytest.mark.parametrize("family", FAMILIES)
def test_points_are_what_running_each_schedule_alone_gives(family: str) -> None:
    """Accuracy from `forward`, tokens from Eq. 14 on the family's grids, for every family."""
    network, samples = labelled(family)
    space = replace(COARSE, budget=12)
    result = search(network, samples, space, Criterion(), "decay", batch=5)
    assert len(result.points) == min(12, space.size(network.depth))
    for point in result.points:
        network.pruning = TokenPruning(point.retention, Criterion(), "decay")
        with torch.no_grad():
            logits = torch.cat([network(images) for images in torch.split(samples.images, 5)])
        assert point.correct == int((logits.argmax(1) == samples.labels).sum())
        assert point.loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, samples.labels)), rel=1e-5)
        kept = [
            tokens_kept(ratio, *grid) / (grid[0] * grid[1])
            for ratio, grid in zip(point.retention, FAMILIES[family].grids, strict=True)
        ]
        assert point.kept == pytest.approx(kept)
        assert point.average == pytest.approx(sum(kept) / len(kept))
    assert result.unpruned.accuracy == 1.0
    assert len({point.loss for point in result.points}) > 1


def test_the_same_search_gives_the_same_result_and_leaves_the_model_alone() -> None:
    network, samples = labelled("spikformer")
    before = TokenPruning((0.5, 0.5, 0.5))
    network.train()
    network.pruning = before
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    space = replace(COARSE, budget=9, seed=3)
    assert search(network, samples, space, Criterion()) == search(network, samples, space, Criterion())
    assert network.training
    assert network.pruning is before
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_a_budget_is_kept_and_no_schedule_is_evaluated_twice() -> None:
    network, samples = labelled("spikformer", 4)
    whole = search(network, samples, COARSE, Criterion())
    assert whole.exhaustive
    assert len(whole.points) == whole.candidates == COARSE.size(3) == 20
    seen: list[tuple[int, int]] = []
    for budget in (1, 7, 19):
        seen.clear()
        part = search(
            network, samples, replace(COARSE, budget=budget), Criterion(), progress=lambda *at: seen.append(at)
        )
        assert len({point.retention for point in part.points}) == len(part.points) == budget
        assert not part.exhaustive
        assert set(part.points) <= set(whole.points)
        assert seen == [(k + 1, budget) for k in range(budget)]


def test_progress_counts_batches() -> None:
    network, samples = labelled("spikformer", 5)
    seen: list[tuple[int, int]] = []
    search(network, samples, replace(COARSE, budget=4), Criterion(), progress=lambda *at: seen.append(at), batch=2)
    assert seen == [(k + 1, 12) for k in range(12)]


def test_logits_of_every_step_are_averaged() -> None:
    config = SdtV1Config(24, 24, 16, 1, 4, 16, 2, 2, depths=2, T=3, pooling_stat="0011")
    network, samples = labelled("sdtv1")
    stepwise = SdtV1(replace(config, TET=True)).eval()
    stepwise.load_state_dict(network.state_dict())
    points = [evaluate_schedule(model, samples, (0.5, 0.25), Criterion()) for model in (network, stepwise)]
    assert points[0].correct == points[1].correct
    assert points[0].loss == pytest.approx(points[1].loss)


# --- what it chooses


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10)), max_size=30))
def test_the_front_is_what_no_point_beats(draws: list[tuple[int, int]]) -> None:
    points = found_points(draws)
    front = pareto_front(points)
    for point in points:
        beaten = any(
            other.average <= point.average
            and other.accuracy >= point.accuracy
            and (other.average, other.accuracy) != (point.average, point.accuracy)
            for other in points
        )
        same = [p for p in front if (p.average, p.accuracy) == (point.average, point.accuracy)]
        assert len(same) == (0 if beaten else 1)
        assert all(p.loss <= point.loss for p in same)
    assert sorted(front, key=lambda p: p.average) == list(front)


def test_the_choice_for_a_target_is_the_most_accurate_then_the_surest() -> None:
    space = SearchSpace(targets=(0.5,), tolerance=0.1)
    points = tuple(
        Point((ratio,), (ratio,), correct, 10, loss)
        for ratio, correct, loss in ((0.5, 8, 0.1), (0.55, 9, 0.4), (0.45, 9, 0.3), (0.7, 10, 0.0))
    )
    result = SearchResult(points[0], points, 4, True)
    assert result.best(space, 0.5) == points[2]
    assert result.best(space, 0.2) is None


# --- what it refuses


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratios": (1.0, 0.0)}, r"ratio 0.0 is not in \(0, 1\]"),
        ({"ratios": (1.5,)}, r"ratio 1.5 is not in \(0, 1\]"),
        ({"ratios": ()}, "no ratios"),
        ({"targets": (1.2,)}, r"target 1.2 is not in \(0, 1\]"),
        ({"budget": 0}, "a budget of 0 schedules"),
        ({"tolerance": -0.1}, "tolerance -0.1"),
        ({"tolerance": math.nan}, "tolerance nan"),
    ],
)
def test_an_impossible_space_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SearchSpace(**change)  # type: ignore[arg-type]


def test_images_and_labels_that_do_not_fit_are_refused() -> None:
    network, samples = labelled("spikformer", 3)
    for images, labels, message in (
        (samples.images, samples.labels[:2], r"\(2,\) labels for 3 images"),
        (samples.images[:0], samples.labels[:0], r"\(0,\) labels for 0 images"),
        (samples.images, samples.labels + 4, "labels from .* but the model has 4 classes"),
        (samples.images, samples.labels - 4, "labels from -.* but the model has 4 classes"),
        (samples.images[:, :, 1:], samples.labels, r"input is torch.float32 \(1, 1, 15, 16\)"),
    ):
        with pytest.raises(InputError, match=message):
            search(network, Samples(images, labels), COARSE, Criterion())
    assert network.pruning is None


@pytest.mark.parametrize(
    ("retention", "message"),
    [((0.5, 0.6, 0.1), "exceeds 0.5"), ((0.5,) * 2, "2 ratios, the model 3 blocks"), ((1.0, 0.5, 0.0), "is not in")],
)
def test_a_schedule_that_does_not_fit_is_refused(retention: tuple[float, ...], message: str) -> None:
    network, samples = labelled("spikformer", 2)
    with pytest.raises(InputError, match=message):
        evaluate_schedule(network, samples, retention, Criterion())
