"""The model directory: written as transformers writes models, read from a directory or the Hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedTokenizerBase

from nlpmtl import fs
from nlpmtl.card import CardData, eval_result_files, write_card
from nlpmtl.config import check_new_directory
from nlpmtl.data import without_truncation
from nlpmtl.errors import ConfigError, ModelError, NlpmtlError
from nlpmtl.fs import apply_umask, link_or_copy
from nlpmtl.hub.model_files import CARD, FILES, GRAPH
from nlpmtl.hub.repository import fetch
from nlpmtl.model import (
    MultiTaskConfig,
    MultiTaskModel,
    check_files,
    check_finite,
    check_loaded,
    check_shapes,
    check_tokenizer,
    explain_load_error,
    load_tokenizer,
)
from nlpmtl.strict_json import dumps

_TEMPORARY = ".tmp"
"""What the names of files begin with that safetensors had not finished when a process was killed."""


def save_model(
    directory: Path,
    *,
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    card_data: CardData | None,
    plots: Mapping[str, bytes],
) -> None:
    """Write a model directory: config, weights, tokenizer, card, scores, the Hub's files of results, and pictures.

    It is written as a hidden sibling, which then takes the place of the directory: a model that is there already can be
    loaded until the new one can. Files in the directory that are not part of a model are kept.

    Args:
        directory: it need not be there.
        model: the model.
        tokenizer: its tokenizer.
        card_data: contents of the card; None: no card, scores or evaluation results are written.
        plots: PNG files by their path in the directory.

    Raises:
        OSError: it cannot be written; the model that was there before still is.
    """
    with fs.atomic_directory(directory) as part:
        model.save_pretrained(part)
        apply_umask(part)
        without_truncation(tokenizer).save_pretrained(part)  # not the settings of whatever it was called with last
        for name, content in {**({} if card_data is None else _about(card_data)), **plots}.items():
            (part / name).parent.mkdir(exist_ok=True)
            (part / name).write_bytes(content)
        _keep_others(directory, part)


def _about(card_data: CardData) -> dict[str, bytes]:
    """The files that describe a model, by their paths."""
    files = {
        CARD: write_card(card_data),
        **{f".eval_results/{name}": text for name, text in eval_result_files(card_data).items()},
    }
    if card_data.scores is not None:
        files["scores.json"] = dumps(card_data.scores, indent=2) + "\n"
    return {name: text.encode() for name, text in files.items()}


def _keep_others(before: Path, now: Path) -> None:
    """Give a new model directory what is in the old one and was not written as part of a model."""
    if before.is_symlink() or not before.is_dir():
        return
    parts = {pattern.partition("/")[0] for pattern in FILES}
    for path in before.iterdir():
        own = any(fnmatchcase(path.name, pattern) for pattern in parts) or path.name.startswith(_TEMPORARY)
        if not own and not os.path.lexists(now / path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, now / path.name, symlinks=True, copy_function=link_or_copy)
            else:
                link_or_copy(path, now / path.name)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Create a hidden directory to write into, which becomes the new directory when the block ends without an error.

    Args:
        path: a directory that does not exist, or is empty.

    Raises:
        ConfigError: the path exists, is not UTF-8, or cannot be written.
    """
    check_new_directory(path, key="output")
    with ExitStack() as stack:
        try:
            part = stack.enter_context(fs.atomic_directory(path.resolve()))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
        yield part


def load_model(
    name: str, *, revision: str | None = None, token: str | None = None
) -> tuple[MultiTaskModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, from a directory or a Hub id, ready to predict.

    Raises:
        ConfigError: a directory has no revisions; a token that cannot be one.
        ModelError: there is no such model, or it is not one of nlpmtl's.
    """
    directory = fetch(name, revision=revision, token=token)
    failed = f"the model {name!r} cannot be loaded"
    if (directory / GRAPH).is_file() and not any(directory.glob("*.safetensors")):
        raise ModelError(f"{failed}: it holds an ONNX graph only; use the directory that it was exported from")
    try:
        check_files(str(directory), failed=failed)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        if not isinstance(config, MultiTaskConfig):
            raise ModelError(
                f"{failed}: its config.json is not that of an nlpmtl model: model_type is {config.model_type!r}"
            )
        check_shapes(directory, config, failed=failed)
        options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True, "output_loading_info": True}
        loaded: Any = MultiTaskModel.from_pretrained(directory, **options)
        model: MultiTaskModel = loaded[0]
        tokenizer = load_tokenizer(str(directory), config=model.config.encoder_config)
    except NlpmtlError:
        raise
    except Exception as error:  # what transformers, tokenizers and torch raise has no base of its own
        raise ModelError(f"{failed}: {explain_load_error(error)}") from error
    missing = loaded[1]["missing_keys"]
    if missing:  # transformers would go on with whatever numbers stand there
        raise ModelError(f"the model {name!r} lacks weights: {', '.join(sorted(missing)[:5])}")
    check_finite(model.state_dict(), failed=failed)
    check_tokenizer(tokenizer, owner=f"{failed}: it", rows=None)  # `check_loaded` tries the largest id
    check_loaded(model, tokenizer, failed=failed)
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]
