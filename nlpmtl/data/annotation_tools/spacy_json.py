"""spaCy: examples ``[text, {"entities": [[start, end, name], …]}]``, `Doc.to_json`, and the JSON of spaCy 2."""

from __future__ import annotations

from collections.abc import Iterator
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

    ``label`` has the spans, and ``cats`` the names of the categories whose value is at least 0.5, if there are any.
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
        yield {**value, "label": value["entities"]}
    elif _is_document(value):
        cats = {"cats": _categories(value["cats"])} if "cats" in value else {}
        yield {**value, "label": _spans(value.get("ents"), value.get("spans")), **cats}
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


def _spans(entities: Any, groups: Any) -> Any:
    """Return the entities as lists; without any, the spans of all groups of a span categorizer."""
    if not entities and isinstance(groups, dict) and any(isinstance(spans, list) for spans in groups.values()):
        entities = [span for spans in groups.values() if isinstance(spans, list) for span in spans]
    if not isinstance(entities, list):
        return entities
    return [[span.get(key) for key in _SPAN_KEYS] if isinstance(span, dict) else span for span in entities]


def _from_example(value: Any) -> RawRow:
    text, annotation = value
    row: dict[str, Any] = {"text": text, "label": _spans(annotation.get("entities"), annotation.get("spans"))}
    return row if "cats" not in annotation else {**row, "cats": _categories(annotation["cats"])}


def _categories(values: Any) -> list[str] | None:
    """Return the names of the categories of a text."""
    if isinstance(values, list):
        values = {item.get("label"): item.get("value") for item in values if isinstance(item, dict)}
    if not isinstance(values, dict):
        return None
    return [
        str(name) for name, value in values.items() if isinstance(value, int | float) and value >= _MIN_CATEGORY_VALUE
    ]


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
