"""What requests and answers look like. For one task they are those of text-embeddings-inference's `/predict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, model_validator

from nlpmtl.data import to_input

_HOW = 'write "a text", ["a text", "its pair"], {"words": ["a", "text"]}, or a list of lists and objects for a batch'
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 2}
_ROW = {
    "type": "object",
    "properties": {"text": _TEXT, "pair": _TEXT, "words": {"type": "array", "items": _TEXT, "minItems": 1}},
    "additionalProperties": False,
    "description": "A text, a text and its pair, or words that are split already.",
}
_SCHEMA = {
    "anyOf": [
        {**_TEXT, "description": "A text."},
        {**_TEXTS, "description": "A text, or a text and its pair."},
        _ROW,
        {"type": "array", "items": {"anyOf": [_TEXTS, _ROW]}, "minItems": 1, "description": "A batch of those."},
    ],
    "examples": ["My lamp has not arrived.", [["My lamp has not arrived."], ["Where is my refund?"]]],
}


@dataclass(frozen=True)
class Inputs:
    """The inputs of a request.

    Args:
        values: as the Predictor takes them; those of a batch before `check_batch` are as they were sent.
        batch: whether a list of answers is wanted, not one answer.
    """

    values: Sequence[str | tuple[str, str] | Mapping[str, Any]]
    batch: bool

    def check_batch(self) -> Inputs:
        """Return the inputs as the Predictor takes them.

        A batch is read after its inputs were counted, since a body may hold tens of thousands.

        Raises:
            ValueError: one of them means nothing, or a text is not valid Unicode.
        """
        if not self.batch:
            return self
        return Inputs([_read_numbered(one, number) for number, one in enumerate(self.values, 1)], batch=True)


def parse_inputs(value: Any) -> Inputs:
    """What a request's `inputs` mean: a list of strings is one input, a list of lists and objects a batch.

    The inputs of a batch are read by `Inputs.check_batch`.

    Raises:
        ValueError: they mean nothing, or a text is not valid Unicode.
    """
    if not isinstance(value, list):
        return Inputs([_read_one(value)], batch=False)
    if not value:
        raise ValueError(f"an empty list; {_HOW}")
    if any(isinstance(one, str) for one in value):
        return Inputs([_read_one(value)], batch=False)
    return Inputs(value, batch=True)


def _read_numbered(value: Any, number: int) -> Any:
    try:
        return _read_one(value)
    except ValueError as error:
        raise ValueError(f"input {number}: {error}") from None


def _read_one(value: Any) -> Any:
    if isinstance(value, list):
        if not 1 <= len(value) <= 2 or not all(isinstance(one, str) for one in value):
            raise ValueError(f"a list of one or two strings is an input; {_HOW}")
        value = value[0] if len(value) == 1 else tuple(value)
    elif isinstance(value, dict):
        for key in value:
            if key not in _ROW["properties"]:  # type: ignore[operator]
                raise ValueError(f"unknown key {key!a}; known: text, pair, words")
        if "words" in value and len(value) > 1:
            raise ValueError("`words` stand alone, without `text` and `pair`")
    elif not isinstance(value, str):
        raise ValueError(f"a string, a list or an object was expected; {_HOW}")
    to_input(value)
    return value


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inputs: Annotated[Inputs, PlainValidator(parse_inputs), WithJsonSchema(_SCHEMA)]
    """A text, a pair of texts, words, or a batch."""
    truncate: bool | None = None
    """False: an input that a task reads only the beginning of is refused; else its answers say `"truncated": true`."""
    all_scores: bool = False
    """Add `"scores"`, the probability of every label."""

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown_key(cls, value: Any) -> Any:
        """Drop all unknown keys but the first, which is reported: thousands of errors would take seconds."""
        if not isinstance(value, dict):
            return value
        unknown = next((key for key in value if key not in cls.model_fields), None)
        known = {key: value[key] for key in cls.model_fields if key in value}
        return known if unknown is None else {**known, unknown: None}


class PredictRequest(_Request):
    """What `/predict` is asked."""

    tasks: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Which tasks; default: all that can read the input."""


class TaskRequest(_Request):
    """What `/predict/{task}` is asked."""

    raw_scores: Literal[False] = False
    """Scores are calibrated probabilities; there are no others."""
    truncation_direction: Literal["right", "Right"] = "right"
    """Where an input that is too long is cut: at its end."""


class LabelScore(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class ErrorResponse(BaseModel):
    """What went wrong."""

    error: str
    error_type: Literal["Validation", "Backend", "Overloaded", "Unhealthy"]


def to_tei_scores(answer: Any) -> Any:
    """A task's answer as text-embeddings-inference gives it: all labels, the likeliest first.

    Where one label is the answer, that is ``[{"score", "label"}, …]``; all other answers stay as they are.
    """
    if not isinstance(answer, Mapping) or "label" not in answer or "scores" not in answer:
        return answer
    cut = {"truncated": True} if answer.get("truncated") else {}
    ordered = sorted(answer["scores"].items(), key=lambda item: -item[1])
    return [{"score": score, "label": label, **cut} for label, score in ordered]
