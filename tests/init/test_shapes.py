"""Files with the columns of eighteen public datasets: the kind that is proposed for each label column."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.init import find_sources, propose, read_sample

Row = dict[str, Any]
SOURCE = random.Random(0)
VOCABULARY = [
    f"{first}{second}" for first in ("ka", "lo", "mi", "ru", "te", "so") for second in ("ba", "do", "ne", "pi")
]
TAGS = ["ADJ", "DET", "NOUN", "VERB"]
ROWS = 400


def sentence() -> str:
    return " ".join(words()) + " ."


def words() -> list[str]:
    return [SOURCE.choice(VOCABULARY) for _ in range(SOURCE.randint(3, 12))]


def names(count: int, prefix: str = "label") -> str:
    return f"{prefix}_{SOURCE.randrange(count)}"


def single(**columns: Callable[[], Any]) -> Row:
    return {"sentence": sentence(), **{name: make() for name, make in columns.items()}}


def pair(**columns: Callable[[], Any]) -> Row:
    return {"sentence1": sentence(), "sentence2": sentence(), **{name: make() for name, make in columns.items()}}


def spans(tokens: list[str]) -> list[str]:
    return [SOURCE.choice(["O", "O", "B-person", "B-place"]) for _ in tokens]


def tagged(*, trees: bool = False, names: tuple[str, ...] = ("tags",), plain: bool = True, **columns: Any) -> Row:
    tokens = words()
    row: Row = {"tokens": tokens}
    for name in names:
        row[name] = [f"{SOURCE.choice(TAGS)}{name[:1]}" for _ in tokens] if plain else spans(tokens)
    if trees:
        root = SOURCE.randrange(len(tokens))
        row["heads"] = [0 if index == root else root + 1 for index in range(len(tokens))]
        row["deprels"] = ["root" if index == root else SOURCE.choice(["det", "obj"]) for index in range(len(tokens))]
    return {**row, **{name: make() for name, make in columns.items()}}


def answered() -> Row:
    question, context = sentence(), " ".join(sentence() for _ in range(5))
    start = SOURCE.randrange(50)
    answers = {"text": [context[start : start + 9]], "answer_start": [start]}
    return {"id": f"{SOURCE.getrandbits(64):x}", "question": question, "context": context, "answers": answers}


def choice() -> Row:
    choices = [sentence() for _ in range(4)]
    return {"question": sentence(), "choices": choices, "label": SOURCE.randrange(4), "category": names(4, "c")}


def similar() -> Row:
    label = round(SOURCE.uniform(0, 5), SOURCE.choice([0, 1, 2]))
    return {**pair(), "label": label, "genre": names(4, "genre"), "source": names(7, "source")}


def translated() -> Row:
    target = "".join(SOURCE.choice("这一点我不赞成你她是汤姆的妹妹") for _ in range(9))
    return {"source": sentence(), "target": target, "attribution": f"CC-BY 2.0 #{SOURCE.getrandbits(32)} (someone)"}


def emotions() -> list[str]:
    return [f"emotion_{index}" for index in sorted(SOURCE.sample(range(28), SOURCE.choice([1, 1, 2, 3])))]


SETS: dict[str, tuple[Callable[[], Row], dict[str, str]]] = {
    "banking77": (lambda: single(label=lambda: names(77, "intent")), {"label": "classification"}),
    "cola": (
        lambda: single(label=lambda: SOURCE.choice(["acceptable", "unacceptable"]), source=lambda: names(23, "ks")),
        {"label": "classification", "source": "classification"},
    ),
    "go_emotions": (lambda: single(labels=emotions), {"labels": "multilabel"}),
    "mrpc": (lambda: pair(label=lambda: names(2)), {"label": "classification"}),
    "rte": (lambda: pair(label=lambda: names(2)), {"label": "classification"}),
    "snips": (
        lambda: tagged(plain=False, label=lambda: names(7, "Intent")),
        {"tags": "labeling", "label": "classification"},
    ),
    "snli": (lambda: pair(label=lambda: names(3)), {"label": "classification"}),
    "sst2": (lambda: single(label=lambda: SOURCE.choice(["negative", "positive"])), {"label": "classification"}),
    "sst2_sentences": (lambda: single(label=lambda: SOURCE.choice([0, 1])), {"label": "classification"}),
    "stsb": (similar, {"label": "regression", "genre": "classification", "source": "classification"}),
    "trec": (
        lambda: single(label=lambda: names(6, "COARSE"), label_fine=lambda: names(47, "FINE:x")),
        {"label": "classification", "label_fine": "classification"},
    ),
    "ud_ewt": (lambda: tagged(names=("tags", "xpos")), {"tags": "labeling", "xpos": "labeling"}),
    "wnli": (lambda: pair(label=lambda: names(2)), {"label": "classification"}),
    "wnut17": (lambda: tagged(plain=False), {"tags": "labeling"}),
    "xquad_en": (answered, {"answers": "question_answering"}),
    "codah": (choice, {"label": "multiple_choice", "category": "classification"}),
    "ud_ewt_trees": (
        lambda: tagged(names=("upos",), trees=True),
        {"upos": "labeling", "heads": "parsing", "deprels": "parsing"},
    ),
    "tatoeba_en_zh": (translated, {"target": "generation"}),
}
"""Dataset = a function that makes a row, and the kinds of the columns that are proposed."""


def write_jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_csv(path: Path, rows: list[Row], *, join: str | None = None) -> None:
    def cell(value: Any) -> Any:
        if join is not None and isinstance(value, list):
            return join.join(value)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)


def write_conllu(path: Path, rows: list[Row]) -> None:
    def lines(row: Row) -> Iterator[str]:
        empty = ["_"] * len(row["tokens"])
        upos = row["upos"] if "upos" in row else row["tags"]
        xpos = row.get("xpos", empty)
        columns = zip(row["tokens"], upos, xpos, row.get("heads", empty), row.get("deprels", empty), strict=True)
        for number, (word, universal, other, head, relation) in enumerate(columns, 1):
            yield f"{number}\t{word}\t_\t{universal}\t{other}\t_\t{head}\t{relation}\t_\t_\n"

    path.write_text("".join(f"{''.join(lines(row))}\n" for row in rows), encoding="utf-8")


def proposed(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the input, and the kind of each label column."""
    (proposal,) = propose([read_sample(source) for source in find_sources([str(path)])])
    return dict(proposal.input), {column: task.kind for task in proposal.tasks.values() for column in task.columns}


@pytest.mark.parametrize("name", SETS)
def test_json_and_csv(name: str, tmp_path: Path) -> None:
    make, expected = SETS[name]
    rows = [make() for _ in range(ROWS)]
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_csv(tmp_path / "a.csv", rows)
    inputs = {"text": "sentence1", "pair": "sentence2"} if "sentence1" in rows[0] else {"text": "sentence"}
    if "tokens" in rows[0]:
        inputs = {"words": "tokens"}
    if "answers" in rows[0]:
        inputs = {"text": "question", "pair": "context"}
    for ending in ("jsonl", "csv"):
        read_inputs, kinds = proposed(tmp_path / f"a.{ending}")
        assert kinds == expected
        assert read_inputs == inputs or {"sentence", "sentence1", "tokens", "answers"}.isdisjoint(rows[0])


@pytest.mark.parametrize(("name", "join"), [("go_emotions", "|"), ("wnut17", " "), ("ud_ewt", " "), ("snips", " ")])
def test_lists_with_a_separator(name: str, join: str, tmp_path: Path) -> None:
    make, expected = SETS[name]
    write_csv(tmp_path / "a.csv", [make() for _ in range(ROWS)], join=join)
    assert proposed(tmp_path / "a.csv")[1] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ud_ewt", {"upos": "labeling", "xpos": "labeling"}),
        ("ud_ewt_trees", {"upos": "labeling", "head": "parsing", "deprel": "parsing"}),
    ],
)
def test_conllu(name: str, expected: dict[str, str], tmp_path: Path) -> None:
    write_conllu(tmp_path / "a.conllu", [SETS[name][0]() for _ in range(ROWS)])
    assert proposed(tmp_path / "a.conllu") == ({"words": "form"}, expected)


@pytest.mark.parametrize("name", ["wnut17", "snips"])
def test_conll(name: str, tmp_path: Path) -> None:
    rows = [SETS[name][0]() for _ in range(ROWS)]
    lines = ["".join(f"{word} {tag}\n" for word, tag in zip(row["tokens"], row["tags"], strict=True)) for row in rows]
    (tmp_path / "a.conll").write_text("\n".join(lines), encoding="utf-8")
    assert proposed(tmp_path / "a.conll") == ({"words": "words"}, {"tags": "labeling"})
