"""Data: from files, the Hub or memory to checked rows, to tokens and label ids, to batches.

prepare = Preparer(tokenizer, max_length=128)
rows = prepare(data, input=input, columns={"label": "class"}, limit={}, name="sst2")["train"]
encoded = label(rows, targets={"sst2": Target("label", "class", ("negative", "positive"))}, train=True)
batch = Collator([encoded], pad=0, types=True)([(0, 0), (0, 1)])
"""

from __future__ import annotations

from nlpmtl.data.collate import Batch, BatchStats, Collator, Part
from nlpmtl.data.columns import Column
from nlpmtl.data.device_transfer import transfer
from nlpmtl.data.encode import Encoded, Target, label
from nlpmtl.data.fingerprint import describe_changes, fingerprint
from nlpmtl.data.input_parsing import Input, to_input
from nlpmtl.data.label_spelling import Spelling, merged_forms, sort_names
from nlpmtl.data.labels import Shape
from nlpmtl.data.prepare import Prepared
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.resolve import is_multi_hot, resolve
from nlpmtl.data.sliding_window import Windows, tokenize_windows
from nlpmtl.data.splits import Preparer
from nlpmtl.data.tables import Container, describe_value, open_container, row_labels, to_plain
from nlpmtl.data.tag_schemes import Scheme, find_contradiction, names_to_bio, to_bio
from nlpmtl.data.targets import IGNORED, ClassLabels, Labels, NumberLabels, SetLabels, TagLabels
from nlpmtl.data.tokenization import Pieces, tokenize
from nlpmtl.data.tokenizer import without_limits
from nlpmtl.data.word_alignment import NO_PIECE, Span, first_pieces, join_words, split_words
from nlpmtl.data.word_splitting import WHITESPACE, SplittingMethod, WordCounts, WordSplitting

__all__ = [
    "IGNORED",
    "NO_PIECE",
    "WHITESPACE",
    "Batch",
    "BatchStats",
    "ClassLabels",
    "Collator",
    "Column",
    "Container",
    "Encoded",
    "Input",
    "Labels",
    "NumberLabels",
    "Part",
    "Pieces",
    "Prepared",
    "Preparer",
    "Ragged",
    "Scheme",
    "SetLabels",
    "Shape",
    "Span",
    "Spelling",
    "SplittingMethod",
    "TagLabels",
    "Target",
    "Windows",
    "WordCounts",
    "WordSplitting",
    "describe_changes",
    "describe_value",
    "find_contradiction",
    "fingerprint",
    "first_pieces",
    "is_multi_hot",
    "join_words",
    "label",
    "merged_forms",
    "names_to_bio",
    "open_container",
    "resolve",
    "row_labels",
    "sort_names",
    "split_words",
    "to_bio",
    "to_input",
    "to_plain",
    "tokenize",
    "tokenize_windows",
    "transfer",
    "without_limits",
]
