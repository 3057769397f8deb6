"""How far the logits of an ONNX graph are from torch's, over batches of many shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlpmtl.data import Batch
from nlpmtl.export.onnx_model import OnnxModel
from nlpmtl.model import MultiTaskModel

SHAPES = ((3, 7), (1, 1), (1, 2), (4, 3), (17, 33), (1, 100), (3, 512), (1, None))
"""Rows of a batch, and tokens, as far as the model reads so many; None for all that it reads."""


def random_batches(
    model: MultiTaskModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    shapes: Iterable[tuple[int, int | None]] = SHAPES,
    seed: int = 0,
) -> Iterator[Batch]:
    """Tokens at random; in each batch the first row is whole, and the others end anywhere."""
    random = torch.Generator().manual_seed(seed)
    longest, encoder = model.config.input_length, model.config.encoder_config
    pieces, segments = min(len(tokenizer), encoder.vocab_size), min(2, getattr(encoder, "type_vocab_size", 1) or 1)
    for rows, most in shapes:
        time = min(most or longest, longest)
        lengths = torch.randint(1, time + 1, (rows, 1), generator=random)
        lengths[0] = time
        mask = torch.arange(time) < lengths
        ids = torch.randint(pieces, (rows, time), generator=random).masked_fill(~mask, tokenizer.pad_token_id)
        types = torch.randint(segments, (rows, time), generator=random) * mask
        yield Batch(ids, mask.long(), types if "token_type_ids" in tokenizer.model_input_names else None, {})


def max_logit_difference(model: MultiTaskModel, exported: OnnxModel, batches: Iterable[Batch]) -> dict[str, float]:
    """For each task the largest difference of a logit, as a fraction of the largest logit, or of 1 where that is less.

    It is not a number where a logit is none. Logits of padding, which nobody reads, are left out.
    """
    found: dict[str, list[Tensor]] = {task: [] for task in exported.tasks}
    right: dict[str, list[Tensor]] = {task: [] for task in exported.tasks}
    for batch in batches:
        every = torch.arange(len(batch.input_ids))
        rows = dict.fromkeys(exported.tasks, every)
        for kept, backend in ((found, exported), (right, model)):
            with torch.inference_mode():
                logits: Mapping[str, Tensor] = backend.predict_logits(batch, rows)
            for task, values in logits.items():
                real: Any = batch.attention_mask == 1 if model.tasks[task].level == "token" else every
                kept[task].append(values[real])
    return {task: _relative_difference(torch.cat(found[task]), torch.cat(right[task])) for task in exported.tasks}


def _relative_difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1))
