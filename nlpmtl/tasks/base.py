"""`Task`, the contract of a task type: its head, loss, decoding and metrics in one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import PrivateAttr

from nlpmtl.config import DatasetConfig, TaskOptions
from nlpmtl.data import (
    Example,
    LabelType,
    Targets,
    TaskBatch,
    TextInput,
    TokenSequence,
    WordSplitting,
    column_type,
)
from nlpmtl.errors import ConfigError
from nlpmtl.metrics import PredictionType
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.pooling import PooledFields
from nlpmtl.tasks.registration import check_task_type
from nlpmtl.tasks.scored_task import ScoredTask
from nlpmtl.tasks.stock_model import StockModel

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from nlpmtl.heads import HeadContext, Outputs
    from nlpmtl.tasks.split_labels import Untrainable


_SCORED_AS: Mapping[LabelType, PredictionType] = {"class": "label", "set": "label_set"}
"""Column type -> the type in which metrics read its values, where the names differ."""


class Task(ScoredTask, ABC):
    """A task of a model. A task type is a subclass, and its annotated fields are its config keys: see `TaskFields`.

    Each type defines `loss`, `decode` and `format`, and most define `columns`, `targets` and `build_head`.

    Args:
        values: the fields of the type, and those of `TaskFields`.

    Raises:
        ConfigError: a field is missing, unknown or invalid, or a metric is unknown or cannot score this type.
    """

    optional: ClassVar[frozenset[str]] = frozenset()
    """Keys of `columns` and `extra_inputs` that may be null; a row in which another one is null is unlabelled."""
    any_of: ClassVar[frozenset[str]] = frozenset()
    """Keys of `columns` of which a dataset needs to name one; a row without a value in those named is unlabelled."""
    column_metrics: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Metrics that are added to the default ones where a dataset names a column, by its key."""
    coupled: ClassVar[bool] = False
    """Whether the loss of an example depends on the other examples of a step, as a contrastive loss does."""
    other_names: ClassVar[str] = ""
    """Its names in other tools, such as "ner tagging", for the error about a `kind` that is not registered."""
    pipeline_tag: ClassVar[str | None] = None
    """The Hub's name of the task type, which is also that of the transformers pipeline; for the card and exports."""
    exportable: ClassVar[bool] = True
    """Whether the forward pass of its head can be exported to ONNX."""
    in_mean: ClassVar[bool] = True
    """Whether its score counts in the mean score of a run with tasks of other types."""
    only_by_name: ClassVar[bool] = False
    """Whether `predict_all` omits the task unless it is requested by name."""
    single_label: ClassVar[bool] = False
    """Whether it predicts exactly one of its labels for any input; the server then returns the scores of all labels."""
    windowed: ClassVar[bool] = False
    """Whether it reads a long text to its end, in overlapping windows, rather than its beginning only."""
    ordered: ClassVar[bool] = False
    """Whether the order of its labels has a meaning."""
    vectorised: ClassVar[bool] = True
    """Whether a split is read as a whole: each row its own input, truncated, with the labels of a column of a built-in
    type as targets. It is False for a subclass that defines `sequences` or `targets`, which are then called for each
    row."""

    _tokenizer: Any = PrivateAttr(None)
    _given_columns: frozenset[str] = PrivateAttr(frozenset())
    _notes: list[str] = PrivateAttr(default_factory=list)

    encoder_config: ClassVar[PretrainedConfig | None] = None
    """Config of the encoder, set on an instance before `fit`; None for a task that is not trained."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if {"sequences", "targets"} & vars(cls).keys() and "vectorised" not in vars(cls):
            cls.vectorised = False
        if not cls.prediction_types:
            first = next(iter(cls.columns.values()), "class")
            cls.prediction_types = (_SCORED_AS.get(first, first),)
        if {"decode", "format"} & vars(cls).keys() and "stock_model" not in vars(cls):
            cls.stock_model = Task.stock_model  # type: ignore[method-assign]
        if "format" in vars(cls) and "output_type" not in vars(cls):
            cls.output_type = Task.output_type  # type: ignore[method-assign]

    @classmethod
    def options_model(cls) -> type[TaskOptions]:
        check_task_type(cls, base=Task, keys=TaskOptions.model_fields.keys())
        return super().options_model()

    def check_fields(self) -> None:
        super().check_fields()
        least = max((column_type(name).min_labels for name in self.columns.values()), default=0)
        if len(self.labels) < least:
            raise ConfigError(f"task {self.name!r}: at least {least} label(s) are needed, found {list(self.labels)}")
        self.check_metrics(self.metrics, task=self.name, pos_label=self._positive)

    @classmethod
    def check_max_length(cls, options: Any, max_length: int) -> None:
        """Check the options of a config table against the maximum input length. Default: nothing.

        Args:
            options: the options of the type.
            max_length: `encoder.max_length` of the run.

        Raises:
            ValueError: the rule that they break.
        """

    @classmethod
    def check_dataset(cls, options: Any, dataset: DatasetConfig) -> None:
        """Check a config table against its dataset, before the rows are read. Default: nothing.

        Raises:
            ValueError: the rule that they break.
        """

    def check_evaluated(self, options: Any) -> None:
        """Check that a trained task can be scored on a dataset. Default: nothing.

        Args:
            options: its options in the dataset's config.

        Raises:
            ConfigError: the dataset has labels of another meaning.
        """

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The encoder's tokenizer, which neither truncates nor pads. It is set before `sequences` is called."""
        if self._tokenizer is None:
            raise RuntimeError(f"task {self.name!r} has no tokenizer until its model is built or loaded")
        tokenizer: PreTrainedTokenizerBase = self._tokenizer
        return tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @property
    def given_columns(self) -> frozenset[str]:
        """Keys of `columns` that the datasets name; set before `targets` is called, with `column_metrics`."""
        return self._given_columns

    @given_columns.setter
    def given_columns(self, keys: frozenset[str]) -> None:
        self._given_columns = keys
        added = [metric for key, metrics in self.column_metrics.items() if key in keys for metric in metrics]
        if added and self.listed_metrics is None:  # without gold labels, they are the only ones
            self.set_metrics(list(dict.fromkeys([*(self.metrics if "label" in keys else ()), *added])))

    @property
    def notes(self) -> Sequence[str]:
        """Messages for the user about the data, which `fit` adds to ``self._notes``."""
        return [f"task {self.name!r}: {note}" for note in self._notes]

    @property
    def outputs(self) -> int | None:
        """Number of logits of the head; None for a type that overrides `build_head` without stating it."""
        return len(self.labels) if type(self).build_head is Task.build_head else None

    @property
    def takes_pairs(self) -> bool:
        """Whether its input is a pair of texts, not a single one."""
        return self.input == "pair"

    @property
    def splitting(self) -> WordSplitting:
        """The rule that splits raw text into words."""
        return WordSplitting(self.word_splitting, self.split_marks, self.whole_words)

    @property
    def window_stride(self) -> int | Literal["half"] | None:
        """Tokens that the windows of a long input share, where `sequences` is not overridden; None: it is truncated."""
        return None

    @property
    def reads_beginning(self) -> bool:
        """Whether it reads its own input, truncated, as `sequences` returns it by default."""
        return type(self).sequences is Task.sequences and self.window_stride is None

    @property
    def outside(self) -> str | None:
        """The tag of words that belong to no span, for a kind that has one."""
        return None

    def build_head(self, context: HeadContext) -> nn.Module:
        """Return a module that is called as ``head(HeadInputs)`` and returns a tensor or named tensors.

        Pooling belongs to the head. The first axis of every output is the sequence; a single tensor is named "logits".
        A head may share parameters with the encoder, which are trained and saved once. With an attribute ``pretrained``
        that is True it has the learning rate of the encoder; with ``autocast``, it computes in the precision of the
        run, as the encoder does, and otherwise in single precision. Default: the architecture's own head for sequences.
        """
        assert self.outputs is not None, "the number of logits is that of the labels"
        return context.sequence_head(self.outputs, pooling=self.pooling if isinstance(self, PooledFields) else None)

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Learn from the labels of the train splits, before the first step. Default: nothing.

        Args:
            values: for each key of `columns` the parsed value of each labelled row, over all train splits.
        """

    @classmethod
    def column_types(cls, options: TaskOptions) -> Mapping[str, LabelType]:
        """Return the column type of each key of `columns`, given the options of a config table. Default: `columns`."""
        return cls.columns

    def find_untrainable(self, values: Mapping[str, Sequence[Any]]) -> Untrainable | None:
        """Return a label that the task cannot be trained on. Called after `fit`, with its arguments. Default: None."""
        return None

    def can_predict(self, name: str, *, key: str) -> bool:
        """Return whether a name in a gold label can be predicted. Default: a label, or any name outside of `label`.

        Args:
            name: the name.
            key: key in `columns` of the column that has it.
        """
        return key != "label" or not self.labels or name in self._ids

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        """Return the texts of an example that the encoder reads. Default: its input, truncated or in windows.

        Equal texts of a row are tokenized and encoded once for all tasks.

        Args:
            example: a row, or a raw input to predict for.
            predict: whether it is read for a prediction, not for training or evaluation.
        """
        return [example.text_input(stride=self.window_stride)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the targets of the loss; None excludes the row from the loss.

        It is called once per row, when a split is tokenized, and the result is cached by `to_config()` and the source
        of the plugin, see `digest_module`. Default: the column ``label`` as "label", in the form of its column type:
        the id of a class, a multi-hot vector of a label set, else the parsed value.

        Args:
            example: a row; its parsed label columns are ``example.labels``.
            sequences: the token sequences of `sequences`, in order; the windows of a text follow each other.
        """
        target = column_type(self.columns["label"]).target(example.labels["label"], self.labels)
        return None if target is None else Targets(example={"label": target})

    def corrupt(
        self, sequences: Sequence[TokenSequence], targets: Targets, rng: np.random.Generator
    ) -> tuple[Sequence[TokenSequence], Targets]:
        """Return modified copies of the sequences, and their targets, each time a row is trained on.

        It is for masked language modelling and data augmentation. Other tasks and predictions do not use the copies;
        the metrics `loss` and `perplexity` read the same ones in each evaluation. Default: nothing changes.

        Args:
            sequences: the token sequences of a row.
            targets: what `targets` returned for them; the count must stay the same.
            rng: a generator that depends on the seed of the run, the task, the dataset, the row and the pass over it.
        """
        return sequences, targets

    def gold(self, example: Example) -> Any:
        """Return the gold label as metrics compare it with `Prediction.value`: names and numbers, not ids.

        A row whose gold label is None is not scored. Default: the column ``label``.
        """
        return example.labels.get("label")

    @abstractmethod
    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        """Return the loss of each example, ``[examples]``: summed over its items, never a mean.

        It reads outputs and targets, never parameters. The caller multiplies by the weights of the examples, adds, and
        divides by the number of items.

        Args:
            outputs: what the head returned, by name, ``[examples, ...]``.
            batch: targets of the same examples.
        """

    def uncertainty(self, outputs: Outputs, batch: TaskBatch) -> Tensor | None:
        """Return the normalised entropy of the predictions, summed over items: a scalar. See `loss` for the arguments.

        Default: None, for predictions without probabilities.
        """
        return None

    @abstractmethod
    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        """Return a prediction for each example, whatever other examples there are. NumPy only."""

    @abstractmethod
    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """Return a prediction as plain JSON values, in the shape of the transformers pipeline of the task."""

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        """Return the Arrow type of what `format` returns, for columns of Parquet files. Default: None, for JSON text.

        A subclass that overrides `format` inherits None.
        """
        return None

    @property
    def needed_input(self) -> str:
        """Description of the inputs that it accepts, such as "a text with a marked word", for error messages."""
        return ""

    def reads(self, example: Example) -> bool:
        """Return whether it can predict for an input. Default: as many texts as in training, and its extra inputs."""
        needed = self.extra_inputs.keys() - self.optional
        return (example.pair is not None) is self.takes_pairs and needed <= example.extra.keys()

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        """Fit temperatures and thresholds on rows that were not trained on. Default: nothing.

        Args:
            items: outputs of the rows.
            gold: their gold labels.
        """

    @property
    def stock_refusal(self) -> str:
        """The reason why `stock_model` returns None, as the end of an error message."""
        return f"its task type, {self.kind!r}, has no equivalent in transformers"

    def stock_model(self) -> StockModel | None:
        """Return the parameters of an export to a stock transformers model; None if no stock model predicts the same.

        In a subclass that overrides `decode` or `format`, the default is None, because its predictions differ.
        """
        return None
