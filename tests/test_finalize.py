"""Model card, scores and plots in the model directory of a finished run."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from huggingface_hub import ModelCard, ModelCardData
from tokenizers import Tokenizer

import nlpmtl
from nlpmtl.batched_inference import Inference
from nlpmtl.config import plain_config
from nlpmtl.finalize import _card_dataset
from nlpmtl.run import load_config
from nlpmtl.task_datasets import load_task_datasets
from tests.tiny import Trained, make_run, read_json, train_tiny, weights, write_tokenizer

pytestmark = pytest.mark.usefixtures("drawn_plots")

TASKS = ("topic", "mood", "places", "grade", "kinds")
SHORT = {"steps": 4, "batch_size": 6, "lr": 1e-3, "save_every": 4, "precision": "fp32"}


@pytest.fixture(scope="module")
def card(trained: Trained) -> ModelCard:
    return ModelCard((trained.model_dir / "README.md").read_text(encoding="utf-8"))


def test_figures_of_the_card_equal_scores_json(trained: Trained, card: ModelCard) -> None:
    assert isinstance(card.data, ModelCardData)
    results = {result.metric_name: result.metric_value for result in card.data.eval_results or ()}
    scores = read_json(trained.model_dir / "scores.json")
    expected = {
        f"{task}: {metric}": value
        for task, values in scores["tasks"].items()
        for metric, value in values.items()
        if metric not in ("score", "rows", "pearson_spearman", "micro_macro_f1", "accuracy_macro_f1")
        if value is not None
    }
    assert results == expected, "the means of metrics that are listed too are not in the metadata"
    for task, values in scores["tasks"].items():
        for metric, value in values.items():
            if metric not in ("score", "rows"):
                formatted = "undefined" if value is None else f"{value:.4f}"
                line = next(
                    result for result in card.text.splitlines() if result.startswith(f"| `{task}` | `{metric}` |")
                )
                assert formatted in line
                assert f"| {values['rows']} |" in line
    assert f"the best of {60 // 20} evaluations" in card.text


def test_scored_predictions_are_returned_with_the_result(trained: Trained) -> None:
    assert trained.result.scores is not None
    assert set(trained.result.predictions) == set(TASKS)
    for task, predictions in trained.result.predictions.items():
        assert len(predictions.predicted) == len(predictions.gold) == trained.result.scores[task]["rows"]
    topic = trained.result.predictions["topic"]
    right = sum(prediction == gold for prediction, gold in zip(topic.predicted, topic.gold, strict=True))
    assert right / len(topic.gold) == trained.result.scores["topic"]["accuracy"]


def test_the_report_has_the_scores_and_all_wrong_rows(trained: Trained) -> None:
    assert trained.result.scores is not None
    report = (trained.output / "report.html").read_text(encoding="utf-8")
    for task, predictions in trained.result.predictions.items():
        section = report.split(f'<section id="task-{task}">')[1].split("</section>")[0]
        wrong = sum(
            sorted(value) != sorted(gold) if task == "kinds" else value != gold
            for value, gold in zip(predictions.predicted, predictions.gold, strict=True)
        )
        assert f"{wrong} of {trained.result.scores[task]['rows']} rows differ" in section
        assert section.count('<td class="text"') == wrong
        assert section.count("data:image/png;base64,") == 1, "fewer than 20 rows have no reliability diagram"
        for metric, value in trained.result.scores[task].items():
            if metric not in ("score", "rows"):
                row = report.split(f'<td class="name">{metric}</td>')
                assert any(f"{value:.4f}" in part or value is None for part in row)
    assert str(trained.output.parent) not in report
    assert len(report) < 1_000_000


def test_a_run_without_validation_has_a_report_with_its_curves(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20, train=SHORT)
    texts = run["datasets"]["texts"]
    texts["data"]["files"] = {"train": texts["data"]["files"]["train"]}
    run["datasets"], run["eval"] = {"texts": texts}, {}
    train_tiny(run)
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not evaluated" in report
    assert report.count("data:image/png;base64,") == 1


def test_a_card_contains_no_local_path(trained: Trained, card: ModelCard) -> None:
    assert str(trained.output.parent) not in str(card)
    assert "A text encoder (`encoder`) with 5 heads" in card.text
    assert card.data.to_dict().get("base_model") is None, "a directory is not a Hub id"


def test_every_plot_exists_and_is_linked(trained: Trained, card: ModelCard) -> None:
    names = ["images/learning-curve.png", *(f"images/answers-{task}.png" for task in TASKS)]
    assert {path.name for path in (trained.model_dir / "images").iterdir()} == {Path(name).name for name in names}
    for name in names:
        assert card.text.count(f"]({name})") == 1
        png = (trained.model_dir / name).read_bytes()
        assert len(png) < 150_000
        assert matplotlib.image.imread(BytesIO(png)).ndim == 3


def test_the_example_of_the_card_loads_the_model(
    trained: Trained, card: ModelCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the code block under "Usage" in the directory of the card."""
    monkeypatch.chdir(trained.model_dir)
    block = card.text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(block, names)
    assert set(names["model"].predict_all("ada lives in turin")) == set(TASKS) - {"grade"}


def test_other_files_in_the_model_directory_are_ignored(trained: Trained) -> None:
    model = nlpmtl.MultiTaskModel.from_pretrained(trained.model_dir)
    assert model.state_dict().keys() == weights(trained.model_dir).keys()


def test_licences_and_limits_are_in_the_card(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20, train=SHORT)
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    run["datasets"]["texts"]["data"]["license"] = "cc-by-4.0"
    run["datasets"]["texts"]["limit"] = {"train": 5, "validation": 50}
    text = (train_tiny(run).model_dir / "README.md").read_text(encoding="utf-8")
    assert "| `texts` | local files | cc-by-4.0 | 5 (subsampled) | 12 | `kinds` |" in text
    assert not (tmp_path / "out" / "model" / ".eval_results").exists(), "the rows are not from the Hub"


def test_skipped_rows_are_in_the_card_data(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=20, train=SHORT)
    run["datasets"] = {"texts": run["datasets"]["texts"]}
    data = run["datasets"]["texts"]["data"]
    data["on_bad_row"] = "skip"
    with Path(data["files"]["validation"]).open("a", encoding="utf-8") as file:
        file.write('{"text": 3}\n')
    config = load_config(run)
    datasets = load_task_datasets(config.datasets, tokenizer=write_tokenizer(tmp_path / "tokenizer"), max_length=16)
    dataset = _card_dataset("texts", plain_config(config, output=tmp_path)["datasets"]["texts"], datasets.splits)
    assert dataset.skipped == {"train": 0, "validation": 1}
    assert dataset.is_complete("train")
    assert not dataset.is_complete("validation")


@pytest.mark.parametrize("limits", [False, True])
@pytest.mark.slow
def test_the_model_directory_does_not_depend_on_the_cache(
    limits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that tokenises and one that finds its rows in the cache write the same bytes."""
    run = make_run(tmp_path, rows=20, train=SHORT)
    if limits:  # as in the tokenizer.json of many checkpoints
        path = tmp_path / "encoder" / "tokenizer.json"
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.enable_truncation(max_length=5)
        tokenizer.enable_padding(length=7, pad_token="[PAD]")
        tokenizer.save(str(path))
    monkeypatch.setenv("NLPMTL_CACHE", str(tmp_path / "cache"))
    cold, warm = (train_tiny(run, tmp_path / name / "out").model_dir for name in ("cold", "warm"))
    files = {path.relative_to(cold): path.read_bytes() for path in cold.rglob("*") if path.is_file()}
    again = {path.relative_to(warm): path.read_bytes() for path in warm.rglob("*") if path.is_file()}
    assert files.keys() == again.keys()
    assert (cold.parent / "report.html").read_bytes() == (warm.parent / "report.html").read_bytes()
    assert [path for path, content in files.items() if content != again[path]] == []
    saved = read_json(cold / "tokenizer.json")
    assert (saved["truncation"], saved["padding"]) == (None, None)


def test_saving_again_writes_the_original_tokenizer_settings(trained: Trained, tmp_path: Path) -> None:
    predictor = nlpmtl.Predictor.from_pretrained(trained.model_dir)
    predictor.tokenizer(["a cat"], truncation=True, max_length=4, padding="max_length")
    predictor.export(tmp_path / "stock", task="topic")
    saved = read_json(tmp_path / "stock" / "tokenizer.json")
    assert saved == read_json(trained.model_dir / "tokenizer.json")


def test_finalizing_a_run_recomputes_no_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one evaluation, each validation dataset is predicted once; the scores are those of the saved model."""
    passes: list[int] = []
    run_inference = Inference.run

    def counted(self: Inference, encoded: Any, **options: Any) -> Any:
        passes.append(len(encoded))
        return run_inference(self, encoded, **options)

    monkeypatch.setattr(Inference, "run", counted)
    run = make_run(tmp_path, rows=40, train={"steps": 3, "batch_size": 4, "precision": "fp32"}, eval={"every": 3})
    nlpmtl.train(run)
    assert len(passes) == 3
    output = Path(run["output"])
    monkeypatch.undo()
    again = nlpmtl.evaluate(output / "model", run)
    for task, values in json.loads((output / "scores.json").read_text())["tasks"].items():
        # After three steps the numbers are nearly equal, and their correlation amplifies rounding a hundredfold.
        assert values == pytest.approx(again.tasks[task], abs=1e-4 if task == "grade" else 1e-6)
