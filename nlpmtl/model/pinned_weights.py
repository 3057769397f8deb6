"""Checks that the weights of a directory are those of `encoder.sha256`, and that no others are loaded."""

from __future__ import annotations

from pathlib import Path

from transformers import PretrainedConfig

from nlpmtl.errors import ModelError
from nlpmtl.fs import sha256_file

_OTHER_WEIGHTS = ("model*.safetensors", "*.index.json", "pytorch_model*.bin", "adapter_*")
"""Files from which transformers reads weights or their location."""
FileState = tuple[int, int, int, int, int]
"""Device, inode, size, and times of the last modification and status change."""


def check_sha256(path: str, expected: str) -> FileState:
    """Check the SHA-256 of the weights, and return the state of their file."""
    weights = Path(path) / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"encoder.sha256 is set, but the file {weights} does not exist")
    state = _file_state(weights)
    digest = sha256_file(weights)
    if digest != expected:
        raise ModelError(f"{weights} is not the expected file: its SHA-256 is {digest}, encoder.sha256 is {expected}")
    return state


def _file_state(path: Path) -> FileState:
    """Return what changes when a file, or the link to it, is replaced or modified."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_unchanged(path: str, verified: FileState | None) -> None:
    """Check that the weights were not modified between the check of their hash and the end of loading."""
    weights = Path(path) / "model.safetensors"
    if not weights.is_file() or _file_state(weights) != verified:
        raise ModelError(f"{weights} was modified or replaced while it was loaded, so encoder.sha256 was not checked")


def check_pinned(path: str, config: PretrainedConfig) -> None:
    """Check that transformers cannot load weights from another file than the one whose hash is checked."""
    others = sorted(
        {file.name for pattern in _OTHER_WEIGHTS for file in Path(path).glob(pattern)} - {"model.safetensors"}
    )
    if others:
        raise ModelError(
            f"encoder.sha256 is set for model.safetensors, but the directory {path} has other weights too: "
            f"{', '.join(others[:5])}. Remove them"
        )
    redirected = getattr(config, "transformers_weights", None)
    if redirected is not None:
        raise ModelError(
            f"encoder.sha256 is set for model.safetensors, but the config of {path} names other weights: "
            f"transformers_weights = {redirected!r}. Remove that key"
        )
