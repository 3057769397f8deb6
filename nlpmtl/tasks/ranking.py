"""Ranking: the order of several texts by their relevance for a text, by the list-wise loss ListNet.

    loss = −Σ_i p_i · log q_i        p = softmax(y)        q = softmax(z)

Symbols:
- z_i: logit of candidate i, computed from the sequence of the text (the query) and candidate i (a document)
- y_i: relevance of candidate i
- p_i, q_i: probability that candidate i is the first, by relevances and by logits

With clicks instead of relevances, p is 1 / n for each of the n candidates clicked and 0 for the others, the limit for
large relevances (Bruch et al., 2019).

References:
    Cao, Qin, Liu, Tsai and Li (2007), Learning to Rank: From Pairwise Approach to Listwise Approach, ICML, section 4.3,
        https://www.microsoft.com/en-us/research/publication/learning-to-rank-from-pairwise-approach-to-listwise-approach
    Bruch, Wang, Bendersky and Najork (2019), An Analysis of the Softmax Cross Entropy Loss for Learning-to-Rank with
        Binary Relevance, ICTIR, https://doi.org/10.1145/3341981.3344221
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nlpmtl.data import ColumnType, Example, LabelType, Targets, TokenSequence, column_type
from nlpmtl.data.list_cells import read_list
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks.error_analysis import Histogram, count_ranks
from nlpmtl.tasks.multiple_choice import ChoiceTask, find_choice
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction, softmax
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.soft_labels import is_multi_hot_list
from nlpmtl.tasks.stock_model import StockModel


@COLUMN_TYPES.register("relevances")
class Relevances(ColumnType):
    """The relevance of each choice, a number of at least 0."""

    arrow = pa.list_(pa.float64())

    @staticmethod
    def parse(value: Any, example: Example) -> list[float]:
        numbers = read_list(value)
        count = len(example.extra["choices"])
        if not isinstance(numbers, list) or len(numbers) != count:
            count_note = f", found {len(numbers)} values" if isinstance(numbers, list) else ""
            raise ValueError(f"a list with the relevance of each of the {count} choices was expected{count_note}")
        relevances = []
        for index, number in enumerate(numbers):
            try:
                relevances.append(column_type("number").to_stored(number))
            except ValueError as error:
                raise ValueError(f"choice {index}, counted from 0: {error}") from None
            if relevances[-1] < 0:
                raise ValueError(f"choice {index}, counted from 0: a relevance of at least 0 was expected")
        return relevances


@COLUMN_TYPES.register("clicks")
class Clicks(ColumnType):
    """The choices that were clicked, by their indices from 0 or their texts."""

    arrow = pa.list_(pa.int32())

    @staticmethod
    def parse(value: Any, example: Example) -> list[int]:
        clicks = read_list(value)
        if not isinstance(clicks, list):
            raise ValueError("a list of the indices of the clicked choices was expected")
        choices = example.extra["choices"]
        if len(clicks) == len(choices) > 2 and is_multi_hot_list(clicks):
            raise ValueError(
                "a list of the indices of the clicked choices was expected, found a 0 or 1 for each choice: write the "
                "column as `label`"
            )
        return sorted({find_choice(click, choices) for click in clicks})


@TASKS.register("ranking")
class Ranking(ChoiceTask):
    """Ranking of the row's choices by their relevance for its text, by ListNet (Cao et al., 2007)."""

    kind = "ranking"
    other_names = "rerank reranking reranker re_ranking cross_encoder listnet learning_to_rank ltr text_ranking"
    pipeline_tag = "text-ranking"
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "relevances", "clicks": "clicks"}
    any_of = frozenset({"label", "clicks"})
    inputs = frozenset({"text"})
    prediction_types = ("relevances",)
    metrics: ClassVar[tuple[str, ...]] = ("ndcg_10", "mrr")
    plots = ("histogram",)

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        if options.label is not None and options.clicks is not None:
            raise ValueError("`label` (relevances) and `clicks` are two forms of one label: write one of them")

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        if "label" in example.labels:
            return self.distribution_targets(softmax(np.array(example.labels["label"])), example, sequences)
        clicks = example.labels["clicks"]
        if not clicks:
            return None
        distribution = np.zeros(len(example.extra["choices"]))
        distribution[clicks] = 1 / len(clicks)
        return self.distribution_targets(distribution, example, sequences)

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        notes = super().target_notes(targets, excluded_rows=excluded_rows)
        return [*notes, f"{excluded_rows} rows have no clicks, and are not trained on"] if excluded_rows else notes

    def gold(self, example: Example) -> Any:
        """Return the relevance of each choice; 1 for those that were clicked, 0 for the others."""
        if "clicks" not in example.labels:
            return example.labels.get("label")
        clicks = set(example.labels["clicks"])
        return [float(index in clicks) for index in range(len(example.extra["choices"]))] if clicks else None

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        """Return the logit of each choice: unlike their probabilities, it does not depend on the other choices."""
        return [Prediction(np.concatenate(list(item.outputs["logits"])).tolist()) for item in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``[{"index": 2, "score": 0.98}, {"index": 0, "score": 0.03}]``, the best first.

        A score is the sigmoid of the logit, as in `/rerank` of text-embeddings-inference.
        """
        scores = 0.5 + 0.5 * np.tanh(0.5 * np.array(prediction.value))
        return [{"index": index, "score": float(scores[index])} for index in _order(prediction.value)]

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.list_(pa.struct({"index": pa.int64(), "score": pa.float64()}))

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Return an error if a choice is more relevant than the first one. The severity is the difference."""
        first, best = _order(prediction.value)[0], _order(gold)[0]
        difference = gold[best] - gold[first]
        choices = example.extra["choices"]
        return RowError(choices[best], choices[first], None, severity=difference) if difference > 0 else None

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> Histogram:
        """Count the ranks of the most relevant choice, of several the first one."""
        ranks = []
        for scores, relevances in zip(values, gold, strict=True):
            if max(relevances) > 0:
                in_order = [relevances[index] for index in _order(scores)]
                ranks.append(1 + in_order.index(max(relevances)))
        return count_ranks("rank of the most relevant choice", ranks)

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Predict the order of the data, or a random one."""
        return {
            "order": [[-float(index) for index in range(len(row))] for row in gold],
            "random": [rng.random(len(row)).tolist() for row in gold],
        }

    def describe_output(self) -> str:
        return "the choices in the order of their relevance"

    def stock_model(self) -> StockModel | None:
        return StockModel(None, pairs=True, pipeline="text-classification", arguments={"truncation": True})


def _order(scores: Sequence[float]) -> list[int]:
    """Return the indices of scores, the highest first; equal ones in their order."""
    order: list[int] = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").tolist()
    return order
