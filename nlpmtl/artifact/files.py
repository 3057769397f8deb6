"""The model directory: written as transformers writes models, read from a directory or the Hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.artifact.card import Facts, result_files, write_card
from nlpmtl.artifact.hub import fetch
from nlpmtl.errors import ConfigError, ModelError, NlpmtlError
from nlpmtl.model import MultiTaskModel
from nlpmtl.strict_json import dumps


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
    _unlink(directory)
    for pattern in ("*", "*/*"):  # the outer ones first: nothing beyond a link is looked at
        for path in list(directory.glob(pattern)):
            _unlink(path)
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
    _unlink(path)
    path.write_text(dumps(value, indent=2) + "\n", encoding="utf-8")


def _unlink(path: Path) -> None:
    """Remove a link from where something is to be written: what it leads to is not ours to change."""
    if path.is_symlink():
        path.unlink()


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A directory to write into, beside the place where it will stand: it is there whole, or not at all.

    Args:
        path: where it will stand, once everything in it is written.

    Raises:
        ConfigError: something stands there already, or nothing can be written there.
    """
    whole = path.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
    if whole.exists() and not (whole.is_dir() and not any(whole.iterdir())):
        raise ConfigError(f"{path}: something stands there already: write to a new directory, or remove it first")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        yield part
        part.replace(whole)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def load_model(
    name: str, *, revision: str | None = None, token: str | None = None
) -> tuple[MultiTaskModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, from a directory or a Hub id, ready to predict.

    Raises:
        ConfigError: a directory has no revisions; a token that cannot be one.
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    directory = fetch(name, revision=revision, token=token)
    try:
        options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True, "output_loading_info": True}
        loaded: Any = MultiTaskModel.from_pretrained(directory, **options)
        model: MultiTaskModel = loaded[0]
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except NlpmtlError:
        raise
    except Exception as error:  # what transformers, tokenizers and torch raise has no base of its own
        raise ModelError(f"the model {name!r} cannot be loaded: {error}") from error
    missing = loaded[1]["missing_keys"]
    if missing:  # transformers would go on with whatever numbers stand there
        raise ModelError(f"the model {name!r} lacks weights: {', '.join(sorted(missing)[:5])}")
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]
