"""What a model directory is made of: the names of its files, whether it is whole, and what a file is known by."""

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
_PART, _EXAMPLE = "model-?????-of-?????.safetensors", "model-00001-of-00002.safetensors"
FILES = (
    *("config.json", _WEIGHTS, _INDEX, _PART),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model"),
    *(CARD, "scores.json", ".eval_results/*.yaml", "images/*.png", GRAPH, f"{GRAPH}.data"),
)
"""What a model directory is made of: nothing else is sent, nothing else is fetched."""
_GIT = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")


def check_complete(directory: Path, *, failed: str) -> dict[str, Path]:
    """The files of a model directory by their names in a repository.

    Raises:
        ModelError: it is no directory, or holds no whole model of nlpmtl.
    """
    if not directory.is_dir():
        raise ModelError(f"{failed}: there is no directory {directory}")
    config = read_table(directory / "config.json", failed=failed)
    kind = config.get("model_type")
    if kind != OWN_TYPE:
        raise ModelError(f"{failed}: its config.json is not that of an nlpmtl model: model_type is {kind!r}")
    check_own_config(config, failed=failed)
    weights = _weights(directory, failed=failed)
    for name in (*weights, "tokenizer.json"):
        if not (directory / name).is_file():
            raise ModelError(f"{failed}: it has no file {name}")
        if name.endswith(".safetensors"):
            _check_weights(directory / name, failed=failed)
    others = (path for pattern in FILES for path in directory.glob(pattern) if path.is_file())
    found = {path.relative_to(directory).as_posix(): path for path in others}
    return {name: path for name, path in found.items() if not name.startswith("model-") or name in weights}


def _weights(directory: Path, *, failed: str) -> list[str]:
    """The files of a model's weights: one, several with their index, or a graph that holds its own."""
    if not (directory / _WEIGHTS).exists():
        if (directory / _INDEX).exists():
            return [_INDEX, *_parts(read_table(directory / _INDEX, failed=failed).get("weight_map"), failed=failed)]
        if (directory / GRAPH).exists():
            return [GRAPH]
    return [_WEIGHTS]


def _parts(names: object, *, failed: str) -> list[str]:
    """The files of weights that an index names."""
    files = (
        set(names.values()) if isinstance(names, dict) and all(isinstance(one, str) for one in names.values()) else ()
    )
    wrong = next((one for one in files if not fnmatchcase(one, _PART) or PurePath(one).name != one), None)
    if not files or wrong is not None:
        found = quote(names if wrong is None else wrong, limit=80)
        raise ModelError(
            f"{failed}: {_INDEX}: weight_map: names of files such as {_EXAMPLE} were expected, found {found}"
        )
    return sorted(files)


def _check_weights(path: Path, *, failed: str) -> None:
    try:
        with safe_open(path, framework="numpy"):
            pass  # its header names every byte of the file
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{failed}: {path.name} is damaged: {error}") from error


def matches_digest(path: Path, digest: str) -> bool:
    """Whether a file is what its digest says; one of an unknown kind says nothing.

    The Hub names large files by their sha256 and others as git does; some mirrors name those by a plain sha1.
    """
    with path.open("rb") as file:
        if _SHA256.fullmatch(digest):
            return sha256_file(file) == digest
        if _GIT.fullmatch(digest):
            content = file.read()
            blob = b"blob %d\0%b" % (len(content), content)
            return digest in (hashlib.sha1(blob).hexdigest(), hashlib.sha1(content).hexdigest())
    return True
