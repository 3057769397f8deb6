"""The arguments of `nlpmtl predict`, and its inputs: read lazily from a file or stdin, validated row by row."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nlpmtl.environment import has_several_processes
from nlpmtl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nlpmtl.data.delimited import TextFormat
    from nlpmtl.file_prediction.inputs import RowInput
    from nlpmtl.inference.task_inputs import InputReader

STDIN = "-"
_ENDING = ".jsonl"


def file_size(name: str) -> int | None:
    """Return the size of a file in bytes, or None for stdin."""
    return None if name == STDIN else Path(name).stat().st_size


class PrintedInput(NamedTuple):
    """An input to predict for, and what is printed of it.

    Args:
        value: what `Predictor.predict_all` takes; `SKIPPED` for an invalid row.
        fields: the fields that are printed; of an invalid row its texts, if any.
        error: why the row is invalid, with its place; None for a valid input.
    """

    value: Any
    fields: Mapping[str, Any]
    error: str | None = None


def decode_argument(argument: str) -> str:
    """Decode a UTF-8 argument that Python decoded with another encoding, such as that of LC_ALL=C.

    Raises:
        ConfigError: the argument is not valid UTF-8.
    """
    if not any("\ud800" <= character <= "\udfff" for character in argument):
        return argument
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        raise ConfigError("a text is not valid Unicode") from None


def check_arguments(
    texts: list[str], *, input: str | None, output: Path | None, overwrite: bool, text_column: list[str] | None
) -> None:
    """Check the arguments of `nlpmtl predict`, apart from the files.

    Raises:
        ConfigError: arguments contradict each other, the output exists, or several processes would print.
    """
    if texts and input is not None:
        raise ConfigError("pass texts either as arguments or with --input, not both")
    if not texts and input is None:
        raise ConfigError("no input: pass texts after MODEL, or a file with --input (- is stdin)")
    if texts:
        _refuse_files(texts)
    if text_column and input is None:
        raise ConfigError("--text-column needs --input: it names a column of it")
    if overwrite and output is None:
        raise ConfigError("--overwrite needs --output")
    reads_files = input is not None and input != STDIN
    if has_several_processes() and not (reads_files and output is not None):
        raise ConfigError(
            "several processes predict only files: write --input FILE and --output FILE, or start one process"
        )
    if output is not None:
        from nlpmtl.config import check_writable
        from nlpmtl.file_prediction.targets import check_absent

        check_writable(output, key="--output", file=True)
        if not reads_files and output.suffix != _ENDING:
            raise ConfigError(
                f"--output {output}: predictions are written as JSON Lines: the name must end in {_ENDING} (other "
                "formats need a file as --input)"
            )
        if not reads_files and not overwrite:
            check_absent(output)


def _refuse_files(texts: Sequence[str]) -> None:
    """Refuse the name of a file of rows, which is an argument by mistake: the name itself would be predicted.

    Raises:
        ConfigError: a text is the name of such a file.
    """
    from nlpmtl.file_prediction.targets import INPUT_ENDINGS

    for text in texts:
        if text.lower().endswith(INPUT_ENDINGS) and os.path.isfile(text):  # noqa: PTH113 (is_file raises on a long name)
            raise ConfigError(f"{text} is a file: to predict its rows, write --input {shlex.quote(text)}")


def read_texts(
    name: str,
    *,
    reader: InputReader,
    on_bytes: Callable[[int], object],
    text_format: TextFormat,
    text_columns: tuple[str, ...] = (),
    skip: bool = False,
) -> Iterator[PrintedInput]:
    """Yield the inputs of a file or of stdin.

    Each line of a .txt file is a text, and so is each line of stdin unless its first line is a JSON object. A row of
    other files has ``text``, or ``text`` and ``pair``, or ``words``, or the input columns of the training data of a
    task.

    Args:
        name: file name, or "-" for stdin.
        reader: validates rows for the tasks to predict.
        on_bytes: called with the number of bytes of each read.
        text_format: format of a text file.
        text_columns: columns of the text and of its pair; empty: as above.
        skip: yield a `PrintedInput` with an error for an invalid line or row instead of raising.

    Raises:
        DataError: a line or row is invalid; the message has its location.
    """
    from nlpmtl.file_prediction.inputs import RowParser
    from nlpmtl.file_prediction.row_files import complete_format, open_row_file, open_stream, trained_columns
    from nlpmtl.inference.task_inputs import SKIPPED

    if name == STDIN:
        file = open_stream("stdin", sys.stdin.buffer, encoding=text_format.encoding)
    else:
        columns = trained_columns(name, reader.tasks.values(), encoding=text_format.encoding)
        text_format = replace(complete_format(name, text_format), columns=columns)
        file = open_row_file(name, format=text_format, progress=on_bytes)
    parser = RowParser(reader, file, text_columns=text_columns)
    for chunk in file.chunks:
        for row in parser.parse(chunk):
            if row.error is None:
                yield PrintedInput(row.value, _printed_fields(row))
            elif skip:
                yield PrintedInput(SKIPPED, {"text": None, **_texts(row.value)}, row.error)
            else:
                raise DataError(row.error)


def _printed_fields(row: RowInput) -> dict[str, Any]:
    """Return the fields of a valid row; words that a task reads as the text that offsets refer to."""
    fields: Mapping[str, Any] = {"text": row.value} if isinstance(row.value, str) else row.value
    present = {key: value for key, value in fields.items() if value is not None}
    if row.joined_words is None or "text" in present:
        return present
    return {"text" if key == "words" else key: row.joined_words if key == "words" else present[key] for key in present}


def _texts(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the strings that can be written of an invalid row."""
    from nlpmtl.strict_json import has_surrogate

    return {key: text for key, text in fields.items() if isinstance(text, str) and not has_surrogate(text)}
