from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch

from nlpmtl import ConfigError, ModelError, Predictor
from tests.tiny import Trained, make_rows

TEXTS = ["Ada lives in Turin.", "a cat", "", "   ", "big red lamp and old blue kettle yesterday", "É, ¿qué?", "Rome"]
SINGLE = {"topic", "mood", "places", "kinds"}


@pytest.fixture(scope="module")
def predictor(trained: Trained) -> Predictor:
    return Predictor.from_pretrained(trained.model_dir)


def numbers(value: Any) -> list[float]:
    """All numbers of a prediction, in order."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []


def names(value: Any) -> Any:
    """A prediction without its numbers."""
    if isinstance(value, dict):
        return {key: names(one) for key, one in value.items() if not isinstance(one, float)}
    return [names(one) for one in value] if isinstance(value, list) else value


def assert_alike(one: Any, two: Any) -> None:
    assert names(one) == names(two)
    assert numbers(one) == pytest.approx(numbers(two), abs=1e-5)


def test_one_text_in_one_answer_out(predictor: Predictor) -> None:
    answer = predictor.predict("a cat", task="topic")
    assert set(answer) == {"label", "score"}
    assert answer["label"] in ("animals", "things", "places")
    assert 0 < answer["score"] <= 1
    assert set(predictor.predict("a cat", task="mood")) == {"label", "score", "polarity"}
    assert isinstance(predictor.predict("a cat", task="places"), list)
    assert isinstance(predictor.predict("a cat", task="kinds"), list)
    assert set(predictor.predict(("a cat", "a dog"), task="grade")) == {"value"}


def test_a_list_in_a_list_out(predictor: Predictor) -> None:
    answers = predictor.predict(TEXTS, task="topic")
    assert [set(answer) for answer in answers] == [{"label", "score"}] * len(TEXTS)
    assert predictor.predict([], task="topic") == []
    assert predictor.predict_all([]) == []
    assert len(predictor.predict(["a cat"], task="topic")) == 1
    assert len(predictor.predict([("a", "b"), ("c", "d")], task="grade")) == 2


def test_all_tasks_that_can_read_it_answer(predictor: Predictor) -> None:
    assert set(predictor.predict_all("a cat")) == SINGLE
    assert set(predictor.predict_all(("a cat", "a dog"))) == {"grade"}
    assert [set(one) for one in predictor.predict_all(["a cat", ("a cat", "a dog"), "Rome"])] == [
        SINGLE,
        {"grade"},
        SINGLE,
    ]
    assert set(predictor.predict_all("a cat", tasks=["mood", "topic"])) == {"mood", "topic"}
    assert_alike(predictor.predict_all("a cat")["topic"], predictor.predict("a cat", task="topic"))


def test_one_pass_of_the_encoder_answers_all_tasks(predictor: Predictor) -> None:
    seen: list[int] = []
    hook = predictor.model.sharing.encoder.register_forward_hook(
        lambda module, args, kwargs, output: seen.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    predictor.predict_all(TEXTS)
    hook.remove()
    assert seen == [len(TEXTS)]


def test_a_pair_task_that_is_named_wants_a_pair(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match=r"task 'grade' reads a pair \(text, pair\), and was given a single text"):
        predictor.predict_all("a cat", tasks=["topic", "grade"])
    with pytest.raises(ConfigError, match="task 'grade' reads a pair"):
        predictor.predict("a cat", task="grade")
    with pytest.raises(ConfigError, match="task 'topic' reads a single text, and was given a pair"):
        predictor.predict(("a cat", "a dog"), task="topic")
    with pytest.raises(ConfigError, match="task 'grade' reads a pair"):
        predictor.predict([("a cat", "a dog"), "a cat"], task="grade")


def test_an_unknown_task_names_the_nearest(predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="no task 'topics'; did you mean 'topic'"):
        predictor.predict("a cat", task="topics")
    with pytest.raises(ConfigError, match="no task 'zzz'; known: grade, kinds, mood, places, topic"):
        predictor.predict_all("a cat", tasks=["zzz"])


def test_order_and_company_change_nothing(predictor: Predictor, trained: Trained) -> None:
    texts = TEXTS + [row["text"] for row in make_rows(20, seed=3)]
    together = predictor.predict_all(texts)
    for text, answer in zip(texts, together, strict=True):
        assert_alike(predictor.predict_all(text), answer)
    assert_alike(predictor.predict_all(texts[::-1])[::-1], together)
    small = Predictor(predictor.model, predictor.tokenizer, tokens=10)
    assert_alike(small.predict_all(texts), together)
    pairs = [(text, other) for text, other in zip(texts, texts[::-1], strict=True)]
    mixed = predictor.predict_all([one for both in zip(texts, pairs, strict=True) for one in both])
    assert_alike(mixed[::2], together)
    assert_alike([answer["grade"] for answer in mixed[1::2]], predictor.predict(pairs, task="grade"))


def test_the_order_of_a_pair_matters(predictor: Predictor) -> None:
    one = predictor.predict(("a cat sings", "rome"), task="grade")
    two = predictor.predict(("rome", "a cat sings"), task="grade")
    assert one["value"] != two["value"]


def test_offsets_give_back_the_word(predictor: Predictor) -> None:
    texts = [*TEXTS, "  Ada   (Turin), \tRome\n\nParis…", "“Ada” lives—Turin!", "ada " * 100]
    texts += [row["text"] for row in make_rows(30, seed=8)]
    eager = copy.deepcopy(predictor.model)
    with torch.no_grad():
        bias = eager.head("places").get_submodule("out").get_parameter("bias")
        bias[0] -= 10  # of O: so that it sees entities everywhere
    spans = 0
    for text, found in zip(texts, Predictor(eager, predictor.tokenizer).predict(texts, task="places"), strict=True):
        last = 0
        for span in found:
            assert set(span) == {"entity_group", "score", "word", "start", "end"}
            assert text[span["start"] : span["end"]] == span["word"] != ""
            assert last <= span["start"] < span["end"] <= len(text)
            assert span["entity_group"] in ("person", "place")
            assert 0 < span["score"] <= 1
            last = span["end"]
            spans += 1
    assert spans > 10, "a model that finds nothing would show nothing"


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\n", "\x00", "🙂"])
def test_texts_of_nothing_have_answers(predictor: Predictor, text: str) -> None:
    answer = predictor.predict_all(text)
    assert set(answer) == SINGLE
    assert predictor.predict((text, text), task="grade")["value"] == pytest.approx(0, abs=1e3)


def test_a_very_long_text_is_cut(predictor: Predictor) -> None:
    text = "ada " * 5000
    answer = predictor.predict_all(text)
    assert set(answer) == SINGLE
    assert all(span["end"] <= 48 * 4 for span in answer["places"])
    long, cut = "ada " * 200, "ada " * 60
    assert_alike(predictor.predict((long, long), task="grade"), predictor.predict((cut, cut), task="grade"))
    assert_alike(predictor.predict(text, task="topic"), predictor.predict(text[:400], task="topic"))


def test_predictions_are_plain_json(predictor: Predictor) -> None:
    answers = predictor.predict_all([*TEXTS, ("a cat", "a dog")])
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers


def test_the_tasks_of_a_model(predictor: Predictor) -> None:
    assert set(predictor.tasks) == SINGLE | {"grade"}
    assert predictor.tasks["mood"].labels == ("negative", "neutral", "positive")


def test_what_is_no_model_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ModelError):
        Predictor.from_pretrained(tmp_path)
