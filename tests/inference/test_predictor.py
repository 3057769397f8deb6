"""`Predictor`: inputs, outputs, batching and offsets."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nlpmtl
from nlpmtl import ConfigError, DataError, ModelError, MultiTaskModel, Predictor
from tests.tiny import Trained, favour_entities, make_rows, numbers, without_numbers

TEXTS = ["Ada lives in Turin.", "a cat", "", "   ", "big red lamp and old blue kettle yesterday", "É, ¿qué?", "Rome"]
SINGLE = {"topic", "mood", "places", "kinds"}
UNTYPED: Any = Predictor
UNTYPED_EVALUATE: Any = nlpmtl.evaluate


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.from_pretrained(trained.model_dir)


def assert_alike(first: Any, second: Any) -> None:
    assert without_numbers(first) == without_numbers(second)
    assert numbers(first) == pytest.approx(numbers(second), abs=1e-5)


def test_all_scores_is_true_or_false(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="all_scores: True or False was expected, found 'no'"):
        predictor.predict_all("Ada lives in Turin.", all_scores="no")  # type: ignore[arg-type]  # not a bool


def test_a_text_gives_one_prediction(predictor: Predictor) -> None:
    prediction = predictor.predict("a cat", task="topic")
    assert set(prediction) == {"label", "score"}
    assert prediction["label"] in ("animals", "things", "places")
    assert 0 < prediction["score"] <= 1
    assert set(predictor.predict("a cat", task="mood")) == {"label", "score", "polarity"}
    assert isinstance(predictor.predict("a cat", task="places"), list)
    assert set(predictor.predict("a cat", task="kinds")) == {"labels"}
    assert set(predictor.predict(("a cat", "a dog"), task="grade")) == {"value"}


def test_a_list_gives_a_list(predictor: Predictor) -> None:
    predictions = predictor.predict(TEXTS, task="topic")
    assert [set(prediction) for prediction in predictions] == [{"label", "score"}] * len(TEXTS)
    assert predictor.predict([], task="topic") == []
    assert predictor.predict_all([]) == []
    assert len(predictor.predict(["a cat"], task="topic")) == 1
    assert len(predictor.predict([("a", "b"), ("c", "d")], task="grade")) == 2


def test_every_task_that_accepts_the_input_is_predicted(predictor: Predictor) -> None:
    assert set(predictor.predict_all("a cat")) == SINGLE
    assert set(predictor.predict_all(("a cat", "a dog"))) == {"grade"}
    assert [set(prediction) for prediction in predictor.predict_all(["a cat", ("a cat", "a dog"), "Rome"])] == [
        SINGLE,
        {"grade"},
        SINGLE,
    ]
    assert set(predictor.predict_all("a cat", tasks=["mood", "topic"])) == {"mood", "topic"}
    assert_alike(predictor.predict_all("a cat")["topic"], predictor.predict("a cat", task="topic"))


def test_all_tasks_share_one_forward_pass(predictor: Predictor) -> None:
    batch_sizes: list[int] = []
    hook = model_of(predictor).sharing.encoder.register_forward_hook(
        lambda module, args, kwargs, output: batch_sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    predictor.predict_all(TEXTS)
    hook.remove()
    assert batch_sizes == [len(TEXTS)]


def test_a_pair_task_requires_a_pair(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match=r"task 'grade' expects a text pair \(text, pair\), found a single text"):
        predictor.predict_all("a cat", tasks=["topic", "grade"])
    with pytest.raises(ConfigError, match="task 'grade' expects a text pair"):
        predictor.predict("a cat", task="grade")
    with pytest.raises(ConfigError, match="task 'topic' expects a single text, found a text pair"):
        predictor.predict(("a cat", "a dog"), task="topic")
    with pytest.raises(ConfigError, match="task 'grade' expects a text pair"):
        predictor.predict([("a cat", "a dog"), "a cat"], task="grade")


def test_an_unknown_task_suggests_the_nearest(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="no task 'topics'; did you mean 'topic'"):
        predictor.predict("a cat", task="topics")
    with pytest.raises(ConfigError, match="no task 'zzz'; known: grade, kinds, mood, places, topic"):
        predictor.predict_all("a cat", tasks=["zzz"])


def test_predictions_do_not_depend_on_order_or_batch(predictor: Predictor, trained: Trained) -> None:
    texts = TEXTS + [row["text"] for row in make_rows(20, seed=3)]
    together = predictor.predict_all(texts)
    for text, prediction in zip(texts, together, strict=True):
        assert_alike(predictor.predict_all(text), prediction)
    assert_alike(predictor.predict_all(texts[::-1])[::-1], together)
    small = Predictor(predictor.model, predictor.tokenizer, tokens=10)
    assert_alike(small.predict_all(texts), together)
    pairs = [(text, other) for text, other in zip(texts, texts[::-1], strict=True)]
    mixed = predictor.predict_all([item for both in zip(texts, pairs, strict=True) for item in both])
    assert_alike(mixed[::2], together)
    assert_alike([prediction["grade"] for prediction in mixed[1::2]], predictor.predict(pairs, task="grade"))


def test_the_order_of_a_pair_matters(predictor: Predictor) -> None:
    first = predictor.predict(("a cat sings", "rome"), task="grade")
    second = predictor.predict(("rome", "a cat sings"), task="grade")
    assert first["value"] != second["value"]


def test_offsets_match_the_words(predictor: Predictor) -> None:
    texts = [*TEXTS, "  Ada   (Turin), \tRome\n\nParis…", "“Ada” lives—Turin!", "ada " * 100]
    texts += [row["text"] for row in make_rows(30, seed=8)]
    span_count = 0
    for text, spans in zip(texts, entity_predictor(predictor).predict(texts, task="places"), strict=True):
        last = 0
        for span in spans:
            assert set(span) == {"entity_group", "score", "word", "start", "end"}
            assert text[span["start"] : span["end"]] == span["word"] != ""
            assert last <= span["start"] < span["end"] <= len(text)
            assert span["entity_group"] in ("person", "place")
            assert 0 < span["score"] <= 1
            last = span["end"]
            span_count += 1
    assert span_count > 10, "a model that predicts no spans would pass as well"


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\n", "\x00", "🙂"])
def test_empty_texts_have_predictions(predictor: Predictor, text: str) -> None:
    prediction = predictor.predict_all(text)
    assert set(prediction) == SINGLE
    assert predictor.predict((text, text), task="grade")["value"] == pytest.approx(0, abs=1e3)


def test_a_very_long_text_is_truncated(predictor: Predictor) -> None:
    text = "ada " * 5000
    prediction = predictor.predict_all(text)
    assert set(prediction) == SINGLE
    assert all(span["end"] <= 48 * 4 for span in prediction["places"])
    long, cut = "ada " * 200, "ada " * 60
    assert_alike(predictor.predict((long, long), task="grade"), predictor.predict((cut, cut), task="grade"))
    assert_alike(predictor.predict(text, task="topic"), predictor.predict(text[:400], task="topic"))


def test_predictions_are_plain_json(predictor: Predictor) -> None:
    predictions = predictor.predict_all([*TEXTS, ("a cat", "a dog")])
    assert json.loads(json.dumps(predictions, allow_nan=False)) == predictions


def test_the_tasks_of_a_model(predictor: Predictor) -> None:
    assert set(predictor.tasks) == SINGLE | {"grade"}
    assert predictor.tasks["mood"].labels == ("negative", "neutral", "positive")


def test_invalid_models_are_refused(tmp_path: Any) -> None:
    with pytest.raises(ModelError):
        Predictor.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, path: UNTYPED(None, m.tokenizer), "model: a loaded model was expected, found None"),
        (
            lambda m, path: UNTYPED("a/b", m.tokenizer),
            r"found 'a/b' \(str\).*write Predictor.from_pretrained",
        ),
        (
            lambda m, path: UNTYPED(m.model, m.tokenizer, tokens="4"),
            "tokens: a whole number was expected",
        ),
        (
            lambda m, path: UNTYPED(m.model, m.tokenizer, tokens=-5),
            "tokens: must be at least 1, found -5",
        ),
        (lambda m, path: m.export(3, task="topic"), "directory: a path was expected, as a string or a Path"),
        (lambda m, path: m.export("", task="topic"), "directory: a path was expected, .*, found ''"),
        (lambda m, path: m.export(b"out", task="topic"), "directory: a path was expected, .*, found b'out'"),
        (lambda model, path: model.push_to_hub("a/b", revision=3), "revision: a string was expected, found 3 of type"),
        (lambda model, path: model.push_to_hub(3), "repo_id: a string was expected, found 3 of type int"),
        (lambda model, path: model.push_to_hub("a/b", token=["x"]), "token: a string was expected, found a value of"),
        (
            lambda model, path: UNTYPED.from_pretrained(path, token=3),
            "token: a string was expected, found a value of",
        ),
        (lambda model, path: UNTYPED_EVALUATE(path, {}, split=["a"]), r"split: the name of a split .* found \['a'\]"),
    ],
)
def test_arguments_of_another_type(
    predictor: Predictor, trained: Trained, call: Callable[[Predictor, Any], object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        call(predictor, trained.model_dir)


def test_an_iterator_gives_an_iterator(predictor: Predictor) -> None:
    read_count = 0

    def texts() -> Iterator[str]:
        nonlocal read_count
        for i in range(3000):
            read_count += 1
            yield f"a cat {'big ' * (i % 5)}"

    predictions = predictor.predict(texts(), task="topic")
    assert isinstance(predictions, Iterator)
    assert read_count == 0
    first = next(predictions)
    assert 0 < read_count < 3000, "it reads ahead, but not all of it"
    rest = list(predictions)
    assert (len(rest), read_count) == (2999, 3000)
    assert_alike([first, *rest][::50], predictor.predict(list(texts())[::50], task="topic"))
    assert_alike(next(predictor.predict_all(iter([("a", "b")]))), predictor.predict_all(("a", "b")))


def test_rows_are_inputs_too(predictor: Predictor) -> None:
    text = "ada lives in turin ."
    assert_alike(predictor.predict_all({"words": text.split()}), predictor.predict_all(text))
    assert_alike(predictor.predict_all({"text": text}), predictor.predict_all(text))
    assert_alike(predictor.predict_all({"text": "a", "pair": "b"}), predictor.predict_all(("a", "b")))
    odd = {"words": ["New York", "", "don't", "…"]}
    for span in predictor.predict(odd, task="places"):
        assert "New York  don't …"[span["start"] : span["end"]] == span["word"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["ok", 3], "input 2: a string was expected"),
        (["a \ud800"], "input 1: not valid Unicode"),
        ([["Ada", "lives"]], r'input 1: pass pre-tokenized words as \{"words": \[\.\.\.\]\}'),
        ([("a", "b", "c")], "input 1: a pair has two texts, found 3"),
        ({"words": "Ada lives"}, "input 1: words: a list of words was expected"),
        ({"text": "a", "pair": 3}, "input 1: pair: a string was expected"),
        ({"sentence": "a"}, "input 1: text: missing or null"),
    ],
)
def test_invalid_inputs_are_reported(predictor: Predictor, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.predict_all(value)


def test_all_scores(predictor: Predictor) -> None:
    predictions = predictor.predict_all("ada lives in rome", all_scores=True)
    assert list(predictions["topic"]["scores"]) == list(predictor.tasks["topic"].labels)
    assert sum(predictions["topic"]["scores"].values()) == pytest.approx(1)
    assert predictions["topic"]["scores"][predictions["topic"]["label"]] == predictions["topic"]["score"]
    assert sum(predictions["mood"]["scores"].values()) == pytest.approx(1)
    assert set(predictions["kinds"]["scores"]) == {"x", "y", "z"}
    for span in entity_predictor(predictor).predict("ada lives in rome", task="places", all_scores=True):
        assert set(span["scores"]) == {"O", "person", "place"}
        assert sum(span["scores"].values()) == pytest.approx(1)


def test_aggregation_strategy_none_gives_words(predictor: Predictor) -> None:
    eager = entity_predictor(predictor)
    text = "Ada lives in old rome."
    single = eager.predict(text, task="places", aggregation_strategy="none")
    spans = eager.predict(text, task="places", aggregation_strategy="first")
    assert spans == eager.predict(text, task="places")
    assert [span["word"] for span in single] == ["Ada", "lives", "in", "old", "rome", "."]
    first_words = [span for span in single if span["entity"].startswith("B-")]
    assert [(span["entity"][2:], span["start"]) for span in first_words] == [
        (span["entity_group"], span["start"]) for span in spans
    ]
    with pytest.raises(ConfigError, match="found 'max'"):
        predictor.predict(text, task="places", aggregation_strategy="max")  # type: ignore[arg-type]


def test_labeling_of_long_texts_uses_windows_and_other_tasks_truncate(predictor: Predictor) -> None:
    """The model reads 48 tokens."""
    text = " ".join(f"ada lives in {place} ." for place in ("turin", "rome", "paris") * 20)
    eager = entity_predictor(predictor)
    long = eager.predict_all(text)
    assert long["topic"]["truncated"] is long["mood"]["truncated"] is long["kinds"]["truncated"] is True
    assert long["places"][-1]["end"] > len(text) - 10
    short = eager.predict_all(text[: text.index("paris")])
    assert not any("truncated" in short[task] for task in ("topic", "mood", "kinds"))
    pair = predictor.predict((text, "a"), task="grade")
    assert pair["truncated"] is True
    assert "truncated" not in predictor.predict(("a", "a"), task="grade")


def test_one_device_and_one_precision(trained: Trained) -> None:
    half = Predictor.from_pretrained(trained.model_dir, device="cpu", dtype=torch.bfloat16)
    assert model_of(half).dtype == torch.bfloat16
    assert half.predict("a cat", task="topic")["label"] in half.tasks["topic"].labels


ODD = st.sampled_from(
    ["👩🏽‍🚀", "é", "e\u0301", "\u200b", "\u200d", "שלום", "مرحبا", "\u202e", "ﬁ", "İ", "ß", "\xa0", "\u3000", "漢字"]
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.one_of(ODD, st.text(max_size=6), st.sampled_from(["ada", " ", ". ", "(Rome)"]))),
        min_size=50,
        max_size=50,
    )
)
def test_offsets_match_the_words_of_random_texts(predictor: Predictor, parts: list[list[str]]) -> None:
    """10,000 texts: 200 lists of 50."""
    texts = ["".join(part).encode("utf-8", "replace").decode() for part in parts]
    for text, spans in zip(texts, entity_predictor(predictor).predict(texts, task="places"), strict=True):
        for span in spans:
            assert text[span["start"] : span["end"]] == span["word"] != ""


def entity_predictor(predictor: Predictor) -> Predictor:
    """A predictor with a bias, so that it predicts many entities."""
    eager = copy.deepcopy(model_of(predictor))
    favour_entities(eager)
    return Predictor(eager, predictor.tokenizer)


def model_of(predictor: Predictor) -> MultiTaskModel:
    assert isinstance(predictor.model, MultiTaskModel)
    return predictor.model
