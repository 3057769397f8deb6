"""Preparation of a batch prediction on rank 0, without torch: compare it with an interrupted one, check all rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from nlpmtl.errors import ConfigError
from nlpmtl.file_prediction.inputs import RowParser
from nlpmtl.file_prediction.output_columns import ERROR, PREDICTIONS, OutputColumn, check_names, output_columns
from nlpmtl.file_prediction.output_formats import Layout, OutputFormat, check_text_schema, make_format
from nlpmtl.file_prediction.parts import PARTS
from nlpmtl.file_prediction.plan import DONE, FilePlan, Plan
from nlpmtl.file_prediction.request import Request
from nlpmtl.file_prediction.row_files import open_row_file, trained_columns
from nlpmtl.file_prediction.scan import scan
from nlpmtl.hub import fetch
from nlpmtl.hub.model_files import digest_model
from nlpmtl.inference.task_inputs import InputReader, check_task_names
from nlpmtl.plugins import digest_plugins, import_plugins
from nlpmtl.saved_config import check_own_config, read_table
from nlpmtl.tasks import OutputOptions, Task, task_from_config


def make_plan(request: Request, work: Path) -> Plan:
    """Return the plan of an interrupted prediction, or a new one after a scan of all rows. Nothing is written.

    Args:
        request: the request.
        work: the work directory.

    Raises:
        ConfigError: an output exists, an interrupted prediction was started with something else, a task is unknown, or
            columns have the same name.
        DataError: a row is invalid, or a file lacks the columns that are read.
        ModelError: the model does not exist or is invalid.
    """
    overwrite = request.options.get("overwrite", False)
    if not overwrite and not (work / DONE).exists():
        for target in request.targets:
            if target.output.exists():
                raise ConfigError(f"--output {target.output}: it already exists; --overwrite replaces it")
    plugins = request.options.get("plugins", ())
    import_plugins(plugins)
    directory = fetch(request.model, revision=request.options.get("revision"))
    identity = request.identity(model=digest_model(directory), plugins=digest_plugins(plugins))
    saved = Plan.read(work)
    if saved is not None and not overwrite:
        saved.check_same(identity, directory=work)
    if saved is not None and saved.request == identity:
        return saved
    tasks = read_tasks(request)
    names = request.options.get("tasks")
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


def open_work(plan: Plan, work: Path) -> None:
    """Save the plan in the work directory, unless it is there; remove the parts of another plan."""
    saved = Plan.read(work)
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


def read_tasks(request: Request) -> dict[str, Task]:
    """Return the tasks of the model, without its weights.

    Raises:
        ModelError: the model does not exist or is invalid.
    """
    error_prefix = f"the model {str(request.model)!r} cannot be loaded"
    directory = fetch(request.model, revision=request.options.get("revision"))
    config = read_table(directory / "config.json", error_prefix=error_prefix)
    check_own_config(config, error_prefix=error_prefix)
    return {task: task_from_config(task, values) for task, values in config["tasks"].items()}
