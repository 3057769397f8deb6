"""Request and response schemas. Those of a single task, and of embeddings, match text-embeddings-inference (TEI)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema, create_model, model_validator

from nlpmtl.data import column_type, to_input
from nlpmtl.errors import quote
from nlpmtl.tasks import Task

_HOW = 'write "a text", ["a text", "its pair"], {"words": ["a", "text"]}, or a list of lists and objects for a batch'
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 2}
_EMBEDDED = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_TEXT_KEYS = {"text": _TEXT, "pair": _TEXT, "words": {"type": "array", "items": _TEXT, "minItems": 1}}


def _schema(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of the inputs of a request, given those of the further inputs of the tasks."""
    about = "A text, a pair of texts, or a list of words"
    row = {
        "type": "object",
        "properties": {**_TEXT_KEYS, **extra},
        "additionalProperties": False,
        "description": f"{about}, with the further inputs of a task." if extra else f"{about}.",
    }
    return {
        "anyOf": [
            {**_TEXT, "description": "A text."},
            {**_TEXTS, "description": "A text, or a pair of texts."},
            row,
            {"type": "array", "items": {"anyOf": [_TEXTS, row]}, "minItems": 1, "description": "A batch."},
        ],
        "examples": ["My lamp has not arrived.", [["My lamp has not arrived."], ["Where is my refund?"]]],
    }


@dataclass(frozen=True)
class Inputs:
    """The inputs of a request.

    Args:
        values: inputs of the Predictor; those of a batch are unparsed until `check_batch`.
        batch: whether the response is a list of predictions.
        extra: keys of the further inputs of the tasks, which an object may have.
    """

    values: Sequence[str | tuple[str, str] | Mapping[str, Any]]
    batch: bool
    extra: frozenset[str] = frozenset()

    def check_batch(self) -> Inputs:
        """Return the inputs in the form that the Predictor takes.

        A batch is parsed only after its inputs have been counted, because a body may hold tens of thousands.

        Raises:
            ValueError: an input is invalid, or a text is not valid Unicode.
        """
        if not self.batch:
            return self
        values = [_parse_numbered(value, number, self.extra) for number, value in enumerate(self.values, 1)]
        return Inputs(values, batch=True)


def parse_inputs(value: Any, *, extra: frozenset[str] = frozenset()) -> Inputs:
    """Parse the `inputs` of a request: a list of strings is one input, a list of lists and objects a batch.

    The inputs of a batch are parsed by `Inputs.check_batch`.

    Args:
        value: the value in the body.
        extra: keys of the further inputs of the tasks, which an object may have.

    Raises:
        ValueError: they are invalid, or a text is not valid Unicode.
    """
    if not isinstance(value, list):
        return Inputs([_parse_input(value, extra)], batch=False)
    if not value:
        raise ValueError(f"an empty list; {_HOW}")
    if any(isinstance(item, str) for item in value):
        return Inputs([_parse_input(value, extra)], batch=False)
    return Inputs(value, batch=True, extra=extra)


def _parse_numbered(value: Any, number: int, extra: frozenset[str]) -> Any:
    try:
        return _parse_input(value, extra)
    except ValueError as error:
        raise ValueError(f"input {number}: {error}") from None


def _parse_input(value: Any, extra: frozenset[str]) -> Any:
    if isinstance(value, list):
        if not 1 <= len(value) <= 2 or not all(isinstance(text, str) for text in value):
            raise ValueError(f"a list of one or two strings was expected; {_HOW}")
        value = value[0] if len(value) == 1 else tuple(value)
    elif isinstance(value, dict):
        for key in value:
            if key not in _TEXT_KEYS and key not in extra:
                raise ValueError(f"unknown key {key!a}; known: {', '.join([*_TEXT_KEYS, *sorted(extra)])}")
        if "words" in value and value.keys() & {"text", "pair"}:
            raise ValueError("`words` cannot be combined with `text` or `pair`")
    elif not isinstance(value, str):
        raise ValueError(f"a string, a list or an object was expected, found {quote(value, limit=60)}; {_HOW}")
    to_input(value)
    return value


class _Request(BaseModel):
    """Base class of request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_one_unknown_key(cls, value: Any) -> Any:
        """Drop all unknown keys except the first, which is reported: reporting thousands would take seconds."""
        if not isinstance(value, dict):
            return value
        unknown = next((key for key in value if key not in cls.model_fields), None)
        known = {key: value[key] for key in cls.model_fields if key in value}
        return known if unknown is None else {**known, unknown: None}


class _PredictionRequest(_Request):
    inputs: Annotated[Inputs, PlainValidator(parse_inputs), WithJsonSchema(_schema({}))]
    """A text, a pair of texts, words, or a batch."""
    truncate: bool | None = None
    """If false, refuse inputs above the maximum length; otherwise truncate them (`"truncated": true` in objects)."""
    all_scores: bool = False
    """Add `"scores"`, the probability of every label."""


class PredictRequest(_PredictionRequest):
    """Body of `/predict`."""

    tasks: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Names of the tasks; default: all that take the input."""


class TaskRequest(_PredictionRequest):
    """Body of `/predict/{task}`."""

    raw_scores: Literal[False] = False
    """Only false: scores are calibrated probabilities."""
    truncation_direction: Literal["right", "Right"] = "right"
    """Only "right": long inputs are truncated at their end."""


def _parse_texts(value: Any) -> str | list[str]:
    """Return the `inputs` of `/embed`.

    Raises:
        ValueError: they are not a text or a list of texts.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError('a text or a list of texts was expected: write "a text", or ["a text", "another"]')
    return value  # type: ignore[no-any-return]


class EmbedRequest(_Request):
    """Body of `/embed`."""

    inputs: Annotated[str | list[str], PlainValidator(_parse_texts), WithJsonSchema(_EMBEDDED)]
    """A text, or a batch of texts."""
    truncate: bool | None = None
    """If false, refuse inputs above the maximum length; otherwise truncate them."""
    truncation_direction: Literal["right", "Right"] = "right"
    """Only "right": long inputs are truncated at their end."""
    normalize: Literal[True] = True
    """Only true: embeddings have unit length."""
    prompt_name: None = None
    """Only null: the model has no prompts."""
    dimensions: Annotated[int, Field(gt=0)] | None = None
    """Truncate embeddings to this many dimensions, and renormalise them."""


def request_models(tasks: Mapping[str, Task]) -> tuple[type[PredictRequest], type[TaskRequest]]:
    """Return the models of the bodies of `/predict` and `/predict/{task}`, with the further inputs of the tasks."""
    types = {key: name for task in tasks.values() for key, name in task.extra_inputs.items()}
    schema = _schema({key: dict(column_type(name).json_schema) for key, name in types.items()})
    parse = partial(parse_inputs, extra=frozenset(types))
    inputs: Any = Annotated[Inputs, PlainValidator(parse), WithJsonSchema(schema)]
    about = PredictRequest.model_fields["inputs"].description
    predict, task = (
        create_model(base.__name__, __base__=base, __doc__=base.__doc__, inputs=(inputs, Field(description=about)))
        for base in (PredictRequest, TaskRequest)
    )
    return predict, task  # type: ignore[return-value]


class LabelScore(BaseModel):
    """A label and its probability."""

    score: float
    label: str


class ErrorResponse(BaseModel):
    """Body of an error response."""

    error: str
    error_type: Literal["Validation", "Backend", "Overloaded", "Unhealthy"]


def cut_embedding(vector: Sequence[float], dimensions: int | None) -> list[float]:
    """Return the first `dimensions` numbers of an embedding, renormalised to unit length; None: the whole embedding.

    Raises:
        ValueError: the embedding has fewer dimensions.
    """
    if dimensions is None:
        return list(vector)
    if dimensions > len(vector):
        raise ValueError(f"dimensions: the embeddings of this model have {len(vector)} numbers, found {dimensions}")
    norm = math.hypot(*vector[:dimensions]) or 1.0
    return [number / norm for number in vector[:dimensions]]


def to_tei_scores(prediction: Any) -> Any:
    """Return a prediction in the format of text-embeddings-inference: all labels, the highest score first.

    This is ``[{"score", "label"}, …]`` if one label is predicted; other predictions are returned unchanged.
    """
    if not isinstance(prediction, Mapping) or "label" not in prediction or "scores" not in prediction:
        return prediction
    truncated = {"truncated": True} if prediction.get("truncated") else {}
    ordered = sorted(prediction["scores"].items(), key=lambda item: -item[1])
    return [{"score": score, "label": label, **truncated} for label, score in ordered]
