"""Data: from files, the Hub or memory to checked rows, to tokens and label ids, to batches.

load = DatasetLoader(tokenizer, max_length=128)
rows = load(data, input=input, columns={"label": "class"}, limit={}, name="sst2")["train"]
mapping = LabelMapping("label", "class", ("negative", "positive"))
split = attach_labels(rows, mappings={"sst2": mapping}, train=True)
batch = Collator([split], pad=0, types=True)([(0, 0), (0, 1)])
"""

from __future__ import annotations

from nlpmtl.data.answers import Answers, answer_tokens, context_tokens, strip_span
from nlpmtl.data.batch import Batch, TaskBatch, split_into_microbatches, to_device
from nlpmtl.data.collate import BatchStats, Collator
from nlpmtl.data.column_types import ColumnType, column_type, is_coded, join_cells, parse_value
from nlpmtl.data.computed_targets import ComputedLabels
from nlpmtl.data.dataset_loader import DatasetLoader
from nlpmtl.data.example import (
    Example,
    Input,
    TextInput,
    TokenSequence,
    describe_value,
    is_missing,
    to_input,
    to_plain,
)
from nlpmtl.data.fingerprint import describe_changes, fingerprint
from nlpmtl.data.label_columns import LabelColumn
from nlpmtl.data.label_resolution import is_multi_hot, resolve_labels
from nlpmtl.data.label_spelling import Spelling, equal_codes, is_boolean, merged_names, sort_names, whole_number
from nlpmtl.data.labels import LabelType, Tags
from nlpmtl.data.missing_labels import drop_names, is_missing_value, split_missing
from nlpmtl.data.ragged import Ragged
from nlpmtl.data.sliding_window import Windows, tokenize_windows
from nlpmtl.data.span_columns import Relations, Spans
from nlpmtl.data.tag_schemes import Scheme, fill_gaps, find_contradiction, find_spans_in_plain, names_to_bio, to_bio
from nlpmtl.data.targets import (
    IGNORED,
    ClassLabels,
    LabelMapping,
    Labels,
    NumberLabels,
    SetLabels,
    TagLabels,
    Targets,
    stack_targets,
)
from nlpmtl.data.task_tokenization import TaskMethods, parse_columns, parsed_values
from nlpmtl.data.text_inputs import TextRead, TextTable, TokenizedInputs, check_text_inputs, tokenize_text_inputs
from nlpmtl.data.token_store import Tokens
from nlpmtl.data.tokenization import TokenizedTexts, tokenize, without_truncation
from nlpmtl.data.tokenized_split import TokenizedSplit, attach_labels
from nlpmtl.data.validation import ParseContext
from nlpmtl.data.word_alignment import NO_TOKEN, Span, find_first_tokens, join_words, split_words
from nlpmtl.data.word_counts import WordCounts
from nlpmtl.data.word_splitting import EVERY_MARK, WHITESPACE, SplittingMethod, WordSplitting

__all__ = [
    "EVERY_MARK",
    "IGNORED",
    "NO_TOKEN",
    "WHITESPACE",
    "Answers",
    "Batch",
    "BatchStats",
    "ClassLabels",
    "Collator",
    "ColumnType",
    "ComputedLabels",
    "DatasetLoader",
    "Example",
    "Input",
    "LabelColumn",
    "LabelMapping",
    "LabelType",
    "Labels",
    "NumberLabels",
    "ParseContext",
    "Ragged",
    "Relations",
    "Scheme",
    "SetLabels",
    "Span",
    "Spans",
    "Spelling",
    "SplittingMethod",
    "TagLabels",
    "Tags",
    "Targets",
    "TaskBatch",
    "TaskMethods",
    "TextInput",
    "TextRead",
    "TextTable",
    "TokenSequence",
    "TokenizedInputs",
    "TokenizedSplit",
    "TokenizedTexts",
    "Tokens",
    "Windows",
    "WordCounts",
    "WordSplitting",
    "answer_tokens",
    "attach_labels",
    "check_text_inputs",
    "column_type",
    "context_tokens",
    "describe_changes",
    "describe_value",
    "drop_names",
    "equal_codes",
    "fill_gaps",
    "find_contradiction",
    "find_first_tokens",
    "find_spans_in_plain",
    "fingerprint",
    "is_boolean",
    "is_coded",
    "is_missing",
    "is_missing_value",
    "is_multi_hot",
    "join_cells",
    "join_words",
    "merged_names",
    "names_to_bio",
    "parse_columns",
    "parse_value",
    "parsed_values",
    "resolve_labels",
    "sort_names",
    "split_into_microbatches",
    "split_missing",
    "split_words",
    "stack_targets",
    "strip_span",
    "to_bio",
    "to_device",
    "to_input",
    "to_plain",
    "tokenize",
    "tokenize_text_inputs",
    "tokenize_windows",
    "whole_number",
    "without_truncation",
]
