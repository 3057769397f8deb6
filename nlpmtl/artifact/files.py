"""The model directory: written as transformers writes models, read from a directory or the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.artifact.card import Facts, result_files, write_card
from nlpmtl.errors import ModelError
from nlpmtl.model import MultiTaskModel


def save_model(
    directory: Path,
    *,
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Facts,
    pictures: Mapping[str, bytes],
) -> None:
    """Write a model directory: config, weights, tokenizer, card, scores, the Hub's files of results, and pictures.

    Args:
        directory: it need not be there.
        model: the model.
        tokenizer: its tokenizer.
        facts: what the card tells, the paths of the pictures among it.
        pictures: path = PNG.
    """
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    (directory / "README.md").write_text(write_card(facts), encoding="utf-8")
    if facts.scores is not None:
        write_json(directory / "scores.json", facts.scores)
    results = {f".eval_results/{name}": text.encode() for name, text in result_files(facts).items()}
    for name, content in {**results, **pictures}.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file of JSON for people and programs, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def load_model(name: str) -> tuple[MultiTaskModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, from a directory or a Hub id, ready to predict.

    Raises:
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    try:
        loaded: Any = MultiTaskModel.from_pretrained(name, trust_remote_code=False, output_loading_info=True)
        model: MultiTaskModel = loaded[0]
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"the model {name!r} cannot be loaded: {error}") from error
    missing = loaded[1]["missing_keys"]
    if missing:  # transformers would go on with whatever numbers stand there
        raise ModelError(f"the model {name!r} lacks weights: {', '.join(sorted(missing)[:5])}")
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]
