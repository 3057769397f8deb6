"""A comparison as tables: their rows for any face, and the whole as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from nlpmtl.card.markdown import code, escape, table
from nlpmtl.comparison.results import CompareResult
from nlpmtl.comparison.statistics import RESAMPLES, SeedScores, Verdict

SCORES = ("task", "rows", "alone", "mixture", "difference", "95 % interval", "change", "ahead", "verdict")
BEST = ("task", "alone, kept", "alone, best", "mixture, one checkpoint for all", "mixture, best per task")
COSTS = ("", "the mixture", "the tasks alone", "times")
_LENGTHS = ("task", "passes, mixture", "passes, alone", "steps, mixture", "steps, alone")
CHOSEN = (
    "Validation chose the step whose weights are kept, on both sides, and is what is scored: all scores are a little "
    "too high."
)
"""What the reader of a score has to know."""
_READING = f"""\
- Scores are those of the validation split, higher is better (errors are negated), by the models that were kept: of the
  mixture **one checkpoint for all tasks**. ± is the standard deviation over seeds.
- *difference* is mixture − alone. Its interval comes from {RESAMPLES:,} resamples of the validation rows; in each, the
  answers of all seeds of both sides to the same rows are scored by the task's own metrics (paired bootstrap: Koehn
  2004; Berg-Kirkpatrick et al. 2012). Where it covers 0 the two cannot be told apart by these rows. It speaks of these
  models on other rows like these; how much other seeds would change is what ± and *ahead* (in how many seeds the
  mixture scored higher) say.
- Of twenty intervals of 95 % one misses, on average: one task of many that gained or was hurt may be chance.
- *change* is the difference in percent of the score alone, and Δm their mean over the tasks (Maninis et al. 2019)."""
_BEST = f"""\
**{CHOSEN}**
Alone, each task chose its own step; the mixture's was chosen once for all tasks, by `eval.select`, which favours the
tasks alone. *Best per task* lets each task of the mixture choose its own evaluation too; that is one checkpoint a task,
and no longer one model. These scores are of evaluations.jsonl, from before calibration: the thresholds of `multilabel`
tasks are fitted when a run ends."""
_LENGTH = """\
Alone, a task goes through the rows of its datasets as often as `train.epochs` says, or as often as `train.steps` would
through all rows of the mixture; it is evaluated at the same shares of its run. *passes* are those that were taken: in
the mixture they follow from the sampler, so a task that it samples more often than in proportion has seen its rows more
often than alone."""


def score_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """A row for each task, as of `SCORES`; then their mean, and Δm."""
    for name, one in result.tasks.items():
        yield (
            name,
            str(one.rows),
            _spread(one.alone.kept),
            _spread(one.mixture.kept),
            f"{one.difference:+.4f}",
            "{:+.4f} to {:+.4f}".format(*one.interval),
            _percent(one.change),
            f"{one.ahead} of {len(result.seeds)}",
            one.verdict,
        )
    alone, mixture = result.mean("alone"), result.mean("mixture")
    yield "mean", "", _spread(alone), _spread(mixture), f"{mixture.mean - alone.mean:+.4f}", *[""] * 4
    yield "Δm", *[""] * 4, "{:+.1f} % to {:+.1f} %".format(*result.delta_interval), _percent(result.delta), "", ""


def best_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """A row for each task, as of `BEST`, and their mean."""
    rows = [(one.alone.kept, one.alone.best, one.mixture.kept, one.mixture.best) for one in result.tasks.values()]
    for name, row in zip(result.tasks, rows, strict=True):
        yield name, *map(_spread, row)
    yield "mean", *(f"{fmean(one.mean for one in column):.4f}" for column in zip(*rows, strict=True))


def cost_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    """What both sides take, as of `COSTS`, and how many times as much the tasks alone take."""
    one, many = result.mixture, result.alone
    for what, ours, theirs in (
        ("models", one.models, many.models),
        ("seconds of training steps", one.seconds, many.seconds),
        ("parameters", one.parameters, many.parameters),
        ("bytes of weights", one.size, many.size),
    ):
        yield what, f"{ours:,.0f}", f"{theirs:,.0f}", f"{theirs / ours:.2f}" if ours else ""


def verdicts(result: CompareResult) -> Iterator[tuple[Verdict, list[str]]]:
    """Each verdict, and the tasks that it is said of."""
    said: tuple[Verdict, ...] = ("gained", "hurt", "cannot be told apart")
    for verdict in said:
        yield verdict, [name for name, one in result.tasks.items() if one.verdict == verdict]


def write_markdown(result: CompareResult, *, picture: str | None, alt: str) -> str:
    """The report.

    Args:
        result: what was found.
        picture: the name of its picture; None where there is none.
        alt: what that shows.
    """
    told = [f"{verdict}: {', '.join(map(code, names)) or 'none'}" for verdict, names in verdicts(result)]
    lines = [
        f"# One model of {len(result.tasks)} tasks beside each task alone",
        "",
        _recipe(result),
        "",
        f"**{'; '.join(told)}. Δm = {_percent(result.delta)}.**",
        "",
        *_table(SCORES, score_rows(result)),
        *([] if picture is None else [f"![{escape(alt)}]({picture})", ""]),
        _READING,
        "",
        "## One checkpoint for all, and the best per task",
        "",
        *_table(BEST, best_rows(result)),
        _BEST,
        "",
        "## Time and size",
        "",
        *_table(COSTS, cost_rows(result)),
        "All models of a side together, the mean over seeds. Seconds are those of training steps, without evaluations",
        "and saves.",
        "",
        "## How long each was trained",
        "",
        *_table(_LENGTHS, _length_rows(result)),
        _LENGTH,
        "",
        *_notes(result),
    ]
    return "\n".join(lines)


def _recipe(result: CompareResult) -> str:
    config, machine = result.config, result.machine
    train = config["train"]
    length = f"{train['steps']} steps" if train["steps"] else f"{train['epochs'] or 3:g} epochs"
    kinds = ", ".join(f"{key} {code(config[key]['kind'])}" for key in ("sampling", "weighting", "sharing"))
    return (
        f"Encoder {code(config['encoder']['name'])}; {length} of the mixture, batches of {train['batch_size']} rows, "
        f"learning rate {train['lr']:g}, of heads {train['head_lr'] or train['lr']:g}; {kinds}; "
        f"seeds {', '.join(map(str, result.seeds))}. Trained in {machine['precision']} on {machine['device']} "
        f"(processes: {machine['processes']}, threads: {machine['threads']}), torch {machine['versions']['torch']}."
    )


def _length_rows(result: CompareResult) -> Iterator[tuple[str, ...]]:
    for name, one in result.tasks.items():
        passes = [f"{side.passes:.2f}" for side in (one.mixture, one.alone)]
        yield name, *passes, *(f"{side.steps:,.0f}" for side in (one.mixture, one.alone))


def _notes(result: CompareResult) -> list[str]:
    return ["## Notes", "", *(f"- {escape(note)}" for note in result.notes), ""] if result.notes else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return table(head, (list(map(escape, row)) for row in rows))


def _spread(one: SeedScores) -> str:
    """A mean, and the standard deviation where there is one."""
    return f"{one.mean:.4f}" if one.deviation is None else f"{one.mean:.4f} ± {one.deviation:.4f}"


def _percent(change: float | None) -> str:
    return "undefined" if change is None else f"{change:+.1f} %"
