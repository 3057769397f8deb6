"""Preparation of a batch prediction on rank 0, without torch: compare it with an interrupted one, check all rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nlpmtl.config import find_directory
from nlpmtl.file_prediction.inputs import RowParser
from nlpmtl.file_prediction.output_columns import ERROR, PREDICTIONS, OutputColumn, check_names, output_columns
from nlpmtl.file_prediction.output_formats import Layout, OutputFormat, check_text_schema, make_format
from nlpmtl.file_prediction.parts import PARTS
from nlpmtl.file_prediction.plan import DONE, FilePlan, Plan
from nlpmtl.file_prediction.request import Request
from nlpmtl.file_prediction.row_files import open_row_file, trained_columns
from nlpmtl.file_prediction.scan import scan
from nlpmtl.file_prediction.targets import check_absent
from nlpmtl.hub import fetch
from nlpmtl.hub.model_files import digest_model
from nlpmtl.inference.task_inputs import InputReader, check_task_names
from nlpmtl.plugins import digest_plugins, import_plugins
from nlpmtl.saved_config import check_own_config, read_table
from nlpmtl.tasks import OutputOptions, Task, task_from_config


@dataclass(frozen=True)
class SavedModel:
    """The model of a request, without its weights.

    Args:
        digest: digest of its files.
        commit: its commit on the Hub; None for a local directory.
        tasks: its tasks.
    """

    digest: str
    commit: str | None
    tasks: Mapping[str, Task]

    @classmethod
    def read(cls, request: Request) -> SavedModel:
        """Return the model; a model on the Hub is downloaded.

        Raises:
            ConfigError: a plugin cannot be imported.
            ModelError: the model does not exist or is invalid.
        """
        error_prefix = f"the model {str(request.model)!r} cannot be loaded"
        import_plugins(request.options.get("plugins", ()))
        directory = fetch(request.model, revision=request.options.get("revision"))
        is_local = find_directory(request.model, error_prefix=error_prefix) is not None
        config = read_table(directory / "config.json", error_prefix=error_prefix)
        check_own_config(config, error_prefix=error_prefix)
        tasks = {task: task_from_config(task, values) for task, values in config["tasks"].items()}
        return cls(digest_model(directory), None if is_local else directory.name, tasks)


def check_outputs(request: Request, work: Path) -> None:
    """Check that no output exists, unless it is to be replaced or an interrupted prediction has written it.

    Raises:
        ConfigError: an output exists.
    """
    if not request.options.get("overwrite", False) and not (work / DONE).exists():
        for target in request.targets:
            check_absent(target.output)


def make_plan(request: Request, model: SavedModel, work: Path) -> Plan:
    """Return the plan of an interrupted prediction, or a new one after a scan of all rows. Nothing is written.

    Args:
        request: the request.
        model: its model.
        work: the work directory.

    Raises:
        ConfigError: an interrupted prediction was started with something else, a task is unknown, or columns have the
            same name.
        DataError: a row is invalid, or a file lacks the columns that are read.
    """
    plugins = digest_plugins(request.options.get("plugins", ()))
    identity = request.identity(model=model.digest, plugins=plugins)
    saved = read_resumable(request, identity, work)
    if saved is not None and saved.request == identity:
        return saved
    tasks, names = model.tasks, request.options.get("tasks")
    check_task_names(names, tasks)
    reader = InputReader(tasks, names=names)
    counted = 0
    report = request.report("checking")

    def on_rows(count: int) -> None:
        nonlocal counted
        counted += count
        report(counted, None)

    files = [
        _plan_file(request, index, reader=reader, tasks=tasks, on_rows=on_rows) for index in range(len(request.targets))
    ]
    return Plan(identity, files)


def _plan_file(
    request: Request, index: int, *, reader: InputReader, tasks: Mapping[str, Task], on_rows: Callable[[int], object]
) -> FilePlan:
    path, output = request.targets[index]
    typed = output.name.lower().endswith(".parquet")
    text_format = request.formats[index]
    conll_columns = trained_columns(path, tasks.values(), encoding=text_format.encoding)
    file = open_row_file(path, format=replace(text_format, columns=conll_columns))
    if file.schema is not None and not typed:
        check_text_schema(file.schema, where=path)
    parser = RowParser(reader, file, text_columns=request.text_columns)
    scanned = scan(file, parser, skip=request.skip, typed=typed, on_rows=on_rows)
    names = reader.in_task_order(dict.fromkeys(scanned.tasks or reader.names))
    plan = FilePlan.of(scanned, input=path, output=output, tasks=list(names), conll_columns=conll_columns)
    new = [PREDICTIONS]
    if not output.name.lower().removesuffix(".gz").endswith(".jsonl"):
        new = [column.name for column in _columns(plan, tasks, request)]
    check_names(scanned.columns, [*new, *([ERROR] if request.skip else [])], where=path)
    return plan


def read_resumable(request: Request, identity: Mapping[str, Any], work: Path) -> Plan | None:
    """Return the plan of an interrupted prediction; None if there is none.

    Args:
        request: the request.
        identity: what determines its output.
        work: the work directory.

    Raises:
        ConfigError: it was started with something else, and is not to be overwritten.
    """
    saved = Plan.read(work)
    if saved is not None and not request.options.get("overwrite", False):
        saved.check_same(identity, directory=work)
    return saved


def open_work(request: Request, plan: Plan, work: Path) -> None:
    """Save the plan in the work directory, unless it is there; remove the parts of another plan.

    Raises:
        ConfigError: while the rows were checked, another process has written an output or begun another prediction.
    """
    check_outputs(request, work)
    saved = read_resumable(request, plan.request, work)
    if saved is None or saved.request != plan.request:
        shutil.rmtree(work / PARTS, ignore_errors=True)
        (work / DONE).unlink(missing_ok=True)
        plan.save(work)
    (work / PARTS).mkdir(exist_ok=True)


def output_format(request: Request, plan: FilePlan, index: int, tasks: Mapping[str, Task]) -> OutputFormat:
    """Return the format of an output file.

    Args:
        request: the request.
        plan: the plan of the file.
        index: its index.
        tasks: tasks of the model.
    """
    columns = _columns(plan, tasks, request)
    layout = Layout(plan.columns, columns, errors=request.skip, schema=plan.arrow_schema())
    return make_format(Path(plan.output).name, layout, source=plan.input, format=request.formats[index])


def _columns(plan: FilePlan, tasks: Mapping[str, Task], request: Request) -> list[OutputColumn]:
    options = OutputOptions(all_scores=request.options.get("all_scores", False))
    return output_columns({name: tasks[name] for name in plan.tasks}, options=options)
