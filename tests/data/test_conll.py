"""CoNLL columns and CoNLL-U: layouts, comments, ids that are skipped, and the line of an error."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from nlpmtl.config.dataset import DataConfig, InputConfig
from nlpmtl.data import conll
from nlpmtl.data.conll import looks_like_conll
from nlpmtl.data.delimited import TextFormat
from nlpmtl.data.files import describe_file, open_file
from nlpmtl.data.lines import undecodable
from nlpmtl.data.raw_rows import MalformedRow
from nlpmtl.errors import ConfigError, DataError
from tests.data.uncached import load_rows

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O
. . O O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

BRUSSELS NNP B-NP B-LOC
1996-08-22 CD I-NP O
"""

CONLLU = """# global.columns = ID FORM LEMMA UPOS XPOS FEATS HEAD DEPREL DEPS MISC
# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\tMood=Imp\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
3-4\tal\t_\t_\t_\t_\t_\t_\t_\t_
3\ta\ta\tADP\t_\t_\t5\tcase\t_\t_
4\tel\tel\tDET\t_\t_\t5\tdet\t_\t_
5\tmar\tmar\tNOUN\t_\t_\t1\tobl\t_\t_
5.1\tnull\tnull\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\tnew york\tnew york\tPROPN\tNNP\t_\t0\troot\t_\tSpaceAfter=No
2\t#\t#\tSYM\t_\t_\t1\tdep\t_\t_
"""


def read(path: Path, content: str | bytes, columns: dict[str, int] | None = None) -> list[tuple[int, Any]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_file(str(path), format=TextFormat(columns=columns)).rows)


def test_a_sentence_is_a_row_with_the_line_of_its_first_word(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.conll", CONLL_2003)
    assert [number for number, _ in rows] == [3, 9, 14]
    assert rows[1][1] == {
        "words": ["Peter", "Blackburn"],
        "1": ["NNP", "NNP"],
        "2": ["B-NP", "I-NP"],
        "tags": ["B-PER", "I-PER"],
    }
    assert describe_file(str(tmp_path / "a.conll")) == ("conll", None, {"words": 0, "1": 1, "2": 2, "tags": 3})


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob", "a.txt", "A.CONLL", "a.conll.gz", "a.txt.gz"])
@pytest.mark.parametrize("separator", [" ", "\t", "   "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_extensions_separators_and_line_ends(name: str, separator: str, end: str, tmp_path: Path) -> None:
    content = CONLL_2003.replace(" ", separator).replace("\n", end).encode()
    rows = read(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content, {"w": 0, "t": -1})
    assert rows[0][1] == {
        "w": ["EU", "rejects", "German", "call", "."],
        "t": ["B-ORG", "O", "B-MISC", "O", "O"],
    }
    assert len(rows) == 3


def test_several_columns_are_several_tasks(tmp_path: Path) -> None:
    read(tmp_path / "a.conll", CONLL_2003)
    data = DataConfig(files={"train": tmp_path / "a.conll"}, columns={"words": 0, "pos": 1, "chunk": -2, "ner": 3})
    rows = load_rows(data, input=InputConfig(words="words"), columns={"pos": "tags", "chunk": "tags", "ner": "tags"})
    table = rows["train"].table
    assert table["label:pos"].to_pylist()[1] == ["NNP", "NNP"]
    assert table["label:chunk"].to_pylist()[1] == ["B-NP", "I-NP"]
    assert table["label:ner"].to_pylist()[1] == ["B-PER", "I-PER"]


@pytest.mark.parametrize("name", ["a.conllu", "a.conll", "a.txt", "a.conllu.gz"])
def test_conllu_without_multiword_tokens_and_empty_nodes(name: str, tmp_path: Path) -> None:
    content = CONLLU.encode()
    rows = read(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    assert [number for number, _ in rows] == [5, 14]
    assert rows[0][1]["form"] == ["Vamos", "nos", "a", "el", "mar"]
    assert rows[0][1]["xpos"] == ["_"] * 5, "an underscore stays"
    assert rows[1][1]["form"] == ["new york", "#"], "a word may have a space, or be #"
    assert rows[1][1]["upos"] == ["PROPN", "SYM"]
    description = describe_file(str(tmp_path / name))
    assert description.type == "conllu"
    assert list(description.columns)[:4] == ["id", "form", "lemma", "upos"]
    named = read(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content, {"words": 1, "tags": 3})
    assert named[1][1] == {"words": ["new york", "#"], "tags": ["PROPN", "SYM"]}


def test_a_word_that_starts_with_a_hash_is_not_a_comment(tmp_path: Path) -> None:
    content = "# a comment\n#nlp B-topic\nis O\n# O\n#\n\n# id = 7\n## O\n"
    rows = read(tmp_path / "a.conll", content)
    assert rows == [
        (2, {"words": ["#nlp", "is", "#"], "tags": ["B-topic", "O", "O"]}),
        (8, {"words": ["##"], "tags": ["O"]}),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_the_first_column_may_count_the_words(first: int, tmp_path: Path) -> None:
    sentences = [["Ada", "lives", "there"], ["Yes"], ["Rome", "grew"]]
    blocks = ["".join(f"{i} {word} O\n" for i, word in enumerate(words, first)) for words in sentences]
    rows = read(tmp_path / "a.conll", f"# x\n{blocks[0]}-DOCSTART-\n{blocks[1]}\n{blocks[2]}")
    assert [row["words"] for _, row in rows] == sentences
    assert rows[0][1]["0"] == [str(i + first) for i in range(3)]
    assert describe_file(str(tmp_path / "a.conll")).columns == {"0": 0, "words": 1, "tags": 2}


@pytest.mark.parametrize("text", ["1 a O\n3 b O\n", "1 a O\n\n1 b O\n", "1 O\n2 O\n", "1 a O\n2 b O\n3 c O\n\n4 d O\n"])
def test_numbers_that_do_not_count_the_words(text: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.conll", text)[0][1]["words"][0] == "1"


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_a_comment_may_have_as_many_fields_as_a_word(separator: str, tmp_path: Path) -> None:
    words = "EU B-ORG\nrejects O\n# O\n".replace(" ", separator)
    rows = read(tmp_path / "a.conll", f"# comment\n{words}\n# source\n{words}")
    assert [row for _, row in rows] == [{"words": ["EU", "rejects", "#"], "tags": ["B-ORG", "O", "O"]}] * 2


def test_a_hash_with_another_tag_is_a_word_where_tags_are_not_those_of_spans(tmp_path: Path) -> None:
    assert [row for _, row in read(tmp_path / "a.conll", "# SYM\n1 NUM\n\n# SYM\n")] == [
        {"words": ["#", "1"], "tags": ["SYM", "NUM"]},
        {"words": ["#"], "tags": ["SYM"]},
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"York", "1 column(s), but the first word of the file has 2"),
        (b"York B-LOC x", "3 column(s), but the first word of the file has 2"),
        (b"Y\xffrk B-LOC", undecodable("utf-8")),
    ],
)
def test_a_bad_line_affects_its_sentence_only(line: bytes, rule: str, tmp_path: Path) -> None:
    rows = read(tmp_path / "a.bio", b"in O\nRome B-LOC\n\nin O\nNew B-LOC\n" + line + b"\nx\n\nend O\n")
    assert [number for number, _ in rows] == [1, 6, 9]
    assert isinstance(rows[1][1], MalformedRow)
    assert rows[1][1].rule == rule
    assert rows[2][1] == {"words": ["end"], "tags": ["O"]}


def test_bad_lines_are_reported_with_file_and_line_and_can_be_skipped(tmp_path: Path) -> None:
    for name in ("a.conll", "b.conll"):
        (tmp_path / name).write_text("in O\n\nNew B-LOC\nYork\n\nend O\n")
    data: dict[str, Any] = {"files": {"train": str(tmp_path / "?.conll")}}
    table: dict[str, Any] = {"input": InputConfig(words="words"), "columns": {"tags": "tags"}}
    with pytest.raises(DataError, match=r"(?s)a\.conll:4: 1 column.*b\.conll:4: 1 column.*drop these rows \(2 of 6,"):
        load_rows(DataConfig(**data), **table)
    rows = load_rows(DataConfig(**data, on_bad_row="skip"), **table)["train"]
    places = [rows.place(i) for i in range(4)]
    assert places == [f"{tmp_path}/{name}.conll:{line}" for name in "ab" for line in (1, 6)]


def test_separators_with_white_space_and_many_empty_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read(tmp_path / "a.conll", "\n\na\tO\n\t\nb\tO\n \t \n\n\nc\tO")
    assert rows == [(n, {"words": [word], "tags": ["O"]}) for n, word in ((3, "a"), (5, "b"), (9, "c"))]
    monkeypatch.setattr(conll, "MOST_EMPTY_LINES", 100)
    with pytest.raises(DataError, match=r"a\.conll:\d+: more than 100 consecutive empty lines"):
        read(tmp_path / "a.conll", "a O\n" + "\n" * 200 + "b O\n")


@pytest.mark.parametrize("word", ["\u3000", "\u00a0"])
@pytest.mark.parametrize("separator", [" ", "\t"])
def test_a_word_that_is_white_space(word: str, separator: str, tmp_path: Path) -> None:
    lines = [f"{text}{separator}O" for text in ("東", word, "京")]
    rows = read(tmp_path / "a.conll", "\n".join([*lines, f"  {word}", lines[0]]))
    assert [row["words"] for _, row in rows] == [["東", word, "京"], ["東"]]


def test_files_without_words(tmp_path: Path) -> None:
    assert read(tmp_path / "a.conll", "") == []
    assert read(tmp_path / "a.conll", "# only\n# comments\n\n") == []
    assert read(tmp_path / "b.conll", "just\nwords\n\nhere\n") == [
        (1, {"words": ["just", "words"]}),
        (4, {"words": ["here"]}),
    ]


def test_a_file_without_empty_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conll, "MOST_WORDS", 100)
    with pytest.raises(DataError, match=r"a\.conll:1: a sentence of more than 100 words; an empty line after each"):
        read(tmp_path / "a.conll", "a O\n" * 200)


@pytest.mark.parametrize("index", [4, -5, 100])
def test_a_column_that_does_not_exist(index: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"a\.conll: data\.columns: ner = {index}, but the file has 4 column"):
        read(tmp_path / "a.conll", CONLL_2003, {"words": 0, "ner": index})


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_columns_are_for_conll_files_only(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("in\tO\nRome\tx\n")
    data = DataConfig(files={"train": str(tmp_path / name)}, columns={"words": 0})
    with pytest.raises(ConfigError, match=rf"{name}: data\.columns names the columns of CoNLL files.*; .*`header`"):
        load_rows(data, input=InputConfig(text="words"), columns={})


def test_with_columns_a_tsv_file_may_have_a_word_per_line(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.tsv", 'in\tO\n"\tO\nNew York\tB-LOC\n\nend\tO\n', {"words": 0, "tags": -1})
    assert rows == [
        (1, {"words": ["in", '"', "New York"], "tags": ["O", "O", "B-LOC"]}),
        (5, {"words": ["end"], "tags": ["O"]}),
    ]


@pytest.mark.parametrize("columns", [{}, {"": 0}, {"words": "0"}, {"words": True}, {"words": 0.5}, ["words"], 3])
def test_invalid_columns(columns: Any) -> None:
    with pytest.raises(ValueError, match="columns"):
        DataConfig(files={"train": "a.conll"}, columns=columns)


class TestTextFiles:
    @pytest.mark.parametrize(
        "text",
        [
            "Two words\nper line\n",
            "A line of text.\nAnother one.\n",
            "word\nword\n\nword\n",
            "",
            "hello world\n\ngood morning\n",
            "a\tb\nc\n\nd\te\n",
        ],
    )
    def test_other_text_has_a_text_per_line(self, text: str, tmp_path: Path) -> None:
        assert not looks_like_conll(text.splitlines(keepends=True))
        path = tmp_path / "a.txt"
        path.write_text(text)
        assert describe_file(str(path)).type == "txt"
        texts = [(number, {"text": line}) for number, line in enumerate(text.splitlines(), 1) if line]
        assert list(open_file(str(path), inputs=["text"]).rows) == texts
        with pytest.raises(ConfigError, match=r"a\.txt: not CoNLL columns.* no column 'tags'"):
            open_file(str(path), inputs=["text"], labels={"tags": "tags"})

    @pytest.mark.parametrize("text", ["EU B-ORG\nrejects O\n", "a DT\ndog NN\n\nbarks VBZ\n", CONLLU, CONLL_2003])
    def test_columns_are_recognised(self, text: str) -> None:
        assert looks_like_conll(text.splitlines(keepends=True))


def test_a_document_begins_a_sentence(tmp_path: Path) -> None:
    rows = read(tmp_path / "a.conll", "-DOCSTART- O\na O\n-DOCSTART- O\nb O\n")
    assert [(number, row["words"]) for number, row in rows] == [(2, ["a"]), (4, ["b"])]


@pytest.mark.parametrize(
    ("lines", "problem"), [("a\tO\nb\t\n", "tag 2 is empty"), ("a\tO\t\nb\tO\t\n", "tag 1 is empty")]
)
def test_a_missing_tag_is_not_a_label(lines: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(lines)
    with pytest.raises(DataError, match=rf"a\.conll:1: tags: {problem}"):
        load_rows(DataConfig(files={"train": path}), input=InputConfig(words="words"), columns={"tags": "tags"})
