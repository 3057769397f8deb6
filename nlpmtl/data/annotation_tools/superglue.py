"""MultiRC and ReCoRD of SuperGLUE: passages with questions, a row for each answer or query.

The columns are those of the ``datasets`` library, and what a task reads:

- MultiRC: ``paragraph``, ``question``, ``answer``, ``label`` (1: the answer is right), and ``question_answer``, the
  question and the answer as one text for a pair with the paragraph.
- ReCoRD: ``passage``, ``query``, ``entities``, and ``answers`` with positions in the passage, for question answering.

References:
    Khashabi et al. (2018), Looking beyond the surface: a challenge set for reading comprehension over multiple
        sentences, NAACL, https://aclanthology.org/N18-1023
    Zhang et al. (2018), ReCoRD: bridging the gap between human and machine commonsense reading comprehension,
        https://arxiv.org/abs/1810.12885

Example:
    >>> answers = [{"text": "Turin", "label": 1, "idx": 0}, {"text": "Rome", "label": 0, "idx": 1}]
    >>> questions = [{"question": "Where is Ada?", "answers": answers, "idx": 0}]
    >>> passage = {"text": "Ada is in Turin.", "questions": questions}
    >>> [(row["question_answer"], row["label"]) for row in convert({"idx": 0, "passage": passage})]
    [('Where is Ada? Turin', 1), ('Where is Ada? Rome', 0)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, RawRow

_EXPECTED = 'a passage was expected: {"passage": {"text": …, "questions": […]}} or {"passage": {"text": …}, "qas": […]}'


def detect(value: Any) -> bool:
    """Return whether a JSON value is a passage of MultiRC or ReCoRD."""
    passage = value.get("passage") if isinstance(value, Mapping) else None
    if not isinstance(passage, Mapping) or not isinstance(passage.get("text"), str):
        return False
    return isinstance(passage.get("questions"), list) or isinstance(value.get("qas"), list)


def convert(value: Any) -> Iterator[RawRow]:
    """Yield a row for each answer of a passage of MultiRC, or each query of a passage of ReCoRD.

    A query without answers, as in the test split, is not labelled.
    """
    if not detect(value):
        yield MalformedRow(value, _EXPECTED)
        return
    passage = value["passage"]
    is_multirc = isinstance(passage.get("questions"), list)
    for question in passage["questions"] if is_multirc else value["qas"]:
        try:
            yield from _from_question(passage, question) if is_multirc else _from_query(passage, question)
        except (KeyError, TypeError, AttributeError):
            yield MalformedRow(question, _EXPECTED)


def _from_question(passage: Mapping[str, Any], question: Mapping[str, Any]) -> list[RawRow]:
    text = question["question"]
    return [
        {
            "paragraph": passage["text"],
            "question": text,
            "answer": answer["text"],
            "question_answer": f"{text} {answer['text']}",
            "label": answer.get("label"),
        }
        for answer in question["answers"]
    ]


def _from_query(passage: Mapping[str, Any], query: Mapping[str, Any]) -> list[RawRow]:
    text = passage["text"]
    spans = passage.get("entities") or ()
    answers = query.get("answers")
    if answers is not None:  # ends are the index of the last character
        answers = [{"start": answer["start"], "end": answer["end"] + 1} for answer in answers]
    entities = [text[span["start"] : span["end"] + 1] for span in spans]
    return [{"passage": text, "query": query["query"], "entities": entities, "answers": answers}]
