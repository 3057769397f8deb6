"""`nlpmtl predict`: texts in, answers out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpmtl.cli.console import quiet_libraries, report_device, to_json
from nlpmtl.cli.options import DeviceOption, DtypeOption, PluginsOption, Revision
from nlpmtl.cli.predict_input import STDIN, BadRow, check_input, parse_format, read_texts, size_of
from nlpmtl.cli.predict_progress import watch
from nlpmtl.errors import ConfigError, plain, plain_line
from nlpmtl.fs import open_atomic

if TYPE_CHECKING:
    from nlpmtl.inference.predictor import Text

_ENDING = ".jsonl"

OnBadRow = Annotated[
    Literal["stop", "skip"],
    typer.Option(metavar="stop|skip", help="For a row of --input that cannot be read: stop, or predict null."),
]
Delimiter = Annotated[
    str | None, typer.Option(help="What separates fields; default: comma in .csv, tab in .tsv.", show_default=False)
]
Quoting = Annotated[
    Literal["minimal", "none"] | None,
    typer.Option(
        metavar="minimal|none",
        help="Whether fields may be in double quotes; default: minimal in .csv, none in .tsv.",
        show_default=False,
    ),
]
Encoding = Annotated[str | None, typer.Option(help="Encoding of --input; default: utf-8.", show_default=False)]
Header = Annotated[
    str | None,
    typer.Option(metavar="NAME,…", help="Columns of a .csv or .tsv file without a header line.", show_default=False),
]
Write = Callable[[str], object]


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory, or a Hub id.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="Texts.", show_default=False)] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Ask this task; as often as needed; default: all that read such input.")
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(
            metavar="F.jsonl|F.csv|F.tsv|F.txt|-", help="Rows with text, or text and pair, or words; or lines."
        ),
    ] = None,
    on_bad_row: OnBadRow = "stop",
    delimiter: Delimiter = None,
    quoting: Quoting = None,
    encoding: Encoding = None,
    header: Header = None,
    all_scores: Annotated[bool, typer.Option("--all-scores", help="Add the probability of every label.")] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="F.jsonl", help="Write there instead of on stdout.", show_default=False)
    ] = None,
    revision: Revision = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    plugins: PluginsOption = None,
) -> None:
    """Predict with a model: one JSON object for each text."""
    texts = [_decode(text) for text in texts or ()]
    _check_arguments(texts, input=input, output=output)
    form = parse_format(input, delimiter=delimiter, quoting=quoting, encoding=encoding, header=header)
    from nlpmtl.inference.predictor import Predictor
    from nlpmtl.inference.task_inputs import InputReader

    quiet_libraries()
    reading = watch(size_of(input or STDIN), silent=output is None and sys.stdout.isatty())
    predictor = Predictor.from_pretrained(model, revision=revision, device=device, dtype=dtype, plugins=plugins or ())
    report_device(predictor.model)
    inputs: Iterable[Text | BadRow] = texts
    if input is not None:
        reader = InputReader(predictor.tasks, wanted=task or None)
        inputs = read_texts(input, reader=reader, told=reading.read, format=form, skip=on_bad_row == "skip")
    shape = _to_lines if input is None and output is None and sys.stdout.isatty() else _to_json
    with _open(output) as write, reading.open() if input is not None else nullcontext():
        asked, kept = tee(inputs)
        good = (one for one in asked if not isinstance(one, BadRow))
        answers = predictor.predict_all(good, tasks=task or None, all_scores=all_scores)
        bad = 0
        for one in kept:
            if isinstance(one, BadRow):
                bad += 1
                write(_dump({**one.row, "predictions": None, "error": one.error}))
            else:
                write(shape(one, next(answers)))
            reading.answered()
    if bad:
        typer.echo(f"{bad} bad row(s): their predictions are null", err=True)


def _decode(argument: str) -> str:
    """Return an argument as the terminal sent it, where the locale's encoding is not UTF-8 (LC_ALL=C).

    Raises:
        ConfigError: it is not valid UTF-8 either.
    """
    if not any("\ud800" <= character <= "\udfff" for character in argument):
        return argument
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        raise ConfigError("a text is not valid Unicode") from None


def _check_arguments(texts: list[str], *, input: str | None, output: Path | None) -> None:
    if texts and input is not None:
        raise ConfigError("texts come as arguments or from --input, not from both")
    if not texts and input is None:
        raise ConfigError("no text: write it after the model, or name a file with --input (- is stdin)")
    if output is not None:
        from nlpmtl.config import check_writable

        check_writable(output, key="--output", file=True)
    if output is not None and output.suffix != _ENDING:
        raise ConfigError(f"--output {output}: answers are JSON Lines, so the name ends in {_ENDING}")
    if input is not None:
        check_input(input)


@contextmanager
def _open(output: Path | None) -> Iterator[Write]:
    """Where to write: stdout, or a file that is there only when it is whole."""
    if output is None:
        yield lambda text: typer.echo(text.encode(), nl=False)  # JSON is UTF-8, whatever the terminal's encoding
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(output) as file:
        yield file.write


def _to_json(one: Text, answers: Mapping[str, Any]) -> str:
    return _dump({**_as_row(one), "predictions": answers})


def _dump(row: Mapping[str, Any]) -> str:
    """A line of JSON, also for readers that take NEL and U+2028 for line ends."""
    return to_json(row) + "\n"


def _to_lines(one: Text, answers: Mapping[str, Any]) -> str:
    """A text and its answers for a person."""
    width = max(map(len, answers), default=0)
    lines = [f"  {plain_line(task):{width}}  {plain_line(_say(answer))}\n" for task, answer in answers.items()]
    return "".join([f"{plain(' | '.join(map(str, _as_row(one).values())))}\n", *lines])


def _as_row(one: Text) -> Mapping[str, Any]:
    if isinstance(one, str):
        return {"text": one}
    if isinstance(one, tuple):
        return {"text": one[0], "pair": one[1]}
    return {"text": " ".join(one["words"])} if "words" in one else one  # what offsets refer to


def _say(answer: Any) -> str:
    if not isinstance(answer, list | dict):  # of a kind from a plugin
        return str(answer)
    if isinstance(answer, list):
        separator = "  " if any("word" in part for part in answer) else ", "
        return separator.join(map(_say, answer)) or "none"
    if "word" in answer:
        return f"{answer['word']}/{answer.get('entity_group', answer.get('entity'))}"
    cut = "  (of its beginning: the text is too long)" if "truncated" in answer else ""
    if "labels" in answer:
        return _say(answer["labels"]) + cut
    if "label" in answer:
        # + 0.0 turns the -0.0 that a small negative number is rounded to into 0.0
        polarity = f", polarity {round(answer['polarity'], 2) + 0.0:+.2f}" if "polarity" in answer else ""
        return f"{answer['label']} ({answer['score']:.2f}){polarity}{cut}"
    if "value" in answer:
        return f"{answer['value']:.4g}{cut}"
    return to_json(answer)
