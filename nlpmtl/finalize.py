"""The end of a run: the best model is calibrated, scored and written, with its card and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError

from nlpmtl.calibration import CalibrationReport, calibrate
from nlpmtl.card import DYNAMICS, LEARNING_CURVE, CardData, CardDataset, eval_result_files, write_card
from nlpmtl.data import Encoded
from nlpmtl.errors import RunError
from nlpmtl.evaluation import Predictions, Scores, predict_splits, score
from nlpmtl.fs import write_json
from nlpmtl.hub import save_model
from nlpmtl.model import Encoder, MultiTaskModel
from nlpmtl.strict_json import dumps
from nlpmtl.task_datasets import Splits, TaskDatasets
from nlpmtl.training import Trainer, read_lines


@dataclass
class _End:
    """What the end of a run does one after another; a part that raises is noted, and the rest goes on.

    Args:
        fit: the run, after its last step.
        work: its datasets.
        encoder: what it started from.
        run: what run.json says.
        model: the model that is kept.
        step: its step.
    """

    fit: Trainer
    work: TaskDatasets
    encoder: Encoder
    run: Mapping[str, Any]
    model: MultiTaskModel
    step: int
    answered: dict[str, Predictions] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    calibrated: dict[str, CalibrationReport] = field(default_factory=dict)
    pictures: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note what is raised in the block: the weights are saved, and nothing that comes after may lose them."""
        try:
            yield
        except Exception as error:  # plugins and drawing libraries may raise anything
            self.failures.append(f"{what}: {type(error).__name__}: {error}")

    @property
    def failures(self) -> list[str]:
        """What went wrong."""
        return self.fit.failures

    def write(self) -> None:
        """Write scores.json and the model directory.

        Raises:
            RunError: the model directory cannot be written.
        """
        first = not (self.fit.directory / "model").exists()
        if first:  # the weights, before anything that can fail or be killed
            self._save(card_data=None)
        with self.noting("the model is not calibrated"):
            self._calibrate()
        with self.noting("the model that was kept is not scored again"):
            self._score()
        with self.noting("scores.json is not written"):
            if self.scores is not None:
                write_json(self.fit.directory / "scores.json", self.scores)
        self._draw()
        facts = None
        with self.noting("the model card is not written"):
            found = self._facts()
            write_card(found), eval_result_files(found)
            facts = found
        with self.noting("the model directory holds the weights, but not all of the rest") if first else nullcontext():
            self._save(card_data=facts)

    def _save(self, *, card_data: CardData | None) -> None:
        directory = self.fit.directory / "model"
        drawn = {path: png for path, (_, png) in self.pictures.items()}
        try:
            save_model(directory, model=self.model, tokenizer=self.encoder.tokenizer, card_data=card_data, plots=drawn)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{directory} cannot be written: {error}; the weights are in best/ or checkpoints/: --resume writes it"
            ) from error

    def _calibrate(self) -> None:
        def failed(task: str, error: Exception) -> None:
            self.failures.append(f"task {task!r} is not calibrated: {type(error).__name__}: {error}")

        fit = self.fit
        calibrated = calibrate(fit.validation_logits(), tasks=fit.tasks, datasets=fit.validation, failed=failed)
        specs = {name: task.to_config() for name, task in fit.tasks.items()}
        dumps(
            specs
        )  # config.json holds them: a value that JSON cannot hold must not keep the weights from being written
        self.model.config.tasks |= specs
        self.calibrated = calibrated

    def _score(self) -> None:
        """Score the model anew: the thresholds of the best model are others now."""
        fit = self.fit
        if fit.state.best is not None:
            answered = predict_splits(fit.validation_logits(), tasks=fit.tasks, datasets=fit.validation)
            found = score(answered, tasks=fit.tasks).to_json()
            dumps(found)
            self.answered, self.scores = answered, {"step": self.step, "split": "validation", **found}

    def _draw(self) -> None:
        """Draw the pictures."""
        fit, metrics, evaluations = self.fit, self._read("metrics.jsonl"), self._read("evaluations.jsonl")
        pictures: Any = None
        with self.noting("no picture is drawn"):
            pictures = import_module("nlpmtl.plots")  # matplotlib is imported when it is needed
        if pictures is None:
            return
        with self.noting("the learning curve is not drawn"):
            if metrics:
                alt = pictures.describe_learning_curve(evaluations, steps=fit.state.cursor.step, step=self.step)
                curve = pictures.draw_learning_curve(metrics, evaluations, tasks=list(fit.tasks), step=self.step)
                self.pictures[LEARNING_CURVE] = alt, curve
                chosen = pictures.draw_dynamics(metrics)
                if chosen is not None:
                    self.pictures[DYNAMICS] = pictures.describe_dynamics(metrics), chosen
        for name, one in self.answered.items():
            with self.noting(f"the predictions of task {name!r} are not drawn"):
                counted = fit.tasks[name].error_analysis(one.predicted, one.gold)
                if counted is None:
                    continue
                described = pictures.describe_error_analysis(name, counted)
                self.pictures[f"images/answers-{name}.png"] = described, pictures.draw_error_analysis(name, counted)

    def _read(self, name: str) -> list[dict[str, Any]]:
        with self.noting(f"{name} is not read"):
            return read_lines(self.fit.directory / name)
        return []

    def _facts(self) -> CardData:
        """What the card is written from."""
        model, run, fit = self.model, self.run, self.fit
        name = run["config"]["encoder"]["name"]
        return CardData(
            name=fit.directory.resolve().name,
            encoder=Path(name).name if Path(name).exists() else name,
            base_model=None if Path(name).exists() or ":" in name else name,
            tasks={one: {**model.config.tasks[one], "level": task.level} for one, task in model.tasks.items()},
            input_length=model.config.input_length,
            run=run,
            datasets=[_source(name, dataset, self.work.splits) for name, dataset in run["config"]["datasets"].items()],
            steps=fit.state.cursor.step,
            best_step=self.step,
            evaluations=len(self._read("evaluations.jsonl")),
            scores=self.scores,
            calibration={name: asdict(one) for name, one in self.calibrated.items()},
            notes=self.work.notes,
            plots={path: alt for path, (alt, _) in self.pictures.items()},
        )


def finalize_run(
    fit: Trainer, *, work: TaskDatasets, encoder: Encoder, run: Mapping[str, Any]
) -> tuple[Scores | None, int, Mapping[str, Predictions]]:
    """Write scores.json and the model directory; its scores and its step come back, in all processes, and in the one
    that writes its answers on validation.

    A calibration, a final scoring, a picture or a card that fails does not end the run: it is added to `fit.failures`,
    and the model is written without it.

    Args:
        fit: the run, after its last step.
        work: its datasets.
        encoder: what it started from.
        run: what run.json says.

    Raises:
        RunError: the best model cannot be read, or the model directory cannot be written.
    """
    step = fit.state.cursor.step if fit.state.best is None else fit.state.best.step
    fit.gather()
    told: list[Any] = [None, []]
    answered: Mapping[str, Predictions] = {}
    if fit.accelerator.is_main_process:
        model = fit.best_model()
        assert isinstance(model, MultiTaskModel)
        end = _End(fit, work=work, encoder=encoder, run=run, model=model, step=step)
        end.write()
        told, answered = [end.scores, fit.failures], end.answered
    broadcast_object_list(told)
    scores, fit.failures = told
    return None if scores is None else Scores(tasks=scores["tasks"], mean=scores["mean"]), step, answered


def _source(name: str, dataset: Mapping[str, Any], splits: Splits) -> CardDataset:
    read = {split: encoded[name] for split, encoded in splits.items() if name in encoded}
    return CardDataset(
        name=name,
        data_config=dataset["data"],
        rows={split: len(rows) for split, rows in read.items()},
        label_counts={split: _labelled(rows) for split, rows in read.items()},
        subsampled=frozenset(
            split for split, most in dataset["limit"].items() if split in read and len(read[split]) == most
        ),
    )


def _labelled(rows: Encoded) -> dict[str, int]:
    return {task: int(labels.labelled.sum()) for task, labels in rows.labels.items()}
