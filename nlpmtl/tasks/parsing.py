"""Dependency parsing: the head of each word of a sentence and its relation to it, as one tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data import (
    IGNORED,
    ColumnType,
    Example,
    LabelType,
    Tags,
    Targets,
    TaskBatch,
    TextInput,
    TokenSequence,
    whole_number,
)
from nlpmtl.errors import did_you_mean, list_some
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import fit_temperature
from nlpmtl.tasks.classification import entropy, upcast
from nlpmtl.tasks.error_analysis import ErrorAnalysis, count_errors
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction, softmax
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.split_labels import Untrainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlpmtl.heads import HeadContext, Outputs

ROOT, UNSPECIFIED = "root", "dep"
"""Relations of words without a token: of the root of a sentence without any token, and of all others."""
_NO_HEAD = -1e9
"""Score of what cannot be a head, as in `ParserHead`."""
_NEVER = -1e4
"""Log-probability below which a word cannot be the head of another: its score is `_NO_HEAD`, or the smallest number."""
_MAX_LISTED = 5
"""Maximum number of words in a message."""


@COLUMN_TYPES.register("heads")
class Heads(ColumnType):
    """The head of each word in a dependency tree: the number of a word, counted from 1, or 0 for the root.

    A sentence whose heads are all null or `_`, as in CoNLL-U files, is unlabelled.
    """

    arrow = pa.list_(pa.int64())
    in_list = True
    json_schema: ClassVar[Mapping[str, Any]] = {"type": "array", "items": {"type": "integer", "minimum": 0}}

    @staticmethod
    def parse(value: Any, example: Example) -> list[int] | None:
        if not isinstance(value, list):
            raise ValueError("a list with the head of each word was expected")
        if value and all(_is_missing(head) for head in value):
            return None
        heads = [_to_head(head, number) for number, head in enumerate(value, 1)]
        if example.input is not None and len(heads) != len(example.words):
            raise ValueError(f"one head per word was expected: {len(heads)} heads for {len(example.words)} words")
        check_tree(heads)
        return heads


def _to_head(value: Any, number: int) -> int:
    head = whole_number(value) if isinstance(value, str) else value
    if isinstance(head, float) and head.is_integer():
        head = int(head)
    if isinstance(head, bool) or not isinstance(head, int):
        raise ValueError(f"head {number}: a whole number was expected, 0 for the root, found {value!r:.40}")
    return head


@COLUMN_TYPES.register("deprels")
class Deprels(Tags):
    """The relation of each word to its head.

    A sentence whose relations are all null or `_`, as in CoNLL-U files, is unlabelled.
    """

    @classmethod
    def to_stored(  # type: ignore[override]
        cls, value: Any, *, names: Sequence[str] | None = None, words: Sequence[str] | None = None
    ) -> list[str] | None:
        missing = [_is_missing(name) for name in value] if isinstance(value, list | tuple) else []
        if missing and all(missing):
            return None
        if any(missing):
            raise ValueError(f"relation {missing.index(True) + 1} is missing")
        return super().to_stored(value, names=names, words=words)


def _is_missing(value: Any) -> bool:
    """Return whether a head or a relation is missing, which is `_` in CoNLL-U."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "_"))


def check_tree(heads: Sequence[int]) -> None:
    """Check that heads are those of one tree with one root.

    Args:
        heads: the number of the head of each word, counted from 1; 0 for the root.

    Raises:
        ValueError: what is wrong, with the words counted from 1.
    """
    for word, head in enumerate(heads, 1):
        if not 0 <= head <= len(heads):
            raise ValueError(f"word {word} has the head {head}, but the sentence has {len(heads)} words")
    roots = [word for word, head in enumerate(heads, 1) if head == 0]
    if len(roots) != 1:
        where = f"found {len(roots)}: words {_join(roots)}" if roots else "found none"
        raise ValueError(f"not a tree: exactly one word must have the head 0 (the root), {where}")
    reached, pending = {0}, [0]
    dependents: dict[int, list[int]] = {}
    for word, head in enumerate(heads, 1):
        dependents.setdefault(head, []).append(word)
    while pending:
        reachable = dependents.get(pending.pop(), [])
        reached.update(reachable)
        pending.extend(reachable)
    apart = [word for word in range(1, len(heads) + 1) if word not in reached]
    if apart:
        raise ValueError(f"not a tree: no path leads from the root to the words {_join(apart)}, which contain a cycle")


def _join(words: Sequence[int]) -> str:
    return list_some(words, limit=_MAX_LISTED)


@TASKS.register("parsing")
class Parsing(Task):
    """Dependency parsing: biaffine scores of arcs and relations (Dozat and Manning, 2017), and the best tree.

    The loss of a word is the sum of the cross-entropies of its head and of its relation to its gold head. Every
    prediction is a tree with one root. A word without a token, or beyond the maximum input length, is attached to the
    root of the tree as "dep", with a score of 0.
    """

    kind = "parsing"
    other_names = "dependency dependency_parsing parser dependency_parser biaffine biaffine_parser tree depparse syntax"
    view = "tree"
    plots = ("confusion_matrix",)
    exportable = False  # the head searches the best tree
    columns: ClassVar[Mapping[str, LabelType]] = {"heads": "heads", "deprels": "deprels"}
    prediction_types = ("tree",)
    inputs = frozenset({"words"})
    metrics: ClassVar[tuple[str, ...]] = ("las", "uas")

    strip_subtypes: bool = False
    """Whether to remove the subtypes of relations: `nsubj:pass` is read as `nsubj`."""

    def check_fields(self) -> None:
        self.labels = tuple(dict.fromkeys(map(self._relation, self.labels)))
        super().check_fields()

    def _relation(self, name: str) -> str:
        """Return a relation, without its subtype if `strip_subtypes` is set."""
        return name.partition(":")[0] or name if self.strip_subtypes else name

    def find_untrainable(self, values: Mapping[str, Sequence[Any]]) -> Untrainable | None:
        for index, names in enumerate(values["deprels"]):
            for name in names:
                if not self.can_predict(name, key="deprels"):
                    name = self._relation(name)
                    return Untrainable(index, f"does not know the relation {name!r}; {did_you_mean(name, self.labels)}")
        return None

    def can_predict(self, name: str, *, key: str) -> bool:
        return self._relation(name) in self._ids

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the words, truncated."""
        return [example.text_input(words=True)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the head and the relation of each word that has a token, and whose head has one.

        Words after the last word that has a token are omitted, as in the outputs of `ParserHead`.
        """
        has_token = np.append(True, _has_token(sequences))  # the root first
        count = int(np.flatnonzero(has_token)[-1])
        heads = np.array(example.labels["heads"][:count], dtype=np.int64)
        kept = has_token[1 : count + 1] & has_token[heads]
        names = map(self._relation, example.labels["deprels"][:count])
        relations = np.array([self._ids.get(name, IGNORED) for name in names])
        if not kept.any():
            return None
        return Targets(
            int(kept.sum()),
            {"heads": np.where(kept, heads, IGNORED), "relations": np.where(kept, relations, IGNORED)},
        )

    def gold(self, example: Example) -> Any:
        """Return the head of each word and its relation to it, ``[{"head": 2, "deprel": "det"}, …]``."""
        labels = example.labels
        if not labels:
            return None
        return [
            _word(head, self._relation(name)) for head, name in zip(labels["heads"], labels["deprels"], strict=True)
        ]

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import ParserHead, token_head_config

        dropout = token_head_config(context.config).dropout_out
        return ParserHead(context.width, relations=len(self.labels), dropout=dropout)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        from torch.nn.functional import cross_entropy

        arcs, relations = (
            cross_entropy(upcast(outputs[name]).transpose(1, 2), batch.targets[target], reduction="none")
            for name, target in (("arcs", "heads"), ("relations", "relations"))
        )
        return (arcs + relations).sum(dim=1)

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        """Return the mean of the normalised entropies of the head and of the relation, summed over words."""
        logs = upcast(outputs["arcs"]).log_softmax(dim=-1)
        heads = (logs > _NEVER).sum(dim=-1).clamp(min=2)
        arc_entropy = -(logs.exp() * logs).sum(dim=-1) / heads.log()
        return ((arc_entropy + entropy(outputs["relations"])) / 2)[batch.targets["heads"] != IGNORED].sum()

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [self._decode(item) for item in items]

    def _decode(self, item: ExampleOutputs) -> Prediction:
        has_token, outputs = _has_token(item.sequences), item.outputs
        words = np.flatnonzero(has_token)
        count = int(words[-1]) + 1 if len(words) else 0
        heads = outputs["heads"][0].astype(np.int64)[words]
        arcs = softmax(outputs["arcs"][0][words, : count + 1] / self.temperature)
        relations = softmax(outputs["relations"][0][words] / self.temperature)
        rows, best = np.arange(len(words)), relations.argmax(axis=-1)
        scores = np.zeros(len(has_token))
        scores[words] = arcs[rows, heads] * relations[rows, best]
        root = int(words[heads == 0][0]) + 1 if len(words) else 1
        value = [_word(root, UNSPECIFIED) for _ in has_token]
        for word, head, label in zip(words.tolist(), heads.tolist(), best.tolist(), strict=True):
            value[word] = _word(head, self.labels[label])
        if value and not len(words):
            value[0] = _word(0, ROOT)
        return Prediction(value, scores.tolist())

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """One object per word, ``[{"word": "Ada", "start": 0, "end": 3, "head": 2, "deprel": "nsubj", "score": 0.9}]``.

        `head` is the number of a word, counted from 1, and 0 for the root. ``text[start:end] == word``. The score is
        the probability of the head times that of the relation.
        """
        words = zip(example.words, prediction.value, prediction.score, strict=True)
        return [
            {"word": example.text[start:end], "start": start, "end": end, **word, "score": score}
            for (start, end), word, score in words
        ]

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        fields = {"word": pa.string(), "start": pa.int64(), "end": pa.int64(), "head": pa.int64()}
        return pa.list_(pa.struct({**fields, "deprel": pa.string(), "score": pa.float64()}))

    def conllu(self, formatted: Any) -> list[dict[str, Any]] | None:
        return [{**word, "form": word["word"]} for word in formatted]

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        """Fit one temperature to the heads, and to the relations of words whose predicted head is right."""
        logits: list[NDArray[np.floating]] = []
        targets: list[int] = []
        for item, words in zip(items, gold, strict=True):
            outputs, has_token = item.outputs, _has_token(item.sequences)
            exists = np.append(True, has_token)
            for word in np.flatnonzero(has_token).tolist():
                head, relation = words[word]["head"], words[word]["deprel"]
                if exists[head]:
                    logits.append(outputs["arcs"][0][word, : len(exists)])
                    targets.append(head)
                if outputs["heads"][0][word] == head and relation in self._ids:
                    logits.append(outputs["relations"][0][word])
                    targets.append(self._ids[relation])
        if logits:
            padded = np.full((len(logits), max(map(len, logits))), _NO_HEAD)
            for row, values in zip(padded, logits, strict=True):
                row[: len(values)] = values
            self.temperature = fit_temperature(padded, np.array(targets))

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis | None:
        """Return counts of words by relation."""
        predicted, expected = ([[word["deprel"] for word in words] for words in rows] for rows in (values, gold))
        return count_errors(self.plots[0], predicted, expected, names=list(self._label_names(expected)))

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Compare the heads and relations of the words."""
        wrong = [i for i, (word, label) in enumerate(zip(prediction.value, gold, strict=True)) if word != label]
        if not wrong:
            return None
        gold_text, predicted_text = (_describe(words, wrong, example) for words in (gold, prediction.value))
        return self._error(prediction, gold, gold_text, predicted_text)

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Attach each word to the next one, or to the one before, with the most frequent relation of train."""
        roots, others = (
            Counter(word["deprel"] for words in train for word in words if (word["head"] == 0) is is_root)
            for is_root in (True, False)
        )
        root, usual = (counts.most_common(1)[0][0] if counts else ROOT for counts in (roots, others))
        return {
            "next word": [[*(_word(i, usual) for i in range(2, len(words) + 1)), _word(0, root)] for words in gold],
            "word before": [[_word(0, root), *(_word(i, usual) for i in range(1, len(words)))] for words in gold],
        }


def _word(head: int, relation: str) -> dict[str, Any]:
    """Return a word of a tree, as metrics compare it."""
    return {"head": head, "deprel": relation}


def _has_token(sequences: Sequence[TokenSequence]) -> NDArray[np.bool_]:
    """Return whether each word of an example has a token, ``[words]``."""
    words = sequences[0].words
    assert words is not None, "the sequences of a text without words"
    return words >= 0


def _describe(tree: Sequence[Mapping[str, Any]], wrong: Sequence[int], example: Example) -> str:
    """Return the heads and relations of some words, such as ``Ada ← lives/nsubj, lives ← ROOT/root``."""
    names = ["ROOT", *(example.text[start:end] for start, end in example.words)]
    return ", ".join(f"{names[i + 1]} ← {names[tree[i]['head']]}/{tree[i]['deprel']}" for i in wrong)
