"""Masked tokens: their number, the 80/10/10 rule, and whole words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlpmtl import ConfigError
from nlpmtl.data import Example, Input, Targets, TokenSequence, WordSplitting
from nlpmtl.tasks import MaskedLM, task_from_config
from tests.tiny import write_tokenizer


def make_task(**options: Any) -> MaskedLM:
    config = {"kind": "masked_lm", "labels": [], "metrics": None, "input": "text", **options}
    task = task_from_config("mlm", config)
    assert isinstance(task, MaskedLM)
    return task


@pytest.fixture
def task(tmp_path: Path) -> MaskedLM:
    task = make_task()
    task.tokenizer = write_tokenizer(tmp_path)
    return task


def sequence_of(task: MaskedLM, text: str) -> TokenSequence:
    encoded = task.tokenizer(text, return_offsets_mapping=True)
    offsets = np.array(encoded["offset_mapping"])
    special = np.isin(encoded["input_ids"], task.tokenizer.all_special_ids)
    return TokenSequence(np.array(encoded["input_ids"]), offsets=np.where(special[:, None], -1, offsets))


def corrupted(task: MaskedLM, text: str, *, seed: int = 0) -> tuple[TokenSequence, TokenSequence, Targets]:
    original = sequence_of(task, text)
    targets = task.targets(Example(Input(text)), [original])
    assert targets is not None
    (copy,), changed = task.corrupt([original], targets, np.random.default_rng(seed))
    return original, copy, changed


def test_the_number_of_masked_tokens_depends_on_the_text_only(task: MaskedLM) -> None:
    text = "ada lives in turin and sings " * 8  # 48 tokens
    whole = make_task(whole_word_masking=True)
    whole.tokenizer = task.tokenizer
    for seed in range(20):
        for kind in (task, whole):
            _, _, targets = corrupted(kind, text, seed=seed)
            assert targets.count == len(targets.sequence["place"][0]) == round(0.15 * 48)
    assert corrupted(task, "it")[2].count == 1
    assert task.targets(Example(Input("")), [sequence_of(task, "")]) is None


def test_special_tokens_are_never_masked_and_the_original_is_unchanged(task: MaskedLM) -> None:
    for seed in range(50):
        original, copy, targets = corrupted(task, "ada lives, xyz!", seed=seed)
        before = original.ids.copy()
        place, token = targets.sequence["place"][0], targets.sequence["token"][0]
        assert not np.isin(before[place], task.tokenizer.all_special_ids).any()
        assert (before[place] == token).all()
        assert (np.delete(copy.ids, place) == np.delete(before, place)).all()
        assert not np.isin(copy.ids[place], task.tokenizer.all_special_ids[:4]).any()  # [MASK] is the last one


def test_masked_tokens_follow_the_80_10_10_rule(task: MaskedLM) -> None:
    text = "ada lives in turin and sings " * 20
    masked = random = kept = 0
    for seed in range(200):
        original, copy, targets = corrupted(task, text, seed=seed)
        place = targets.sequence["place"][0]
        new, old = copy.ids[place], original.ids[place]
        masked += int((new == task.tokenizer.mask_token_id).sum())
        kept += int((new == old).sum())
        random += int(((new != old) & (new != task.tokenizer.mask_token_id)).sum())
    total = masked + random + kept
    assert masked / total == pytest.approx(0.8, abs=0.03)
    assert random / total == pytest.approx(0.1, abs=0.02)
    assert kept / total == pytest.approx(0.1, abs=0.02)


def test_whole_words_are_masked(task: MaskedLM) -> None:
    whole = make_task(whole_word_masking=True, mask_rate=0.5)
    whole.tokenizer = task.tokenizer
    text = "xyzxyz ada bcdbcd turin efgefg, sings"  # words of 6, 1, 6, 1, 6, 1 and 1 tokens
    words = np.array([-1, *[0] * 6, 1, *[2] * 6, 3, *[4] * 6, 5, 6, -1])
    partial = 0
    for seed in range(50):
        original, _, targets = corrupted(whole, text, seed=seed)
        assert len(original.ids) == len(words)
        place = targets.sequence["place"][0]
        assert len(place) == 11
        partial += sum(
            0 < np.isin(place, np.flatnonzero(words == word)).sum() < (words == word).sum() for word in range(7)
        )
    assert partial <= 50, "at most one word is masked partly"


def test_scripts_without_spaces_are_masked_by_character(task: MaskedLM) -> None:
    whole = make_task(whole_word_masking=True)
    whole.tokenizer = task.tokenizer
    sequence = TokenSequence(np.array([2, 7, 8, 9, 3]), offsets=np.array([[-1, -1], [0, 1], [1, 2], [2, 3], [-1, -1]]))
    targets = whole.targets(Example(Input("東京都")), [sequence])
    assert targets is not None
    assert targets.sequence["word"][0].tolist() == [-1, 0, 1, 2, -1]


def test_an_encoder_without_mask_token_is_refused(tmp_path: Path) -> None:
    task = make_task()
    tokenizer = write_tokenizer(tmp_path)
    tokenizer.mask_token = None
    task.tokenizer = tokenizer
    with pytest.raises(ConfigError, match="has no mask token"):
        task.fit({})


def test_targets_without_a_word_are_replaced(task: MaskedLM) -> None:
    _, _, targets = corrupted(task, "ada lives in turin")
    assert set(targets.sequence) == {"place", "token"}
    assert replace(targets, count=targets.count) == targets


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(ada) [MASK], turin", "( ada ) [MASK] , turin"),
        ("[MASK][MASK]", "[MASK] [MASK]"),
        (" ada [mask]", "ada [ mask ]"),
    ],
)
def test_a_mask_token_is_not_split_into_words(text: str, expected: str) -> None:
    """A task that was trained on words, with punctuation marks as words, splits raw text as these words were."""
    task = make_task(input="words", mask_token="[MASK]")
    example = Example(Input(text, splitting=WordSplitting("punctuation")))
    (read,) = task.sequences(example, predict=True)
    assert read.text == expected
