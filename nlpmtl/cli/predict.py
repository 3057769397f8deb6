"""`nlpmtl predict`: predictions for texts, as JSON Lines or in a readable form, and for the rows of files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count, tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpmtl.cli.console import echo, quiet_libraries
from nlpmtl.cli.options import DeviceOption, DtypeOption, Model, PluginsOption, Revision, check_model, load_predictor
from nlpmtl.cli.predict_input import STDIN, PrintedInput, check_arguments, decode_argument, file_size, read_texts
from nlpmtl.environment import is_main_process
from nlpmtl.errors import ConfigError, escape_control_characters, escape_line
from nlpmtl.strict_json import to_json

if TYPE_CHECKING:
    from nlpmtl.tasks import Task

_NULL = "their predictions are null"
_MAX_LISTED = 4
"""Number of components of a vector that the readable output shows."""

OnBadRow = Annotated[
    Literal["stop", "skip"],
    typer.Option(metavar="stop|skip", help="For an invalid row of --input: stop, or predict null."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(metavar="CHAR", help="Field delimiter of .csv and .tsv (default: detected).", show_default=False),
]
Quoting = Annotated[
    Literal["minimal", "none"] | None,
    typer.Option(
        metavar="minimal|none",
        help="Whether fields may be in double quotes: minimal or none (default: minimal for .csv, none for .tsv).",
        show_default=False,
    ),
]
Encoding = Annotated[
    str | None, typer.Option(metavar="NAME", help="Encoding of --input (default: utf-8).", show_default=False)
]
Header = Annotated[
    str | None,
    typer.Option(metavar="NAME,…", help="Column names of a .csv or .tsv file that has no header.", show_default=False),
]
Texts = Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts to predict.", show_default=False)]
TaskNames = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TASK",
        help="Task to predict (repeatable; default: every task that accepts the input).",
        show_default=False,
    ),
]
InputFile = Annotated[
    str | None,
    typer.Option(
        metavar="F.csv|F.tsv|F.jsonl|F.parquet|F.txt|-",
        help="File whose rows have the columns of the training data, or text (and pair), or words; a .txt file has one "
        "text per line. With --output, also a pattern of files, such as 'new/*.csv'. -: stdin, one text per line or "
        "JSON Lines.",
        show_default=False,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        metavar="F.csv|F.tsv|F.jsonl|F.parquet",
        help="Output file with all columns of --input and the predictions; for several input files a name with a *, "
        "such as 'predicted/*.parquet'. Run an interrupted command again to continue it (default: stdout).",
        show_default=False,
    ),
]
TextColumn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Column of the text; write a second one for the pair (default: the columns of the training data).",
        show_default=False,
    ),
]
Write = Callable[[str], object]


def predict(
    model: Model,
    texts: Texts = None,
    task: TaskNames = None,
    input: InputFile = None,
    text_column: TextColumn = None,
    on_bad_row: OnBadRow = "stop",
    delimiter: Delimiter = None,
    quoting: Quoting = None,
    encoding: Encoding = None,
    header: Header = None,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Include the probability of every label.")] = False,
    conllu: Annotated[
        bool, typer.Option("--conllu", help="Print the trees of a parsing task as the ten columns of CoNLL-U.")
    ] = False,
    output: OutputFile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False,
    revision: Revision = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
) -> None:
    """Predict texts, one JSON object per line, or the rows of files.

    Predictions for TEXT arguments are printed in a readable form on a terminal.
    """
    from nlpmtl.config import check_output

    texts = [decode_argument(text) for text in texts or ()]
    output = None if output is None else check_output(output, key="--output")
    check_arguments(texts, input=input, output=output, overwrite=overwrite, text_column=text_column)
    if conllu and output is not None:
        raise ConfigError("--conllu prints to stdout: remove --output, and write > FILE.conllu after the command")
    check_model(model, tasks=task)
    names = None if header is None else [name.strip() for name in header.split(",")]
    options: dict[str, Any] = {
        **{"tasks": task or None, "text_column": text_column, "on_bad_row": on_bad_row, "all_scores": all_scores},
        **{"delimiter": delimiter, "quoting": quoting, "encoding": encoding, "header": names},
        **{"revision": revision, "device": device, "dtype": dtype, "plugins": plugins or [], "overwrite": overwrite},
    }
    if output is not None and input is not None and input != STDIN:
        _predict_files(model, input, output, options)
    else:
        _predict_texts(model, texts, input, output, {**options, "conllu": conllu})


def _predict_texts(
    model: str, texts: Sequence[str], input: str | None, output: Path | None, options: Mapping[str, Any]
) -> None:
    """Predict texts, or the inputs of a file or of stdin, as they are read."""
    from nlpmtl.cli.progress import PredictionProgress
    from nlpmtl.file_prediction.request import parse_format, parse_text_columns
    from nlpmtl.file_prediction.targets import clear_work, find_input

    text_format = parse_format(input, **{key: options[key] for key in ("delimiter", "quoting", "encoding", "header")})
    text_columns = parse_text_columns(options["text_column"])
    if input is not None and input != STDIN:
        find_input(input)
    if output is not None:
        clear_work(output, overwrite=options["overwrite"])
    from nlpmtl.inference.task_inputs import InputReader
    from nlpmtl.progress import progress_view

    predictor = load_predictor(model, **{key: options[key] for key in ("revision", "device", "dtype", "plugins")})
    tasks = options["tasks"]
    if options["conllu"]:
        tasks = [_task_of_conllu(predictor.tasks, tasks)]
    # A bar would be drawn between the predictions on the same terminal.
    on_terminal = output is None and sys.stdout.isatty()
    view = progress_view(visible=not (on_terminal and sys.stderr.isatty()))
    progress = PredictionProgress(view, size=file_size(input or STDIN))
    inputs: Iterable[PrintedInput] = (PrintedInput(text, {"text": text}) for text in texts)
    if input is not None:
        inputs = read_texts(
            input,
            reader=InputReader(predictor.tasks, names=tasks),
            on_bytes=progress.add_bytes,
            text_format=text_format,
            text_columns=text_columns,
            skip=options["on_bad_row"] == "skip",
        )
    to_text: Callable[[PrintedInput, Mapping[str, Any]], str] = _to_json
    if options["conllu"]:
        to_text = _conllu_writer(predictor.tasks[tasks[0]])
    elif input is None and on_terminal:
        to_text = _to_readable
    with _open(output) as write, progress.open() if input is not None else nullcontext():
        to_predict, to_write = tee(inputs)
        # Bad rows are passed too, so that an error has the number of the row in the input.
        values = (row.value for row in to_predict)
        predictions = predictor.predict_all(values, tasks=tasks, all_scores=options["all_scores"])
        bad_rows = 0
        for row in to_write:
            predicted = next(predictions)
            if row.error is not None:
                bad_rows += 1
                if not options["conllu"]:
                    write(_dump({**row.fields, "predictions": None, "error": row.error}))
            else:
                write(to_text(row, predicted))
            if input is not None:
                progress.add_input()
    _report_bad_rows(bad_rows, outcome="omitted" if options["conllu"] else _NULL)


def _predict_files(model: str, input: str, output: Path, options: dict[str, Any]) -> None:
    """Predict files, and say how to continue after an interruption."""
    from nlpmtl.cli.progress import FilesProgress
    from nlpmtl.file_prediction import predict_files
    from nlpmtl.progress import progress_view

    progress = FilesProgress(progress_view(visible=is_main_process()), on_predicting=quiet_libraries)
    try:
        with progress.open():
            result = predict_files(model, input, output, **options, on_progress=progress.show)
    except (KeyboardInterrupt, SystemExit):
        if progress.is_saved and is_main_process():
            echo(f"{progress.rows:,} rows are predicted and saved; run the same command again to continue", err=True)
        raise
    if is_main_process():
        device = () if result.device in (None, "cpu") else (f"device: {result.device}",)
        for note in (*result.notes, *device):
            echo(note, err=True)
        _report_bad_rows(result.bad_rows)


def _report_bad_rows(count: int, *, outcome: str = _NULL) -> None:
    if count:
        echo(f"{count} invalid row(s): {outcome}", err=True)


@contextmanager
def _open(output: Path | None) -> Iterator[Write]:
    """Open stdout, or a file that appears only when it is complete."""
    if output is None:
        yield lambda text: typer.echo(text.encode(), nl=False)  # JSON is UTF-8 in every locale
        return
    from nlpmtl.fs import open_atomic

    output.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(output) as file:
        yield file.write


def _to_json(row: PrintedInput, predictions: Mapping[str, Any]) -> str:
    return _dump({**row.fields, "predictions": predictions})


def _task_of_conllu(tasks: Mapping[str, Task], names: Sequence[str] | None) -> str:
    """Return the name of the only task that predicts trees.

    Raises:
        ConfigError: no task, or more than one, predicts trees.
    """
    from nlpmtl.inference.task_inputs import check_task_names
    from nlpmtl.tasks import Task

    check_task_names(names, tasks)
    fitting = [name for name in names or tasks if type(tasks[name]).conllu is not Task.conllu]
    if len(fitting) != 1 or (names is not None and len(names) > 1):
        known = [f"{name} ({task.kind})" for name, task in tasks.items() if type(task).conllu is not Task.conllu]
        advice = f"select one task with --task: {', '.join(known)}" if known else "no task of this model predicts trees"
        raise ConfigError(f"--conllu writes the trees of one task: {advice}")
    return fitting[0]


def _conllu_writer(task: Task) -> Callable[[PrintedInput, Mapping[str, Any]], str]:
    """Return a function that formats the predictions for a text as a sentence of CoNLL-U."""
    from nlpmtl.data.conll import format_conllu

    numbers = count(1)
    return lambda _, predictions: format_conllu(task.conllu(predictions[task.name]) or (), number=next(numbers))


def _dump(row: Mapping[str, Any]) -> str:
    """Return one line of JSON, also for readers that treat NEL and U+2028 as line ends."""
    return to_json(row) + "\n"


def _to_readable(row: PrintedInput, predictions: Mapping[str, Any]) -> str:
    return _to_lines(row.value, predictions)


def _to_lines(text: str, predictions: Mapping[str, Any]) -> str:
    """Format a text and its predictions in the readable form."""
    width = max(map(len, predictions), default=0)
    lines = [f"  {escape_line(task):{width}}  {escape_line(_format(value))}\n" for task, value in predictions.items()]
    return "".join([f"{escape_control_characters(text)}\n", *lines])


def _format(prediction: Any) -> str:
    if not isinstance(prediction, list | dict):  # a task type of a plugin
        return str(prediction)
    if prediction and isinstance(prediction, list) and all(isinstance(item, float) for item in prediction):
        shown = ", ".join(f"{number:.4f}" for number in prediction[:_MAX_LISTED])
        return f"[{shown}{', …' if len(prediction) > _MAX_LISTED else ''}] ({len(prediction)} numbers)"
    if isinstance(prediction, list):
        separator = "  " if any(isinstance(part, Mapping) and "word" in part for part in prediction) else ", "
        return separator.join(map(_format, prediction)) or "none"
    if "entities" in prediction and "relations" in prediction:
        return _format_relations(prediction)
    if "word" in prediction:
        if "deprel" in prediction:
            return f"{prediction['word']}/{prediction['deprel']}:{prediction['head']}"
        return f"{prediction['word']}/{prediction.get('entity_group', prediction.get('entity'))}"
    truncated = "  (from the beginning: the text is too long)" if "truncated" in prediction else ""
    if "labels" in prediction:
        return _format(prediction["labels"]) + truncated
    if "label" in prediction:
        # + 0.0 turns the -0.0 that a small negative number is rounded to into 0.0
        polarity = f", polarity {round(prediction['polarity'], 2) + 0.0:+.2f}" if "polarity" in prediction else ""
        return f"{prediction['label']} ({prediction['score']:.2f}){polarity}{truncated}"
    if "value" in prediction:
        return f"{prediction['value']:.4g}{truncated}"
    return to_json(prediction)


def _format_relations(prediction: Mapping[str, Any]) -> str:
    words = [entity["word"] for entity in prediction["entities"]]
    relations = [f"{words[item['head']]} {item['label']} {words[item['tail']]}" for item in prediction["relations"]]
    return "; ".join([_format(prediction["entities"]), *relations])
