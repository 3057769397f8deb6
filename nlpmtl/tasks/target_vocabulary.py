"""The vocabulary of a new decoder: subwords that are learned from the targets by byte-pair encoding.

It is for targets that the tokenizer of the encoder cannot represent, such as Chinese for an English encoder.

References:
    Sennrich, Haddow and Birch (2016), Neural Machine Translation of Rare Words with Subword Units, ACL,
        https://aclanthology.org/P16-1162

Example:
    >>> vocabulary = TargetVocabulary(learn_vocabulary(["今天下雨。", "今天 是 Monday"]))
    >>> vocabulary.decode(vocabulary.encode("今天 是 Monday"))
    '今天 是 Monday'
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from nlpmtl.errors import quote

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
MAX_SIZE = 8000
"""Maximum number of subwords; all characters of the targets are subwords, even if there are more."""

_CHECKED, _MAX_CHANGED, _MAX_CHARACTERS = 1000, 0.05, 60
"""Targets that `changes_of_targets` reads, the fraction up to which it says nothing, and characters that it shows."""


def changes_of_targets(
    texts: Sequence[str], encode: Callable[[str], Any], decode: Callable[[Any], str], *, new: bool
) -> Iterator[str]:
    """Yield a note if a tokenizer changes some of the texts, as an uncased one does; spaces do not count.

    Args:
        texts: the targets.
        encode: returns the ids of a text.
        decode: returns the text of ids.
        new: whether the decoder is new, so that it may have another vocabulary.

    >>> list(changes_of_targets(["An Apple"], str.lower, str, new=False))
    ["the encoder's tokenizer changes 100% of the train targets, such as 'An' to 'an', and so generated texts"]
    """

    def is_changed(text: str) -> bool:
        return "".join(decode(encode(text)).split()) != "".join(text.split())

    checked = texts[:_CHECKED]
    changed = [text for text in checked if is_changed(text)]
    if len(changed) <= _MAX_CHANGED * len(checked):
        return
    example = next(filter(is_changed, changed[0].split()), changed[0])
    before, after = (quote(text, limit=_MAX_CHARACTERS) for text in (example, decode(encode(example))))
    hint = ': vocabulary = "targets" keeps them as they are' if new else ""
    yield (
        f"the encoder's tokenizer changes {len(changed) / len(checked):.0%} of the train targets, such as {before} to "
        f"{after}, and so generated texts{hint}"
    )


def learn_vocabulary(texts: Iterable[str]) -> str:
    """Return the tokenizer of a vocabulary as JSON. It depends on the texts only."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_SIZE, special_tokens=[PAD, END, UNKNOWN], show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


class TargetVocabulary:
    """A vocabulary that `learn_vocabulary` returned.

    Args:
        content: its JSON.

    Raises:
        ValueError: the JSON is not a tokenizer with the special tokens.
    """

    def __init__(self, content: str) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_str(content)
        except Exception as error:  # of the tokenizers library, without a common base class
            raise ValueError(f"the vocabulary of the targets cannot be read: {error}") from None
        self._tokenizer.encode_special_tokens = True  # "</s>" in a text is not the end of the text
        self.pad, self.end = 0, 1
        ids = [self._tokenizer.token_to_id(token) for token in (PAD, END, UNKNOWN)]
        if ids != [self.pad, self.end, 2]:
            raise ValueError(f"the vocabulary of the targets lacks {PAD}, {END} or {UNKNOWN}")

    def __len__(self) -> int:
        """Return the number of subwords."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))
