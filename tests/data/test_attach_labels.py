"""Label ids, first tokens and token counts of labelled rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlpmtl.config import DataConfig, InputConfig
from nlpmtl.data import (
    IGNORED,
    ClassLabels,
    LabelMapping,
    NumberLabels,
    SetLabels,
    TagLabels,
    TokenizedSplit,
    tokenize,
)
from nlpmtl.errors import DataError
from tests.data.plain_values import all_tokens, plain
from tests.data.uncached import encode, load_rows
from tests.slow import slow_except
from tests.tiny import make_rows
from tests.tiny_tokenizers import TOKENIZERS, byte_level, token

TOPIC = LabelMapping("topic", "class", ("animals", "places", "things"))
KINDS = LabelMapping("kinds", "set", ("x", "y", "z"))
TAGS = LabelMapping("tags", "tags", ("O", "B-place", "B-person"))
GRADE = LabelMapping("grade", "number", ())
ALL = {"topic": TOPIC, "kinds": KINDS, "tags": TAGS, "grade": GRADE}


def encoded(
    rows: Sequence[dict[str, Any]],
    mappings: Mapping[str, LabelMapping],
    *,
    input: dict[str, str] | None = None,
    max_length: int = 64,
    train: bool = True,
    tokenizer: Any = None,
) -> TokenizedSplit:
    split = "train" if train else "test"
    reader = load_rows(
        DataConfig(files={split: list(rows)}),
        input=InputConfig(**(input or {"words": "tokens"})),
        columns={mapping.column: mapping.type for mapping in mappings.values()},
    )[split]
    return encode(reader, tokenizer=tokenizer or token(), max_length=max_length, mappings=mappings, train=train)


class TestLabels:
    def test_label_ids_follow_the_declared_order_and_missing_labels_are_unlabelled(self) -> None:
        rows: list[dict[str, Any]] = [
            {"tokens": ["a", "film"], "topic": "things", "kinds": ["z", "x"], "tags": ["O", "B-person"], "grade": 1.5},
            {"tokens": ["ada"], "topic": None, "kinds": None, "tags": None, "grade": None},
            {"tokens": ["a", "", "dog"], "topic": "animals", "kinds": [], "tags": ["O", "O", "B-place"], "grade": -2},
        ]
        labels = encoded(rows, ALL).labels
        topic, kinds, tags, grade = (labels[task] for task in ("topic", "kinds", "tags", "grade"))
        assert isinstance(topic, ClassLabels)
        assert isinstance(kinds, SetLabels)
        assert isinstance(tags, TagLabels)
        assert isinstance(grade, NumberLabels)
        assert topic.ids.tolist() == [2, -1, 0]
        assert [kinds.ids[row].tolist() for row in (0, 2)] == [[2, 0], []]
        assert [tags.ids[row].tolist() for row in (0, 2)] == [[0, 2], [0, 0, 1]]
        assert grade.values([0, 2]) == [1.5, -2.0]
        for task_labels in labels.values():
            assert task_labels.labelled.tolist() == [True, False, True]
            assert task_labels.known == len(task_labels.names)
        assert np.isnan(grade.numbers[1])
        assert topic.counts.tolist() == kinds.counts.tolist() == grade.counts.tolist() == [1, 0, 1]
        assert tags.counts.tolist() == [2, 0, 2]  # an empty word has no token and is not counted

    @pytest.mark.parametrize(
        ("task", "wrong", "message"),
        [
            ("topic", "animal", "topic: 'animal' is not in the list of labels; did you mean 'animals'?"),
            ("kinds", ["x", "w"], "kinds: 'w' is not in the list of labels; known: x, y, z"),
            ("tags", ["O", "B-plaec"], "tags: 'B-plaec' is not in the list of labels; did you mean 'B-place'?"),
        ],
    )
    def test_an_unknown_label_in_train_is_an_error_with_its_line(self, task: str, wrong: Any, message: str) -> None:
        right: dict[str, Any] = {"tokens": ["a", "dog"], "topic": "animals", "kinds": ["x"], "tags": ["O", "O"]}
        rows = [right, {**right, task: None}, {**right, task: wrong}]
        with pytest.raises(DataError) as caught:
            encoded(rows, {task: ALL[task]})
        assert str(caught.value) == f"d: train, row 3: {message}"

    def test_unknown_labels_of_other_splits_get_ids_that_are_never_predicted(self) -> None:
        right = {"tokens": ["a", "dog"], "topic": "animals", "kinds": ["x"], "tags": ["O", "B-place"]}
        wrong = {"tokens": ["a", "dog"], "topic": "new", "kinds": ["x", "new"], "tags": ["B-new", "O"]}
        again = {**right, "topic": "new", "kinds": ["newer"]}
        labels = encoded([right, wrong, again], {t: ALL[t] for t in ("topic", "kinds", "tags")}, train=False).labels
        assert labels["topic"].values([0, 1, 2]) == ["animals", "new", "new"]
        assert labels["topic"].names == (*TOPIC.names, "new")
        assert labels["kinds"].values([0, 1, 2]) == [["x"], ["x", "new"], ["newer"]]
        assert labels["kinds"].names == (*KINDS.names, "new", "newer")
        assert labels["tags"].values([0, 1]) == [["O", "B-place"], ["B-new", "O"]]
        assert all(task_labels.known == 3 for task_labels in labels.values())
        assert all(task_labels.labelled.all() for task_labels in labels.values())

    @pytest.mark.parametrize("name", slow_except(sorted(TOKENIZERS), "token", "metaspace", "byte-level, spaces"))
    @settings(deadline=None, max_examples=40)
    @given(
        words=st.lists(
            st.text(st.characters(codec="utf-8"), max_size=3) | st.sampled_from(["", " ", "\u200b", "\u00a0"]),
            min_size=1,
            max_size=8,
        ),
        max_length=st.sampled_from([4, 7, 64]),
    )
    @example(words=["a", " ", " ", "b"], max_length=64)  # a single token for both in tokenizers that include spaces
    def test_label_counts_equal_the_number_of_targets(self, name: str, words: list[str], max_length: int) -> None:
        rows = [{"tokens": words, "tags": ["O"] * len(words)}]
        split = encoded(rows, {"tags": TAGS}, max_length=max_length, tokenizer=TOKENIZERS[name]())
        tags = split.labels["tags"]
        target = tags.tensor([0], first_tokens=all_tokens(split).first_tokens, sequence_length=split.tokens.lengths[0])
        assert int((target != IGNORED).sum()) == tags.counts[0]


class TestTokens:
    def test_a_text_is_tokenised_once_for_all_tasks(self) -> None:
        rows = make_rows(20)
        joint, single = encoded(rows, ALL), encoded(rows, {"topic": TOPIC})
        assert len(joint) == len(joint.tokens.lengths) == 20
        assert plain(joint.tokens) == plain(single.tokens)
        assert list(joint.labels) == list(ALL)
        assert all(len(labels.labelled) == 20 for labels in joint.labels.values())

    def test_words_are_tokenised_like_their_text(self) -> None:
        rows = make_rows(10)
        splits = encoded(rows, {"topic": TOPIC}), encoded(rows, {"topic": TOPIC}, input={"text": "text"})
        words, texts = map(all_tokens, splits)
        assert words.ids.values.tolist() == texts.ids.values.tolist()
        assert words.first_tokens is not None
        assert words.first_tokens.lengths.tolist() == [len(row["tokens"]) for row in rows]
        assert texts.first_tokens is None

    def test_rows_of_several_tokenizer_batches_keep_their_order(self) -> None:
        rows = [{"tokens": ["a"] * (1 + i % 3), "tags": ["O"] * (1 + i % 3)} for i in range(2003)]
        split = encoded(rows, {"tags": TAGS})
        assert split.tokens.lengths.tolist() == [3 + i % 3 for i in range(2003)]
        (last,) = split.tokens.sequences([2002])
        assert last.words is not None
        assert last.words.tolist() == [1, 2]
        assert split.labels["tags"].counts.tolist() == [1 + i % 3 for i in range(2003)]

    @pytest.mark.parametrize(("max_length", "cut"), [(5, 2), (6, 1), (7, 1), (8, 0), (64, 0)])
    def test_only_rows_longer_than_max_length_are_truncated(self, max_length: int, cut: int) -> None:
        rows = [{"tokens": ["a"] * n, "tags": ["B-place"] * n} for n in (6, 4, 2)]  # and two special tokens
        split = encoded(rows, {"tags": TAGS}, max_length=max_length)
        assert split.truncated == cut
        assert split.tokens.lengths.tolist() == [min(n + 2, max_length) for n in (6, 4, 2)]
        assert split.labels["tags"].counts.tolist() == [min(n, max_length - 2) for n in (6, 4, 2)]
        words = split.tokens.sequences([0])[0].words
        assert words is not None
        assert words.tolist() == [*range(1, 7)][: max_length - 2] + [-1] * max(0, 8 - max_length)
        assert len(split.labels["tags"].values([0])[0]) == 6  # gold labels are unchanged


class TestPairs:
    ROWS = ({"one": "a cat", "two": "two birds sing", "topic": "animals"}, {"one": "", "two": "a", "topic": "things"})
    INPUT = {"text": "one", "pair": "two"}  # noqa: RUF012

    def test_token_type_ids_distinguish_the_texts_of_a_pair(self) -> None:
        split = encoded(self.ROWS, {"topic": TOPIC}, input=self.INPUT)
        tokens = all_tokens(split)
        assert tokens.types is not None
        pieces = [token().convert_ids_to_tokens(tokens.ids[i].tolist()) for i in range(2)]
        assert pieces[0][:5] == ["[CLS]", "a", "cat", "[SEP]", "two"]
        assert pieces[1] == ["[CLS]", "[SEP]", "a", "[SEP]"]
        for i, row in enumerate(pieces):
            first = row.index("[SEP]") + 1
            assert tokens.types[i].tolist() == [0] * first + [1] * (len(row) - first)

    def test_single_texts_and_encoders_without_them_have_no_token_type_ids(self) -> None:
        assert all_tokens(encoded(self.ROWS, {"topic": TOPIC}, input={"text": "one"})).types is None
        roberta = byte_level(prefix=False, trim=True)
        assert all_tokens(encoded(self.ROWS, {"topic": TOPIC}, input=self.INPUT, tokenizer=roberta)).types is None

    def test_the_longer_text_of_a_pair_is_truncated_first(self) -> None:
        long, short = " ".join(["cat"] * 20), "dog"
        for first, second in ((long, short), (short, long)):
            row = {"one": first, "two": second, "topic": "animals"}
            split = encoded([row], {"topic": TOPIC}, input=self.INPUT, max_length=10)
            pieces = token().convert_ids_to_tokens(split.tokens.sequences([0])[0].ids.tolist())
            assert (len(pieces), pieces.count("dog"), pieces.count("cat"), split.truncated) == (10, 1, 6, 1)


def test_words_of_raw_text_are_aligned_with_tokens() -> None:
    text = "Ada sings, today"
    words = [(0, 3), (4, 9), (9, 10), (11, 16)]
    pieces = tokenize(token(), [text, ""], words=[words, []], max_length=64)
    assert pieces.first_tokens is not None
    names = token().convert_ids_to_tokens(pieces.ids[0].tolist())
    assert [names[first] for first in pieces.first_tokens[0]] == ["ada", "sings", ",", "today"]
    assert pieces.first_tokens[1].tolist() == []
    assert pieces.cut.tolist() == [False, False]
    assert len(pieces.ids[1]) == 2
