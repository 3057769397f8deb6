"""End of a run: calibrate, score and save the best model, with its card and plots, and write report.html."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from nlpmtl.batched_inference import LogitsCache
from nlpmtl.calibration import CalibrationReport, calibrate
from nlpmtl.card import (
    DYNAMICS_PLOT,
    LEARNING_CURVE_PLOT,
    CardData,
    CardDataset,
    CardTask,
    eval_result_files,
    render_card,
)
from nlpmtl.data import TokenizedSplit
from nlpmtl.errors import RunError, describe_exception
from nlpmtl.evaluation import Predictions, Scores, predict_splits, score
from nlpmtl.fs import write_atomic, write_json
from nlpmtl.hub import save_model
from nlpmtl.model import Encoder, MultiTaskModel
from nlpmtl.prediction_analysis import MIN_ROWS, PredictionAnalysis, gold_count, score_intervals
from nlpmtl.report import Plot, RunPage, Score, TaskSection, WrongRows, render_run_page
from nlpmtl.strict_json import dumps
from nlpmtl.task_datasets import TaskDatasets
from nlpmtl.tasks import example_call
from nlpmtl.tasks.split_labels import Splits
from nlpmtl.training import Trainer, broadcast_object, read_lines, unchanged_score_notes, work_of_one_rank


@dataclass
class _Finalizer:
    """Steps at the end of a run; one that raises is recorded as a failure, and the others follow.

    Args:
        trainer: trainer after its last step.
        datasets: datasets and tasks of the run.
        encoder: encoder that the run started from.
        metadata: content of run.json.
        model: model to save, which is the best one.
    """

    trainer: Trainer
    datasets: TaskDatasets
    encoder: Encoder
    metadata: Mapping[str, Any]
    model: MultiTaskModel
    predictions: dict[str, Predictions] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    calibration: dict[str, CalibrationReport] = field(default_factory=dict)
    plots: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """File name → alternative text and PNG."""
    analysis: PredictionAnalysis = field(default_factory=PredictionAnalysis)
    reliability: dict[str, Plot] = field(default_factory=dict)
    """Reliability diagram of each task."""
    evaluation_notes: tuple[str, ...] = ()
    """Notes about the scores of all evaluations."""

    @property
    def directory(self) -> Path:
        """Directory of the run."""
        return self.trainer.checkpoints.run_directory

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user in the report and the model card."""
        return (*self.datasets.notes, *self.evaluation_notes)

    @contextmanager
    def recording_failure(self, what: str, *, stage: str | None = None) -> Iterator[None]:
        """Record an exception as a failure: the weights are saved, and nothing after that may lose them.

        Args:
            what: start of the message about a failure.
            stage: name of the block as a stage of the run; None if it is not a stage.
        """
        try:
            with nullcontext() if stage is None else self.trainer.evaluator.stages.stage(stage):
                yield
        except Exception as error:  # plugins and matplotlib may raise anything
            self.trainer.failures.append(f"{what}: {describe_exception(error)}")

    def run(self) -> None:
        """Write scores.json, report.html and the model directory.

        Raises:
            RunError: the model directory cannot be written.
        """
        is_new = not (self.directory / "model").exists()
        if is_new:  # save the weights before anything that can fail or be killed
            self._save(card_data=None)
        self.evaluation_notes = tuple(unchanged_score_notes(self._read_log("evaluations.jsonl")))
        with self.recording_failure("the model is not calibrated", stage="calibrating"):
            self._calibrate()
        with self.recording_failure("the saved model is not scored", stage="scoring"):
            self._score()
        with self.recording_failure("scores.json is not written"):
            if self.scores is not None:
                write_json(self.directory / "scores.json", self.scores)
        with self.trainer.evaluator.stages.stage("drawing plots"):
            self._draw_plots()
            with self.recording_failure("report.html is not written"):
                write_atomic(self.directory / "report.html", render_run_page(self._report_page()))
        card_data = None
        with self.recording_failure("the model card is not written"):
            candidate = self._card_data()
            render_card(candidate), eval_result_files(candidate)
            card_data = candidate
        incomplete = "the model directory contains the weights, but not all other files"
        with self.recording_failure(incomplete) if is_new else nullcontext():
            self._save(card_data=card_data)

    def _save(self, *, card_data: CardData | None) -> None:
        directory = self.directory / "model"
        plots = {path: png for path, (_, png) in self.plots.items()}
        try:
            with self.trainer.evaluator.stages.stage("writing"):
                save_model(
                    directory, model=self.model, tokenizer=self.encoder.tokenizer, card_data=card_data, plots=plots
                )
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{directory} cannot be written: {error}; the weights are in best/ or checkpoints/: --resume writes it"
            ) from error

    def _calibrate(self) -> None:
        def failed(task: str, error: Exception) -> None:
            self.trainer.failures.append(f"task {task!r} is not calibrated: {describe_exception(error)}")

        calibration = calibrate(
            self._validation_logits(),
            tasks=self.trainer.tasks,
            datasets=self.trainer.evaluator.validation,
            failed=failed,
        )
        configs = {name: task.to_config() for name, task in self.trainer.tasks.items()}
        dumps(configs)  # raises before the config of the model has a value that JSON cannot represent
        self.model.config.tasks |= configs
        self.calibration = calibration

    def _score(self) -> None:
        """Score the best model again, with its calibrated thresholds."""
        if self.trainer.state.best is not None:
            tasks, validation = self.trainer.tasks, self.trainer.evaluator.validation
            predictions = predict_splits(
                self._validation_logits(),
                tasks=tasks,
                datasets=validation,
                losses=self.trainer.evaluator.local_row_losses.run,
                observe=self.analysis,
            )
            scores = score(predictions, tasks=tasks).to_json()
            dumps(scores)
            self.predictions = predictions
            self.scores = {"step": self.trainer.best_step, "split": "validation", **scores}

    def _validation_logits(self) -> LogitsCache:
        best = self.trainer.state.best
        return self.trainer.evaluator.validation_logits(0 if best is None else best.step)

    def _draw_plots(self) -> None:
        plots: Any = None
        with self.recording_failure("the plots are not drawn"):
            plots = import_module("nlpmtl.plots")  # imports matplotlib only now
        if plots is None:
            return
        with self.recording_failure("the learning curve is not drawn"):
            self._draw_learning_curve(plots)
        for name, predictions in self.predictions.items():
            with self.recording_failure(f"the predictions of task {name!r} are not drawn"):
                task, scored = self.trainer.tasks[name], predictions.with_gold()
                analysis = task.error_analysis(scored.predicted, scored.gold) if len(scored) else None
                if analysis is None:
                    continue
                alt_text = plots.describe_predictions(name, analysis)
                png = plots.draw_predictions(name, analysis)
                self.plots[_prediction_plot(name)] = alt_text, png
            with self.recording_failure(f"the reliability diagram of task {name!r} is not drawn"):
                confidences = self.analysis.reliability(name) if len(scored) >= MIN_ROWS else None
                if confidences is not None:
                    reliability = plots.Reliability.from_predictions(*confidences)
                    alt_text = plots.describe_reliability(name, reliability)
                    self.reliability[name] = Plot(alt_text, plots.draw_reliability(name, reliability))

    def _draw_learning_curve(self, plots: Any) -> None:
        metrics, evaluations = self._read_log("metrics.jsonl"), self._read_log("evaluations.jsonl")
        step, best_step = self.trainer.state.step, self.trainer.best_step
        if metrics:
            alt_text = plots.describe_learning_curve(evaluations, steps=step, step=best_step)
            png = plots.draw_learning_curve(metrics, evaluations, tasks=list(self.trainer.tasks), step=best_step)
            self.plots[LEARNING_CURVE_PLOT] = alt_text, png
            dynamics = plots.draw_dynamics(metrics)
            if dynamics is not None:
                self.plots[DYNAMICS_PLOT] = plots.describe_dynamics(metrics), dynamics

    def _report_page(self) -> RunPage:
        for name, error in self.analysis.failures.items():
            self.trainer.failures.append(
                f"the wrong rows of task {name!r} are not in report.html: {describe_exception(error)}"
            )
        step, best_step = self.trainer.state.step, self.trainer.best_step
        tasks = f"{len(self.trainer.tasks)} task{'s' * (len(self.trainer.tasks) > 1)}"
        return RunPage(
            name=self.directory.resolve().name,
            summary=f"{_encoder_name(self.metadata['config'])}, {tasks}, step {best_step:,} of {step:,}",
            mean=None if self.scores is None else f"{self.scores['mean']:.4f}",
            tasks=[self._task_section(name, predictions) for name, predictions in self.predictions.items()],
            training=[Plot(*self.plots[path]) for path in (LEARNING_CURVE_PLOT, DYNAMICS_PLOT) if path in self.plots],
            notes=self.notes,
        )

    def _task_section(self, name: str, predictions: Predictions) -> TaskSection:
        task, plots = self.trainer.tasks[name], []
        if _prediction_plot(name) in self.plots:
            plots.append(Plot(*self.plots[_prediction_plot(name)]))
        if name in self.reliability:
            plots.append(self.reliability[name])
        assert self.scores is not None, "the predictions are scored"
        intervals: dict[str, tuple[float, float]] = {}
        with self.recording_failure(f"the confidence intervals of task {name!r} are not computed"):
            if gold_count(predictions) >= MIN_ROWS:
                intervals = score_intervals(task, predictions)
        wrong = None
        if name not in self.analysis.failures:
            wrong = WrongRows.from_rows(self.analysis.wrong_rows(name), evaluated=len(predictions.with_gold()))
        return TaskSection(
            name=name,
            kind=task.kind,
            rows=f"{len(predictions):,}",
            scores=[
                Score.from_values(metric, value, intervals.get(metric))
                for metric, value in self.scores["tasks"][name].items()
                if metric not in ("score", "rows")
            ],
            plots=plots,
            calibration="" if name not in self.calibration else self.calibration[name].describe(),
            wrong=wrong,
        )

    def _read_log(self, name: str) -> list[dict[str, Any]]:
        with self.recording_failure(f"{name} is not read"):
            return read_lines(self.directory / name)
        return []

    def _card_data(self) -> CardData:
        model, config = self.model, self.metadata["config"]
        encoder = config["encoder"]["name"]
        is_local = Path(encoder).exists()
        return CardData(
            name=self.directory.resolve().name,
            encoder=_encoder_name(config),
            base_model=None if is_local or ":" in encoder else encoder,
            tasks={name: CardTask.from_task(task) for name, task in model.tasks.items()},
            example_call=example_call(model.tasks.values()),
            input_length=model.config.input_length,
            run=self.metadata,
            datasets=[_card_dataset(name, data, self.datasets.splits) for name, data in config["datasets"].items()],
            steps=self.trainer.state.step,
            best_step=self.trainer.best_step,
            evaluations=len(self._read_log("evaluations.jsonl")),
            scores=self.scores,
            gold_rows={name: gold_count(predictions) for name, predictions in self.predictions.items()},
            calibration={name: asdict(report) for name, report in self.calibration.items()},
            notes=self.notes,
            plots={path: alt_text for path, (alt_text, _) in self.plots.items()},
        )


def _encoder_name(config: Mapping[str, Any]) -> str:
    """Return the name of the encoder; for a directory, its last component."""
    name: str = config["encoder"]["name"]
    return Path(name).name if Path(name).exists() else name


def _prediction_plot(task: str) -> str:
    """Return the path of the plot of a task's predictions in the model directory."""
    return f"images/answers-{task}.png"


def finalize_run(
    trainer: Trainer, *, datasets: TaskDatasets, encoder: Encoder, metadata: Mapping[str, Any]
) -> tuple[Scores | None, Mapping[str, Predictions], tuple[str, ...]]:
    """Calibrate and score the best model; write scores.json, report.html and the model directory.

    A failure of calibration, scoring, a plot, the report or the model card does not end the run: it is added to
    `trainer.failures`, and the model directory is written without that part.

    Args:
        trainer: trainer after its last step.
        datasets: datasets and tasks of the run.
        encoder: encoder that the run started from.
        metadata: content of run.json.

    Returns:
        The scores, on all ranks; and on rank 0 the predictions on validation, and notes about the evaluations.

    Raises:
        RunError: the best model cannot be read, or the model directory cannot be written.
    """
    trainer.evaluator.gather_full_model()
    scores, predictions = None, {}
    notes: tuple[str, ...] = ()
    with work_of_one_rank():
        if trainer.train_step.accumulator.accelerator.is_main_process:
            model = trainer.load_best_model()
            assert isinstance(model, MultiTaskModel)
            finalizer = _Finalizer(trainer, datasets, encoder, metadata, model)
            finalizer.run()
            scores, predictions, notes = finalizer.scores, finalizer.predictions, finalizer.evaluation_notes
    scores, trainer.failures = broadcast_object((scores, trainer.failures))
    return None if scores is None else Scores(tasks=scores["tasks"], mean=scores["mean"]), predictions, notes


def _card_dataset(name: str, config: Mapping[str, Any], splits: Splits) -> CardDataset:
    by_split = {split: datasets[name] for split, datasets in splits.items() if name in datasets}
    return CardDataset(
        name=name,
        data_config=config["data"],
        rows={split: len(rows) for split, rows in by_split.items()},
        skipped={split: rows.skipped for split, rows in by_split.items()},
        label_counts={split: _label_counts(rows) for split, rows in by_split.items()},
        subsampled=frozenset(
            split for split, limit in config["limit"].items() if split in by_split and len(by_split[split]) == limit
        ),
    )


def _label_counts(rows: TokenizedSplit) -> dict[str, int]:
    return {task: int(labels.labelled.sum()) for task, labels in rows.labels.items()}
