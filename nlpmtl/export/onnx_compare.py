"""Logit differences between an ONNX graph and its PyTorch model, over random batches of many shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import Batch
from nlpmtl.export.onnx_model import OnnxModel
from nlpmtl.heads import Outputs, named_outputs
from nlpmtl.model import MultiTaskModel

SHAPES = ((3, 7), (1, 1), (1, 2), (4, 3), (17, 33), (1, 100), (3, 512), (1, None))
"""Rows and tokens of each batch, capped by the maximum input length of the model; None for that length itself."""


def random_batches(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    shapes: Iterable[tuple[int, int | None]] = SHAPES,
    seed: int = 0,
) -> Iterator[Batch]:
    """Yield batches of random tokens: the first row of each has the full length, the others have random lengths."""
    generator = torch.Generator().manual_seed(seed)
    max_length, encoder = model.config.input_length, model.config.encoder_config
    token_ids, segments = min(len(tokenizer), encoder.vocab_size), min(2, getattr(encoder, "type_vocab_size", 1) or 1)
    for rows, length in shapes:
        sequence_length = min(length or max_length, max_length)
        lengths = torch.randint(1, sequence_length + 1, (rows, 1), generator=generator)
        lengths[0] = sequence_length
        mask = torch.arange(sequence_length) < lengths
        ids = torch.randint(token_ids, (rows, sequence_length), generator=generator).masked_fill(
            ~mask, tokenizer.pad_token_id
        )
        types = torch.randint(segments, (rows, sequence_length), generator=generator) * mask
        yield Batch(ids, mask.long(), types if "token_type_ids" in tokenizer.model_input_names else None, {})


def max_logit_difference(model: MultiTaskModel, exported: OnnxModel, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the maximum logit difference of each task, relative to its largest logit (to 1 if that is less).

    It is NaN if a logit is NaN. Logits of padding are ignored.
    """
    exported_logits: dict[str, list[Tensor]] = {task: [] for task in exported.tasks}
    expected_logits: dict[str, list[Tensor]] = {task: [] for task in exported.tasks}
    for batch in batches:
        all_rows = torch.arange(len(batch.input_ids))
        rows = dict.fromkeys(exported.tasks, all_rows)
        for collected, backend in ((exported_logits, exported), (expected_logits, model)):
            with torch.inference_mode():
                outputs: Mapping[str, Tensor | Outputs] = backend.predict_logits(batch, rows)
            for task in collected:
                for _, values in sorted(named_outputs(outputs[task]).items()):
                    by_token = values.dim() > 2 and values.shape[:2] == batch.attention_mask.shape
                    selected: Any = batch.attention_mask == 1 if by_token else all_rows
                    collected[task].append(values[selected].flatten())
    return {
        task: _relative_difference(torch.cat(exported_logits[task]), torch.cat(expected_logits[task]))
        for task in exported.tasks
    }


def _relative_difference(values: Tensor, expected: Tensor) -> float:
    return float((values - expected).abs().max() / expected.abs().max().clamp(min=1))
