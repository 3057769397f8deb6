"""Masked language modelling (Devlin et al., 2019): predict tokens of a text that were masked or replaced.

    loss = −(1/|M|) Σ_{t ∈ M} log p(w_t | x̃)

Symbols:
- M: the masked tokens, |M| = max(1, round(mask_rate · n)) of the n tokens of a text without special tokens
- x̃: the text, in which a token of M is replaced by the mask token (80%), by a random token (10%), or kept (10%)
- w_t: the original token

Departures from the paper:
- The masked tokens are drawn again at each pass over a text (dynamic masking: Liu et al., 2019, RoBERTa).
- Whole-word masking masks exactly |M| tokens too, so the last word may be masked partly.

References:
    Devlin, Chang, Lee and Toutanova (2019), BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, NAACL, section 3.1, https://aclanthology.org/N19-1423
    Liu et al. (2019), RoBERTa: A Robustly Optimized BERT Pretraining Approach, https://arxiv.org/abs/1907.11692
    Gururangan et al. (2020), Don't Stop Pretraining: Adapt Language Models to Domains and Tasks, ACL,
        https://aclanthology.org/2020.acl-main.740

Example:
    >>> from nlpmtl.tasks import task_from_config
    >>> config = {"kind": "masked_lm", "labels": [], "metrics": None, "input": "text", "mask_rate": 0.3}
    >>> task_from_config("texts", config)
    texts: masked_lm of text
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nlpmtl.data import EVERY_MARK, Example, LabelType, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.errors import ConfigError
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.stock_model import StockModel

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlpmtl.heads import HeadContext, Outputs

TOP_K = 5
"""Number of tokens that are predicted for each mask token, as in the pipeline of transformers."""
_REPLACED = 0.8, 0.9
"""Bounds of a uniform random number below which a masked token becomes the mask token, or a random token."""


class FilledMasks(NamedTuple):
    """The predicted tokens of a text.

    Args:
        ids: token ids of the text, ``[tokens]``.
        tokens: the most probable tokens for each mask token, ``[mask tokens, TOP_K]``.
        scores: their probabilities.
    """

    ids: NDArray[np.integer]
    tokens: NDArray[np.int64]
    scores: NDArray[np.floating]


@TASKS.register("masked_lm")
class MaskedLM(Task):
    """Masked language modelling: the loss of masked tokens, with the architecture's own head; it needs no labels.

    Perplexity is that of masked tokens. Every evaluation masks the same tokens.
    """

    kind = "masked_lm"
    other_names = "mlm masked_language_modeling masked_language_modelling fill_mask language_modeling pretraining"
    pipeline_tag = "fill-mask"
    columns: ClassVar[Mapping[str, LabelType]] = {}
    prediction_types = ("loss",)  # it has no gold labels
    inputs = frozenset({"text", "words"})
    metrics: ClassVar[tuple[str, ...]] = ("perplexity",)
    exportable = False  # the number of mask tokens is not known to a graph
    in_mean = False
    fitted = frozenset({"mask_token"})

    mask_rate: float = Field(0.15, gt=0, lt=1)
    """Fraction of the tokens of a text that are masked; at least one token is."""
    whole_word_masking: bool = False
    """Whether all tokens of a word are masked together. A word ends at a space or a punctuation mark; in scripts
    without spaces, each character is a word."""
    mask_token: str = ""
    """The mask token of the tokenizer."""

    @classmethod
    def check_options(cls, options: Any) -> None:
        if options.labels is not None:
            raise ValueError("masked_lm has no `labels`: it predicts tokens of the text")

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Learn the mask token of the tokenizer.

        Raises:
            ConfigError: it has none.
        """
        if self.tokenizer.mask_token_id is None:
            raise ConfigError(
                f"task {self.name!r}: the tokenizer of the encoder has no mask token, which masked_lm needs: use an "
                "encoder that was trained with masked language modelling, such as BERT, RoBERTa or ModernBERT"
            )
        self.mask_token = str(self.tokenizer.mask_token)

    @cached_property
    def _special(self) -> NDArray[np.int64]:
        """Ids of the special tokens."""
        return np.array(self.tokenizer.all_special_ids)

    @cached_property
    def _ordinary(self) -> NDArray[np.int64]:
        """Ids of the tokens that are not special, in ascending order."""
        return np.setdiff1d(list(self.tokenizer.get_vocab().values()), self._special)

    def _maskable(self, ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the positions of the tokens that are not special."""
        return np.flatnonzero(~np.isin(ids, self._special))

    def _count(self, maskable: int) -> int:
        """Return how many tokens are masked, of those that can be."""
        return max(1, round(self.mask_rate * maskable)) if maskable else 0

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the text: truncated for a prediction, and otherwise in windows that do not overlap."""
        if predict:
            return [TextInput(self._with_whole_masks(example))]
        return [example.text_input(stride=0, offsets=self.whole_word_masking)]

    def _with_whole_masks(self, example: Example) -> str:
        """Return the text for the encoder, in which word splitting does not split mask tokens such as "[MASK]"."""
        text = example.input
        if text is None or not text.splitting.joins:
            return example.text_input().text
        pieces = re.split(f"({re.escape(self.mask_token)})", text.text)
        encoded = (piece if piece == self.mask_token else replace(text, text=piece).encoded_text for piece in pieces)
        return " ".join(filter(None, encoded))

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the number of masked tokens, and for whole-word masking the word of each token, -1 for none."""
        count = sum(self._count(len(self._maskable(sequence.ids))) for sequence in sequences)
        if not count:
            return None
        if not self.whole_word_masking:
            return Targets(count)
        starts = np.array([start for start, _ in EVERY_MARK.split(example.text_input().text)])
        words = []
        for sequence in sequences:
            assert sequence.offsets is not None, "`sequences` requests them"
            last = sequence.offsets[:, 1] - 1  # a token may begin with the space before its word
            words.append(np.where(last >= 0, np.searchsorted(starts, last, side="right") - 1, -1))
        return Targets(count, sequence={"word": words})

    def corrupt(
        self, sequences: Sequence[TokenSequence], targets: Targets, rng: np.random.Generator
    ) -> tuple[Sequence[TokenSequence], Targets]:
        """Return copies with masked tokens, and targets ``place`` and ``token``: their positions and original ids."""
        copies, places, tokens = [], [], []
        words = targets.sequence.get("word", [None] * len(sequences))
        for sequence, word in zip(sequences, words, strict=True):
            maskable = self._maskable(sequence.ids)
            count = self._count(len(maskable))
            if word is None:
                place = rng.choice(maskable, count, replace=False)
            else:
                place = choose_words(maskable, np.asarray(word), count=count, rng=rng)
            place = np.sort(place)
            ids, draw = sequence.ids.copy(), rng.random(count)
            replaced = rng.choice(self._ordinary, count)
            tokens.append(ids[place].astype(np.int64))
            places.append(place)
            ids[place] = np.select(
                [draw < _REPLACED[0], draw < _REPLACED[1]], [self.tokenizer.mask_token_id, replaced], ids[place]
            )
            copies.append(replace(sequence, ids=ids))
        return copies, Targets(targets.count, sequence={"place": places, "token": tokens})

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import MaskedLMHead, stock_part

        part = stock_part(context, "AutoModelForMaskedLM")
        return MaskedLMHead(part, mask_token=self.tokenizer.mask_token_id, top_k=TOP_K)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return batch.by_example(outputs["loss"].sum(dim=1)).sum(dim=1)

    @property
    def required_text(self) -> str:
        return self.mask_token

    @property
    def needed_input(self) -> str:
        return f"a text with the mask token {self.required_text}"

    def reads(self, example: Example) -> bool:
        """Return whether the text has the mask token of the tokenizer."""
        return super().reads(example) and self.mask_token in example.text

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        predictions = []
        for item in items:
            ids = item.sequences[0].ids
            count = int((ids == self.tokenizer.mask_token_id).sum())
            scores = np.asarray(item.outputs["scores"][0][:count])
            tokens = np.asarray(item.outputs["tokens"][0][:count]).astype(np.int64)
            filled = FilledMasks(ids, tokens, scores)
            predictions.append(Prediction(tokens[:, :1].flatten().tolist(), scores[:, :1].flatten().tolist(), filled))
        return predictions

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``[{"score": 0.9, "token": 7, "token_str": "turin", "sequence": "ada lives in turin."}, …]``, as `fill-mask`.

        These are the most probable tokens, the first one the most probable; a text with several mask tokens has such a
        list for each of them. Mask tokens beyond the maximum input length are omitted.
        """
        ids, tokens, scores = prediction.extra
        masked = np.flatnonzero(ids == self.tokenizer.mask_token_id)
        single = len(masked) == 1
        results = [
            [self._filled(ids, place, int(token), float(score), skip_special=single) for token, score in ranked]
            for place, ranked in zip(masked.tolist(), map(zip, tokens, scores), strict=True)
        ]
        return results[0] if single else results

    def _filled(
        self, ids: NDArray[np.integer], place: int, token: int, score: float, *, skip_special: bool
    ) -> dict[str, Any]:
        """Return a token for a mask token, with the text in which it replaces it."""
        filled = ids.copy()
        filled[place] = token
        text = self.tokenizer.decode(filled.tolist(), skip_special_tokens=skip_special)
        return {"score": score, "token": token, "token_str": self.tokenizer.decode([token]), "sequence": text}

    def describe_output(self) -> str:
        return "the most probable tokens for each mask token"

    def stock_model(self) -> StockModel | None:
        return StockModel(None, auto_class="AutoModelForMaskedLM")


def choose_words(
    maskable: NDArray[np.int64], words: NDArray[np.int64], *, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the positions of exactly `count` tokens, which are all tokens of randomly drawn words.

    A word with more tokens than are left to mask is skipped. If no word fits, the first tokens of a skipped one are
    returned for the rest.

    Args:
        maskable: positions of the tokens that can be masked.
        words: the word of each token of the sequence, ``[tokens]``.
        count: how many tokens are masked, at most as many as can be.
        rng: random number generator.

    >>> choose_words(np.array([1, 2, 3, 4]), np.array([-1, 0, 0, 1, 1, -1]), count=2, rng=np.random.default_rng(0))
    array([1, 2])
    """
    groups = np.split(maskable, np.flatnonzero(np.diff(words[maskable])) + 1)
    chosen: list[int] = []
    skipped: list[int] = []
    for i in rng.permutation(len(groups)).tolist():
        (chosen if len(chosen) + len(groups[i]) <= count else skipped).extend(groups[i].tolist())
    return np.array([*chosen, *skipped[: count - len(chosen)]], dtype=np.int64)
