"""spaCy: examples ``[text, {"entities": [[start, end, name], …]}]``, `Doc.to_json`, and the JSON of spaCy 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, RawRow

_UNKNOWN_TAG = "-"
"""The tag of a token whose entity is unknown."""
_SPAN_KEYS = ("start", "end", "label")
_MIN_CATEGORY_VALUE = 0.5
"""Minimum value of a category that a text has."""


def detect(value: Any) -> bool:
    """Return whether a JSON value is an example, a document, a document with paragraphs, or a file of examples."""
    if isinstance(value, dict):
        if _is_document(value):
            return True
        examples = value.get("annotations")
        if isinstance(examples, list) and any(map(_is_example, examples[:2])):
            return True
        return isinstance(value.get("paragraphs"), list) and all(
            isinstance(paragraph, dict) and "sentences" in paragraph for paragraph in value["paragraphs"]
        )
    return _is_example(value)


def convert(value: Any) -> Iterator[RawRow]:
    """Yield the rows of an example, of a document or its paragraphs, or of a file of examples.

    ``label`` has the entities, or the spans of all groups of a span categorizer if the export has no entities of its
    text, not even an empty list; ``spans`` has those of the groups in either case. ``cats`` has the names of the
    categories whose value is at least 0.5. A key ``label`` that was added to a document is kept.
    """
    if _is_example(value):
        yield _from_example(value)
    elif isinstance(value, dict) and isinstance(value.get("paragraphs"), list):
        for paragraph in value["paragraphs"]:
            yield _from_paragraph(paragraph)
    elif isinstance(value, dict) and isinstance(value.get("annotations"), list):
        for example in filter(None, value["annotations"]):  # an NER annotator writes null for a text without spans
            yield _from_example(example) if _is_example(example) else MalformedRow(example, _EXPECTED)
    elif isinstance(value, dict) and "text" in value and "entities" in value:
        yield {"label": value["entities"], **value}
    elif _is_document(value):
        cats = {"cats": _categories(value["cats"])} if "cats" in value else {}
        label, groups = _spans(value, entities="ents")
        yield {"label": label, **value, **groups, **cats}
    else:
        yield MalformedRow(value, _EXPECTED)


_EXPECTED = 'an example was expected: [text, {"entities": [[start, end, label], …]}], or a document with paragraphs'


def _is_example(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        return False
    return isinstance(value[1], dict) and not value[1].keys().isdisjoint({"entities", "spans", "cats"})


def _is_document(value: Any) -> bool:
    """Return whether a JSON value is what `Doc.to_json` returns: a text, and offsets of tokens, without their texts."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return False
    tokens = value.get("tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, dict) for token in tokens[:2]):
        return False
    return all(token.keys() >= {"id", "start", "end"} and "text" not in token for token in tokens[:2])


def _spans(annotation: Mapping[str, Any], *, entities: str) -> tuple[Any, dict[str, Any]]:
    """Return the label of a text, and the column ``spans`` if there are groups of spans.

    Args:
        annotation: the annotation of the text.
        entities: the key of its entities, which is missing if they are not annotated.
    """
    spans = annotation.get("spans")
    groups = [group for group in spans.values() if isinstance(group, list)] if isinstance(spans, dict) else []
    columns = {"spans": _to_lists([span for group in groups for span in group])} if groups else {}
    label = annotation.get(entities)
    return columns.get("spans") if label is None else _to_lists(label), columns


def _to_lists(spans: Any) -> Any:
    """Return spans as lists; any other value is returned unchanged."""
    if not isinstance(spans, list):
        return spans
    return [[span.get(key) for key in _SPAN_KEYS] if isinstance(span, dict) else span for span in spans]


def _from_example(value: Any) -> RawRow:
    text, annotation = value
    label, groups = _spans(annotation, entities="entities")
    row: dict[str, Any] = {"text": text, "label": label, **groups}
    return row if "cats" not in annotation else {**row, "cats": _categories(annotation["cats"])}


def _categories(values: Any) -> list[Any] | None:
    """Return the names of the categories of a text."""
    if isinstance(values, list):
        pairs = [(item.get("label"), item.get("value")) for item in values if isinstance(item, dict)]
    elif isinstance(values, dict):
        pairs = list(values.items())
    else:
        return None
    return [name for name, value in pairs if isinstance(value, int | float) and value >= _MIN_CATEGORY_VALUE]


def _from_paragraph(paragraph: Any) -> RawRow:
    """Return the row of a paragraph, whose entities are tags of its tokens."""
    try:
        tokens = [token for sentence in paragraph["sentences"] for token in sentence["tokens"]]
        words = [(str(token["orth"]), token.get("ner"), str(token.get("space", " "))) for token in tokens]
        text = str(paragraph.get("raw") or "".join(word + space for word, _, space in words).rstrip())
    except (KeyError, TypeError, AttributeError):
        return MalformedRow(paragraph, "a paragraph with sentences of tokens was expected")
    row: dict[str, Any] = {"text": text}
    if paragraph.get("cats"):
        row["cats"] = _categories(paragraph["cats"])
    if all(tag in (None, _UNKNOWN_TAG) for _, tag, _ in words):
        return {**row, "label": paragraph.get("entities")}
    spans: list[list[Any]] = []
    position, open_label = 0, ""
    for word, tag, _ in words:
        start = text.find(word, position)
        if start < 0:
            return MalformedRow(word, "a token is not in the text of its paragraph")
        position = start + len(word)
        prefix, _, name = str(tag or "O").partition("-")
        if name and prefix in "IL" and name == open_label:
            spans[-1][1] = position
        elif name:
            spans.append([start, position, name])
        open_label = name if prefix in "BI" else ""
    return {**row, "label": spans}
