"""What holds for every picture: it opens, it is small, it is the same each time, and hard names do no harm."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from io import BytesIO
from typing import Any

import matplotlib
import matplotlib.image
import numpy as np
import pytest

from nlpmtl.plots import (
    ScoreDifference,
    draw_affinity,
    draw_dendrogram,
    draw_error_analysis,
    draw_learning_curve,
    draw_score_differences,
)
from nlpmtl.tasks import Confusion, LabelCounts, RegressionPairs

NAMES = ("a|b", "$x_1$", "新闻", "line\nbreak", "😀", "", " ", "long " * 20, "long " * 21, "<b>", "$\\frac$", "ü")


def labels(many: int) -> tuple[str, ...]:
    return tuple(NAMES[i] if i < len(NAMES) else f"a_label_of_some_length_{i}" for i in range(many))


def confusion(many: int, *, rows: int = 2000, seed: int = 0) -> Confusion:
    source = np.random.default_rng(seed)
    gold = source.integers(many, size=rows)
    said = np.where(source.random(rows) < 0.8, gold, source.integers(many, size=rows))
    counts = np.zeros((many, many), dtype=np.int64)
    np.add.at(counts, (gold, said), 1)
    return Confusion(labels(many), counts, "rows")


def hits(many: int) -> LabelCounts:
    source = np.random.default_rng(many)
    found, missed, wrong = source.integers(0, 50, size=(3, many))
    found[0] = missed[0] = wrong[0] = 0
    return LabelCounts(labels(many), found, missed, wrong)


def points(many: int) -> RegressionPairs:
    gold = np.linspace(-3, 5, many)
    return RegressionPairs(gold, gold + np.random.default_rng(1).normal(size=many))


def curve(steps: int, *, tasks: int, evaluations: int) -> bytes:
    source = np.random.default_rng(2)
    names = [f"task_{i}" for i in range(tasks)]
    metrics = [
        {
            "step": step,
            "losses": {name: float(source.exponential() / step**0.5) for name in names if source.random() < 0.7},
        }
        for step in range(1, steps + 1)
    ]
    lines: list[dict[str, Any]] = [
        {
            "step": steps * i // evaluations,
            "tasks": {name: {"score": float(source.random())} for name in names},
            "mean": 0.5,
        }
        for i in range(1, evaluations + 1)
    ]
    return draw_learning_curve(metrics, lines, tasks=names, step=steps)


def differences(many: int) -> bytes:
    source = np.random.default_rng(many)
    found = []
    for i in range(many):
        alone, mixture, about = source.random(3)
        low, high = mixture - alone - 0.3 * about, mixture - alone + 0.3 * about
        found.append(ScoreDifference(f"task_{i}", alone, mixture, (low, high)))
    return draw_score_differences(found, subtitle="below")


def related(many: int) -> tuple[tuple[str, ...], np.ndarray]:
    cosines = np.clip(np.eye(many) + np.random.default_rng(many).normal(scale=0.3, size=(many, many)), -1, 1)
    return labels(many), (cosines + cosines.T) / 2


PICTURES: dict[str, Callable[[], bytes]] = {
    **{f"confusion of {n}": lambda n=n: draw_error_analysis("t", confusion(n)) for n in (2, 3, 24, 77, 150)},  # type: ignore[misc]
    "confusion without a row": lambda: draw_error_analysis(
        "t", Confusion(("a", "b"), np.zeros((2, 2), np.int64), "words")
    ),
    "confusion without a mistake": lambda: draw_error_analysis(
        "t", Confusion(labels(90), 3 * np.eye(90, dtype=np.int64), "rows")
    ),
    **{f"hits of {n}": lambda n=n: draw_error_analysis("t", hits(n)) for n in (1, 28, 150)},  # type: ignore[misc]
    **{f"points of {n}": lambda n=n: draw_error_analysis("t", points(n)) for n in (1, 2, 20_000)},  # type: ignore[misc]
    "points without numbers": lambda: draw_error_analysis("t", RegressionPairs(np.array([1.0]), np.array([np.nan]))),
    "a name of 64": lambda: draw_error_analysis("n" * 64, confusion(2)),
    **{f"tree of {n}": lambda n=n: draw_dendrogram(*related(n)) for n in (2, 3, 25)},  # type: ignore[misc]
    **{f"affinities of {n}": lambda n=n: draw_affinity(*related(n), significant=related(n)[1] > 0) for n in (2, 3, 25)},  # type: ignore[misc]
    "affinities without one": lambda: draw_affinity(
        ("a", "b"), np.zeros((2, 2)), significant=np.zeros((2, 2), dtype=bool)
    ),
    "curve of a step": lambda: curve(1, tasks=1, evaluations=0),
    "curve of zeros": lambda: draw_learning_curve([{"step": 1, "losses": {"t": 0.0}}], [], tasks=["t", "u"], step=1),
    "curve of few": lambda: curve(12, tasks=3, evaluations=3),
    "differences of 2": lambda: differences(2),
    "differences of 40": lambda: differences(40),
    "differences of nothing": lambda: draw_score_differences(
        [ScoreDifference("n" * 64, 0.0, 0.0, (0.0, 0.0))], subtitle="below"
    ),
    "curve of many": lambda: curve(3000, tasks=25, evaluations=60),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_opens_is_small_and_not_empty(name: str) -> None:
    png = PICTURES[name]()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 150_000
    pixels = matplotlib.image.imread(BytesIO(png))
    high, wide, _ = pixels.shape
    assert 200 <= high <= 1500
    assert 400 <= wide <= 1500
    assert pixels[:, :, :3].std() > 0.01, "something was drawn"
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 1).all(), "nothing is cut off at the edge"


@pytest.mark.parametrize(
    "name",
    [
        "confusion of 77",
        "hits of 28",
        "points of 2",
        "curve of few",
        "differences of 2",
        "tree of 3",
        "affinities of 3",
    ],
)
def test_it_is_the_same_bytes_each_time_whatever_the_users_settings(name: str) -> None:
    once = PICTURES[name]()
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "savefig.dpi": 30, "axes.facecolor": "black"}):
        again = PICTURES[name]()
        assert matplotlib.rcParams["font.size"] == 20, "the user's settings are as they were"
    assert once == again
    assert b"Software" not in once
    assert b"matplotlib" not in once


def test_pictures_can_be_drawn_in_another_thread() -> None:
    drawn: list[bytes] = []
    thread = threading.Thread(target=lambda: drawn.append(PICTURES["confusion of 3"]()))
    thread.start()
    thread.join()
    assert drawn == [PICTURES["confusion of 3"]()]


@pytest.mark.slow  # a process that imports everything
def test_matplotlib_comes_in_with_the_pictures_alone() -> None:
    """And pyplot, which keeps figures and picks a window, never."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, nlpmtl.run, nlpmtl.inference.predictor\nprint('matplotlib' in sys.modules)\n"
            "import nlpmtl.plots\nprint('matplotlib.pyplot' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["False", "False"]
