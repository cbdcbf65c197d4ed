"""The picture of a schedule search: a whole PNG of the promised size, the same bytes every time, never half written."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pngs import size_of

from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.pareto_picture import FrontPoint, ParetoPicture, draw_pareto, label_of

FRONT = (FrontPoint((0.5, 0.2), 0.35, 0.9, 0.88), FrontPoint((1.0, 0.5), 0.75, 0.97, 0.95))
PICTURE = ParetoPicture(
    "a model", "irtop-paper", "100 images", 100, ((0.35, 0.9), (0.6, 0.8), (0.75, 0.97)), FRONT, 0.98
)


def drawn(picture: ParetoPicture, folder: Path, name: str = "a.png") -> bytes:
    pytest.importorskip("matplotlib")
    draw_pareto(folder / name, picture)
    return (folder / name).read_bytes()


def test_the_picture_is_1200_by_750_small_and_deterministic(tmp_path: Path) -> None:
    png = drawn(PICTURE, tmp_path)
    assert size_of(png) == (1200, 750)
    assert len(png) < 200 * 1024
    assert png == drawn(PICTURE, tmp_path, "b.png")


def test_what_differs_is_drawn_differently(tmp_path: Path) -> None:
    untested = replace(PICTURE, front=tuple(replace(point, test=None) for point in FRONT))
    pictures = {
        drawn(PICTURE, tmp_path),
        drawn(untested, tmp_path),
        drawn(replace(PICTURE, points=PICTURE.points[:1]), tmp_path),
        drawn(replace(PICTURE, unpruned=0.9), tmp_path),
        drawn(replace(PICTURE, front=FRONT[:1]), tmp_path),
    }
    assert len(pictures) == 5


@pytest.mark.parametrize("blocks", [1, 30])
def test_one_point_and_many_blocks_draw_too(tmp_path: Path, blocks: int) -> None:
    point = FrontPoint((0.5,) * blocks, 0.5, 1.0)
    assert drawn(replace(PICTURE, points=((0.5, 1.0),), front=(point,), unpruned=1.0), tmp_path)


def test_labels_count_runs() -> None:
    assert label_of((1.0, 0.75, 0.75, 0.75, 0.5)) == "1, 0.75 ×3, 0.5"
    assert label_of((49 / 64,)) == "0.7656"


def test_a_front_without_schedules_is_refused() -> None:
    with pytest.raises(InputError, match="a front without schedules"):
        replace(PICTURE, front=())


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match="cannot be written"):
        draw_pareto(tmp_path / "missing" / "a.png", PICTURE)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendUnavailable, match="pictures need matplotlib"):
        draw_pareto(tmp_path / "a.png", PICTURE)
