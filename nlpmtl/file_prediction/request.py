"""Request of a batch prediction: its arguments, checked without torch, and what determines its output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from nlpmtl.config import check_flag, parse_data
from nlpmtl.data.delimited import TextFormat
from nlpmtl.errors import ConfigError, quote
from nlpmtl.file_prediction.inputs import check_columns
from nlpmtl.file_prediction.progress import FileProgress, OnProgress, Report, Stage
from nlpmtl.file_prediction.row_files import complete_format, open_row_file, table_ending
from nlpmtl.file_prediction.targets import Target, find_targets
from nlpmtl.fs import sha256_file
from nlpmtl.strict_json import dumps

if TYPE_CHECKING:
    from nlpmtl.inference.backend import Precision

OnBadRow = Literal["stop", "skip"]


class PredictFilesOptions(TypedDict, total=False):
    """Optional arguments of `predict_files`, which documents them."""

    tasks: Sequence[str] | None
    text_column: str | Sequence[str] | None
    on_bad_row: OnBadRow
    all_scores: bool
    overwrite: bool
    delimiter: str | None
    quoting: Literal["minimal", "none"] | None
    encoding: str | None
    header: bool | Sequence[str] | None
    revision: str | None
    device: str
    dtype: Precision | None
    plugins: Sequence[str]
    on_progress: OnProgress | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Checked arguments of `predict_files`.

    Args:
        model: a model directory, or a Hub id.
        targets: the input files and their outputs.
        formats: format of each input file.
        output: the output, which may have a ``*`` in its name.
        text_columns: columns of the text and of its pair; empty: those of the training data.
        options: the optional arguments.
    """

    model: str | Path
    targets: Sequence[Target]
    formats: Sequence[TextFormat]
    output: Path
    text_columns: tuple[str, ...]
    options: PredictFilesOptions

    @property
    def skip(self) -> bool:
        """Whether invalid rows are written with null predictions."""
        return self.options.get("on_bad_row") == "skip"

    def report(self, stage: Stage) -> Report:
        """Return a function that reports the progress of a stage."""
        on_progress = self.options.get("on_progress") or (lambda progress: None)
        return lambda rows, total: on_progress(FileProgress(stage, rows, total))

    def identity(self, *, model: str, plugins: Mapping[str, str]) -> dict[str, Any]:
        """Return what determines the output.

        Args:
            model: digest of the model.
            plugins: digest of the source of each plugin.
        """
        tasks = self.options.get("tasks")
        identity: dict[str, Any] = {
            "nlpmtl": metadata.version("nlpmtl"),
            "model": model,
            "plugins": dict(plugins),
            "inputs": {target.input: sha256_file(target.input) for target in self.targets},
            "output": str(self.output),
            "formats": {
                target.input: asdict(text_format)
                for target, text_format in zip(self.targets, self.formats, strict=True)
            },
            "options": {
                "--task": None if tasks is None else list(tasks),
                "--text-column": list(self.text_columns),
                "--on-bad-row": self.options.get("on_bad_row", "stop"),
                "--all-scores": self.options.get("all_scores", False),
                "--dtype": self.options.get("dtype"),
            },
        }
        plain: dict[str, Any] = json.loads(dumps(identity))  # as it is in the saved plan
        return plain


def parse_request(model: str | Path, input: str, output: Path, options: PredictFilesOptions) -> Request:
    """Check the arguments of `predict_files`, without the rows and the model.

    Raises:
        TypeError: an option is unknown.
        ConfigError: an argument is invalid.
        DataError: an input file does not exist, cannot be read or lacks a column.
    """
    unknown = options.keys() - PredictFilesOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"predict_files() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    on_bad_row = options.get("on_bad_row", "stop")
    if on_bad_row not in get_args(OnBadRow):
        raise ConfigError(f'on_bad_row: "stop" or "skip" was expected, found {on_bad_row!r}')
    for name in ("all_scores", "overwrite"):
        check_flag(options.get(name, False), name=name)
    text_columns = parse_text_columns(options.get("text_column"))
    text_format = parse_format(
        input, **{key: options.get(key) for key in ("delimiter", "quoting", "encoding", "header")}
    )
    targets = find_targets(input, output)
    formats = [complete_format(target.input, text_format) for target in targets]
    for target, detected in zip(targets, formats, strict=True):
        check_columns(open_row_file(target.input, format=detected), text_columns)
    return Request(
        model=model, targets=targets, formats=formats, output=output, text_columns=text_columns, options=options
    )


def parse_format(input: str | None, **options: Any) -> TextFormat:
    """Parse the options that describe the format of text files; None means not given.

    Args:
        input: the input files, or "-" for stdin.
        options: values of ``delimiter``, ``quoting``, ``encoding`` and ``header``.

    Raises:
        ConfigError: a value is invalid, or an option does not apply to this type of file.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if given and input is None:
        raise ConfigError(f"--{next(iter(given))} needs --input: it describes the format of that file")
    for key in ("delimiter", "quoting", "header"):
        if key in given and table_ending(input or "") is None:
            raise ConfigError(f"--{key} applies to .csv and .tsv files only, found --input {input}")
    return TextFormat.of(parse_data({"files": {"input": input or "-"}, **given}, where="--input"))


def parse_text_columns(value: object) -> tuple[str, ...]:
    """Return the columns of the text and of its pair; none for None.

    Raises:
        ConfigError: the value is not one or two names.
    """
    columns = (value,) if isinstance(value, str) else () if value is None else value
    if not isinstance(columns, Sequence) or len(columns) > 2 or not all(isinstance(name, str) for name in columns):
        raise ConfigError(
            "--text-column: the column of the text was expected, or those of the text and of its pair, found "
            f"{quote(value, limit=80)}"
        )
    if len(set(columns)) < len(columns):
        raise ConfigError(f"--text-column: the column {columns[0]!r} is named twice")
    return tuple(columns)
