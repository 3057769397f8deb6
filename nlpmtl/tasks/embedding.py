"""Text embeddings, trained on pairs of similar texts, on pairs with a number, or on texts with a class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from nlpmtl.config import DatasetConfig, Pooling
from nlpmtl.data import ColumnType, Example, LabelType, Targets, TaskBatch, TextInput, TokenSequence
from nlpmtl.data.example import to_text
from nlpmtl.data.labels import to_label
from nlpmtl.data.list_cells import read_list
from nlpmtl.errors import ConfigError, quote
from nlpmtl.metrics.retrieval import correct_ranks
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.classification import upcast
from nlpmtl.tasks.contrastive import cosine_regression, info_nce, supervised_contrastive
from nlpmtl.tasks.error_analysis import ErrorAnalysis, count_errors, count_ranks
from nlpmtl.tasks.fields import Temperature
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.pooling import PooledFields
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.split_labels import Untrainable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlpmtl.heads import HeadContext, Outputs

_DECIMALS = 6
"""Decimals of the embeddings that metrics compare."""


@COLUMN_TYPES.register("class_or_number")
class ClassOrNumber(ColumnType):
    """The similarity of a pair of texts, a number; or the class of a single text."""

    @staticmethod
    def parse(value: Any, example: Example) -> Any:
        paired = example.input is not None and example.pair is not None
        return to_label(value, type="number" if paired else "class")

    @staticmethod
    def rename(value: Any, rename: Callable[[str], str]) -> Any:
        return rename(value) if isinstance(value, str) else value


@COLUMN_TYPES.register("negatives")
class Negatives(ColumnType):
    """Texts that are not similar to the text of the row: a list, in a cell of a table a JSON list, which may be empty;
    a single text; or a column for each.
    """

    joins_columns = True
    json_schema: ClassVar[Mapping[str, Any]] = {"type": "array", "items": {"type": "string"}}

    @staticmethod
    def parse(value: Any, example: Example) -> list[str]:
        texts = read_list(value)
        if isinstance(value, str) and texts is None:
            texts = [value]
        if not isinstance(texts, list):
            raise ValueError('a text, or a list of texts such as ["a text", "another"], was expected')
        return [to_text(text) for text in texts if text is not None]


@TASKS.register("embedding")
class Embedding(PooledFields, Task):
    """Text embeddings: a vector of length 1 for a text, close to those of similar texts.

    The columns decide what they are trained on. The texts of a pair without a `label` are similar: InfoNCE, with all
    other pairs of the step, and the `negatives`, as negatives (van den Oord et al., 2018). The label of a pair is a
    number: squared error of the cosine similarity on labels scaled to 0…1 (Reimers and Gurevych, 2019). The label of a
    single text is a class: supervised contrastive loss over the step (Khosla et al., 2020).
    """

    kind = "embedding"
    other_names = (
        "embeddings sentence_embedding sentence_embeddings text_embedding sentence_transformer contrastive "
        "multiple_negatives_ranking mnrl infonce simcse retrieval bi_encoder supcon cosent matryoshka"
    )
    pipeline_tag = "sentence-similarity"
    embeds = True
    coupled = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "class_or_number"}
    extra_inputs: ClassVar[Mapping[str, LabelType]] = {"negatives": "negatives"}
    optional = frozenset({"label", "negatives"})
    inputs = frozenset({"text", "pair"})
    prediction_types = ("embedding", "number")
    metrics: ClassVar[tuple[str, ...]] = ("recall_10",)
    plots = ("histogram", "scatter")
    changeable = frozenset({"dimensions", "similarity_temperature"})
    # Learned from the data of each run, so a continued run starts with the defaults, as with what is calibrated.
    calibrated = frozenset({"temperature", "objective", "label_range"})

    pooling: Pooling | None = None
    """Pooling, how the hidden states of the tokens become one vector: that of the "first" token, the "mean" or "max" of
    each dimension over all tokens, or "attention", a mean with learned weights. Default: that of the encoder, which is
    in `1_Pooling` of a sentence-transformers model, otherwise "mean"."""
    dimensions: tuple[Annotated[int, Field(strict=True, gt=0)], ...] = ()
    """Matryoshka dimensions (Kusupati et al., 2022): embeddings that are cut to this many numbers are trained too."""
    similarity_temperature: Temperature = 0.05
    """Temperature of the contrastive losses: cosine similarities are divided by it."""

    objective: Literal["positive", "number", "class"] = "positive"
    """Type of the train rows: similar pairs, pairs with a number, or texts with a class."""
    label_range: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest number of train."""

    @field_validator("label_range")
    @classmethod
    def _check_label_range(cls, label_range: tuple[float, float]) -> tuple[float, float]:
        low, high = label_range
        if not 0 < high - low < math.inf:
            raise ValueError("the smallest number and a larger one were expected")
        return label_range

    @classmethod
    def check_options(cls, options: Any) -> None:
        if options.labels is not None:
            raise ValueError("an embedding has no `labels`: its classes are only compared with each other")

    @classmethod
    def check_dataset(cls, options: Any, dataset: DatasetConfig) -> None:
        if options.label is None and dataset.input.pair is None:
            raise ValueError(
                "embeddings are trained on a pair of texts or on labels: write `pair` in [input], the column of a "
                "similar text, or `label`, the column of the class of the text"
            )
        if options.label is not None and "negatives" in dataset.input.extra:
            raise ValueError("`negatives` belong to similar pairs: remove `label`, or `negatives` in [input]")

    @property
    def takes_pairs(self) -> bool:
        """False: it predicts for single texts, also if it was trained on pairs."""
        return False

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Find what the rows have, and the range of their numbers.

        Raises:
            ConfigError: nothing can be learned from the labels, or a metric does not suit them.
        """
        labels = values.get("label")
        self.objective = "positive" if labels is None else "number" if self.input == "pair" else "class"
        if labels is not None and not labels:
            raise ConfigError(f"task {self.name!r}: no train row has a value in the column of `label`")
        if labels is not None:
            self._check_learnable(labels)
        if labels is not None and self.objective == "number":
            self.label_range = (float(min(labels)), float(max(labels)))
        if self.listed_metrics is None:
            self.set_metrics(["spearman" if self.objective == "number" else "recall_10"])
        reads = "number" if self.objective == "number" else "embedding"
        for metric in self.metrics:
            if self.prediction_type(metric) != reads:
                what = "pairs with a number" if reads == "number" else "similar pairs, or texts with a class"
                raise ConfigError(
                    f"task {self.name!r}: the metric {metric!r} scores predictions of type "
                    f"{self.prediction_type(metric)}, and the data have {what}, which are scored as {reads}"
                )

    def _check_learnable(self, labels: Sequence[Any]) -> None:
        """Raise ConfigError if all numbers are equal, or if no two texts have the same class."""
        if self.objective == "number" and min(labels) == max(labels):
            raise ConfigError(
                f"task {self.name!r}: `label`: all train rows have the number {labels[0]:g}, from which no similarity "
                "can be learned: if the texts of each pair are similar, remove `label`"
            )
        if self.objective == "class" and len(set(labels)) == len(labels):
            raise ConfigError(
                f"task {self.name!r}: `label`: no two train rows have the same class, and only texts of one class are "
                f"similar, found {quote(labels[0], limit=60)}: write the column of a class that several texts have"
            )

    def find_untrainable(self, values: Mapping[str, Sequence[Any]]) -> Untrainable | None:
        """Find the largest number if the range of all numbers is not finite."""
        low, high = self.label_range
        if self.objective != "number" or math.isfinite(high - low):
            return None
        numbers = np.abs(np.array(values["label"], dtype=np.float64))
        index = int(np.argmax(numbers))
        return Untrainable(
            index,
            f"cannot be trained on numbers of this size, found {float(values['label'][index])!r} (from {low:g} to "
            f"{high:g}): divide the column by a constant, or correct the row",
        )

    def check_evaluated(self, options: Any) -> None:
        if self.objective == "positive" and options.label is not None:
            raise ConfigError(
                f"task {self.name!r} of this model was trained on similar pairs, and the dataset has the label "
                f"{options.label!r}: to score it on the pairs that are similar, keep only those, and remove `label`"
            )

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the text, its pair, and its negatives, truncated; for a prediction only the text."""
        if predict:
            return [TextInput(example.text)]
        pair = [] if example.pair is None else [example.pair]
        negatives = example.extra.get("negatives", ()) if self.objective == "positive" else ()
        return [TextInput(text) for text in (example.text, *pair, *negatives)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        label = example.labels.get("label")
        if self.objective == "positive":
            texts = [text.text for text in self.sequences(example, predict=False)]
            return Targets(sequence={"text": [_to_id(text) for text in texts]})
        if label is None:
            return None
        if self.objective == "class":
            return Targets(example={"class": _to_id(label)})
        low, high = self.label_range
        return Targets(example={"similarity": (label - low) / (high - low)})

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        if not excluded_rows:
            return []
        hint = ": define another task for similar pairs without a number" if self.objective == "number" else ""
        return [f"{excluded_rows} rows have no {self.objective}, and are not trained on{hint}"]

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import EmbeddingHead

        if max(self.dimensions, default=0) > context.width:
            raise ConfigError(
                f"task {self.name!r}: `dimensions`: found {max(self.dimensions)}, but the hidden size of the encoder "
                f"is {context.width}: write at most that"
            )
        return EmbeddingHead(context.width, pooling=self.pooling or context.pooling or "mean")

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        """Return the loss of each example of the whole step, the mean over the dimensions."""
        import torch
        from torch.nn.functional import normalize

        embeddings = upcast(outputs["embedding"])
        sizes = sorted({*self.dimensions, embeddings.shape[1]})
        losses = [self._loss(normalize(embeddings[:, :size], dim=-1), batch) for size in sizes]
        return torch.stack(losses).mean(dim=0)

    def _loss(self, embeddings: Tensor, batch: TaskBatch) -> Tensor:
        if self.objective == "class":
            return supervised_contrastive(embeddings, batch.targets["class"], temperature=self.similarity_temperature)
        is_query = batch.position == 0
        queries, others = embeddings[is_query], embeddings[~is_query]
        if self.objective == "number":
            return cosine_regression(queries, others, batch.targets["similarity"])
        texts, positive = batch.targets["text"], (batch.position[~is_query] == 1).nonzero().squeeze(1)
        query_texts, candidates = texts[is_query], texts[~is_query]
        similar = (query_texts.unsqueeze(1) == candidates) | (candidates[positive].unsqueeze(1) == candidates)
        similar[:, positive] |= query_texts.unsqueeze(1) == query_texts  # a text may have several pairs
        return info_nce(queries, others, positive=positive, similar=similar, temperature=self.similarity_temperature)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [self._decode(item) for item in items]

    def _decode(self, item: ExampleOutputs) -> Prediction:
        vectors = item.outputs["embedding"]
        texts = 1 if item.example.pair is None else 2
        if self.objective == "number" and texts == 2:
            return Prediction(float(vectors[0] @ vectors[1]), extra=vectors[0])
        rounded = [vectors[i].astype(np.float64).round(_DECIMALS).tolist() for i in range(texts)]
        return Prediction(rounded, extra=vectors[0])

    def gold(self, example: Example) -> Any:
        """Return the text of the similar pair, the number, or the class."""
        if self.objective == "positive":
            return None if example.input is None else example.pair
        return example.labels.get("label")

    def reads(self, example: Example) -> bool:
        """Return whether the input is a single text."""
        return example.pair is None

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """A list of numbers, ``[0.031, -0.072, …]``, as long as the hidden size of the encoder, with the length 1."""
        return prediction.extra.tolist()

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.list_(pa.float32())

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """None: whether an embedding is right depends on those of other rows."""
        return None

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis:
        """Compare similarities with numbers, or count the ranks of the nearest correct text, as in `recall_10`."""
        if self.objective == "number":
            return count_errors("scatter", values, gold, names=())
        return count_ranks("rank of the nearest correct text", correct_ranks(values, gold).tolist())

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """None: no embedding can be predicted without the text."""
        return {}

    def describe_output(self) -> str:
        cut = f", also cut to {', '.join(map(str, self.dimensions))} numbers" if self.dimensions else ""
        return f"an embedding: a list of numbers{cut}"


def _to_id(text: str) -> int:
    """Return an id of a text or class, which other texts do not have, from 0 to 2⁶³."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
