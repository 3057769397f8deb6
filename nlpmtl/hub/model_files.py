"""Files of a model directory: their names, completeness and digests."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from safetensors import SafetensorError, safe_open

from nlpmtl.errors import ModelError, quote
from nlpmtl.fs import sha256_file
from nlpmtl.saved_config import OWN_TYPE, check_own_config, read_table

CARD = "README.md"
GRAPH = "model.onnx"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD, _EXAMPLE = "model-?????-of-?????.safetensors", "model-00001-of-00002.safetensors"
_READ = (
    *("config.json", _WEIGHTS, _INDEX, _SHARD, GRAPH, f"{GRAPH}.data"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"),
)
"""Patterns of the files that determine predictions."""
FILES = (*_READ, CARD, "scores.json", ".eval_results/*.yaml", "images/*.png")
"""Patterns of the files of a model directory: no others are uploaded or downloaded."""
_GIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")


def check_complete(directory: Path, *, error_prefix: str) -> dict[str, Path]:
    """Return the files of a model directory by their names in a repository.

    Raises:
        ModelError: it is not a directory, or does not hold a complete model of nlpmtl.
    """
    if not directory.is_dir():
        raise ModelError(f"{error_prefix}: the directory {directory} does not exist")
    config = read_table(directory / "config.json", error_prefix=error_prefix)
    kind = config.get("model_type")
    if kind != OWN_TYPE:
        raise ModelError(f"{error_prefix}: its config.json is not that of an nlpmtl model: model_type is {kind!r}")
    check_own_config(config, error_prefix=error_prefix)
    weights = _weights(directory, error_prefix=error_prefix)
    for name in (*weights, "tokenizer.json"):
        if not (directory / name).is_file():
            raise ModelError(f"{error_prefix}: it has no file {name}")
        if name.endswith(".safetensors"):
            _check_weights(directory / name, error_prefix=error_prefix)
    others = (path for pattern in FILES for path in directory.glob(pattern) if path.is_file())
    files = {path.relative_to(directory).as_posix(): path for path in others}
    return {name: path for name, path in files.items() if not name.startswith("model-") or name in weights}


def digest_model(directory: Path) -> str:
    """Return a digest of the files that determine the predictions of a model: 64 hex digits.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _READ for path in directory.glob(pattern)}):
        digest.update(f"{path.name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def _weights(directory: Path, *, error_prefix: str) -> list[str]:
    """Return the names of the weight files: a single one, shards and their index, or an ONNX graph."""
    if not (directory / _WEIGHTS).exists():
        if (directory / _INDEX).exists():
            index = read_table(directory / _INDEX, error_prefix=error_prefix)
            return [_INDEX, *_shards(index.get("weight_map"), error_prefix=error_prefix)]
        if (directory / GRAPH).exists():
            return [GRAPH]
    return [_WEIGHTS]


def _shards(names: object, *, error_prefix: str) -> list[str]:
    """Return the shards in an index."""
    values = list(names.values()) if isinstance(names, dict) else []
    files = set(values) if all(isinstance(name, str) for name in values) else set()
    wrong = next((name for name in files if not fnmatchcase(name, _SHARD) or PurePath(name).name != name), None)
    if not files or wrong is not None:
        shown = quote(names if wrong is None else wrong, limit=80)
        raise ModelError(f"{error_prefix}: {_INDEX}: weight_map: expected file names such as {_EXAMPLE}, found {shown}")
    return sorted(files)


def _check_weights(path: Path, *, error_prefix: str) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass  # opening checks that the header covers every byte of the file
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{error_prefix}: {path.name} is damaged: {error}") from error


def matches_digest(path: Path, digest: str) -> bool:
    """Return whether a file has a digest; True if the kind of digest is unknown.

    The Hub uses the SHA-256 of large files and the git blob id of others; some mirrors use a plain SHA-1 of those.
    """
    with path.open("rb") as file:
        if _SHA256.fullmatch(digest):
            return sha256_file(file) == digest
        if _GIT.fullmatch(digest):
            content = file.read()
            blob = b"blob %d\0%b" % (len(content), content)
            return digest in (hashlib.sha1(blob).hexdigest(), hashlib.sha1(content).hexdigest())
    return True
