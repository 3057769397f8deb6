"""Extractive question answering: the part of a context that answers a question, or no answer.

    z(i, j) = (s_i − s_0) + (e_j − e_0)        (a, b) = argmax_{i ≤ j} z(i, j) over all windows of the context

    p(i, j) = exp((z(i, j) − θ) / T) / Z      p(no answer) = 1 / Z      Z = 1 + Σ_{k ≤ l} exp((z(k, l) − θ) / T)

Symbols:
- s, e: logits of the tokens of a window as the first and the last token of the answer; those of the window's first
  token, s_0 and e_0, are the logits of "no answer"
- i, j, k, l: tokens of the context in the window
- z: score of a span; it is relative to that of no answer in the same window, because the logits of different windows
  cannot be compared
- p: probability of a span, or of no answer, in its window
- θ: threshold; T: temperature

The best span is predicted if its score is above θ, so if it is more probable than no answer. The loss of a window is
the mean of the two cross-entropies of its tokens, as in ``…ForQuestionAnswering`` of transformers; a window without the
answer has its first token as the target.

References:
    Devlin, Chang, Lee and Toutanova (2019), BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, NAACL, sections 4.2 and 4.3, https://arxiv.org/abs/1810.04805
    Rajpurkar, Jia and Liang (2018), Know What You Don't Know: Unanswerable Questions for SQuAD, ACL,
        https://arxiv.org/abs/1806.03822

Departure from BERT: the no-answer score is subtracted in each window, instead of a minimum over all windows.

Example:
    >>> import numpy as np
    >>> from nlpmtl.tasks.question_answering import best_span
    >>> best_span(np.array([0.0, 4.0, 1.0]), np.array([5.0, 1.0, 2.0]))
    (6.0, 1, 2)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from nlpmtl.data import (
    Example,
    LabelType,
    Span,
    Targets,
    TaskBatch,
    TextInput,
    TokenSequence,
    answer_tokens,
    context_tokens,
    strip_span,
)
from nlpmtl.metrics import answer_f1, is_exact_match
from nlpmtl.registry import TASKS
from nlpmtl.tasks.base import Task
from nlpmtl.tasks.calibration import best_cut, fit_confidence_temperature
from nlpmtl.tasks.classification import upcast
from nlpmtl.tasks.error_analysis import ErrorAnalysis, count_errors
from nlpmtl.tasks.outputs import DEFAULT_OUTPUT, Confidence, ExampleOutputs, OutputOptions, Prediction
from nlpmtl.tasks.reporting import RowError
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nlpmtl.heads import HeadContext, Outputs

_ANSWER, _WRONG, _NONE = "answer", "wrong answer", "no answer"
_WINDOWS = (
    "Long contexts: nlpmtl reads them to the end, in overlapping windows, and compares the spans of all windows by "
    "their scores minus the no-answer score of their window. Tokenize with `stride` and `return_overflowing_tokens`."
)
_DECODING = (
    "Decoding: the answer is the best span of tokens of the context, start ≤ end, if the sum of its logits minus that "
    "of the logits of the first token is above `answer_threshold` in config.json; otherwise there is no answer."
)
_USAGE = """\
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

path = "this-directory-or-repository"
tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForQuestionAnswering.from_pretrained(path)
question, context = "Who lives in Turin?", "Ada lives in Turin."
inputs = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
offsets = inputs.pop("offset_mapping")[0].tolist()
is_context = torch.tensor([part == 1 for part in inputs.sequence_ids()])
with torch.no_grad():
    outputs = model(**inputs)
start, end = (logits[0] - logits[0, 0] for logits in (outputs.start_logits, outputs.end_logits))
scores = (start[:, None] + end).masked_fill(~(is_context[:, None] & is_context).triu(), -torch.inf)
first, last = divmod(int(scores.argmax()), len(scores))
print(context[offsets[first][0] : offsets[last][1]] if scores.max() > model.config.answer_threshold else "no answer")"""


class WindowScores(NamedTuple):
    """Scores of the tokens of a context in one window, relative to those of no answer.

    Args:
        start: score of each token as the first one of the answer, ``[tokens]``.
        end: score of each token as the last one, ``[tokens]``.
        spans: start and end of each token in the context, in characters, ``[tokens, 2]``.
    """

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    spans: NDArray[np.integer]

    def answer_odds(self, threshold: float, temperature: float) -> float:
        """Return log Σ_{i ≤ j} exp((z(i, j) − θ) / T): the logarithm of the odds of an answer in this window."""
        later = np.logaddexp.accumulate(self.end[::-1] / temperature)[::-1]
        return float(np.logaddexp.reduce(self.start / temperature + later)) - threshold / temperature


class _Best(NamedTuple):
    """The best span of an example: its score (-inf without tokens), its window, and its characters."""

    score: float
    window: int
    span: Span


def best_span(start: NDArray[np.floating], end: NDArray[np.floating]) -> tuple[float, int, int]:
    """Return the highest ``start[i] + end[j]`` with i ≤ j, then i and j; in linear time.

    Args:
        start: scores of the tokens as the first one, ``[tokens]``; at least one.
        end: scores of the tokens as the last one, ``[tokens]``.
    """
    later = np.maximum.accumulate(end[::-1])[::-1]
    i = int(np.argmax(start + later))
    j = i + int(np.argmax(end[i:]))
    return float(start[i] + end[j]), i, j


def _window_scores(item: ExampleOutputs) -> list[WindowScores]:
    """Return the scores of the windows that have tokens of the context."""
    windows = zip(context_tokens(item.sequences, item.example.pair or ""), item.outputs["logits"], strict=True)
    scores = []
    for (indices, spans), logits in windows:
        if len(indices):
            start, end = (logits[indices].astype(np.float64) - logits[0]).T
            scores.append(WindowScores(start, end, spans))
    return scores


def _best_of_windows(windows: Sequence[WindowScores], context: str) -> _Best:
    """Return the best span of all windows; of equal ones the first."""
    best = _Best(-np.inf, 0, (0, 0))
    for number, window in enumerate(windows):
        score, i, j = best_span(window.start, window.end)
        if score > best.score:
            best = _Best(score, number, strip_span(context, int(window.spans[i, 0]), int(window.spans[j, 1])))
    return best


@TASKS.register("question_answering")
class QuestionAnswering(Task):
    """Extractive question answering: the part of the second text that answers the first one, or no answer.

    The context, which is the second text of the pair, is read to its end in overlapping windows, each with the
    question. An answer that begins or ends inside a token is trained on the tokens around it.
    """

    kind = "question_answering"
    other_names = "qa extractive_qa extractive_question_answering squad reading_comprehension machine_reading"
    pipeline_tag = "question-answering"
    plots = ("confusion_matrix",)
    windowed = True
    columns: ClassVar[Mapping[str, LabelType]] = {"label": "answers"}
    inputs = frozenset({"pair"})
    metrics: ClassVar[tuple[str, ...]] = ("squad_f1", "exact_match")
    calibrated = frozenset({"temperature", "threshold"})
    changeable = frozenset({"stride"})

    stride: int | None = Field(None, ge=0)
    """Number of tokens of the context that neighbouring windows share, at most half of `encoder.max_length`; where a
    question leaves few tokens, it is at most half of the window's part of the context. Default: that half."""
    threshold: float = Field(0.0, ge=-1e9, le=1e9)
    """Score of the best span, relative to no answer, above which it is predicted."""

    @classmethod
    def check_options(cls, options: Any) -> None:
        super().check_options(options)
        if options.labels is not None:
            raise ValueError("question answering has no `labels`: its label is a part of the context")

    @classmethod
    def check_max_length(cls, options: Any, max_length: int) -> None:
        if options.stride is not None and options.stride > max_length // 2:
            raise ValueError(
                f"`stride`: windows of encoder.max_length = {max_length} tokens can share at most {max_length // 2}, "
                f"found {options.stride}"
            )

    @property
    def outputs(self) -> int:
        return 2

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.question_answering_head()

    def sequences(self, example: Example, *, predict: bool) -> list[TextInput]:
        return [example.text_input(stride="half" if self.stride is None else self.stride, offsets=True)]

    def targets(self, example: Example, sequences: Sequence[TokenSequence]) -> Targets | None:
        """Return the first and last token of the first answer in each window, 0 and 0 where it is not complete.

        A row whose answer is in no window is excluded from the loss.
        """
        context, answers = example.pair or "", example.labels["label"]
        places, exact = [[0, 0] for _ in sequences], True
        if answers:
            windows = context_tokens(sequences, context)
            in_windows = answer_tokens(windows, strip_span(context, *answers[0]), context)
            if not any(in_windows):
                return None
            places = [[0, 0] if tokens is None else [tokens.first, tokens.last] for tokens in in_windows]
            exact = next(tokens.exact for tokens in in_windows if tokens is not None)
        return Targets(
            count=len(sequences),
            example={"inexact": not exact},
            sequence={"places": places, "length": [len(sequence.ids) for sequence in sequences]},
        )

    def target_notes(self, targets: Mapping[str, NDArray[Any]], *, excluded_rows: int) -> list[str]:
        notes = []
        if count := int(targets["inexact"].sum()) if "inexact" in targets else 0:
            notes.append(f"{count} answers begin or end inside a token: the task is trained on the tokens around them")
        if excluded_rows:
            notes.append(
                f"{excluded_rows} rows have an answer that is in no window as a whole, and are not trained on: "
                "increase encoder.max_length or `stride`"
            )
        return notes

    def gold(self, example: Example) -> Any:
        spans = example.labels.get("label")
        return None if spans is None else [(example.pair or "")[start:end] for start, end in spans]

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        import torch
        from torch.nn import functional

        logits = upcast(outputs["logits"])
        is_padding = torch.arange(logits.shape[1], device=logits.device) >= batch.targets["length"].unsqueeze(1)
        logits = logits.masked_fill(is_padding.unsqueeze(2), -torch.inf)
        losses = functional.cross_entropy(logits, batch.targets["places"], reduction="none")  # [sequences, 2]
        return batch.by_example(losses.mean(dim=1)).sum(dim=1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [self._predict(item, _window_scores(item)) for item in items]

    def _predict(self, item: ExampleOutputs, windows: Sequence[WindowScores]) -> Prediction:
        best = _best_of_windows(windows, item.example.pair or "")
        score = self._probability(windows, best, self.temperature)
        start, end = best.span if best.score > self.threshold else (0, 0)
        return Prediction((item.example.pair or "")[start:end], score, extra=(start, end))

    def _probability(self, windows: Sequence[WindowScores], best: _Best, temperature: float) -> float:
        """Return the probability of what is predicted: of the best span in its window, or of no answer.

        The probability of no answer is that in the window in which it is lowest; without any token it is 1.
        """
        if best.score > self.threshold:
            odds = windows[best.window].answer_odds(self.threshold, temperature)
            return float(np.exp((best.score - self.threshold) / temperature - np.logaddexp(0.0, odds)))
        odds = max((window.answer_odds(self.threshold, temperature) for window in windows), default=-np.inf)
        return float(np.exp(-np.logaddexp(0.0, odds)))

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = DEFAULT_OUTPUT) -> Any:
        """``{"answer": "Turin", "score": 0.93, "start": 13, "end": 18}``, where ``context[start:end]`` is the answer.

        Without an answer, it is "" and `start` and `end` are 0.
        """
        start, end = prediction.extra
        return {"answer": prediction.value, "score": prediction.score, "start": start, "end": end}

    def output_type(self, options: OutputOptions = DEFAULT_OUTPUT) -> pa.DataType | None:
        return pa.struct({"answer": pa.string(), "score": pa.float64(), "start": pa.int64(), "end": pa.int64()})

    def calibrate(self, items: Sequence[ExampleOutputs], gold: Sequence[Any]) -> None:
        """Fit the threshold to the best F1, then the temperature to which predictions are right."""
        windows = list(map(_window_scores, items))
        best = [_best_of_windows(scores, item.example.pair or "") for scores, item in zip(windows, items, strict=True)]
        texts = [(item.example.pair or "")[slice(*span)] for item, (_, _, span) in zip(items, best, strict=True)]
        self.threshold = best_cut(
            np.array([span.score for span in best]),
            above=np.array([answer_f1(text, answers) for text, answers in zip(texts, gold, strict=True)]),
            below=np.array([answer_f1("", answers) for answers in gold]),
            default=self.threshold,
        )
        right = [is_exact_match(value.value, answers) for value, answers in zip(self.decode(items), gold, strict=True)]

        def confidence(temperature: float) -> NDArray[np.float64]:
            pairs = zip(windows, best, strict=True)
            return np.array([self._probability(scores, span, temperature) for scores, span in pairs])

        self.temperature = fit_confidence_temperature(confidence, np.array(right))

    def confidence(self, prediction: Prediction, gold: Any) -> Confidence:
        return np.array([prediction.score]), np.array([is_exact_match(prediction.value, gold)])

    def comparable(self, gold: Any) -> list[str]:
        """Return each correct answer once, in order: a prediction may be any of them."""
        return sorted(set(gold))

    def row_error(self, prediction: Prediction, gold: Any, example: Example) -> RowError | None:
        """Compare the answers as the metric `exact_match` does."""
        if is_exact_match(prediction.value, gold):
            return None
        gold_text = " | ".join(dict.fromkeys(gold)) or f"({_NONE})"
        return self._error(prediction, gold, gold_text, prediction.value or f"({_NONE})")

    def error_analysis(self, values: Sequence[Any], gold: Sequence[Any]) -> ErrorAnalysis | None:
        """Count the rows with and without an answer by what is predicted: the answer, a wrong one, or none."""
        predicted = [
            _ANSWER if value and is_exact_match(value, answers) else _WRONG if value else _NONE
            for value, answers in zip(values, gold, strict=True)
        ]
        expected = [_ANSWER if answers else _NONE for answers in gold]
        return count_errors(self.plots[0], predicted, expected, names=(_ANSWER, _WRONG, _NONE))

    def baselines(
        self, train: Sequence[Any], gold: Sequence[Any], rng: np.random.Generator
    ) -> Mapping[str, Sequence[Any]]:
        """Predict no answer for every question."""
        return {"no answer": [""] * len(gold)}

    def describe_output(self) -> str:
        return "a part of the second text, or no answer"

    def stock_model(self) -> StockModel | None:
        names = ("start", "end")
        return StockModel(
            None,
            omitted=(_DECODING, _WINDOWS),
            config={
                "id2label": dict(enumerate(names)),
                "label2id": {name: i for i, name in enumerate(names)},
                "answer_threshold": self.threshold / self.temperature,
            },
            auto_class="AutoModelForQuestionAnswering",
            outputs=("start_logits", "end_logits"),
            usage=_USAGE,
            **fold_temperature(self.temperature),
        )
