"""Encoders whose padding leaks: every architecture, its rows in a batch against each by itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModel

from nlpmtl.errors import ModelError
from nlpmtl.model import load_encoder
from nlpmtl.model.suitability import BATCH_LIMIT, BATCH_WARNING
from tests.every_architecture import EVERY, NOT_BUILT, write_any_architecture
from tests.faults.harness import Count

_LENGTHS = (30, 5, 17, 8, 24, 6)
"""Tokens of the rows of a batch. Some architectures need at least four."""
_SLACK = 10.0
"""How far the difference of other rows may be from the one that the encoder was accepted or refused for."""


def batches(scratch: Path, *, names: Iterable[str] = EVERY) -> Count:
    """Load a tiny random checkpoint of every architecture, and measure the accepted ones with other rows."""
    count = Count(
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
    """The largest difference between hidden states in a padded batch and by themselves, relative to the largest one."""
    model = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    source = torch.Generator().manual_seed(1)
    rows = [torch.randint(5, 60, (length,), generator=source) for length in _LENGTHS]
    pad = int(model.config.pad_token_id or 0)
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = torch.arange(padded.shape[1])[None] < torch.tensor(_LENGTHS)[:, None]
    with torch.inference_mode():
        together = model(input_ids=padded, attention_mask=mask.long()).last_hidden_state
        apart = [model(input_ids=row[None], attention_mask=torch.ones(1, len(row)).long()) for row in rows]
    difference = max(
        float((one.last_hidden_state[0] - together[i, : len(rows[i])]).abs().max()) for i, one in enumerate(apart)
    )
    return difference / float(together.abs().max())
