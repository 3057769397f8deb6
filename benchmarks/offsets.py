"""Character offsets of predicted spans: 10,000 texts by Hypothesis, with each of seven types of tokenizer.

    python -m benchmarks.offsets

A random model that labels every word as an entity predicts each text: `text[start:end]` must be the span's `word`, and
not empty. Its encoder reads 24 tokens, so that longer texts are merged from overlapping windows. Texts mix words,
spaces and punctuation with emoji (families, flags, skin tones), combining marks, zero-width and other format
characters, right-to-left scripts, ligatures, wide characters, and any other Unicode.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections import Counter
from collections.abc import Callable

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase
from transformers.utils import logging

from nlpmtl import MultiTaskModel, Predictor
from nlpmtl.model import Encoder
from nlpmtl.tasks import Labeling
from tests.tiny_tokenizers import TOKENIZERS

_UNUSUAL = {
    "emoji": ["😀", "👩🏽‍🚀", "👨‍👩‍👧‍👦", "🇮🇹", "❤️", "1️⃣", "🫱🏿‍🫲🏻"],
    "combining": ["e\u0301", "n\u0303", "a\u0323\u0307", "\u0301", "\u0e01\u0e33", "Z\u0351\u036b\u0343"],
    "zero-width": ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad", "\u034f", "\u202e", "\u2066"],
    "right-to-left": ["שלום", "مرحبا", "ﷺ", "א\u05b8", "\u061c", "٣٤"],
    "other": [
        "ﬁ",
        "İ",
        "ß",
        "㍿",
        "①",
        "\xa0",
        "\u3000",
        "\u2028",
        "漢字",
        "가",
        "\u1112\u1161\u11ab",
        "\U0001f1ee",
        "\0",
    ],
}
_PLAIN = [
    "ada",
    "Turin",
    " ",
    " ",
    " ",
    ". ",
    "(Rome)",
    "don't",
    "“",
    "…",
    "\t",
    "\n",
    "big red lamp and old blue kettle",
]
_TEXTS_PER_EXAMPLE = 50
Text = list[str]


def part() -> st.SearchStrategy[str]:
    unusual = st.sampled_from([string for strings in _UNUSUAL.values() for string in strings])
    return st.one_of(unusual, st.sampled_from(_PLAIN), st.text(max_size=6))


def make_texts(count: int) -> list[str]:
    """Return distinct texts, the same in every run."""
    distinct: dict[str, None] = {}

    @settings(
        max_examples=10 * count // _TEXTS_PER_EXAMPLE,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(st.lists(part(), min_size=1, max_size=30), min_size=_TEXTS_PER_EXAMPLE, max_size=_TEXTS_PER_EXAMPLE)
    )
    def collect(batch: list[Text]) -> None:
        for parts in batch if len(distinct) < count else ():
            distinct["".join(parts).encode("utf-8", "replace").decode()] = None

    collect()
    assert len(distinct) >= count, f"Hypothesis generated {len(distinct)} texts"
    return list(distinct)[:count]


def model_of_entities(tokenizer: PreTrainedTokenizerBase) -> Predictor:
    """Build a random model that predicts an entity for every word."""
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    torch.manual_seed(0)
    encoder = Encoder(BertModel(config, add_pooling_layer=False), tokenizer, head_init={})
    bio = Labeling(name="bio", labels=["O", "B-x", "I-x", "B-y"], metrics=None, input="words")
    plain = Labeling(name="plain", labels=["a", "b", "c"], metrics=None, input="words", scheme="plain")
    model = MultiTaskModel.from_encoder(encoder, tasks=[bio, plain], sharing={"kind": "hard"}, input_length=24, seed=0)
    with torch.no_grad():
        for task in ("bio", "plain"):
            model.head(task).get_submodule("out").get_parameter("weight").mul_(30)
        model.head("bio").get_submodule("out").get_parameter("bias")[0] -= 30  # label O
    model.eval()  # type: ignore[no-untyped-call]
    return Predictor(model, tokenizer)


def spans_and_violations(make: Callable[[], PreTrainedTokenizerBase], texts: list[str]) -> tuple[int, int]:
    predictor, spans, wrong = model_of_entities(make()), 0, 0
    for text, predictions in zip(texts, predictor.predict_all(texts), strict=True):
        predicted = [span for task in ("bio", "plain") for span in predictions[task]]
        spans += len(predicted)
        wrong += sum(text[span["start"] : span["end"]] != span["word"] or not span["word"] for span in predicted)
    return spans, wrong


def count_characters(texts: list[str]) -> Counter[str]:
    """Count the texts that have characters of each class."""
    classes: dict[str, Callable[[str], bool]] = {
        "beyond 16 bits": lambda c: ord(c) > 0xFFFF,
        "combining": lambda c: unicodedata.category(c).startswith("M"),
        "format or zero-width": lambda c: unicodedata.category(c) == "Cf",
        "right-to-left": lambda c: unicodedata.bidirectional(c) in ("R", "AL", "AN"),
    }
    return Counter(name for text in texts for name, matches in classes.items() if any(map(matches, text)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    texts = make_texts(parser.parse_args().texts)
    logging.disable_progress_bar()
    print(f"{len(texts)} texts, {sum(map(len, texts))} characters; texts with characters that are")
    for name, number in count_characters(texts).items():
        print(f"  {name}: {number}")
    print(f"\n{'tokenizer':<28}{'spans':>10}{'text[start:end] != word':>26}")
    for name, make in TOKENIZERS.items():
        spans, wrong = spans_and_violations(make, texts)
        assert spans, "no span was predicted"
        print(f"{name:<28}{spans:>10}{wrong:>26}")


if __name__ == "__main__":
    main()
