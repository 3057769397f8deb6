"""Generation of a text from a text, such as a translation or a summary, with a decoder as the head of the task.

    loss = −(1/T) Σ_t [(1 − ε) log p(y_t | y_<t, x) + ε/V Σ_w log p(w | y_<t, x)]

Symbols:
- x: text; y_1 … y_T: tokens of the target, the last one the end token
- V: size of the vocabulary of the targets; ε: label smoothing (Szegedy et al., 2016)

The gold tokens before t are given in training (teacher forcing). A prediction generates by greedy decoding or beam
search, which reads the hidden states of the encoder: a text is encoded once for all tasks. References: see
`nlpmtl.heads.decoder`.

Example:
    >>> from nlpmtl.tasks import ExampleOutputs, Prediction, task_from_config
    >>> from nlpmtl.data import Example
    >>> config = {"kind": "translation", "labels": [], "metrics": None, "input": "text", "decoder": "new"}
    >>> task_from_config("zh", config).format(Prediction("今天下雨。"), Example())
    {'translation_text': '今天下雨。'}
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from nlpmtl.data import ColumnType, Example, LabelType, Targets, TaskBatch, TokenSequence
from nlpmtl.data.example import to_text
from nlpmtl.errors import ConfigError
from nlpmtl.metrics.generated_text import chrf
from nlpmtl.registry import COLUMN_TYPES, TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.error_analysis import Histogram, count_fractions
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.stock_model import StockModel
from nlpmtl.tasks.target_vocabulary import TargetVocabulary, changes_of_targets, learn_vocabulary

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from nlpmtl.heads import HeadContext, Outputs, TargetTokens

_LAYERS = 3
"""Default number of layers of a new decoder."""
_MAX_UNKNOWN = 0.05
"""Fraction of unknown target tokens up to which a new decoder has the vocabulary of the encoder."""

_USAGE = """\
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("this-directory-or-repository")
model = AutoModelForSeq2SeqLM.from_pretrained("this-directory-or-repository")
tokens = model.generate(**tokenizer("A text.", return_tensors="pt"))
tokenizer.decode(tokens[0], skip_special_tokens=True)"""


@COLUMN_TYPES.register("text")
class Text(ColumnType):
    """A text, which may be empty."""

    json_schema: ClassVar[Mapping[str, Any]] = {"type": "string"}

    @staticmethod
    def parse(value: Any, example: Example) -> str:
        return to_text(value)


@TASKS.register("generation")
class Generation(Task):
    """A text generated from a text, by the decoder of the checkpoint or by a new one.

    It is predicted only if it is requested by name, because generation takes longer than other predictions.
    """

    kind = "generation"
    other_names = "text2text text2text_generation seq2seq sequence_to_sequence text_generation"
    pipeline_tag = "text2text-generation"
    columns: ClassVar[Mapping[str, LabelType]] = {"target": "text"}
    inputs = frozenset({"text"})
    metrics: ClassVar[tuple[str, ...]] = ("chrf", "bleu")
    plots = ("histogram",)
    only_by_name = True
    exportable = False  # a decoder computes its own tokens one by one
    fitted = frozenset({"target_vocabulary"})
    changeable = frozenset({"num_beams"})
    output_key: ClassVar[str] = "generated_text"
    """Key of a prediction, as in the pipeline of transformers."""

    decoder: Literal["checkpoint", "new"] | None = None
    """The decoder: "checkpoint", that of an encoder-decoder checkpoint such as T5 or BART, trained with `train.lr`; or
    "new", with initial weights. Default: that of the checkpoint if it has one."""
    decoder_layers: int | None = Field(None, ge=1)
    """Number of layers of a new decoder; default: 3."""
    vocabulary: Literal["encoder", "targets"] | None = None
    """The vocabulary of a new decoder: that of the encoder, whose embeddings it shares, or subwords that are learned
    from the targets. Default: "targets" if more than 5% of the target tokens are unknown to the encoder's tokenizer."""
    max_target: int = Field(128, ge=2)
    """Maximum number of tokens of a target, with its end token; longer targets are truncated."""
    target_language: str | None = None
    """Language code of the targets, such as "zho_Hans", for a checkpoint whose tokenizer has language codes (NLLB,
    mBART)."""
    num_beams: int = Field(1, ge=1)
    """Number of beams of beam search; 1: greedy decoding."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, exclude=True)
    """Label smoothing ε: fraction of the target distribution that is spread evenly over the vocabulary."""
    target_vocabulary: str | None = None
    """The learned vocabulary, as JSON."""

    @classmethod
    def check_options(cls, options: Any) -> None:
        if options.labels is not None:
            raise ValueError(f"a task of the type {cls.kind} has no `labels`: its targets are texts")

    def fit(self, values: Mapping[str, Sequence[Any]]) -> None:
        """Choose the decoder and its vocabulary, and count the targets that are too long.

        Raises:
            ConfigError: the options do not suit the encoder.
        """
        has_decoder = bool(getattr(self.encoder_config, "is_encoder_decoder", False))
        self.decoder = self.decoder or ("checkpoint" if has_decoder else "new")
        targets = list(values["target"])
        if self.decoder == "checkpoint":
            self._check_checkpoint(has_decoder=has_decoder)
            self.vocabulary = "encoder"
        elif self.target_language is not None:
            raise ConfigError(f"task {self.name!r}: `target_language` is for the decoder of a checkpoint: remove it")
        elif self.vocabulary is None:
            unknown = self._unknown_fraction(targets)
            self.vocabulary = "targets" if unknown > _MAX_UNKNOWN else "encoder"
            if self.vocabulary == "targets":
                self._notes.append(
                    f"{unknown:.0%} of the target tokens are unknown to the encoder's tokenizer: the decoder uses a "
                    'new vocabulary, as with vocabulary = "targets"'
                )
        if self.vocabulary == "targets":
            self.target_vocabulary = learn_vocabulary(targets)
        else:
            self._notes += changes_of_targets(targets, self._encode, self._text, new=self.decoder == "new")
        cut = sum(len(self._encode(text)) > self.max_target for text in targets)
        if cut:
            self._notes.append(
                f"{cut:,} of {len(targets):,} train targets are longer than max_target and are truncated"
            )

    def _check_checkpoint(self, *, has_decoder: bool) -> None:
        if not has_decoder:
            raise ConfigError(
                f'task {self.name!r}: decoder = "checkpoint", but the encoder has no decoder: write decoder = "new", '
                "or use an encoder-decoder such as T5, BART or NLLB"
            )
        for key, value in (("decoder_layers", self.decoder_layers), ("vocabulary", self.vocabulary)):
            if value not in (None, "encoder"):
                raise ConfigError(
                    f'task {self.name!r}: `{key}` is an option of decoder = "new", found {value!r}: remove it, or '
                    'write decoder = "new"'
                )
        language = self.target_language
        is_code = language in self.tokenizer.all_special_tokens
        if language is not None and not (is_code and self._language_id in self._empty_target):
            raise ConfigError(
                f"task {self.name!r}: `target_language`: the tokenizer of the encoder has no language code "
                f"{language!r}: write a language code of the checkpoint, or remove it"
            )
        positions = getattr(self.encoder_config, "max_position_embeddings", None)
        positions = getattr(self.encoder_config, "max_decoder_position_embeddings", positions)
        if positions is not None and self.max_target > positions:
            raise ConfigError(
                f"task {self.name!r}: `max_target`: the decoder of the checkpoint has {positions} positions, found "
                f"{self.max_target}: write at most {positions}"
            )

    def _unknown_fraction(self, targets: Sequence[str]) -> float:
        """Return the fraction of target tokens that are unknown to the encoder's tokenizer."""
        ids = [i for row in self._tokenize(list(targets)) for i in row]
        return ids.count(self.tokenizer.unk_token_id) / max(1, len(ids))

    def continue_from(self, earlier: Any) -> None:
        if isinstance(earlier, Generation) and earlier.decoder == self.decoder:
            self.vocabulary = earlier.vocabulary  # the weights are those of its tokens
        super().continue_from(earlier)
        self.__dict__.pop("_learned", None)

    @cached_property
    def _learned(self) -> TargetVocabulary | None:
        return None if self.target_vocabulary is None else TargetVocabulary(self.target_vocabulary)

    @cached_property
    def _target_tokenizer(self) -> PreTrainedTokenizerBase:
        """A copy of the encoder's tokenizer for targets; threads tokenize sources with the other one."""
        tokenizer = copy.deepcopy(self.tokenizer)
        if self.target_language is not None:
            tokenizer.tgt_lang = self.target_language
        return tokenizer

    @property
    def _end(self) -> int:
        """Id of the token after a target; in the vocabulary of the encoder its end token, else its separator."""
        if self._learned is not None:
            return self._learned.end
        for token in (self.tokenizer.eos_token_id, self.tokenizer.sep_token_id):
            if isinstance(token, int):
                return token
        raise ConfigError(
            f"task {self.name!r}: the tokenizer of the encoder has neither an end token nor a separator: write "
            'vocabulary = "targets"'
        )

    @cached_property
    def _empty_target(self) -> list[int]:
        """Ids of an empty target of a checkpoint's decoder: the end token, and a language code if there is one."""
        ids: list[int] = self._target_tokenizer(text_target="")["input_ids"]
        return ids if self._end in ids else [*ids, self._end]

    @property
    def _last(self) -> list[int]:
        """Last ids of each target: the end token, and the language code if it follows, as in mBART."""
        ids = self._empty_target if self.decoder == "checkpoint" else [self._end]
        return ids[len(ids) - 1 - ids[::-1].index(self._end) :]

    @property
    def _language_id(self) -> Any:
        """Id of the language code of the targets."""
        return None if self.target_language is None else self.tokenizer.convert_tokens_to_ids(self.target_language)

    def _tokenize(self, targets: Any) -> Any:
        """Return the ids of targets in the vocabulary of the encoder, without special tokens."""
        return self.tokenizer(targets, add_special_tokens=False, verbose=False)["input_ids"]

    def _encode(self, target: str) -> list[int]:
        """Return the ids of a target, with its end token."""
        if self._learned is not None:
            return [*self._learned.encode(target), *self._last]
        if self.decoder == "new":
            return [*self._tokenize(target), *self._last]
        ids: list[int] = self._target_tokenizer(text_target=target, verbose=False)["input_ids"]
        return ids if ids[-len(self._last) :] == self._last else [*ids, *self._last]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets:
        ids = self._encode(example.labels["target"])
        if len(ids) > self.max_target:
            ids = [*ids[: self.max_target - len(self._last)], *self._last]
        return Targets(len(ids), example={"tokens": np.array(ids)})

    def gold(self, example: Example) -> Any:
        return example.labels.get("target")

    def build_head(self, context: HeadContext) -> nn.Module:
        from nlpmtl.heads import DecoderHead, checkpoint_decoder, new_decoder

        if self.decoder == "checkpoint":
            end, *language = self._last  # mBART starts with the language code that is the last token of a target
            part, tokens = checkpoint_decoder(context, start=language[0] if language else None)
            forced = self._language_id if self._language_id == self._empty_target[0] else None
            tokens = replace(tokens, end=end, forced_first=forced)
        else:
            tokens = self._tokens_of_new_decoder(context)
            layers, tied = self.decoder_layers or _LAYERS, self._learned is None
            part = new_decoder(context, tokens, layers=layers, max_length=self.max_target, tied=tied)
        return DecoderHead(part, tokens=tokens, max_length=self.max_target, num_beams=self.num_beams)

    def _tokens_of_new_decoder(self, context: HeadContext) -> TargetTokens:
        from nlpmtl.heads import TargetTokens

        if self._learned is not None:
            pad = self._learned.pad
            return TargetTokens(len(self._learned), start=pad, end=self._end, pad=pad)
        tokenizer = self.tokenizer
        pad = int(tokenizer.pad_token_id)
        start = next((i for i in (tokenizer.bos_token_id, tokenizer.cls_token_id) if isinstance(i, int)), pad)
        return TargetTokens(context.config.vocab_size, start=start, end=self._end, pad=pad)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        smoothing = self.label_smoothing
        gold, every = outputs["log_likelihood"], outputs["mean_log_probability"]
        return -((1 - smoothing) * gold + smoothing * every).sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(self._text(item.outputs["tokens"][0].astype(np.int64).tolist())) for item in items]

    def _text(self, ids: Sequence[int]) -> str:
        """Return the text of generated tokens, up to the end token."""
        ids = ids[: ids.index(self._end)] if self._end in ids else ids
        if self._learned is not None:
            return self._learned.decode(ids)
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"generated_text": "…"}``, ``{"translation_text": "…"}`` or ``{"summary_text": "…"}``."""
        return {self.output_key: prediction.value}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.struct({self.output_key: pa.string()})

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Return an error if the text is not the reference. The severity is 1 − chrF."""
        if prediction.value == gold:
            return None
        return RowError(gold, prediction.value, None, severity=1 - chrf([prediction.value], [gold]))

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> Histogram:
        rows = zip(values, gold, strict=True)
        return count_fractions("chrF of each text", [chrf([text], [reference]) for text, reference in rows])

    def describe_output(self) -> str:
        return "a text"

    def stock_model(self) -> StockModel | None:
        if self.decoder != "checkpoint":
            return None
        return StockModel(None, config={"use_cache": True}, auto_class="AutoModelForSeq2SeqLM", usage=_USAGE)


@TASKS.register("translation")
class Translation(Generation):
    """Translation: generation with beam search, scored by chrF and BLEU."""

    kind = "translation"
    other_names = "mt nmt machine_translation"
    pipeline_tag = "translation"
    output_key = "translation_text"

    num_beams: int = Field(4, ge=1)
    """Number of beams of beam search; 1: greedy decoding."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, exclude=True)
    """Label smoothing ε: fraction of the target distribution that is spread evenly over the vocabulary."""


@TASKS.register("summarization")
class Summarization(Generation):
    """Summarization: generation with beam search, scored by ROUGE-L."""

    kind = "summarization"
    other_names = "summarisation summary abstractive_summarization"
    pipeline_tag = "summarization"
    metrics: ClassVar[tuple[str, ...]] = ("rouge_l",)
    output_key = "summary_text"

    num_beams: int = Field(4, ge=1)
    """Number of beams of beam search; 1: greedy decoding."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, exclude=True)
    """Label smoothing ε: fraction of the target distribution that is spread evenly over the vocabulary."""
