"""Hidden states at words."""

from __future__ import annotations

import pytest
import torch

from nlpmtl.heads import HeadInputs


def test_hidden_states_at_words() -> None:
    hidden = torch.arange(24.0).view(2, 4, 3)
    words = torch.tensor([[1, 3], [2, -1]])
    inputs = HeadInputs(hidden, torch.ones(2, 4), words=words)
    assert torch.equal(inputs.words, words)
    assert torch.equal(inputs.at_words(), torch.stack([hidden[0, [1, 3]], hidden[1, [2, 0]]]))


def test_words_of_some_sequences_of_a_batch() -> None:
    hidden = torch.arange(12.0).view(1, 4, 3)
    inputs = HeadInputs(hidden, torch.ones(2, 4), words=torch.tensor([[1, 3], [2, 0]]), rows=torch.tensor([1]))
    assert inputs.words.tolist() == [[2, 0]]
    assert torch.equal(inputs.at_words(), hidden[:, [2, 0]])


def test_texts_have_no_words() -> None:
    inputs = HeadInputs(torch.zeros(1, 2, 3), torch.ones(1, 2))
    with pytest.raises(ValueError, match="no words"):
        inputs.at_words()
