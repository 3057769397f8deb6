"""Every architecture: hidden states of rows in a padded batch compared with single rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModel

from nlpmtl.errors import ModelError
from nlpmtl.model import load_encoder
from nlpmtl.model.suitability import BATCH_LIMIT, BATCH_WARNING
from tests.every_architecture import EVERY, NOT_BUILT, write_any_architecture
from tests.faults.harness import FaultCount

_LENGTHS = (30, 5, 17, 8, 24, 6)
"""Tokens of the rows of a batch. Some architectures need at least four."""
_SLACK = 10.0
"""Factor between the limits for these rows and the limits when an encoder is loaded."""


def batches(scratch: Path, *, names: Iterable[str] = EVERY) -> FaultCount:
    """Load a tiny random checkpoint of every architecture, and measure the accepted ones with other rows."""
    count = FaultCount(
        "architectures with a sequence classifier, tiny and random: the hidden states of a row do not depend on the "
        "batch for those accepted without a warning, and do for those refused for this reason"
    )
    for name in names:
        if name in NOT_BUILT:
            continue
        directory = write_any_architecture(name, scratch / name)
        try:
            notes = load_encoder(str(directory)).notes
        except ModelError as error:
            if "depend on the other rows" in str(error):
                difference = batch_difference(directory)
                count.add(name, difference > BATCH_LIMIT / _SLACK, f"refused, and the difference is {difference:.1e}")
            continue  # refused for another reason
        warned = any("depend on the other rows" in note for note in notes)
        limit = (BATCH_LIMIT if warned else BATCH_WARNING) * _SLACK
        difference = batch_difference(directory)
        count.add(name, difference < limit, f"accepted, and the difference is {difference:.1e}")
    return count


def batch_difference(directory: Path) -> float:
    """Return the largest relative difference between hidden states in a padded batch and of single rows."""
    model = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    pad = int(model.config.pad_token_id or 0)
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(5, 60, (length,), generator=generator) for length in _LENGTHS]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = torch.arange(padded.shape[1])[None] < torch.tensor(_LENGTHS)[:, None]
    with torch.inference_mode():
        batch_output = model(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        single_outputs = [model(input_ids=row[None], attention_mask=torch.ones(1, len(row)).long()) for row in rows]
    difference = max(
        float((output.last_hidden_state[0] - batch_output[i, : len(rows[i])]).abs().max())
        for i, output in enumerate(single_outputs)
    )
    return difference / float(batch_output.abs().max())
