"""The table of rules: each with columns to which it applies, and the kind that they get."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from nlpmtl.init import RULES, Table, classify
from nlpmtl.init.tags import find_scheme

TEXTS = [f"the {word} was rather good" for word in "kettle lamp hose spade pan mower book film song cat".split()]  # noqa: SIM905
WORDS = [text.split() for text in TEXTS]
UNEVEN = [words[: 2 + index % 3] for index, words in enumerate(WORDS)]
ANSWERS = [{"text": ["the"][:n], "answer_start": [0][:n]} for n in [1] * 8 + [0] * 2]

CASES: dict[str, list[tuple[str, list[Any], str, str]]] = {
    "empty": [("note", [None, "", " \u3000", float("nan")], "none", "no row has a value")],
    "constant": [
        ("language", ["en"] * 10, "none", "every value is en"),
        ("labels", [["a"]] * 9, "none", "every value"),
        ("version", [1], "none", "every value is 1"),
    ],
    "mixed_types": [("value", [1, "a", [2]], "none", "several types")],
    "dates": [
        ("when", ["2024-01-02", "2024-01-02T10:30:00Z"], "none", "dates"),
        ("when", ["1/2/2024", "31.12.99"], "none", "dates"),
        ("when", [date(2024, 1, 2)] * 3, "none", "every value"),
        ("when", [date(2024, 1, 2), date(2024, 1, 3)], "none", "values of the type date"),
        ("when", ["Mon Apr 06 22:19:45 PDT 2009", "Tue Feb 24 11:35:52 -0800 2015"], "none", "dates"),
        ("when", ["2015-02-24 11:35:52 -0800", "Jan 3, 2024", "3 January", "12:30"], "none", "dates"),
        ("created_year", [2019, 2020, 2021] * 3, "none", "dates"),
        ("data", [b"x", b"y"], "none", "values of the type bytes"),
    ],
    "split_names": [("fold", ["train", "test", "Train"], "none", "names of splits")],
    "flags": [
        ("spam", ["0", "1", "", "1"], "classification", "0 and 1"),
        ("spam", [0, 1, 1], "classification", "0 and 1"),
        ("spam", [True, False], "classification", "true and false"),
        ("spam", ["True", "False"], "classification", "true and false"),
    ],
    "ordered_names": [
        ("mood", ["positive", "negative", "neutral"] * 3, "sentiment", "3 labels of an ordered scale"),
        ("mood", ["Very_Bad", "bad", "good"] * 3, "sentiment", "3 labels of an ordered scale"),
    ],
    "ordered_numbers": [
        ("stars", ["1", "2", "3", "4", "5"] * 2, "sentiment", "from 1 to 5"),
        ("starRating", [0, 1, 2], "sentiment", "from 0 to 2"),
        ("grade", ["1.0", "2.0", "3.0"] * 2, "sentiment", "from 1 to 3"),
        ("stars", ["1", "2", " ", "3"] * 2, "sentiment", "from 1 to 3"),
    ],
    "positions": [("answer_start", [3, 17, 3, 4], "none", "positions in a text")],
    "identifiers": [
        ("id", [7, 7, 8], "none", "identifies something"),
        ("userId", ["u1", "u1", "u2", "u2"], "none", "identifies something"),
        ("number", list(range(20)), "none", "every value is different"),
        ("code", ["a1", "b2", "c3"], "none", "every value is different"),
    ],
    "few_whole_numbers": [
        ("label", [0, 1, 2] * 3, "classification", "3 whole numbers from 0 to 2"),
        ("stars", [1, 3, 5] * 3, "classification", "3 whole numbers from 1 to 5"),
        ("stars", [2, 3, 4] * 3, "classification", "3 whole numbers from 2 to 4"),
        ("stars", ["1", "01", "2", "3"] * 3, "classification", "3 whole numbers from 1 to 3"),
        ("size", [-1, 10] * 3, "classification", "2 whole numbers from -1 to 10"),
        ("label_id", [0, 1, 2] * 3, "classification", "3 whole numbers"),
        ("restart", [1, 2, 3] * 3, "classification", "3 whole numbers"),
    ],
    "many_numbers": [
        ("label", [1.5, 2.5, 1.5], "regression", "2 numbers from 1.5 to 2.5"),
        ("price", [Decimal("1.5"), Decimal("2.5")] * 2, "regression", "2 numbers from 1.5 to 2.5"),
        ("price", ["1e3", "-2", "0.5"], "regression", "3 numbers from -2 to 1000"),
        ("age", list(range(12)) * 2, "regression", "12 numbers from 0 to 11"),
        ("intent", list(range(77)) * 2, "regression", "if they are ids of classes, choose classification"),
        ("score", list(range(1, 13)) * 2, "regression", "12 numbers"),
        ("size", [10**400, 1.5, 2], "regression", "3 numbers from 1.5 to inf"),
    ],
    "almost_numbers": [("price", ["1.5"] * 19 + ["n/a"], "none", "numbers, but not in all rows ('n/a' in 1 of them)")],
    "formatted_numbers": [
        ("price", ["$12.99", "$3.50", "$3.50"], "none", "numbers such as '$12.99'"),
        ("share", ["12,5", "1,75 %"], "none", "numbers such as '12,5'"),
        ("size", ["1,5", "1,0", "2,0", "2,5"] * 3, "none", "numbers such as '1,5'"),
    ],
    "printed_lists": [
        ("tags", ["['a', 'b']", "[]", "['a']"] * 3, "none", "lists as Python prints them"),
        ("tags", ["['a', 'b']", "['b', 'a']", "['a']", "['b']"] * 3, "none", "lists as Python prints them"),
        ("tags", ["[0 1 1]", "[0 0]"] * 5, "none", "lists as Python prints them"),
    ],
    "target_texts": [
        ("target", TEXTS, "generation", "named like texts that a model writes"),
        ("translation", TEXTS, "translation", "named like texts that a model writes"),
    ],
    "texts_by_name": [
        ("review_text", ["so good", "so bad"] * 9, "text", "texts of 2 words"),
        ("comment", ["good, thanks", "good, bye", "bad, thanks", "bad, bye"] * 3, "text", "texts of 2 words"),
    ],
    "separated_labels": [
        ("genres", ["a|b", "a", "b|c", "c|a", "b"], "multilabel", "3 labels, separated by '|'"),
        ("genres", ["a; b", "a", "b", "b;a", "a"], "multilabel", "2 labels, separated by ';'"),
        ("genres", ["a|b", "", "b", "c|a"] * 3, "multilabel", "3 labels, separated by '|'"),
    ],
    "comma_separated_labels": [
        ("kinds", ["a, b", "a", "b", "b,c", "c, a", "", "c"], "multilabel", "3 labels, separated by ','"),
        ("tags", ["red, small", "red, large", "blue, small", "blue"] * 2, "multilabel", "4 labels, separated by ','"),
    ],
    "class_names": [
        ("city", ["Portland, OR", "Salem, OR", "Boston, MA"] * 3, "classification", "3 labels"),
        ("answer", ["Yes, definitely", "No, never", "Yes", "No"] * 3, "classification", "4 labels"),
        ("topic", ["sports", "news", "sports", "news"], "classification", "2 labels"),
        ("topic", ["a|b", "c|d"] * 4, "classification", "2 labels"),
        ("topic", ["news|uk", "news|us", "sport|golf"] * 4, "classification", "3 labels"),
        ("label", ["a", "b", "c", "c"], "classification", "3 labels"),
        ("label", ["positive", "negative"] * 2, "classification", "or sentiment"),
        ("product", ["credit card or prepaid card", "bank account or service"] * 9, "classification", "2 labels"),
    ],
    "texts": [
        ("x", TEXTS, "text", "texts of 5 words"),
        ("x", ["这一点我不赞成你", "她是汤姆的妹妹"], "text", "texts of"),
        ("x", [f"a premise of six words {index // 3}" for index in range(180)], "text", "texts of"),
    ],
    "other_strings": [("word", ["a", "b", "c", "c"], "none", "3 different values in 4 rows: too many for labels")],
    "character_spans": [
        ("label", [[[0, 3, "a"]], [], [[1, 2, "b"], [4, 6, "a"]]], "labeling", "character spans of 2 types"),
        ("spans", ['[{"start": 0, "end": 3, "label": "a"}]', "[]"], "labeling", "character spans of 1 types"),
        ("label", [[[0, 3, "a"], [3, 4, "a"], [0, 3, "a"]]] * 2, "labeling", "character spans of 1 types"),
        ("label", [[[0, 3, "a"]], [[4, 6, "a"], [1, 5, "b"]]], "spans", "spans of 2 types, some of which overlap"),
        ("label", [[[0, 3, "a"], [0, 3, "b"]], []], "spans", "spans of 2 types, some of which overlap"),
        ("label", [[{"start": 0, "end": 3, "label": name} for name in "ab"]], "spans", "some of which overlap"),
        ("label", [[[0, 3, "a"], [0, 3, "a "], [3, 5, "b"]], []], "labeling", "character spans"),
    ],
    "answers": [
        ("answers", [{"text": ["x"], "answer_start": [1]}], "none", "no column has texts with these answers"),
        ("answers", [[{"start": 1, "end": 2}], []], "none", "no column has texts with these answers"),
    ],
    "words": [
        ("tokens", WORDS, "words", "lists of 5 words on average"),
        ("text", [["a", "b"]] * 2, "none", "every value"),
    ],
    "multi_hot": [("kinds", [[0, 1], [1, 1], [0, 0]], "multilabel", "0 or 1 for each of 2 labels")],
    "label_sets": [
        ("kinds", [["a", "b"], ["a"], [], ["b"]], "multilabel", "lists of 2 labels"),
        ("kinds", ['["a", "b"]', '["a"]', "", '["b"]'], "multilabel", "lists of 2 labels"),
        ("kinds", [[3, 4], [3], [4, 3]], "multilabel", "lists of 2 labels"),
    ],
    "other_lists": [
        ("vector", [[0.5, 1.5], [0.25, 1.0]], "none", "neither words, tags nor labels"),
        ("vector", [[10**400, 1], [1, 2]], "none", "neither words, tags nor labels"),
        ("meta", [{"a": 1}, {"a": 2}], "none", "objects"),
    ],
}
"""Name of a rule = columns (name, values) to which it is the first that applies, with the kind and the evidence."""

RELATED: dict[str, tuple[dict[str, list[Any]], str, str]] = {
    "heads": ({"tokens": UNEVEN, "heads": [[0, *[1] * (len(row) - 1)] for row in UNEVEN]}, "heads", "none"),
    "relations": (
        {
            "tokens": UNEVEN,
            "heads": [[0, *[1] * (len(row) - 1)] for row in UNEVEN],
            "deprels": [["root", *["det"] * (len(row) - 1)] for row in UNEVEN],
        },
        "deprels",
        "parsing",
    ),
    "answers": (
        {"title": TEXTS, "context": [f"{text}, and so it was." for text in TEXTS], "answers": ANSWERS},
        "answers",
        "question_answering",
    ),
    "span_relations": (
        {
            "text": TEXTS,
            "entities": [[{"start": 0, "end": 3, "label": "a"}, {"start": 4, "end": 5, "label": "b"}]] * 10,
            "links": [[{"head": 0, "tail": 1, "label": "r"}], []] * 5,
        },
        "links",
        "relations",
    ),
    "word_tags": ({"tokens": [*WORDS[:9], ["a"]], "tags": [["O"] * 4 + ["B-x"]] * 9 + [["O"]]}, "tags", "labeling"),
    "relevances": (
        {"query": TEXTS, "results": [[text, f"a {text}"] for text in TEXTS], "grades": [[0, 2], [1, 0]] * 5},
        "grades",
        "ranking",
    ),
    "negatives": (
        {"query": TEXTS, "passage": TEXTS, "hard_negatives": [TEXTS[:2], None] * 5, "label": [0, 1] * 5},
        "hard_negatives",
        "negatives",
    ),
    "choices": ({"choices": [["a b", "c d"], ["e f", "g h"]], "label": [0, 1]}, "choices", "choices"),
    "choice_index": ({"choices": [["a b", "c d"], ["e f", "g h"]], "label": ["1", "0"]}, "label", "multiple_choice"),
    "choice_columns": (
        {"question": TEXTS, "A": TEXTS, "B": TEXTS, "answer": ["A", "B"] * 5, "topic": ["x", "y"] * 5},
        "answer",
        "multiple_choice",
    ),
    "spaced_words": (
        {"text": [*TEXTS, "short"], "tags": ["O O O O B"] * 10 + ["O"]},
        "text",
        "words",
    ),
    "spaced_tags": (
        {"text": [*TEXTS, "short"], "tags": ["O O O O B-x"] * 10 + ["O"]},
        "tags",
        "labeling",
    ),
}
"""Name of a rule = columns of a table, the column to which it is the first that applies, and the kind."""


def first_rule(table: Table, column: str) -> str:
    """Return the name of the first rule that applies."""
    profile = table.columns[column]
    return next(rule.__name__ for rule in RULES if rule(profile, table) is not None)


@pytest.mark.parametrize(
    ("rule", "name", "values", "kind", "evidence"),
    [(rule, *case) for rule, cases in CASES.items() for case in cases],
)
def test_a_column(rule: str, name: str, values: list[Any], kind: str, evidence: str) -> None:
    table = Table.of({name: values})
    finding = classify(table.columns[name], table)
    assert (finding.kind, first_rule(table, name) == rule or kind == "none") == (kind, True), finding
    assert evidence in finding.evidence


@pytest.mark.parametrize("rule", RELATED)
def test_columns_that_belong_together(rule: str) -> None:
    columns, name, kind = RELATED[rule]
    table = Table.of(columns)
    assert classify(table.columns[name], table).kind == kind
    assert first_rule(table, name) == rule


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("negative", TEXTS, "negatives"),
        ("negative_1", TEXTS, "negatives"),
        ("neg", [["a text"], "a text"] * 5, "none"),
        ("negatives", [["a text", None]] * 10, "none"),
        ("negative", [0, 1] * 5, "classification"),
        ("negative_ids", [["d1", "d2"]] * 5 + [["d2", "d1"]] * 5, "multilabel"),
    ],
)
def test_negatives_are_texts_or_lists_of_texts(name: str, values: list[Any], kind: str) -> None:
    table = Table.of({"Query": TEXTS, "positive": TEXTS, name: values})
    assert classify(table.columns[name], table).kind == kind


def test_negatives_belong_to_a_pair_of_similar_texts() -> None:
    table = Table.of({"review": TEXTS, "positive": [["price"], ["staff"]] * 5, "negative": [["staff"], ["price"]] * 5})
    assert [classify(table.columns[name], table).kind for name in ("positive", "negative")] == ["multilabel"] * 2


def test_declared_classes() -> None:
    table = Table.of({"label": [0, 1, -1]}, class_names={"label": ["bad", "good", "fine"]})
    finding = classify(table.columns["label"], table)
    assert (finding.kind, finding.evidence) == ("classification", "3 labels, declared in the data")


def test_every_rule_is_tested() -> None:
    assert {rule.__name__ for rule in RULES} == {*CASES, *RELATED, "declared_classes"}


def test_tags_of_words() -> None:
    tokens, lemmas = [*WORDS[:9], ["a"]], [*([f"{word}s" for word in row] for row in WORDS[:9]), ["a"]]
    numbers = [*[[0, 1, 2, 0, 1]] * 9, [0]]
    table = Table.of({"tokens": tokens, "lemma": lemmas, "pos": numbers}, class_names={"pos": ["O", "B-a", "I-a"]})
    assert classify(table.columns["lemma"], table).kind == "none"
    finding = classify(table.columns["pos"], table)
    assert (finding.kind, finding.scheme) == ("labeling", "bio")


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("B-x I-x O B-y", "bio"),
        ("O O I-x I-x O I-y", "iob1"),
        ("B-x E-x O S-y", "bioes"),
        ("B-x L-x O U-y", "bioes"),
        ("DET NOUN I", "plain"),
        ("O", "plain"),
    ],
)
def test_schemes(tags: str, scheme: str) -> None:
    assert find_scheme([tags.split()] * 3) == scheme


@pytest.mark.parametrize("answers", [["B", "a"], ["c d", "e f"], [1, 0]])
def test_the_right_one_of_a_list_of_choices(answers: list[Any]) -> None:
    """RACE has the letters of its answers."""
    table = Table.of({"article": ["a b c", "d e f"], "options": [["a b", "c d"], ["e f", "g h"]], "answer": answers})
    kinds = {name: classify(column, table).kind for name, column in table.columns.items()}
    assert (kinds["options"], kinds["answer"]) == ("choices", "multiple_choice")


@pytest.mark.parametrize(
    ("columns", "index"),
    [
        ({"premise": TEXTS, "choice1": TEXTS, "choice2": TEXTS, "label": [0, 1] * 5}, "label"),
        ({"ctx": TEXTS, "ending0": TEXTS, "ending1": TEXTS, "ending2": TEXTS, "label": [1, 2, 0, 1, 1] * 2}, "label"),
        ({"text": TEXTS, "option_a": TEXTS, "option_b": TEXTS, "correct": ["b", "a"] * 5}, "correct"),
    ],
)
def test_choices_in_columns(columns: dict[str, list[Any]], index: str) -> None:
    """COPA, SWAG and exams: no choice is proposed as a text of a pair, and the right one not as a class."""
    table = Table.of(columns)
    (text, *choices, last) = columns
    assert classify(table.columns[text], table).kind == "text"
    kinds = {name: classify(table.columns[name], table).kind for name in (*choices, last)}
    assert kinds == {**dict.fromkeys(choices, "choices"), index: "multiple_choice"}


@pytest.mark.parametrize(
    "columns",
    [
        {"premise": TEXTS, "choice1": TEXTS, "choice2": TEXTS, "label": [1, 2] * 5},
        {"question": TEXTS, "choices": [[text, f"a {text}"] for text in TEXTS], "label": [1, 2] * 5},
    ],
)
def test_an_index_that_is_counted_from_1_is_not_proposed(columns: dict[str, list[Any]]) -> None:
    table = Table.of(columns)
    for name in list(columns)[1:]:
        finding = classify(table.columns[name], table)
        assert finding.kind == "none", name
        assert "counted from 1; multiple choice counts from 0" in finding.evidence


def test_a_summary_is_a_target_only_of_another_text() -> None:
    both = Table.of({"article": TEXTS, "summary": TEXTS[::-1]})
    assert classify(both.columns["summary"], both).kind == "summarization"
    alone = Table.of({"summary": TEXTS, "genre": ["a", "b"] * 5})
    assert classify(alone.columns["summary"], alone).kind == "text"


def test_sentences_of_the_same_length() -> None:
    """Lists of equal length in every row are tags if the other column is named like words."""
    tags = [["O", "O", "O", "O", "B-x"], ["O", "B-x", "O", "O", "O"]] * 5
    for words, column in ((WORDS, tags), (TEXTS, [" ".join(row) for row in tags])):
        for name, kind in (("tokens", "labeling"), ("choices", "none" if words is WORDS else "classification")):
            table = Table.of({name: words, "tags": column})
            assert classify(table.columns["tags"], table).kind == kind


def test_numbered_words_of_conll_files() -> None:
    """The first column, which is called words, may count them."""
    numbers = [[str(index) for index, _ in enumerate(row, 1)] for row in UNEVEN]
    table = Table.of({"words": numbers, "1": UNEVEN, "tags": [["O", *["B-x"] * (len(row) - 1)] for row in UNEVEN]})
    assert table.words == "1"
    assert classify(table.columns["tags"], table).kind == "labeling"


@pytest.mark.parametrize(
    "answers",
    [
        [*ANSWERS[:8], [], []],
        [*ANSWERS[:8], [{"start": 0, "end": 3}], []],
        [[], *[[{"text": "the", "answer_start": 0}]] * 9],
    ],
)
def test_answers_in_several_forms(answers: list[Any]) -> None:
    table = Table.of({"context": [f"{text}, and so it was." for text in TEXTS], "answers": answers})
    assert classify(table.columns["answers"], table).context == "context"


@pytest.mark.parametrize(
    ("results", "column", "key"),
    [
        ([[text, f"a {text}"] for text in TEXTS], [[1, 0], [0, 0]] * 5, "label"),
        ([[f"a {text}"] * (2 + index % 3) + [text] for index, text in enumerate(TEXTS)], [[0, 2], []] * 5, "clicks"),
        ([[text.split()[1], f"x{index}"] for index, text in enumerate(TEXTS)], [[0], [1]] * 5, "clicks"),
    ],
)
def test_relevances_and_clicks(results: list[Any], column: list[Any], key: str) -> None:
    table = Table.of({"query": TEXTS, "results": results, "found": column})
    assert classify(table.columns["results"], table).kind == "choices"
    finding = classify(table.columns["found"], table)
    assert (finding.kind, finding.columns) == ("ranking", {"clicks": "found"} if key == "clicks" else {})


def test_texts_of_different_numbers_of_sentences_are_no_words() -> None:
    results = [[f"a {text}", text, "it was"][: 2 + index % 2] for index, text in enumerate(TEXTS)]
    table = Table.of({"query": TEXTS, "results": results, "grades": [[0, 1, 2][: len(row)] for row in results]})
    assert [classify(table.columns[name], table).kind for name in ("results", "grades")] == ["choices", "ranking"]


def test_a_few_long_passages_are_texts() -> None:
    passages = [f"{word} " * 40 for word in ("one", "two")] * 50
    table = Table.of({"body": passages})
    assert classify(table.columns["body"], table).kind == "text"
