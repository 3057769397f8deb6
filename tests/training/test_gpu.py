"""Training on a GPU gives the results of the CPU.

Last run on 2026-11-27 (commit 809f76f, torch 2.11 on an H100); since then, only names have changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from nlpmtl.kernels import packing
from nlpmtl.kernels.cuda_graphs import GraphedEncoder
from nlpmtl.kernels.packed_attention import SequenceLayout, attend
from nlpmtl.kernels.packing import enable_packing, hidden_states
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tiny import interrupt, make_run, max_weight_difference, metrics, read_json, train_tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]
RUNS = [[128, 77, 77, 9, 1], [40, 2]]


def heads(device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Queries, keys and values, ``[3, tokens, heads, size]``, and a gradient."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(4, sum(map(sum, RUNS)), 4, 32, generator=generator, dtype=torch.float64)
    return drawn[:3].to(device, dtype).requires_grad_(), drawn[3].to(device, dtype)


def attended(device: str, dtype: torch.dtype, **options: Any) -> tuple[Tensor, Tensor]:
    """Return the output of attention and its gradient, in double precision on the CPU."""
    x, gradient = heads(device, dtype)
    out = attend(x[0], x[1], x[2], SequenceLayout(RUNS, device=torch.device(device)), **options)
    out.backward(gradient)
    assert x.grad is not None
    return out.detach().cpu().double(), x.grad.cpu().double()


@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_gpu_attention_equals_cpu_attention(dtype: torch.dtype, window: int | None) -> None:
    exact = attended("cpu", torch.float64, scale=0.2, window=window)
    results = attended("cuda", dtype, scale=0.2, window=window)
    for value, expected in zip(results, exact, strict=True):
        assert (value - expected).norm() / expected.norm() < (1e-2 if dtype == torch.bfloat16 else 1e-3)


def test_gpu_dropout_varies_and_keeps_the_mean() -> None:
    full, _ = attended("cuda", torch.bfloat16)
    torch.manual_seed(1)
    some = [attended("cuda", torch.bfloat16, dropout=0.2)[0] for _ in range(200)]
    assert not torch.equal(some[0], some[1])
    assert (torch.stack(some).mean(dim=0) - full).norm() / full.norm() < 0.1


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name in packing.ARCHITECTURES])
def test_captured_graphs_equal_eager_passes(name: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(write_architecture(name, tmp_path)).cuda().eval()
    model.training = True  # without dropout inside
    enable_packing(model)
    graphed = GraphedEncoder(model, rows=6, max_length=30)
    lengths = [[30, 21, 21, 4, 1], [9] * 6, [30, 30, 9, 3, 2, 2], [28, 21, 21, 4, 1]]  # sizes repeat
    lengths += [[3] * 9, [30] * 20]  # more rows than `rows`
    for of_rows in lengths:
        results = []
        for with_graphs in (False, True):
            mask = (torch.arange(max(of_rows)) < torch.tensor(of_rows)[:, None]).long().cuda()
            ids = torch.arange(mask.numel(), device="cuda").view(mask.shape) % 20 + 5
            rows = {"some": torch.tensor([0, 2], device="cuda"), "others": torch.tensor([1, 2, 4], device="cuda")}
            model.zero_grad()
            for _ in range(2):  # gradients are accumulated
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    hidden = hidden_states(
                        model,
                        {"input_ids": ids, "attention_mask": mask},
                        rows,
                        graphed=graphed if with_graphs else None,
                    )
                (hidden["some"].pow(2).sum() + hidden["others"].sum()).backward()
            gradients = torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])
            results.append((hidden["some"].detach(), hidden["others"].detach(), gradients))
        for value, expected in zip(*results, strict=True):
            assert (value - expected).norm() / expected.norm() < 1e-2


def test_a_gpu_run_equals_a_cpu_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, dropout=0.0, train={"steps": 6, "batch_size": 8, "lr": 1e-3, "precision": "fp32"})
    on_gpu = train_tiny(run, tmp_path / "gpu").output
    on_cpu = tmp_path / "cpu"
    program = f"import nlpmtl; nlpmtl.train({run!r}, output={str(on_cpu)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert [read_json(output / "run.json")["device"][:4] for output in (on_gpu, on_cpu)] == ["cuda", "cpu"]
    for value, expected in zip(metrics(on_gpu), metrics(on_cpu), strict=True):
        assert value["tokens"] == expected["tokens"]
        assert value["losses"] == pytest.approx(expected["losses"], rel=1e-3)


def test_packed_rows_in_bf16_train_like_padded_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path, dropout=0.0, train={"steps": 12, "batch_size": 8, "lr": 1e-3, "precision": "bf16"})
    packed = train_tiny(run, tmp_path / "packed")
    pieces = train_tiny({**run, "train": {**run["train"], "micro_tokens": 30}}, tmp_path / "pieces")
    padded = train_tiny({**run, "encoder": {**run["encoder"], "attn_implementation": "sdpa"}}, tmp_path / "padded")
    for value, *expected_lines in zip(
        metrics(packed.output), metrics(pieces.output), metrics(padded.output), strict=True
    ):
        for expected in expected_lines:
            assert value["tokens"] == expected["tokens"]
            assert value["losses"] == pytest.approx(expected["losses"], rel=2e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_resumed_gpu_run_equals_an_uninterrupted_one(tmp_path: Path, precision: str) -> None:
    run = make_run(tmp_path, train={"steps": 8, "batch_size": 8, "save_every": 3, "precision": precision})
    full = train_tiny(run, tmp_path / "whole")
    interrupt(run, tmp_path / "again", step=4)
    again = train_tiny(run, tmp_path / "again", resume=True)
    assert max_weight_difference(again.model_dir, full.model_dir) == 0
