"""Model directories in the format of transformers: saving, and loading from a directory or the Hub."""

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
from nlpmtl.card import CardData, eval_result_files, render_card
from nlpmtl.config import check_new_directory
from nlpmtl.data import without_truncation
from nlpmtl.errors import ConfigError, ModelError, NlpmtlError
from nlpmtl.fs import link_or_copy, set_default_permissions
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
    without_progress_bars,
)
from nlpmtl.strict_json import dumps

_TEMPORARY = ".tmp"
"""Prefix of the unfinished files that safetensors leaves when a process is killed."""


def save_model(
    directory: Path,
    *,
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    card_data: CardData | None,
    plots: Mapping[str, bytes],
) -> None:
    """Write a model directory: config, weights, tokenizer, model card, scores, evaluation results and plots.

    The write is atomic: a previous model in the directory can be loaded until the new one replaces it. Files whose
    names are not those of files of a model are kept.

    Args:
        directory: output directory; created if it does not exist.
        model: the model.
        tokenizer: its tokenizer.
        card_data: contents of the card; None: no card, scores or evaluation results are written.
        plots: PNG files by their path in the directory.

    Raises:
        OSError: it cannot be written; a previous model is unchanged.
    """
    with fs.atomic_directory(directory) as part:
        with without_progress_bars():
            model.save_pretrained(part)
        set_default_permissions(part)
        without_truncation(tokenizer).save_pretrained(part)  # without the truncation and padding of its last call
        for name, content in {**({} if card_data is None else _metadata_files(card_data)), **plots}.items():
            (part / name).parent.mkdir(exist_ok=True)
            (part / name).write_bytes(content)
        _keep_other_files(directory, part)


def _metadata_files(card_data: CardData) -> dict[str, bytes]:
    """Return the files that describe a model, by their paths."""
    files = {
        CARD: render_card(card_data),
        **{f".eval_results/{name}": text for name, text in eval_result_files(card_data).items()},
    }
    if card_data.scores is not None:
        files["scores.json"] = dumps(card_data.scores, indent=2) + "\n"
    return {name: text.encode() for name, text in files.items()}


def _keep_other_files(source: Path, target: Path) -> None:
    """Copy the files of the previous directory that are not part of a model."""
    if source.is_symlink() or not source.is_dir():
        return
    folders = [source / folder for folder in dict.fromkeys(pattern.rpartition("/")[0] for pattern in FILES)]
    paths = [path for folder in folders if folder.is_dir() and not folder.is_symlink() for path in folder.iterdir()]
    for path in paths:
        name = path.relative_to(source).as_posix()
        is_model_file = any(fnmatchcase(name, pattern) for pattern in FILES) or name.startswith(_TEMPORARY)
        if path not in folders and not is_model_file and not os.path.lexists(target / name):
            (target / name).parent.mkdir(exist_ok=True)
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, target / name, symlinks=True, copy_function=link_or_copy)
            else:
                link_or_copy(path, target / name)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Create a hidden directory to write into, which becomes the new directory when the block ends without an error.

    Args:
        path: a directory that does not exist, or is empty.

    Raises:
        ConfigError: the path exists, is not UTF-8, or cannot be written.
    """
    path = check_new_directory(path, key="output")
    with ExitStack() as stack:
        try:
            part = stack.enter_context(fs.atomic_directory(path.resolve()))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
        yield part


def load_model(
    name: str, *, revision: str | None = None, token: str | None = None
) -> tuple[MultiTaskModel, PreTrainedTokenizerBase]:
    """Load a model and its tokenizer from a directory or the Hub, in evaluation mode.

    Raises:
        ConfigError: a revision of a directory, or an invalid token.
        ModelError: the model does not exist, is invalid, or was not written by nlpmtl.
    """
    directory = fetch(name, revision=revision, token=token)
    error_prefix = f"the model {name!r} cannot be loaded"
    if (directory / GRAPH).is_file() and not any(directory.glob("*.safetensors")):
        raise ModelError(f"{error_prefix}: it holds an ONNX graph only; use the directory that it was exported from")
    try:
        check_files(str(directory), error_prefix=error_prefix)
        config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        if not isinstance(config, MultiTaskConfig):
            raise ModelError(
                f"{error_prefix}: its config.json is not that of an nlpmtl model: model_type is {config.model_type!r}"
            )
        options: dict[str, Any] = {"trust_remote_code": False, "use_safetensors": True, "output_loading_info": True}
        assert config.encoder_config is not None, "`check_files` refuses a config without it"
        tokenizer = load_tokenizer(str(directory), config=config.encoder_config)
        untruncated = without_truncation(tokenizer)
        check_shapes(directory, config, tokenizer=untruncated, error_prefix=error_prefix)
        with without_progress_bars():
            loaded: Any = MultiTaskModel.from_pretrained(directory, tokenizer=untruncated, **options)
        model: MultiTaskModel = loaded[0]
    except NlpmtlError:
        raise
    except Exception as error:  # the errors of transformers, tokenizers and torch have no common base class
        raise ModelError(f"{error_prefix}: {explain_load_error(error)}") from error
    missing = loaded[1]["missing_keys"]
    if missing:  # transformers would continue with uninitialised weights
        raise ModelError(f"the model {name!r} is missing weights: {', '.join(sorted(missing)[:5])}")
    check_finite(model.state_dict(), error_prefix=error_prefix)
    check_tokenizer(tokenizer, owner=f"{error_prefix}: it", embedding_count=None)  # `check_loaded` tests the largest id
    check_loaded(model, tokenizer, error_prefix=error_prefix)
    return model.eval(), tokenizer  # type: ignore[no-untyped-call]
