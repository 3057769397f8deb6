"""A tiny encoder (two random BERT layers and a word-list tokenizer), rows, runs and helpers for tests."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import nlpmtl
from nlpmtl.model import MultiTaskModel
from nlpmtl.run import TrainResult, iter_train, load_config
from nlpmtl.training import EvaluationDone

WORDS = (  # noqa: SIM905
    "a an the and or not is was are good bad fine great awful film story book lamp kettle ada lives in turin rome "
    "paris red blue green big small old new cat dog bird sings runs sleeps yesterday today monday one two three"
).split()


def write_tokenizer(directory: Path, *, longest: int | None = 128) -> PreTrainedTokenizerFast:
    """Write a tokenizer of words and letters, with a maximum length if given."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = [*special, *WORDS, *(w for w in letters if w not in WORDS), *(f"##{c}" for c in letters), *".,;:!?'-"]
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=30))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=longest,
    )
    fast.save_pretrained(directory)
    return fast


def write_encoder(directory: Path, *, seed: int = 0, dropout: float = 0.1, layers: int = 2) -> Path:
    """Write config, weights and tokenizer; the same seed gives the same weights."""
    config = BertConfig(
        vocab_size=len(write_tokenizer(directory)),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=128,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config).save_pretrained(directory)
    return directory


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows of words with labels for the five task types of `make_run`; every fifth row lacks one label."""
    source = random.Random(seed)
    rows = []
    for i in range(count):
        words = [source.choice(WORDS) for _ in range(source.randint(2, 12))]
        tags = ["B-place" if w in ("turin", "rome", "paris") else "B-person" if w == "ada" else "O" for w in words]
        row: dict[str, Any] = {
            "tokens": words,
            "text": " ".join(words),
            "other": " ".join(reversed(words)),
            "topic": source.choice(["animals", "things", "places"]),
            "mood": source.choice(["negative", "neutral", "positive"]),
            "grade": round(source.uniform(0, 5), 2),
            "kinds": sorted(source.sample(["x", "y", "z"], source.randint(0, 3))),
            "tags": tags,
        }
        if i % 5 == 0:
            row[source.choice(["topic", "mood", "grade", "kinds", "tags"])] = None
        rows.append(row)
    return rows


def make_run(directory: Path, *, rows: int = 60, dropout: float = 0.1, **tables: Any) -> dict[str, Any]:
    """Return a run of five task types over three datasets (words with three tasks, pairs, texts), as a dict.

    The types are classification, sentiment, labeling, regression and multilabel.
    Writes files and encoder to the directory; `tables` replace whole tables of the run.
    """
    encoder = write_encoder(directory / "encoder", dropout=dropout)
    sizes = {"words": rows, "pairs": rows // 2, "texts": rows // 3}
    files = {
        name: {
            split: str(write_rows(directory / "data" / name / f"{split}.jsonl", make_rows(n, seed=len(name) + n)))
            for split, n in (("train", size), ("validation", 12))
        }
        for name, size in sizes.items()
    }
    moods = ["negative", "neutral", "positive"]
    return {
        "seed": 5,
        "output": str(directory / "out"),
        "encoder": {"name": str(encoder), "max_length": 48},
        "datasets": {
            "words": {
                "data": {"files": files["words"]},
                "input": {"words": "tokens"},
                "tasks": {
                    "topic": {"kind": "classification", "label": "topic"},
                    "mood": {"kind": "sentiment", "label": "mood", "labels": moods},
                    "places": {"kind": "labeling", "label": "tags", "labels": ["O", "B-person", "B-place", "I-place"]},
                },
            },
            "pairs": {
                "data": {"files": files["pairs"]},
                "input": {"text": "text", "pair": "other"},
                "tasks": {"grade": {"kind": "regression", "label": "grade"}},
            },
            "texts": {
                "data": {"files": files["texts"]},
                "input": {"text": "text"},
                "tasks": {"kinds": {"kind": "multilabel", "label": "kinds"}},
            },
        },
        "train": {"steps": 8, "batch_size": 8, "lr": 1e-4, "save_every": 4},
        "eval": {"every": 4},
        **tables,
    }


@dataclass(frozen=True)
class Trained:
    """A finished run: its config as a dict, its output directory, and the result of `train`."""

    run: dict[str, Any]
    output: Path
    result: TrainResult

    @property
    def model_dir(self) -> Path:
        return self.result.model_dir


def train_tiny(run: dict[str, Any], output: Path | None = None, **options: Any) -> Trained:
    """Train a run in this process."""
    output = output or Path(run["output"])
    return Trained(run, output, nlpmtl.train(run, output=output, **options))


def interrupt(run: dict[str, Any], output: Path, *, step: int, resume: bool = False) -> None:
    """Interrupt a run after a step was evaluated and before it is saved."""
    events = iter_train(load_config(run), output=output, resume=resume)
    for event in events:
        if isinstance(event, EvaluationDone) and event.step == step:
            break
    events.close()  # type: ignore[attr-defined]


def checkpoint(output: Path, step: int) -> Path:
    """Return the directory of a checkpoint."""
    return output / "checkpoints" / f"step-{step:06d}"


def weights(directory: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a model directory or a checkpoint."""
    return load_file(directory / "model.safetensors")


def max_weight_difference(first: Path, second: Path) -> float:
    """Return the largest difference between the weights of two directories."""
    first_weights, second_weights = weights(first), weights(second)
    assert first_weights.keys() == second_weights.keys()
    return max(float((first_weights[name] - second_weights[name]).abs().max()) for name in first_weights)


def digest(directory: Path, name: str = "model.safetensors") -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256((directory / name).read_bytes()).hexdigest()


def metrics(output: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl."""
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def read_json(path: Path) -> Any:
    """Return the value of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def numbers(value: Any) -> list[float]:
    """Return all numbers of a prediction, in order."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in numbers(value[key])]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


def without_numbers(value: Any) -> Any:
    """Return a prediction without its scores."""
    if isinstance(value, dict):
        return {key: without_numbers(item) for key, item in value.items() if not isinstance(item, float)}
    return [without_numbers(item) for item in value] if isinstance(value, list) else value


def favour_entities(model: MultiTaskModel, *, task: str = "places") -> None:
    """Lower the bias of label O, the first one, so that a labeling predicts many entities."""
    with torch.no_grad():
        model.head(task).get_submodule("out").get_parameter("bias")[0] -= 10


def break_tokenizer(directory: Path) -> Path:
    """Write a normalizer that panics on non-ASCII characters (its character map is all zeros); return the directory."""
    path = directory / "tokenizer.json"
    tokenizer = read_json(path)
    zeros = (512).to_bytes(4, "little") + bytes(512)
    tokenizer["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(zeros).decode()}
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    return directory
