"""Conformance checks: each kernel is compared with plain PyTorch on a tiny model.

Kernels use private interfaces of torch and transformers, which may change with any version. A check takes a fraction of
a second and runs once per version of torch and transformers, architecture and type of device: kernels that passed are
listed in ``kernels.json`` in the cache directory. It leaves the random state unchanged.

Example:
    >>> import torch
    >>> from nlpmtl.kernels.conformance import check_kernel
    >>> check_kernel("fast_dropout", device=torch.device("cpu")) is None  # None: its results match
    True
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from nlpmtl.data.dataset_cache import cache_directory
from nlpmtl.fs import write_json
from nlpmtl.kernels import cuda_graphs, fast_dropout, int8, packing

Kernel = Literal["cuda_graphs", "fast_dropout", "int8", "packed_attention"]
_FILE = "kernels.json"
_MAX_ENTRIES = 200
"""Number of passed checks to remember."""
_LENGTHS = (17, 9, 9, 4)
"""Number of tokens of each row; the window of ModernBERT's local attention is shorter than the longest row."""
_ROWS = {"all": (0, 1, 2, 3), "some": (0, 3)}
_TINY: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "embedding_size": 16,
    "hidden_dim": 48,
    "max_position_embeddings": 64,
    "local_attention": 8,
    "pad_token_id": 1,
    **dict.fromkeys(["bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id"], 2),
    "initializer_range": 0.2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
"""Config of the tiny model; an architecture ignores the keys that it does not have."""
_TOLERANCE = {torch.float64: 1e-9, torch.bfloat16: 0.1}
"""Maximum difference of hidden states and gradients, relative to the largest value."""


class _MismatchError(Exception):
    """The results of a kernel differ from those of plain PyTorch."""


def check_kernel(kernel: Kernel, *, device: torch.device, encoder: PreTrainedModel | None = None) -> str | None:
    """Compare the results of a kernel with those of plain PyTorch, unless it passed before with these versions.

    Args:
        kernel: name of the kernel.
        device: device on which it will be used.
        encoder: encoder with which packed attention or CUDA graphs will be used; a tiny one of its class is checked.

    Returns:
        None if they match, otherwise how they differ.
    """
    key = _key(kernel, device=device, encoder=encoder)
    if key in _read_passed():
        return None
    try:
        with _isolated(device):
            _CHECKS[kernel](device, encoder)
    except Exception as error:  # a changed interface may raise anything
        text = " ".join(str(error).split())
        return text if isinstance(error, _MismatchError) else f"{type(error).__name__}: {text}"
    _add_passed(key)
    return None


def _check_fast_dropout(device: torch.device, encoder: PreTrainedModel | None) -> None:
    """Check values, frequency in each 16-bit lane, and gradient of fast dropout."""
    size, p = 1 << 14, 0.25
    x = torch.linspace(1.0, 2.0, size, dtype=torch.float64, device=device, requires_grad=True)
    y = fast_dropout.FastDropout(p)(x)
    y.sum().backward()
    factors = x.grad
    assert factors is not None
    if factors.unique().tolist() != [0.0, 1 / (1 - p)] or not torch.equal(y, x * factors):
        raise _MismatchError("fast dropout multiplies by factors other than 0 and 1 / (1 − p)")
    for lane in range(4):
        dropped = float((factors[lane::4] == 0).double().mean())
        if abs(dropped - p) > 5 * (p * (1 - p) / (size // 4)) ** 0.5:
            raise _MismatchError(f"fast dropout with p = {p} drops a fraction of {dropped:.3f}")


def _check_int8(device: torch.device, encoder: PreTrainedModel | None) -> None:
    """Check the outputs of a linear layer in int8."""
    x, linear = torch.randn(4, 7, 64), nn.Linear(64, 48)
    _compare("outputs", int8.Int8Linear(linear)(x), linear(x), tolerance=0.05)


def _check_packed_attention(device: torch.device, encoder: PreTrainedModel | None) -> None:
    """Check hidden states and gradients of packed rows."""
    assert encoder is not None
    plain = _tiny_encoder(encoder, device)
    packed = copy.deepcopy(plain)
    packing.enable_packing(packed)
    _compare_encoders(packed, plain)


def _check_cuda_graphs(device: torch.device, encoder: PreTrainedModel | None) -> None:
    """Check hidden states and gradients of captured and replayed graphs. Never run, as it needs a GPU."""
    assert encoder is not None
    packed = _tiny_encoder(encoder, device)
    packing.enable_packing(packed)
    for rows in (len(_LENGTHS), 1):  # at least as many as the batch has, and fewer
        graphed = cuda_graphs.GraphedEncoder(packed, rows=rows, max_length=max(_LENGTHS))
        for shift in (0, 7):
            _compare_encoders(packed, packed, graphed=graphed, shift=shift)


_CHECKS: dict[Kernel, Callable[[torch.device, PreTrainedModel | None], None]] = {
    "cuda_graphs": _check_cuda_graphs,
    "fast_dropout": _check_fast_dropout,
    "int8": _check_int8,
    "packed_attention": _check_packed_attention,
}


def _tiny_encoder(encoder: PreTrainedModel, device: torch.device) -> PreTrainedModel:
    """Return a tiny encoder of the same class without dropout: fp64 on a CPU, fp32 for bf16 autocast elsewhere."""
    tiny = type(encoder)(type(encoder.config)(**_TINY))
    module: nn.Module = tiny.train()
    module.to(device=device, dtype=torch.float64 if device.type == "cpu" else torch.float32)
    return tiny


def _compare_encoders(
    encoder: PreTrainedModel,
    plain: PreTrainedModel,
    *,
    graphed: cuda_graphs.GraphedEncoder | None = None,
    shift: int = 0,
) -> None:
    tolerance = _TOLERANCE[torch.float64 if encoder.device.type == "cpu" else torch.bfloat16]
    expected_hidden, expected_gradient = _hidden_states_and_gradient(plain, shift=shift)
    hidden, gradient = _hidden_states_and_gradient(encoder, graphed=graphed, shift=shift)
    _compare("hidden states", hidden, expected_hidden, tolerance=tolerance)
    _compare("gradients", gradient, expected_gradient, tolerance=tolerance)


def _hidden_states_and_gradient(
    encoder: PreTrainedModel, *, graphed: cuda_graphs.GraphedEncoder | None = None, shift: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the hidden states of all tokens, and the gradient of a weighted sum of them, as vectors."""
    device = encoder.device
    mask = (torch.arange(max(_LENGTHS)) < torch.tensor(_LENGTHS)[:, None]).long()
    ids = (3 + (torch.arange(mask.numel()) * 5 + shift) % 60).view(mask.shape)
    inputs = {
        "input_ids": torch.where(mask == 1, ids, _TINY["pad_token_id"]).to(device),
        "attention_mask": mask.to(device),
    }
    rows = {task: torch.tensor(indices, device=device) for task, indices in _ROWS.items()}
    encoder.zero_grad()
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type != "cpu"):
        states = packing.hidden_states(encoder, inputs, rows, graphed=graphed)
    tokens = []
    for task, indices in rows.items():
        is_token = inputs["attention_mask"][indices].bool()
        tokens.append(states[task][is_token[:, : states[task].shape[1]]].flatten())
    hidden = torch.cat(tokens)
    (hidden * torch.linspace(-1, 1, len(hidden), dtype=hidden.dtype, device=device)).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in encoder.parameters() if parameter.grad is not None]
    return hidden.detach(), torch.cat(gradients)


def _compare(name: str, actual: Tensor, expected: Tensor, *, tolerance: float) -> None:
    if actual.shape != expected.shape:
        raise _MismatchError(f"{name} have the shape {list(actual.shape)} instead of {list(expected.shape)}")
    difference = float((actual - expected).detach().abs().max() / expected.detach().abs().max())
    if not difference <= tolerance:
        raise _MismatchError(f"{name} differ by {difference:.1e}, at most {tolerance:g} was expected")


@contextmanager
def _isolated(device: torch.device) -> Iterator[None]:
    """Use the CPU as default device, enable gradients and fix the seed; afterwards restore the random state."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.device("cpu"),
        torch.enable_grad(),
    ):
        torch.default_generator.manual_seed(0)
        yield


def _key(kernel: Kernel, *, device: torch.device, encoder: PreTrainedModel | None) -> str:
    """Return the name of a check in the list of passed ones: the kernel, versions, device and class of the encoder."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, kernels {_source_digest()}"
    model = "" if encoder is None else f", {type(encoder).__name__}"
    return f"{kernel}: {versions}, {platform.machine()} {device.type} {name}{model}"


@cache
def _source_digest() -> str:
    """Return a digest of the modules of this package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _results_file() -> Path | None:
    directory = cache_directory()
    return None if directory is None else directory / _FILE


def _read_passed() -> Sequence[str]:
    """Return the checks that passed before; none if the file is missing or damaged."""
    path = _results_file()
    with suppress(OSError, ValueError):
        content = None if path is None else json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("passed"), list):
            return [key for key in content["passed"] if isinstance(key, str)]
    return []


def _add_passed(key: str) -> None:
    """Remember that a check passed; without a writable cache directory it is repeated next time."""
    path = _results_file()
    if path is None:
        return
    passed = [*(known for known in _read_passed() if known != key), key][-_MAX_ENTRIES:]
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, {"format_version": 1, "passed": passed})
