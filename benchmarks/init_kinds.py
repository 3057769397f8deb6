"""Kinds that `nlpmtl init` proposes for the columns of eighteen public datasets, as JSON Lines, CSV and CoNLL.

python -m benchmarks.init_kinds DATA
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nlpmtl.init import find_sources, propose, read_sample

Row = dict[str, Any]
CLASS = {"label": "classification"}
LABELS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("banking77", "cola", "mrpc", "rte", "snli", "sst2", "sst2_sentences", "wnli"), CLASS),
    "go_emotions": {"labels": "multilabel"},
    "snips": {"tags": "labeling", **CLASS},
    "stsb": {"label": "regression"},
    "trec": {**CLASS, "label_fine": "classification"},
    "ud_ewt": {"tags": "labeling", "xpos": "labeling"},
    "wnut17": {"tags": "labeling"},
    "ud_ewt_trees": {"upos": "labeling", "heads": "parsing", "deprels": "parsing"},
    "xquad_en": {"answers": "question_answering"},
    "codah": {"label": "multiple_choice"},
    "tatoeba_en_zh": {"target": "generation"},
}
"""Dataset = its label columns with their kinds."""
OPTIONAL = {"cola": {"source"}, "stsb": {"genre", "source"}, "codah": {"category"}}
"""Further columns that may be proposed as classes."""
CONLLU = {"tags": "upos", "heads": "head", "deprels": "deprel"}
"""Columns that CoNLL-U calls otherwise."""


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_csv(path: Path, rows: Sequence[Row], *, join: str | None = None) -> None:
    def cell(value: Any) -> Any:
        if join is not None and isinstance(value, list):
            return join.join(map(str, value))
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)


def write_jsonl(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_conll(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    lists = (zip(*(row[column] for column in columns), strict=True) for row in rows)
    sentences = ("".join("\t".join(map(str, fields)) + "\n" for fields in sentence) for sentence in lists)
    path.write_text("\n".join(sentences), encoding="utf-8")


def write_conllu(path: Path, rows: Sequence[Row]) -> None:
    def lines(row: Row) -> Iterator[str]:
        empty = ["_"] * len(row["tokens"])
        upos = row["upos"] if "upos" in row else row["tags"]
        columns = [row.get(name, empty) for name in ("xpos", "heads", "deprels")]
        for number, fields in enumerate(zip(row["tokens"], upos, *columns, strict=True), 1):
            word, tag, xpos, head, relation = fields
            yield f"{number}\t{word}\t_\t{tag}\t{xpos}\t_\t{head}\t{relation}\t_\t_\n"

    path.write_text("".join(f"{''.join(lines(row))}\n" for row in rows), encoding="utf-8")


def variants(name: str, splits: dict[str, list[Row]], directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Write the splits in each format; yield the pattern of the files, and the expected kinds."""
    labels = LABELS[name]
    first = splits["train"][0]
    for split, rows in splits.items():
        write_jsonl(directory / f"{name}-{split}.jsonl", rows)
        write_csv(directory / f"{name}-{split}.csv", rows)
    yield f"{name}-*.jsonl", labels
    yield f"{name}-*.csv", labels
    separator = {"go_emotions": "|"}.get(name, " " if "tokens" in first else None)
    if separator is not None and "heads" not in first:
        for split, rows in splits.items():
            write_csv(directory / f"{name}-{split}.sep.csv", rows, join=separator)
        yield f"{name}-*.sep.csv", labels
    if "tokens" in first:
        if "xpos" in first or "heads" in first:
            for split, rows in splits.items():
                write_conllu(directory / f"{name}-{split}.conllu", rows)
            yield f"{name}-*.conllu", {CONLLU.get(column, column): kind for column, kind in labels.items()}
        tags = [column for column, kind in labels.items() if kind == "labeling"]
        for split, rows in splits.items():
            write_conll(directory / f"{name}-{split}.conll", rows, ["tokens", tags[-1]])
        yield f"{name}-*.conll", {"tags": "labeling"}


def proposed(pattern: str, directory: Path) -> dict[str, str]:
    paths = sorted(str(path) for path in directory.glob(pattern) if path.name.count(".") == pattern.count("."))
    (proposal,) = propose([read_sample(source) for source in find_sources(paths)])
    return {column: task.kind for task in proposal.tasks.values() for column in task.columns}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with a folder per dataset")
    data = parser.parse_args().data
    right = columns = files = 0
    for name in LABELS:
        splits = {path.name.split(".")[0]: read(path) for path in sorted((data / name).glob("*.jsonl.gz"))}
        with TemporaryDirectory() as directory:
            for pattern, expected in variants(name, splits, Path(directory)):
                kinds = proposed(pattern, Path(directory))
                wrong = {column: kind for column, kind in kinds.items() if expected.get(column) != kind}
                wrong = {column: kind for column, kind in wrong.items() if column not in OPTIONAL.get(name, ())}
                correct = sum(kinds.get(column) == kind for column, kind in expected.items())
                right, columns, files = right + correct, columns + len(expected), files + 1
                remark = f", also proposed: {wrong}" if wrong else ""
                print(f"{pattern:28} {correct} of {len(expected)} label columns{remark}", flush=True)
    print(f"{right} of {columns} label columns in {files} datasets and formats")


if __name__ == "__main__":
    main()
