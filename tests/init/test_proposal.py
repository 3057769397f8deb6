"""Inputs, tasks and their names, with and without overrides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpmtl.data.delimited import TextFormat
from nlpmtl.errors import ConfigError
from nlpmtl.init import Proposal, Sample, Source, Table, parse_override, propose, refuse_repeated
from nlpmtl.init.write import dataset_tables

TEXTS = [f"the {word} was rather good" for word in "kettle lamp hose spade pan mower book film song cat".split()]  # noqa: SIM905
OTHERS = [f"a {text} today" for text in TEXTS]
TOPICS = ["home", "garden"] * 5
FLAGS = [index % 2 for index in range(10)]
WORDS = [text.split()[: 2 + index % 3] for index, text in enumerate(TEXTS)]
TAGS = [["O", "B-x", "O", "O"][: len(words)] for words in WORDS]


def sample(name: str = "shop", type: str = "csv", **columns: Any) -> Sample:
    return Sample(Source(name, {"train": [f"{name}.csv"]}), Table.of(columns), type, TextFormat(), {})


def proposed(*samples: Sample, overrides: tuple[str, ...] = ()) -> list[Proposal]:
    columns = {item.source.name: list(item.table.columns) for item in samples}
    return propose(samples, [parse_override(text, columns=columns) for text in overrides])


def tasks(*samples: Sample, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        name: (task.kind, *task.columns)
        for proposal in proposed(*samples, overrides=overrides)
        for name, task in proposal.tasks.items()
    }


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": TEXTS, "topic": TOPICS}, {"text": "text"}),
        ({"note": OTHERS, "review": TEXTS}, {"text": "review"}),
        ({"short": TEXTS, "long": OTHERS}, {"text": "long"}),
        ({"sentence1": TEXTS, "sentence2": OTHERS}, {"text": "sentence1", "pair": "sentence2"}),
        ({"hypothesis": TEXTS, "premise": OTHERS}, {"text": "premise", "pair": "hypothesis"}),
        ({"text_a": TEXTS, "text_b": OTHERS}, {"text": "text_a", "pair": "text_b"}),
        ({"leftText": TEXTS, "question": OTHERS, "context": TEXTS}, {"text": "question", "pair": "context"}),
        ({"tokens": WORDS, "tags": TAGS, "text": TEXTS}, {"words": "tokens"}),
        ({"tokens": WORDS, "topic": TOPICS, "text": TEXTS}, {"text": "text"}),
        ({"tokens": WORDS, "topic": TOPICS}, {"words": "tokens"}),
        ({"text": TEXTS, "label": [[[0, 3, "x"]]] * 9 + [[]]}, {"words": "text"}),
        ({"reason": ["it broke at once", "I like it a lot"] * 5, "topic": TOPICS}, {"text": "reason"}),
        ({"topic": TOPICS}, {}),
        ({"text": TEXTS, "A": OTHERS, "B": TEXTS, "answer": ["A", "B"] * 5}, {"text": "text", "choices": ("A", "B")}),
        ({"q": TEXTS, "ways": [[text, "x y"] for text in OTHERS], "y": FLAGS}, {"text": "q", "choices": "ways"}),
        ({"q": TEXTS, "choice1": OTHERS, "choice2": TEXTS, "y": TOPICS}, {"text": "q"}),
    ],
)
def test_inputs(columns: Any, expected: dict[str, str]) -> None:
    assert dict(proposed(sample(**columns))[0].input) == expected


HEADS = [[0, *[1] * (len(words) - 1)] for words in WORDS]
DEPRELS = [["root", *["obj"] * (len(words) - 1)] for words in WORDS]


def test_heads_and_relations_are_one_task() -> None:
    trees = sample(tokens=WORDS, heads=HEADS, deprels=DEPRELS)
    assert tasks(trees) == {"parsing": ("parsing", "heads", "deprels")}
    assert tasks(trees, overrides=("tree=deprels:parsing",)) == {"tree": ("parsing", "heads", "deprels")}
    assert tasks(trees, overrides=("heads:none",)) == {}
    assert tasks(sample(tokens=WORDS, heads=HEADS)) == {}
    with pytest.raises(ConfigError, match="'tokens' cannot be read as parsing: there are no columns with the head"):
        tasks(trees, overrides=("tree=tokens:parsing",))


def test_similar_texts_without_labels_are_an_embedding() -> None:
    assert tasks(sample(query=TEXTS, passage=OTHERS)) == {"embedding": ("embedding",)}
    assert tasks(sample(premise=TEXTS, hypothesis=OTHERS)) == {}
    assert tasks(sample(query=TEXTS, passage=OTHERS, topic=TOPICS)) == {"topic": ("classification", "topic")}


NEGATIVES = [[text, "a text"] for text in OTHERS]


@pytest.mark.parametrize(
    ("columns", "overrides", "pair", "kinds"),
    [
        ({"query": TEXTS, "passage": OTHERS, "negatives": NEGATIVES}, (), "passage", ["embedding"]),
        (
            {"query": TEXTS, "passage": OTHERS, "negatives": NEGATIVES, "topic": TOPICS},
            (),
            "passage",
            ["classification", "embedding"],
        ),
        (
            {"text_a": TEXTS, "text_b": OTHERS, "negatives": NEGATIVES},
            ("negatives:negatives",),
            "text_b",
            ["embedding"],
        ),
        (
            {"question": TEXTS, "reply": OTHERS, "negatives": NEGATIVES},
            ("negatives:negatives", "reply:pair"),
            "reply",
            ["embedding"],
        ),
    ],
)
def test_negatives_of_similar_texts(
    columns: dict[str, Any], overrides: tuple[str, ...], pair: str, kinds: list[str]
) -> None:
    (proposal,) = proposed(sample(**columns), overrides=overrides)
    assert dict(proposal.input) == {"text": next(iter(columns)), "pair": pair, "negatives": "negatives"}
    assert [task.kind for task in proposal.tasks.values()] == kinds


def test_negatives_in_several_columns() -> None:
    item = sample(anchor=TEXTS, positive=OTHERS, negative_1=TEXTS, negative_2=OTHERS)
    (proposal,) = proposed(item)
    negatives = ("negative_1", "negative_2")
    assert dict(proposal.input) == {"text": "anchor", "pair": "positive", "negatives": negatives}
    item = sample(anchor=TEXTS, positive=OTHERS, negative=TEXTS)
    (proposal,) = proposed(item)
    assert proposal.input["negatives"] == "negative"


def test_an_embedding_of_labels_reads_no_negatives() -> None:
    item = sample(query=TEXTS, passage=OTHERS, negatives=NEGATIVES, score=list(range(10)))
    (proposal,) = proposed(item, overrides=("similar=score:embedding",))
    assert dict(proposal.input) == {"text": "query", "pair": "passage"}
    assert {name: (task.kind, *task.columns) for name, task in proposal.tasks.items()} == {
        "similar": ("embedding", "score")
    }


@pytest.mark.parametrize(
    ("columns", "overrides", "message"),
    [
        ({"text": TEXTS, "topic": TOPICS}, ["x=topic:embedding"], None),
        ({"text": TEXTS, "level": FLAGS}, ["x=level:embedding"], None),
        ({"text": TEXTS, "n": [0.5, 1.5] * 5}, ["x=n:embedding"], "single text is a class, but names or whole"),
        ({"text": TEXTS, "note": OTHERS}, ["x=note:embedding"], "but every value is different, so no two texts share"),
        ({"text_a": TEXTS, "text_b": OTHERS, "n": FLAGS}, ["x=n:embedding"], None),
        ({"text_a": TEXTS, "text_b": OTHERS, "t": TOPICS}, ["x=t:embedding"], "pair of texts is a number, but not all"),
        ({"tokens": WORDS, "tags": TAGS, "t": TOPICS}, ["x=t:embedding"], "the input is the words in 'tokens'"),
        ({"text": TEXTS, "bad": NEGATIVES}, ["bad:negatives"], "need a column of the kind pair"),
        (
            {"text_a": TEXTS, "text_b": OTHERS, "bad": NEGATIVES, "n": FLAGS},
            ["bad:negatives", "x=n:embedding"],
            "no label of the kind embedding",
        ),
        ({"text": TEXTS, "bad": FLAGS}, ["bad:negatives"], "neither lists of texts nor texts"),
        ({"text": TEXTS, "n": FLAGS}, ["x=n:masked_lm"], "its values are neither strings nor lists of words"),
        ({"text": TEXTS, "note": OTHERS}, ["x=note:masked_lm", "text:text"], "as masked_lm: the input is 'text'"),
        ({"text_a": TEXTS, "text_b": OTHERS}, ["x=text_a:masked_lm", "text_b:pair"], "the input has the pair 'text_b'"),
    ],
)
def test_chosen_kinds_fit_the_input(columns: dict[str, Any], overrides: list[str], message: str | None) -> None:
    if message is None:
        assert tasks(sample(**columns), overrides=tuple(overrides))["x"][0] == "embedding"
        return
    with pytest.raises(ConfigError, match=message):
        proposed(sample(**columns), overrides=tuple(overrides))


@pytest.mark.parametrize(
    ("columns", "column", "expected"),
    [
        ({"text": TEXTS}, "text", {"text": "text"}),
        ({"text": TEXTS, "note": OTHERS, "topic": TOPICS}, "note", {"text": "note"}),
        ({"query": TEXTS, "passage": OTHERS}, "passage", {"text": "passage"}),
        ({"tokens": WORDS, "tags": TAGS}, "tokens", {"words": "tokens"}),
        (
            {"text": [" ".join(words) for words in WORDS], "tags": [" ".join(tags) for tags in TAGS]},
            "text",
            {"words": "text"},
        ),
    ],
)
def test_a_masked_language_model_is_trained_on_the_input(
    columns: dict[str, Any], column: str, expected: dict[str, str]
) -> None:
    (proposal,) = proposed(sample(**columns), overrides=(f"{column}:masked_lm",))
    labelled = [name for name in columns if name in ("topic", "tags")]
    assert dict(proposal.input) == expected
    assert [(task.kind, task.columns) for task in proposal.tasks.values()][len(labelled) :] == [("masked_lm", ())]
    assert "masked_lm" not in tasks(sample(**columns), overrides=(f"{column}:masked_lm", f"{column}:none"))


def test_a_column_is_chosen_once() -> None:
    columns = {"shop": ["text", "topic"]}
    first, second, third = (
        parse_override(text, columns=columns)
        for text in ("a=topic:classification", "b=topic:embedding", "c=shop.topic:none")
    )
    refuse_repeated([first, third])
    with pytest.raises(ConfigError, match="--task b=topic:embedding: 'topic' is already chosen by --task a=topic:cl"):
        refuse_repeated([first, third, second])


@pytest.mark.parametrize(
    "text", ["toxic, toxic:multilabel", "t=shop.toxic,threat,toxic:multilabel", "toxic,toxic:none"]
)
def test_a_column_is_named_once(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--task .*: write each column once, found 'toxic' 2 times"):
        parse_override(text, columns={"shop": ["text", "toxic", "threat"]})


def test_columns_of_0_and_1_are_one_task() -> None:
    assert tasks(sample(text=TEXTS, toxic=FLAGS, threat=FLAGS, topic=TOPICS)) == {
        "shop": ("multilabel", "toxic", "threat"),
        "topic": ("classification", "topic"),
    }
    assert tasks(sample(text=TEXTS, toxic=FLAGS)) == {"toxic": ("classification", "toxic")}


def test_columns_of_0_and_1_that_are_something_else_are_not_joined() -> None:
    """An index of a choice, and a ClassLabel, are tasks of their own."""
    choices = [["it broke at once", text] for text in OTHERS]
    assert tasks(sample(q=TEXTS, ways=choices, y=FLAGS, spam=[value > 0 for value in FLAGS])) == {
        "shop": ("multiple_choice", "y"),
        "spam": ("classification", "spam"),
    }
    columns: dict[str, list[Any]] = {"text": TEXTS, "mood": FLAGS, "spam": FLAGS}
    table = Table.of(columns, class_names={"mood": ("negative", "positive")})
    declared = Sample(Source("shop", {"train": ["shop.csv"]}), table, "csv", TextFormat(), {})
    assert tasks(declared) == {"mood": ("classification", "mood"), "spam": ("classification", "spam")}


@pytest.mark.parametrize(
    ("values", "labels", "written"),
    [
        (["01", "02", "03"], ("01", "02", "03"), ["01", "02", "03"]),
        (["08", "09", "10"], ("08", "09", "10"), ["08", "09", "10"]),
        (["1.0", "2.0", "+3"], ("1", "2", "3"), [1, 2, 3]),
        ([1, 2, 3], ("1", "2", "3"), [1, 2, 3]),
        (["1", "01", "2"], ("01", "1", "2"), ["01", "1", "2"]),
        (["True", "False"], ("false", "true"), ["false", "true"]),
        ([True, False], ("false", "true"), ["false", "true"]),
        (["good", "good ", "bad"], ("bad", "good"), ["bad", "good"]),
    ],
    ids=str,
)
def test_labels_are_written_as_they_are_spelled(values: list[Any], labels: tuple[str, ...], written: list[Any]) -> None:
    columns: dict[str, Any] = {"text": TEXTS * 3, "rating": values * (30 // len(values)) + values[: 30 % len(values)]}
    for overrides in ((), ("rating=rating:sentiment",)):
        (proposal,) = proposed(sample(**columns), overrides=overrides)
        if proposal.tasks["rating"].kind == "sentiment":
            assert proposal.findings["rating"].labels == labels
            assert dataset_tables(proposal, directory=Path())["tasks"]["rating"]["labels"] == written


def test_names_of_tasks() -> None:
    assert list(tasks(sample(text=TEXTS, label=TOPICS))) == ["shop"]
    assert list(tasks(sample(text=TEXTS, label=TOPICS, tags=[["a"], ["b"]] * 5))) == ["shop_label", "shop_tags"]
    assert list(tasks(sample(text=TEXTS, shop=TOPICS, label=TOPICS))) == ["shop", "shop_label"]
    assert list(tasks(sample(**dict[str, Any]({"0": TEXTS, "1": TOPICS})))) == ["shop"]
    assert list(tasks(sample(text=TEXTS, **dict[str, Any]({"Thème principal": TOPICS, "主题": TOPICS})))) == [
        "Theme_principal",
        "shop",
    ]
    first, second = sample("a", text=TEXTS, label=TOPICS, topic=TOPICS), sample("b", text=TEXTS, topic=TOPICS)
    assert list(tasks(first, second)) == ["a", "a_topic", "b_topic"]


def test_overrides_replace_the_proposals_of_their_columns() -> None:
    item = sample(text=TEXTS, note=OTHERS, topic=TOPICS, a=FLAGS, b=FLAGS, stars=[1, 2, 3, 4, 5] * 2)
    assert tasks(item, overrides=("mood=topic:sentiment", "stars=stars:regression", "x=a:none")) == {
        "mood": ("sentiment", "topic"),
        "b": ("classification", "b"),
        "stars": ("regression", "stars"),
    }
    (proposal,) = proposed(item, overrides=("mood=topic:sentiment",))
    assert proposal.tasks["mood"].finding.labels == ("garden", "home"), "sorted: the user puts them in order"
    assert tasks(item, overrides=("x=a,b:multilabel", "topic:none"))["x"] == ("multilabel", "a", "b")
    assert tasks(item, overrides=("x=a:multilabel",))["x"] == ("multilabel", "a")
    (proposal,) = proposed(item, overrides=("text=note:text",))
    assert (dict(proposal.input), proposal.findings["text"].kind) == ({"text": "note"}, "none")
    (proposal,) = proposed(item, overrides=("pair=note:pair",))
    assert dict(proposal.input) == {"text": "text", "pair": "note"}


def test_overrides_of_one_of_several_datasets() -> None:
    samples = sample("a", text=TEXTS, topic=TOPICS), sample("b", text=TEXTS, topic=TOPICS)
    assert tasks(*samples, overrides=("x=b.topic:none",)) == {"topic": ("classification", "topic")}
    assert list(tasks(*samples, overrides=("x=topic:classification",))) == ["x"], "one task in both datasets"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("topic", r"--task topic: write NAME=COLUMN:KIND, such as topic=category:classification"),
        ("x=:text", r"--task x=:text: write NAME=COLUMN:KIND"),
        ("x=topic:clasification", r"unknown kind 'clasification'; did you mean 'classification'\?"),
        ("x=topik:classification", r"no column 'topik'; did you mean 'topic'\?"),
        ("x=b.topic:classification", r"no column 'b.topic'"),
        ("a b=topic:classification", r"'a b' cannot be the name of a task: letters"),
        ("x=topic,text:classification", r"several columns are read only by multilabel"),
        (
            "x=topic:regression",
            r"'topic' cannot be read as regression: not all of its values are numbers \(found 'home",
        ),
        ("x=topic:labeling", r"'topic' cannot be read as labeling: it has neither one tag per word"),
        ("x=topic:multilabel", r"'topic' cannot be read as multilabel: it has neither lists of labels"),
        ("x=topic:words", r"'topic' cannot be read as words: it has no lists"),
        ("x=price:text", r"'price' cannot be read as text: its values are not strings"),
        ("x=price:classification", r"'price' cannot be read as classification: names or whole numbers"),
    ],
)
def test_invalid_overrides(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        proposed(sample(text=TEXTS, topic=TOPICS, price=[0.5, 1.5] * 5), overrides=(override,))


def test_two_tasks_with_one_name() -> None:
    with pytest.raises(ConfigError, match="two tasks of the dataset 'shop' have the name 'x'"):
        tasks(sample(text=TEXTS, a=TOPICS, b=TOPICS), overrides=("x=a:classification", "x=b:classification"))


def test_a_few_rows_may_have_another_number_of_tags_than_words() -> None:
    words, tags = WORDS * 4, [*(TAGS * 4)[:-1], [*TAGS[-1], "O"]]
    assert tasks(sample(tokens=words, tags=tags)) == {"shop": ("labeling", "tags")}
    several = [[*row, "O"] if i % 10 == 0 else row for i, row in enumerate(TAGS * 4)]
    assert tasks(sample(tokens=words, tags=several)) != {"shop": ("labeling", "tags")}


def test_of_conll_files_only_the_last_tags_are_proposed() -> None:
    columns: dict[str, Any] = {"words": WORDS, "1": TAGS, "tags": TAGS}
    assert tasks(sample(type="conll", **columns)) == {"shop": ("labeling", "tags")}
    conllu: dict[str, Any] = {"form": WORDS, "upos": TAGS, "xpos": TAGS, "deprel": TAGS}
    assert list(tasks(sample(type="conllu", **conllu))) == ["upos", "xpos"]
    assert list(tasks(sample(type="jsonl", **conllu))) == ["upos", "xpos", "deprel"]


def test_only_one_separator_can_be_written() -> None:
    (proposal,) = proposed(sample(text=TEXTS, a=["x|y", "x"] * 4 + ["y", "y|x"], b=["u;v", "u"] * 4 + ["v", "v;u"]))
    assert (proposal.separator, list(proposal.tasks)) == ("|", ["a"])
    assert "another column has" in proposal.findings["b"].evidence


def test_choices_are_read_by_multiple_choice_and_ranking() -> None:
    ways = [[text, "x y"] for text in OTHERS]
    columns: dict[str, Any] = {"q": TEXTS, "ways": ways, "y": FLAGS, "grades": [[1, index] for index in range(10)]}
    assert tasks(sample(**columns)) == {"shop": ("multiple_choice", "y"), "grades": ("ranking", "grades")}
    chosen = ("rank=grades:ranking", "y:none", "ways:choices")
    (proposal,) = proposed(sample(**columns), overrides=chosen)
    assert dict(proposal.input) == {"text": "q", "choices": "ways"}
    assert [task.kind for task in proposal.tasks.values()] == ["ranking"]
    columns = {"q": TEXTS, "A": OTHERS, "B": TEXTS, "right": TOPICS}
    (proposal,) = proposed(sample(**columns), overrides=("A,B:choices", "right:multiple_choice"))
    assert dict(proposal.input) == {"text": "q", "choices": ("A", "B")}
    with pytest.raises(ConfigError, match="'y' cannot be read as ranking: it has no lists of numbers"):
        tasks(sample(q=TEXTS, y=FLAGS), overrides=("y:ranking",))
    assert tasks(sample(q=TEXTS, y=FLAGS), overrides=("y:multiple_choice",)) == {}
