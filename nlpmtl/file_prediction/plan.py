"""Plan of a batch prediction: what it reads and how, saved next to its finished parts, so that it can be resumed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from nlpmtl.errors import ConfigError, quote
from nlpmtl.file_prediction.scan import Scan
from nlpmtl.fs import write_json

PLAN, DONE = "plan.json", "predicted"
"""Files in the work directory: the plan, and a marker that exists when all rows are predicted."""
_MAX_CHARACTERS = 60


@dataclass(frozen=True)
class FilePlan:
    """Plan of one input file: what `Scan` found in it.

    Args:
        input: path of the input.
        output: path of the output.
        rows: number of rows.
        bad_rows: number of invalid rows.
        columns: names of the columns that are copied from the input.
        tasks: names of the tasks that have columns of predictions.
        conll_columns: the index of each column of a CoNLL file, by name; None: by default.
        schema: Arrow schema of `columns`, serialized and base64-encoded; None if the output is not a Parquet file.
    """

    input: str
    output: str
    rows: int
    bad_rows: int
    columns: list[str]
    tasks: list[str]
    conll_columns: dict[str, int] | None
    schema: str | None

    @classmethod
    def of(
        cls, scan: Scan, *, input: str, output: Path, tasks: list[str], conll_columns: dict[str, int] | None
    ) -> FilePlan:
        """Return the plan of a scanned file."""
        schema = None if scan.schema is None else base64.b64encode(scan.schema.serialize().to_pybytes()).decode()
        columns = list(scan.columns)
        return cls(input, str(output), scan.rows, scan.bad_rows, columns, tasks, conll_columns, schema)

    def arrow_schema(self) -> pa.Schema | None:
        """Return the schema of the columns that are copied from the input."""
        return None if self.schema is None else pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema)))


@dataclass(frozen=True)
class Plan:
    """Plan of a batch prediction.

    Args:
        request: what determines the output: digests of the inputs and of the model, and the options.
        files: the files, in the order in which they are predicted.
    """

    request: Mapping[str, Any]
    files: list[FilePlan]

    def save(self, directory: Path) -> None:
        """Write the plan into the work directory."""
        write_json(directory / PLAN, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Plan | None:
        """Return the plan in a work directory; None if there is none or it cannot be read."""
        try:
            content = json.loads((directory / PLAN).read_text(encoding="utf-8"))
            return cls(content["request"], [FilePlan(**file) for file in content["files"]])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def check_same(self, request: Mapping[str, Any], *, directory: Path) -> None:
        """Check that an interrupted prediction can be resumed.

        Args:
            request: what determines the output now.
            directory: the work directory, for the message.

        Raises:
            ConfigError: the request has changed since the prediction was started.
        """
        changes = "; ".join(_changes(self.request, request))
        if changes:
            raise ConfigError(
                f"an interrupted prediction in {directory} cannot be resumed: {changes}. Undo the change, or start "
                "again with --overwrite"
            )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        earlier, value = before.get(key), now.get(key)
        if earlier == value:
            continue
        if isinstance(earlier, dict) and isinstance(value, dict):
            names = [name for name in dict.fromkeys([*earlier, *value]) if earlier.get(name) != value.get(name)]
            yield f"{key}: {', '.join(names)} changed"
        elif key == "model":
            yield "the model has changed"
        else:
            yield f"{key} was {quote(earlier, limit=_MAX_CHARACTERS)}, and is now {quote(value, limit=_MAX_CHARACTERS)}"
