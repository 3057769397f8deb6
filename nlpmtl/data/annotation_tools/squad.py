"""SQuAD: articles of paragraphs, each a context with questions; also the JSON of XQuAD, MLQA and other datasets.

Example:
    >>> question = {"id": "1", "question": "Where does Ada live?", "answers": [{"text": "Turin", "answer_start": 13}]}
    >>> file = {"data": [{"paragraphs": [{"context": "Ada lives in Turin.", "qas": [question]}]}]}
    >>> [row["answers"] for row in convert(file)]
    [{'text': ['Turin'], 'answer_start': [13]}]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, RawRow

_EXPECTED = 'an article was expected: {"paragraphs": [{"context": …, "qas": [{"question": …, "answers": …}]}]}'


def detect(value: Any) -> bool:
    """Return whether a JSON value is a file of articles, or an article whose paragraphs have questions."""
    return any(
        isinstance(article, dict)
        and isinstance(article.get("paragraphs"), list)
        and any(isinstance(paragraph, dict) and "qas" in paragraph for paragraph in article["paragraphs"][:2])
        for article in _articles(value)[:2]
    )


def convert(value: Any) -> Iterator[RawRow]:
    """Yield a row for each question of a file of articles, or of an article.

    Its columns are ``context``, the keys of the question, such as ``question`` and ``id``, and ``title`` if the article
    has one. ``answers`` are in the form of the ``datasets`` library; a question with ``is_impossible`` has none, and
    one without the key is not labelled.
    """
    for article in _articles(value):
        yield from _from_article(article)


def _from_article(article: Any) -> Iterator[RawRow]:
    """Yield the questions of an article; a malformed question, paragraph or article is one malformed row."""
    try:
        title = {"title": article["title"]} if "title" in article else {}
        paragraphs = list(article["paragraphs"])
    except (KeyError, TypeError):
        yield MalformedRow(article, _EXPECTED)
        return
    for paragraph in paragraphs:
        try:
            columns, questions = {**title, "context": paragraph["context"]}, list(paragraph["qas"])
        except (KeyError, TypeError):
            yield MalformedRow(paragraph, _EXPECTED)
            continue
        for question in questions:
            try:
                yield {**columns, **_from_question(question)}
            except (KeyError, TypeError, AttributeError):
                yield MalformedRow(question, _EXPECTED)


def _articles(value: Any) -> list[Any]:
    """Return the articles of a file, or an article by itself."""
    articles = value.get("data") if isinstance(value, dict) else None
    return articles if isinstance(articles, list) else [value]


def _from_question(question: Any) -> dict[str, Any]:
    row = {key: value for key, value in question.items() if key not in ("answers", "plausible_answers")}
    answers = [] if question.get("is_impossible") else question.get("answers")
    if isinstance(answers, list):
        answers = {key: [answer[key] for answer in answers] for key in ("text", "answer_start")}
    return {**row, "answers": answers}
