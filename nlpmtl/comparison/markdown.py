"""The tables of a comparison, as rows for the terminal and as the Markdown report compare.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import get_args

from nlpmtl.card.markdown import code, escape, table
from nlpmtl.comparison.results import CompareResult, TaskResult
from nlpmtl.comparison.statistics import RESAMPLES, SeedScores, Verdict

SCORE_COLUMNS = (
    "task",
    "metric",
    "rows",
    "single-task",
    "multi-task",
    "difference",
    "95% CI",
    "change",
    "ahead",
    "result",
)
BEST_COLUMNS = (
    "task",
    "single-task, selected",
    "single-task, best",
    "multi-task, selected",
    "multi-task, best per task",
)
COST_COLUMNS = ("", "multi-task", "single-task, total", "ratio")
_LENGTH_COLUMNS = ("task", "passes, multi-task", "passes, single-task", "steps, multi-task", "steps, single-task")
RESULTS: dict[Verdict, str] = dict(
    zip(get_args(Verdict), ("improved", "worse", "no significant difference"), strict=True)
)
NOT_TESTED = "not tested"
"""Result of a task whose difference has no confidence interval."""
SELECTION_BIAS = (
    "checkpoints were selected on the same validation rows that are scored, so all scores are slightly optimistic."
)
_READING = f"""\
- A score is the first metric of the task on the validation split; higher is better: errors are negated, and the
  score of a perplexity is minus its natural logarithm. Scores are those of the selected checkpoints: for the multi-task
  model, **one checkpoint for all tasks**. ± is the standard deviation over seeds.
- *difference* is multi-task minus single-task. Its 95% confidence interval (CI) comes from {RESAMPLES:,} bootstrap
  resamples of the validation rows; in each, the predictions of all seeds and both conditions for the same rows are
  scored with the task's metrics (paired bootstrap: Koehn 2004; Berg-Kirkpatrick et al. 2012). If the interval contains
  0, the difference is not significant. The interval covers the sampling of validation rows, not of seeds; for the
  variance over seeds see ± and *ahead* (number of seeds in which the multi-task model scored higher).
- With 95% intervals, about 1 in 20 is wrong by chance: do not over-interpret a single task among many.
- *change* is the difference in percent of the single-task score, and Δm its mean over tasks (Maninis et al. 2019)."""
_BEST = f"""\
**Note: {SELECTION_BIAS}**
For single-task training, each task's checkpoint is selected separately; for the multi-task model, `eval.select` selects
one for all tasks, which favours single-task training. *Best per task* selects an evaluation per task for the multi-task
model too; that is one checkpoint per task, not one model. These scores are from evaluations.jsonl, before calibration:
the thresholds of `multilabel` tasks are fitted at the end of a run."""
_LENGTH = """\
A single-task run trains for `train.epochs` epochs on its datasets. If `train.steps` is set instead, it trains for as
many epochs as these steps are over all rows of the multi-task run. It is evaluated at the same fractions of its length.
*passes* is the number of epochs over the rows of the task's datasets, counted in the run: in multi-task training it
depends on the sampler, which may draw a task more often than in proportion to its rows."""


def score_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """Yield a row of `SCORE_COLUMNS` per task, then the mean and Δm."""
    for name, task in result.tasks.items():
        yield (
            name,
            task.metric,
            str(task.rows),
            _spread(task.single_task.selected),
            _spread(task.multi_task.selected),
            f"{task.difference:+z.4f}",
            "undefined" if task.interval is None else "{:+z.4f} to {:+z.4f}".format(*task.interval),
            _percent(task.change),
            f"{task.ahead} of {len(result.seeds)}",
            _result(task),
        )
    single_task, multi_task = result.mean("single_task"), result.mean("multi_task")
    difference = f"{multi_task.mean - single_task.mean:+z.4f}"
    yield "mean", "", "", _spread(single_task), _spread(multi_task), difference, *[""] * 4
    interval = result.delta_interval
    delta_interval = "undefined" if interval is None else "{:+z.1f}% to {:+z.1f}%".format(*interval)
    yield "Δm", *[""] * 5, delta_interval, _percent(result.delta), "", ""


def best_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """Yield a row of `BEST_COLUMNS` per task, then the mean."""
    rows = {
        name: (task.single_task.selected, task.single_task.best, task.multi_task.selected, task.multi_task.best)
        for name, task in result.tasks.items()
    }
    for name, row in rows.items():
        yield name, *map(_spread, row)
    counted = [rows[name] for name in result.in_mean]
    yield "mean", *(f"{fmean(scores.mean for scores in column):.4f}" for column in zip(*counted, strict=True))


def cost_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """Yield the rows of `COST_COLUMNS`: cost of both conditions, and their ratio."""
    multi, single = result.multi_task_cost, result.single_task_cost
    for name, multi_task, single_task in (
        ("models", multi.models, single.models),
        ("seconds of training steps", multi.seconds, single.seconds),
        ("parameters", multi.parameters, single.parameters),
        ("bytes of weights", multi.size, single.size),
    ):
        ratio = f"{single_task / multi_task:.2f}" if multi_task else ""
        yield name, f"{multi_task:,.0f}", f"{single_task:,.0f}", ratio


def tasks_by_verdict(result: CompareResult) -> Iterator[tuple[str, list[str]]]:
    """Yield each possible result, and the tasks that have it; "not tested" only if there are such tasks."""
    by_result: dict[str, list[str]] = {text: [] for text in RESULTS.values()}
    for name, task in result.tasks.items():
        by_result.setdefault(_result(task), []).append(name)
    yield from by_result.items()


def write_markdown(result: CompareResult, *, plot: str | None, alt: str) -> str:
    """Return the report as Markdown.

    Args:
        result: the result.
        plot: file name of the plot; None if there is none.
        alt: alt text of the plot.
    """
    results = [f"{text}: {', '.join(map(code, names)) or '–'}" for text, names in tasks_by_verdict(result)]
    lines = [
        f"# Multi-task versus single-task training of {len(result.tasks)} tasks",
        "",
        _recipe(result),
        "",
        f"**{'; '.join(results)}. Δm = {_percent(result.delta)}.**",
        "",
        *_table(SCORE_COLUMNS, score_rows(result)),
        *([] if plot is None else [f"![{escape(alt)}]({plot})", ""]),
        _READING,
        "",
        "## Selected checkpoints and best evaluations",
        "",
        *_table(BEST_COLUMNS, best_rows(result)),
        _BEST,
        "",
        "## Time and size",
        "",
        *_table(COST_COLUMNS, cost_rows(result)),
        "Totals over the models of each condition, mean over seeds. Seconds are those of training steps, without",
        "evaluations and saves.",
        "",
        "## Training length",
        "",
        *_table(_LENGTH_COLUMNS, _length_rows(result)),
        _LENGTH,
        "",
        *_notes(result),
    ]
    return "\n".join(lines)


def _result(task: TaskResult) -> str:
    return NOT_TESTED if task.interval is None else RESULTS[task.verdict]


def _recipe(result: CompareResult) -> str:
    config, machine = result.config, result.machine
    train = config["train"]
    length = f"{train['steps']} steps" if train["steps"] else f"{train['epochs'] or 3:g} epochs"
    kinds = ", ".join(f"{key} {code(config[key]['kind'])}" for key in ("sampling", "weighting", "sharing"))
    return (
        f"Encoder {code(config['encoder']['name'])}; {length} of multi-task training, batches of {train['batch_size']} "
        f"rows, learning rate {train['lr']:g} ({train['head_lr'] or train['lr']:g} for heads); {kinds}; "
        f"seeds {', '.join(map(str, result.seeds))}. Trained in {machine['precision']} on {machine['device']} "
        f"(processes: {machine['processes']}, threads: {machine['threads']}), torch {machine['versions']['torch']}."
    )


def _length_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    for name, task in result.tasks.items():
        conditions = (task.multi_task, task.single_task)
        passes = (f"{scores.passes:.2f}" for scores in conditions)
        yield name, *passes, *(f"{scores.steps:,.0f}" for scores in conditions)


def _notes(result: CompareResult) -> list[str]:
    return ["## Notes", "", *(f"- {escape(note)}" for note in result.notes), ""] if result.notes else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return table(head, (list(map(escape, row)) for row in rows))


def _spread(scores: SeedScores) -> str:
    """Format a mean, with the standard deviation if there is one."""
    return f"{scores.mean:.4f}" if scores.deviation is None else f"{scores.mean:.4f} ± {scores.deviation:.4f}"


def _percent(change: float | None) -> str:
    return "undefined" if change is None else f"{change:+z.1f}%"
