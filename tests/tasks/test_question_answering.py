"""Question answering: targets per window, loss and logits of transformers, decoding, calibration, reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from nlpmtl import ConfigError, DataError
from nlpmtl.data import Collator, ComputedLabels, Example, Input, TokenSequence, tokenize_windows
from nlpmtl.data_checks import check_datasets
from nlpmtl.evaluation import Predictions
from nlpmtl.model import batch_losses
from nlpmtl.preflight import check
from nlpmtl.run import load_config
from nlpmtl.task_datasets import TaskDatasets, load_task_datasets
from nlpmtl.tasks import Confusion, ExampleOutputs, Prediction, QuestionAnswering, task_from_config
from nlpmtl.tasks.question_answering import WindowScores, best_span
from tests.architectures import write_architecture
from tests.export.test_transformers_model import assemble
from tests.tiny import WORDS, write_encoder
from tests.tiny_tokenizers import TOKENIZERS

SPEC: dict[str, Any] = {"kind": "question_answering", "labels": [], "metrics": None, "input": "pair"}
CONTEXT = "Ada lives in Turin. É, the old dog sleeps in Rome, and ada sings."
QUICK = settings(deadline=None, max_examples=60)


def make(**fields: Any) -> QuestionAnswering:
    task = task_from_config("qa", {**SPEC, **fields})
    assert isinstance(task, QuestionAnswering)
    return task


def run_of(directory: Path, rows: Sequence[dict[str, Any]], *, max_length: int = 16, **task: Any) -> dict[str, Any]:
    dataset = {
        "data": {"files": {"train": list(rows), "validation": list(rows)}},
        "input": {"text": "question", "pair": "context"},
        "tasks": {"qa": {"kind": "question_answering", "label": "answers", **task}},
    }
    encoder = {"name": str(write_encoder(directory / "encoder")), "max_length": max_length}
    return {"output": str(directory / "run"), "encoder": encoder, "datasets": {"answers": dataset}}


def load(run: dict[str, Any]) -> TaskDatasets:
    config = load_config(run)
    tokenizer = AutoTokenizer.from_pretrained(config.encoder.name)
    return load_task_datasets(config.datasets, tokenizer=tokenizer, max_length=config.encoder.max_length)


def row(context: str, *answers: str, question: str = "where is ada") -> dict[str, Any]:
    starts = [context.index(answer) for answer in answers]
    return {"question": question, "context": context, "answers": {"text": list(answers), "answer_start": starts}}


LONG = row("the cat sleeps in rome . " * 4 + "ada lives in turin today . " + "the dog runs . " * 3, "in turin today")


# --- Data ----------------------------------------------------------------------------------------------------------


def test_targets_of_each_window(tmp_path: Path) -> None:
    loaded = load(run_of(tmp_path, [LONG, row("a cat", "cat"), row("a cat")]))
    labels, split = loaded.splits["train"]["answers"].labels["qa"], loaded.splits["train"]["answers"]
    assert isinstance(labels, ComputedLabels)
    windows = split.sequences_of("qa")
    assert labels.counts.tolist() == [len(windows[i]) for i in range(3)]
    assert labels.counts.tolist()[1:] == [1, 1]
    tokenizer = loaded.tasks["qa"].tokenizer
    question = ["[CLS]", *tokenizer.tokenize("where is ada"), "[SEP]"]
    for i, answer in enumerate(["in turin today", "cat", None]):
        targets = labels.example_targets(i)
        texts = []
        for sequence, (first, last) in zip(split.tokens.sequences(windows[i]), targets.sequence["places"], strict=True):
            tokens = tokenizer.convert_ids_to_tokens(sequence.ids.tolist())
            assert tokens[: len(question)] == question
            texts.append(" ".join(tokens[first : last + 1]))
            contained = answer is not None and answer in " ".join(tokens)
            assert texts[-1] == (answer if contained else "[CLS]")
        assert (answer in texts) is (answer is not None)
    assert not loaded.notes


def test_answers_inside_tokens_and_between_windows_are_reported(tmp_path: Path) -> None:
    inside = {"question": "where", "context": "ada lives in turin", "answers": [{"start": 14, "end": 18}]}
    too_long = row("the cat sleeps in rome . " * 4, ("the cat sleeps in rome . " * 4).strip())
    loaded = load(run_of(tmp_path, [inside, inside, too_long, LONG]))
    assert loaded.notes == (
        "answers, train: task 'qa': 2 answers begin or end inside a token: the task is trained on the tokens around "
        "them",
        "answers, train: task 'qa': 1 rows have an answer that is in no window as a whole, and are not trained on: "
        "increase encoder.max_length or `stride`",
    )
    counts = loaded.splits["train"]["answers"].labels["qa"].counts
    assert counts[2] == 0
    assert counts[0] == 1
    rows = [{**value, "w": weight} for weight, value in enumerate([LONG, LONG, too_long])]
    weighted = load(run_of(tmp_path, rows, weight="w"))
    assert [note for note in weighted.notes if "1 rows have an answer that is in no window" in note], (
        "not the other row"
    )
    for example, weight, reason in [
        (too_long, 1, "1 rows have an answer that is in no window"),
        (LONG, 0, "the weight 0"),
    ]:
        with pytest.raises(ConfigError, match=rf"no labelled train row in .* is trained on: .*{reason}"):
            load(run_of(tmp_path, [{**example, "w": weight}], weight="w"))
    report = check(run_of(tmp_path, [inside, inside, too_long, LONG] * 3))
    assert any("6 answers begin or end inside a token" in note for note in report.notes)
    (baseline,) = [baseline for baseline in report.data.baselines if baseline.metric == "exact_match"]
    assert baseline.values == {"no answer": 0.0}


def test_null_is_unlabelled_and_an_empty_list_is_no_answer(tmp_path: Path) -> None:
    values: list[Any] = ["null", [], {"text": [], "answer_start": []}, LONG["answers"]]
    rows = [{**LONG, "answers": answers} for answers in values]
    loaded = load(run_of(tmp_path, rows))
    split = loaded.splits["train"]["answers"]
    labels = split.labels["qa"]
    assert labels.labelled.tolist() == [False, True, True, True]
    assert [loaded.tasks["qa"].gold(split.example(i, "qa")) for i in range(4)] == [None, [], [], ["in turin today"]]


def test_a_wrong_answer_start_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    wrong = {**LONG, "answers": {"text": ["turin"], "answer_start": [3]}}
    path.write_text("".join(json.dumps(value) + "\n" for value in (LONG, wrong)), encoding="utf-8")
    run = run_of(tmp_path, [])
    run["datasets"]["answers"]["data"]["files"] = {"train": str(path)}
    with pytest.raises(DataError, match=r"train\.jsonl:2: answers: the answer 'turin' is not at answer_start = 3"):
        load(run)
    run["datasets"]["answers"]["data"]["on_bad_row"] = "skip"
    assert len(load(run).splits["train"]["answers"]) == 1


def test_options(tmp_path: Path) -> None:
    run = run_of(tmp_path, [LONG])
    with pytest.raises(ConfigError, match=r"task 'qa': `stride`: windows of .* 16 tokens can share at most 8, found 9"):
        load_config(run_of(tmp_path, [LONG], stride=9))
    with pytest.raises(ConfigError, match="question answering has no `labels`"):
        load_config(run_of(tmp_path, [LONG], labels=["a", "b"]))
    del run["datasets"]["answers"]["input"]["pair"]
    with pytest.raises(ConfigError, match='the input of question_answering must be `text = "…"` and `pair = "…"`'):
        check_datasets(load_config(run).datasets)
    counts = [
        load(run_of(tmp_path, [LONG], **stride)).splits["train"]["answers"].labels["qa"].counts[0]
        for stride in ({"stride": 0}, {"stride": 2}, {}, {"stride": 8})
    ]
    assert counts[0] < counts[1] < counts[2] == counts[3], "a stride of 8 is at most half of the window, 5"


# --- Loss and logits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", "distilbert", "modernbert"])
def test_the_loss_and_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    """Rows without padding: transformers does not mask it."""
    predictor = assemble(write_architecture(name, tmp_path / "encoder"), {"qa": SPEC})
    predictor.export(tmp_path / "stock", task="qa")
    stock = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "stock").eval()
    rows = [row("ada lives in turin", "turin"), row("a cat sings today .", "cat sings"), row("the dog")]
    run = run_of(tmp_path, rows, max_length=24)
    run["encoder"]["name"] = str(tmp_path / "encoder")
    loaded = load(run)
    split = loaded.splits["train"]["answers"]
    types = "token_type_ids" in predictor.tokenizer.model_input_names
    collate = Collator([split], pad=predictor.tokenizer.pad_token_id or 0, types=types)
    losses = []
    for i in range(len(rows)):
        batch = collate([(0, i)])
        places = batch.tasks["qa"].targets["places"]
        with torch.no_grad():
            outputs = stock(**batch.inputs, start_positions=places[:, 0], end_positions=places[:, 1])
            logits = predictor.model(**batch.inputs)["qa"]  # type: ignore[operator]
            loss = batch_losses(predictor.model, batch, {"qa": loaded.tasks["qa"]})["qa"].loss  # type: ignore[arg-type]
        assert torch.allclose(torch.stack([outputs.start_logits, outputs.end_logits], -1), logits, atol=1e-5)
        assert float(loss) == pytest.approx(float(outputs.loss), abs=1e-5)
        losses.append(float(loss))
    with torch.no_grad():
        together = batch_losses(predictor.model, collate([(0, 0), (0, 1), (0, 2)]), {"qa": loaded.tasks["qa"]})  # type: ignore[arg-type]
    assert float(together["qa"].loss) == pytest.approx(sum(losses), abs=1e-4), "padding changes nothing"


# --- Decoding ------------------------------------------------------------------------------------------------------


def items_of(
    name: str, question: str, context: str, *, seed: int, max_length: int = 24, scale: float = 3.0
) -> ExampleOutputs:
    windows = tokenize_windows(TOKENIZERS[name](), [question], pairs=[context], max_length=max_length, offsets=True)
    sequences = [windows.pieces.sequence(i) for i in range(len(windows.text))]
    source = np.random.default_rng(seed)
    logits = [source.normal(0, scale, (len(sequence.ids), 2)).astype(np.float32) for sequence in sequences]
    return ExampleOutputs(Example(Input(question, context)), sequences, {"logits": logits})


def spans_by_brute_force(item: ExampleOutputs) -> list[tuple[float, str]]:
    """Return the score and the text of every span of context tokens in every window."""
    context, spans = item.example.pair or "", []
    for sequence, logits in zip(item.sequences, item.outputs["logits"], strict=True):
        assert sequence.offsets is not None
        offsets, values = sequence.offsets.tolist(), logits.astype(np.float64)
        usable = [i for i, (a, b) in enumerate(offsets) if a >= 0 and context[a:b].strip()]
        for i in usable:
            for j in usable:
                if i <= j:
                    score = values[i, 0] + values[j, 1] - values[0, 0] - values[0, 1]
                    spans.append((float(score), context[offsets[i][0] : offsets[j][1]].strip()))
    return spans


@QUICK
@given(
    name=st.sampled_from(sorted(TOKENIZERS)),
    context=st.lists(st.sampled_from([*WORDS, "É,", "  ", "\u200b", "𝄞 d'"]), max_size=25).map(" ".join),
    seed=st.integers(0, 10_000),
)
def test_the_best_span_is_that_of_brute_force(name: str, context: str, seed: int) -> None:
    task, item = make(), items_of(name, "where is ada", context, seed=seed)
    spans = spans_by_brute_force(item)
    (prediction,) = task.decode([item])
    formatted = task.format(prediction, item.example)
    assert formatted["answer"] == prediction.value == context[formatted["start"] : formatted["end"]]
    assert 0.0 <= formatted["score"] <= 1.0
    best, text = max(spans, default=(-np.inf, ""))
    assert prediction.value == (text if best > 0 else "")
    if not prediction.value:
        assert (formatted["start"], formatted["end"]) == (0, 0)
    json.dumps(formatted, allow_nan=False)


@QUICK
@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=12))
def test_the_best_span_with_ties(scores: list[tuple[int, int]]) -> None:
    """Of equal spans the first one is chosen."""
    start, end = np.array(scores, dtype=np.float64).T
    spans = [(start[i] + end[j], -i, -j) for i in range(len(start)) for j in range(i, len(start))]
    score, i, j = max(spans)
    assert best_span(start, end) == (score, -i, -j)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_probabilities_sum_to_1(temperature: float) -> None:
    item = items_of("token", "where is ada", "a cat sings in the old lamp", seed=3, max_length=48)
    spans = np.array([score for score, _ in spans_by_brute_force(item)])
    for threshold in (spans.max() - 1.5, spans.max() + 1.5):
        odds = np.exp((spans - threshold) / temperature)
        expected = max(odds.max(), 1) / (1 + odds.sum())
        task = make(temperature=temperature, threshold=float(threshold))
        assert task.decode([item])[0].score == pytest.approx(expected)


def test_windows_are_compared_relative_to_no_answer() -> None:
    """The raw scores of the second window are higher, but there no answer is more probable than any span."""
    sequences = [TokenSequence(np.arange(3), offsets=np.array([[-1, -1], [a, a + 1], [-1, -1]])) for a in (0, 2)]
    logits = [np.array([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]), np.array([[9.0, 9.0], [8.0, 8.0], [0.0, 0.0]])]
    item = ExampleOutputs(Example(Input("?", "a b")), sequences, {"logits": logits})
    (prediction,) = make().decode([item])
    assert (prediction.value, prediction.extra) == ("a", (0, 1))
    assert make(threshold=4.5).decode([item])[0].value == ""


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e4, 1e30])
def test_large_logits_have_finite_scores(scale: float) -> None:
    item = items_of("token", "where", CONTEXT, seed=1, scale=scale)
    json.dumps(make().format(make().decode([item])[0], item.example), allow_nan=False)


def test_the_odds_of_an_answer_in_linear_time() -> None:
    start, end = np.random.default_rng(0).normal(size=(2, 7))
    expected = np.log(sum(np.exp((start[i] + end[j] - 0.3) / 1.5) for i in range(7) for j in range(i, 7)))
    odds = WindowScores(start, end, np.zeros((7, 2))).answer_odds(0.3, 1.5)  # type: ignore[arg-type]
    assert odds == pytest.approx(expected)


# --- Calibration and reports ---------------------------------------------------------------------------------------


def calibration_items(count: int) -> tuple[list[ExampleOutputs], list[list[str]]]:
    """Return rows whose best span is right if its score is above 2, and of which the others have no answer."""
    items, gold = [], []
    source = np.random.default_rng(0)
    for _ in range(count):
        score = float(source.uniform(0, 4))
        logits = np.array([[0.0, 0.0], [score, 0.0], [0.0, -9.0]])
        sequence = TokenSequence(np.arange(3), offsets=np.array([[-1, -1], [0, 3], [-1, -1]]))
        items.append(ExampleOutputs(Example(Input("who", "ada")), [sequence], {"logits": [logits]}))
        gold.append(["Ada"] if score > 2 else [])
    return items, gold


def test_calibration_fits_the_threshold_and_the_temperature() -> None:
    task = make()
    items, gold = calibration_items(200)
    assert task.score([p.value for p in task.decode(items)], gold)["score"] == pytest.approx(0.5, abs=0.15)
    task.calibrate(items, gold)
    assert task.threshold == pytest.approx(2.0, abs=0.05)
    predictions = task.decode(items)
    assert task.score([p.value for p in predictions], gold)["exact_match"] == 1.0
    assert task.temperature < 0.3, "all predictions are right"
    saved = task.to_config()
    assert (saved["threshold"], saved["temperature"]) == (task.threshold, task.temperature)
    again = task_from_config("qa", json.loads(json.dumps(saved)))
    assert again.decode(items) == predictions
    earlier = make(threshold=3.0)
    task.continue_from(earlier)
    assert task.threshold == pytest.approx(2.0, abs=0.05), "a continued run starts with its own default"


def test_calibration_keeps_the_threshold_if_none_is_better() -> None:
    items, _ = calibration_items(60)
    task = make()
    task.calibrate(items, [["ada"]] * 60)
    assert task.threshold == 0.0


def test_reports() -> None:
    task = make()
    values, gold = ["ada", "", "turin", "x", ""], [["Ada"], ["Ada"], ["rome", "turin"], [], []]
    confusion = task.error_analysis(values, gold)
    assert isinstance(confusion, Confusion)
    assert confusion.labels == ("answer", "wrong answer", "no answer")
    assert np.array_equal(confusion.counts, [[2, 0, 1], [0, 0, 0], [0, 1, 1]])
    example = Example(Input("who", "ada"))
    assert task.row_error(Prediction("ada", 0.9), ["Ada!"], example) is None
    error = task.row_error(Prediction("", 0.9), ["Ada", "Bo"], example)
    assert error is not None
    assert (error.gold, error.predicted, error.confidence) == ("Ada | Bo", "(no answer)", 0.9)
    predictions = Predictions([], values, gold)
    again = Predictions.from_json(json.loads(json.dumps(predictions.to_json())))
    assert (again.predicted, again.gold) == (values, gold)
