"""Properties of all plots: valid, small, deterministic PNG files, whatever the names of labels and tasks."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import lru_cache, partial
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
    draw_learning_curve,
    draw_predictions,
    draw_score_differences,
)
from nlpmtl.tasks import Confusion, LabelCounts, RegressionPairs
from nlpmtl.tasks.error_analysis import count_errors, count_fractions, count_ranks

NAMES = ("a|b", "$x_1$", "新闻", "line\nbreak", "😀", "", " ", "long " * 20, "long " * 21, "<b>", "$\\frac$", "ü")


def labels(count: int) -> tuple[str, ...]:
    return tuple(NAMES[i] if i < len(NAMES) else f"a_label_of_some_length_{i}" for i in range(count))


def confusion(count: int, *, rows: int = 2000, seed: int = 0) -> Confusion:
    generator = np.random.default_rng(seed)
    gold = generator.integers(count, size=rows)
    predicted = np.where(generator.random(rows) < 0.8, gold, generator.integers(count, size=rows))
    counts = np.zeros((count, count), dtype=np.int64)
    np.add.at(counts, (gold, predicted), 1)
    return Confusion(labels(count), counts, "rows")


def label_counts(count: int) -> LabelCounts:
    generator = np.random.default_rng(count)
    correct, missed, wrong = generator.integers(0, 50, size=(3, count))
    correct[0] = missed[0] = wrong[0] = 0
    return LabelCounts(labels(count), correct, missed, wrong)


def regression_pairs(count: int) -> RegressionPairs:
    gold = np.linspace(-3, 5, count)
    return RegressionPairs(gold, gold + np.random.default_rng(1).normal(size=count))


def curve(steps: int, *, tasks: int, evaluations: int) -> bytes:
    generator = np.random.default_rng(2)
    names = [f"task_{i}" for i in range(tasks)]
    metrics = [
        {
            "step": step,
            "losses": {name: float(generator.exponential() / step**0.5) for name in names if generator.random() < 0.7},
        }
        for step in range(1, steps + 1)
    ]
    lines: list[dict[str, Any]] = [
        {
            "step": steps * i // evaluations,
            "tasks": {name: {"score": float(generator.random())} for name in names},
            "mean": 0.5,
        }
        for i in range(1, evaluations + 1)
    ]
    return draw_learning_curve(metrics, lines, tasks=names, step=steps)


def differences(count: int) -> bytes:
    generator = np.random.default_rng(count)
    scores = []
    for i in range(count):
        single_task, multi_task, width = generator.random(3)
        low, high = multi_task - single_task - 0.3 * width, multi_task - single_task + 0.3 * width
        scores.append(ScoreDifference(f"task_{i}", single_task, multi_task, (low, high)))
    return draw_score_differences(scores, subtitle="subtitle")


def cosines(count: int) -> tuple[tuple[str, ...], np.ndarray]:
    values = np.clip(np.eye(count) + np.random.default_rng(count).normal(scale=0.3, size=(count, count)), -1, 1)
    return labels(count), (values + values.T) / 2


PLOTS: dict[str, Callable[[], bytes]] = {
    **{f"confusion of {n}": partial(draw_predictions, "t", confusion(n)) for n in (2, 3, 24, 77, 150)},
    "confusion without rows": lambda: draw_predictions("t", Confusion(("a", "b"), np.zeros((2, 2), np.int64), "words")),
    "confusion without errors": lambda: draw_predictions(
        "t", Confusion(labels(90), 3 * np.eye(90, dtype=np.int64), "rows")
    ),
    **{f"precision and recall of {n}": partial(draw_predictions, "t", label_counts(n)) for n in (1, 28, 150)},
    **{f"scatter of {n}": partial(draw_predictions, "t", regression_pairs(n)) for n in (1, 2, 20_000)},
    "scatter without finite values": lambda: draw_predictions(
        "t", RegressionPairs(np.array([1.0]), np.array([np.nan]))
    ),
    "histogram of ranks": lambda: draw_predictions("t", count_ranks("rank", [1] * 1_234_567 + [2, 4, 2000])),
    "histogram of fractions": lambda: draw_predictions("t", count_fractions("chrF of each text", [0.0, 0.31, 1.0])),
    "histogram without rows": lambda: draw_predictions("t", count_ranks("rank", [])),
    "name of 64 characters": lambda: draw_predictions("n" * 64, confusion(2)),
    **{f"dendrogram of {n}": partial(draw_dendrogram, *cosines(n)) for n in (2, 3, 25)},
    **{f"affinity of {n}": partial(draw_affinity, *cosines(n), significant=cosines(n)[1] > 0) for n in (2, 3, 25)},
    "affinity without a significant effect": lambda: draw_affinity(
        ("a", "b"), np.zeros((2, 2)), significant=np.zeros((2, 2), dtype=bool)
    ),
    "curve of one step": lambda: curve(1, tasks=1, evaluations=0),
    "curve of zeros": lambda: draw_learning_curve([{"step": 1, "losses": {"t": 0.0}}], [], tasks=["t", "u"], step=1),
    "short curve": lambda: curve(12, tasks=3, evaluations=3),
    "differences of 2": lambda: differences(2),
    "differences of 40": lambda: differences(40),
    "difference of zero": lambda: draw_score_differences(
        [ScoreDifference("n" * 64, 0.0, 0.0, (0.0, 0.0))], subtitle="subtitle"
    ),
    "long curve": lambda: curve(3000, tasks=25, evaluations=60),
}


LARGE = (
    "confusion of 150",
    "confusion of 24",
    "confusion without errors",
    "precision and recall of 150",
    "scatter of 20000",
    "affinity of 25",
    "dendrogram of 25",
    "differences of 40",
    "long curve",
)


@lru_cache
def draw(name: str) -> bytes:
    return PLOTS[name]()


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in PLOTS])
def test_a_plot_is_a_small_png_and_not_empty(name: str) -> None:
    png = draw(name)
    assert png.startswith(b"\x89PNG")
    assert len(png) < 150_000
    pixels = matplotlib.image.imread(BytesIO(png))
    height, width, _ = pixels.shape
    assert 200 <= height <= 1500
    assert 400 <= width <= 1500
    assert pixels[:, :, :3].std() > 0.01, "not empty"
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert (edge == 1).all(), "no text is clipped"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("confusion of 77", marks=pytest.mark.slow),
        pytest.param("precision and recall of 28", marks=pytest.mark.slow),
        "scatter of 2",
        "short curve",
        "differences of 2",
        "dendrogram of 3",
        "affinity of 3",
    ],
)
def test_plots_are_deterministic_whatever_the_users_settings(name: str) -> None:
    first = draw(name)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "savefig.dpi": 30, "axes.facecolor": "black"}):
        second = PLOTS[name]()
        assert matplotlib.rcParams["font.size"] == 20, "the user's settings are restored"
    assert first == second
    assert b"Software" not in first
    assert b"matplotlib" not in first


def test_plots_can_be_drawn_in_another_thread() -> None:
    drawn: list[bytes] = []
    thread = threading.Thread(target=lambda: drawn.append(PLOTS["confusion of 3"]()))
    thread.start()
    thread.join()
    assert drawn == [draw("confusion of 3")]


@pytest.mark.slow  # a process that imports everything
def test_only_plots_import_matplotlib() -> None:
    """Pyplot, which keeps figures and selects a window system, is never imported."""
    process = subprocess.run(
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
    assert process.stdout.split() == ["False", "False"]


def test_an_unknown_plot_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown plot 'pie': write one of confusion_matrix, precision_recall"):
        count_errors("pie", ["a"], ["a"], names=["a"])
    wrong: Any = {}
    with pytest.raises(TypeError, match=r"must return one of Confusion, LabelCounts, .*; found dict"):
        draw_predictions("t", wrong)
