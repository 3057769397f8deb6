"""The end of a run: the best model is calibrated, scored and written, with its card and its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from nlpmtl.artifact import CHOICES, CURVE, Facts, Source, save_model, write_json
from nlpmtl.calibration import calibrate
from nlpmtl.data import Encoded
from nlpmtl.evaluation import Answered, Scores, ask, score
from nlpmtl.model import Encoder, MultiTaskModel
from nlpmtl.training import Fit, read_lines
from nlpmtl.workload import Splits, Workload


def finish(
    fit: Fit, *, work: Workload, encoder: Encoder, run: Mapping[str, Any]
) -> tuple[Scores | None, int, Mapping[str, Answered]]:
    """Write scores.json and the model directory; its scores and its step come back, in all processes, and in the one
    that writes its answers on validation.

    Args:
        fit: the run, after its last step.
        work: its datasets.
        encoder: what it started from.
        run: what run.json says.
    """
    step = fit.state.cursor.step if fit.state.best is None else fit.state.best.step
    fit.gather()
    told: list[dict[str, Any] | None] = [None]
    answered: Mapping[str, Answered] = {}
    if fit.accelerator.is_main_process:
        told[0], answered = _write(fit, work=work, encoder=encoder, run=run, step=step)
    broadcast_object_list(told)
    return None if told[0] is None else Scores(tasks=told[0]["tasks"], mean=told[0]["mean"]), step, answered


def _write(
    fit: Fit, *, work: Workload, encoder: Encoder, run: Mapping[str, Any], step: int
) -> tuple[dict[str, Any] | None, Mapping[str, Answered]]:
    """All of it, in one process; what scores.json says comes back, and the answers that it is said of."""
    model = fit.best_model()
    assert isinstance(model, MultiTaskModel)
    calibrated = calibrate(fit.alone, tasks=fit.tasks, datasets=fit.validation)
    model.config.tasks |= {name: task.spec() for name, task in fit.tasks.items()}
    answered: dict[str, Answered] = {}
    scores = None
    if fit.state.best is not None:  # scored anew: the best model's thresholds are others now
        answered = ask(fit.alone, tasks=fit.tasks, datasets=fit.validation)
        scores = {"step": step, "split": "validation", **score(answered, tasks=fit.tasks).to_json()}
        write_json(fit.directory / "scores.json", scores)
    evaluations = read_lines(fit.directory / "evaluations.jsonl")
    pictures = _draw(fit, evaluations=evaluations, answered=answered, step=step)
    name = run["config"]["encoder"]["name"]
    facts = Facts(
        name=fit.directory.resolve().name,
        encoder=Path(name).name if Path(name).exists() else name,
        base_model=None if Path(name).exists() or ":" in name else name,
        tasks={one: {**model.config.tasks[one], "level": task.level} for one, task in model.tasks.items()},
        input_length=model.config.input_length,
        run=run,
        sources=[_source(name, dataset, work.splits) for name, dataset in run["config"]["datasets"].items()],
        steps=fit.state.cursor.step,
        step=step,
        evaluations=len(evaluations),
        scores=scores,
        calibrated={name: asdict(one) for name, one in calibrated.items()},
        notes=work.notes,
        pictures={path: alt for path, (alt, _) in pictures.items()},
    )
    drawn = {path: png for path, (_, png) in pictures.items()}
    save_model(fit.directory / "model", model=model, tokenizer=encoder.tokenizer, facts=facts, pictures=drawn)
    return scores, answered


def _draw(
    fit: Fit, *, evaluations: list[dict[str, Any]], answered: Mapping[str, Answered], step: int
) -> dict[str, tuple[str, bytes]]:
    """The pictures by path, each with its words."""
    # matplotlib comes in when it is needed
    from nlpmtl.artifact import pictures

    found = {}
    metrics = read_lines(fit.directory / "metrics.jsonl")
    if metrics:
        alt = pictures.describe_learning(evaluations, steps=fit.state.cursor.step, step=step)
        found[CURVE] = alt, pictures.draw_learning(metrics, evaluations, tasks=list(fit.tasks), step=step)
        chosen = pictures.draw_choices(metrics)
        if chosen is not None:
            found[CHOICES] = pictures.describe_choices(metrics), chosen
    for name, one in answered.items():
        counted = fit.tasks[name].compare(predicted=one.predicted, gold=one.gold, names=one.names)
        described = pictures.describe_comparison(name, counted)
        found[f"images/answers-{name}.png"] = described, pictures.draw_comparison(name, counted)
    return found


def _source(name: str, dataset: Mapping[str, Any], splits: Splits) -> Source:
    read = {split: encoded[name] for split, encoded in splits.items() if name in encoded}
    return Source(
        name=name,
        data=dataset["data"],
        rows={split: len(rows) for split, rows in read.items()},
        labelled={split: _labelled(rows) for split, rows in read.items()},
        limited=frozenset(
            split for split, most in dataset["limit"].items() if split in read and len(read[split]) == most
        ),
    )


def _labelled(rows: Encoded) -> dict[str, int]:
    return {task: int(labels.labelled.sum()) for task, labels in rows.labels.items()}
