"""Batch prediction of files, in parts that are saved one by one and joined at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from nlpmtl.config import check_output
from nlpmtl.errors import DataError, NlpmtlError, RunError, escape_control_characters
from nlpmtl.file_prediction.inputs import RowParser
from nlpmtl.file_prediction.output_formats import PredictedChunk
from nlpmtl.file_prediction.parts import Parts, RowCounter
from nlpmtl.file_prediction.plan import DONE, Plan
from nlpmtl.file_prediction.prepare import SavedModel, check_outputs, make_plan, open_work, output_format
from nlpmtl.file_prediction.progress import PredictedFiles
from nlpmtl.file_prediction.ranks import Ranks, open_ranks
from nlpmtl.file_prediction.request import PredictFilesOptions, Request, parse_request
from nlpmtl.file_prediction.row_files import Chunk, open_row_file
from nlpmtl.file_prediction.targets import work_directory
from nlpmtl.fs import fsync, sha256_file, write_atomic
from nlpmtl.hub.model_files import digest_model
from nlpmtl.inference.task_inputs import SKIPPED, InputReader

if TYPE_CHECKING:
    from nlpmtl.inference.predictor import Predictor

_JOINED = "joined"
T = TypeVar("T")


def predict_files(
    model: str | Path, input: str | Path, output: str | Path, **options: Unpack[PredictFilesOptions]
) -> PredictedFiles:
    """Predict the rows of files, and write them with their predictions in the same order.

    All columns are passed through. JSON Lines have the predictions of a row in the field ``predictions``; CSV and
    Parquet in columns named as the tasks, and ``<task>_score``. All rows are checked before the model is loaded. If the
    process is killed, the same call continues. Under torchrun, each rank predicts a share of the rows.

    Args:
        model: a model directory, or a Hub id.
        input: a .csv, .tsv, .jsonl, .parquet or .txt file, or a glob pattern.
        output: a .csv, .tsv, .jsonl or .parquet file; for several input files with a ``*`` in its name, which stands
            for the name of the input file. The files appear when all rows are predicted.
        tasks: names of the tasks; default: all that accept a row.
        text_column: the column of the text, or those of the text and of its pair; default: the columns that the tasks
            were trained on, or ``text``, ``pair`` and ``words``.
        on_bad_row: "stop" (default), or "skip": write an invalid row with null predictions and the reason.
        all_scores: add the probability of every label; default: False.
        overwrite: replace existing outputs, and an interrupted prediction that differs; default: False.
        delimiter: field delimiter of .csv and .tsv files; default: detected.
        quoting: "minimal": a field may be in double quotes; "none": quotes are ordinary characters; default: "minimal"
            for .csv files, "none" for .tsv files.
        encoding: encoding of text files; default: UTF-8.
        header: column names of .csv and .tsv files without a header; False: "0", "1", ….
        revision: commit, tag or branch of a model on the Hub.
        device: as for `Predictor.from_pretrained`; several ranks have a GPU each.
        dtype: as for `Predictor.from_pretrained`.
        plugins: modules that register task types of the model.
        on_progress: is called with a `FileProgress` after each chunk of rows.

    Returns:
        The files that were written, and the number of rows.

    Raises:
        NlpmtlError: one of its subclasses, see `nlpmtl.errors`; parts that are finished are kept.

    Example:
        nlpmtl.predict_files("runs/messages/model", "messages/train.jsonl", "predictions.jsonl")
    """
    request = parse_request(model, os.fspath(input), check_output(output, key="--output"), options)
    work = work_directory(request.output)
    with open_ranks(work) as ranks, ExitStack() as stack:
        coordinator = _Coordinator(request, work, stack)
        plan, commit, notes = _on_rank_0(ranks, coordinator.start)
        device = _PartPredictor(request, plan, commit=commit, work=work, ranks=ranks).run()
        ranks.wait()
        result = _on_rank_0(ranks, lambda: coordinator.finish(plan))
        return replace(result, device=device, notes=notes)


class _Coordinator:
    """What rank 0 does before and after the rows are predicted.

    Args:
        request: the request.
        work: the work directory.
        stack: keeps the work directory locked until it is closed.
    """

    def __init__(self, request: Request, work: Path, stack: ExitStack) -> None:
        self._request, self._work, self._stack = request, work, stack

    def start(self) -> tuple[Plan, str | None, tuple[str, ...]]:
        """Make the plan, lock the work directory and save the plan there.

        Returns:
            The plan, the commit of a model on the Hub, and notes for the user.
        """
        check_outputs(self._request, self._work)
        model = SavedModel.read(self._request)
        self._tasks = model.tasks
        plan = make_plan(self._request, model, self._work)
        from nlpmtl.training import hold_lock

        with _writing(self._request.output):
            notes = self._stack.enter_context(hold_lock(self._work))
            open_work(self._request, plan, self._work)
        return plan, model.commit, tuple(notes)

    def finish(self, plan: Plan) -> PredictedFiles:
        """Join the parts of each file, and remove the work directory.

        Raises:
            RunError: an input changed while it was read, or an output cannot be written.
        """
        request, work = self._request, self._work
        parts, report = Parts(plan, work), request.report("writing")
        rows = 0
        with _writing(request.output):
            (work / DONE).touch()
            for index, file in enumerate(plan.files):
                is_complete = all(part.exists() for part in parts.of_file(index))
                if not is_complete or sha256_file(file.input) != plan.request["inputs"][file.input]:
                    raise RunError(f"{file.input}: the file changed while it was read: start again with --overwrite")
                joined = work / _JOINED
                output_format(request, file, index, self._tasks).join(parts.of_file(index), joined)
                fsync(joined)
                joined.replace(file.output)
                rows += file.rows
                report(rows, parts.total)
            shutil.rmtree(work)
        bad_rows = sum(file.bad_rows for file in plan.files)
        return PredictedFiles(tuple(target.output for target in request.targets), rows, bad_rows)


def _on_rank_0(ranks: Ranks, function: Callable[[], T]) -> T:
    """Return on all ranks what a function returns on rank 0, or raise its error."""
    outcome: Any = None
    if ranks.rank == 0:
        try:
            outcome = (function(), None)
        except NlpmtlError as error:
            if ranks.size == 1:
                raise
            outcome = (None, error)
    result: T
    result, problem = ranks.broadcast(outcome)
    if problem is not None:
        raise problem
    return result


@contextmanager
def _writing(output: Path) -> Iterator[None]:
    """Explain an error of writing."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or escape_control_characters(error)
        raise RunError(
            f"{output}: cannot be written: {reason}. Finished parts are kept: run the same command again to continue"
        ) from error


@dataclass(frozen=True)
class _PartPredictor:
    """Predicts the chunks of this rank that have no part yet.

    Args:
        request: the request.
        plan: its plan.
        commit: commit of a model on the Hub, so that all ranks load the same; None for a local directory.
        work: the work directory.
        ranks: this process among all.
    """

    request: Request
    plan: Plan
    commit: str | None
    work: Path
    ranks: Ranks

    def run(self) -> str | None:
        """Predict, and write a part for each chunk; chunks are dealt to the ranks in turn.

        Returns:
            The device; None if no chunk was left.
        """
        parts = Parts(self.plan, self.work)
        counter = RowCounter(parts, self.request.report("predicting"), shared=self.ranks.size > 1)
        number = 0
        for file_index, file_plan in enumerate(self.plan.files):
            text_format = replace(self.request.formats[file_index], columns=file_plan.conll_columns)
            chunks = open_row_file(file_plan.input, format=text_format)
            parser: RowParser | None = None
            for index, chunk in enumerate(chunks.chunks):
                part = parts.path(file_index, index)
                is_own = number % self.ranks.size == self.ranks.rank
                number += 1
                if not is_own or part.exists():
                    continue
                if parser is None:
                    reader = InputReader(self._predictor.tasks, names=self.request.options.get("tasks"))
                    parser = RowParser(reader, chunks, text_columns=self.request.text_columns)
                    encoder = output_format(self.request, file_plan, file_index, self._predictor.tasks)
                content = encoder.encode(self._predict(chunk, parser))
                with _writing(self.request.output):
                    write_atomic(part, content)
                counter.add(len(chunk.numbers))
        return str(self._predictor.model.device) if "_predictor" in vars(self) else None

    @cached_property
    def _predictor(self) -> Predictor:
        from nlpmtl.inference.predictor import Predictor

        options = self.request.options
        device = options.get("device", "auto")
        if self.ranks.device is not None and device in ("auto", "cuda") and options.get("dtype") != "int8":
            device = self.ranks.device
        predictor = Predictor.from_pretrained(
            self.request.model,
            revision=self.commit,
            device=device,
            dtype=options.get("dtype"),
            plugins=options.get("plugins", ()),
        )
        assert predictor.directory is not None
        if digest_model(predictor.directory) != self.plan.request["model"]:
            raise RunError(
                f"{predictor.directory}: the model changed after it was first read: start again with --overwrite"
            )
        return predictor

    def _predict(self, chunk: Chunk, parser: RowParser) -> PredictedChunk:
        options = self.request.options
        rows = parser.parse(chunk)
        inputs = [SKIPPED if row.error is not None else row.value for row in rows]
        try:
            predicted = self._predictor.predict_all(
                inputs, tasks=options.get("tasks"), all_scores=options.get("all_scores", False)
            )
        except DataError as error:
            raise DataError(f"{chunk.place(0)} to {chunk.numbers[-1]}: {error}") from error
        unexpected = next((row.error for row in rows if row.error is not None), None)
        if unexpected is not None and not self.request.skip:  # the file has changed since it was checked
            raise DataError(unexpected)
        predictions = [None if row.error is not None else value for value, row in zip(predicted, rows, strict=True)]
        return PredictedChunk(chunk, rows, predictions)
