"""Task types: one file each, with its loss, decoding and metrics.

task = task_from_config("topic", {"kind": "classification", "labels": ["a", "b"], "metrics": None, "input": "text"})
item = ExampleOutputs(Example(), [], {"logits": [np.array([2.0, 0.0])]})
task.format(task.decode([item])[0], item.example)              # {"label": "a", "score": 0.88…}
"""

from __future__ import annotations

from nlpmtl.tasks.base import Task
from nlpmtl.tasks.classification import Classification, LabelTask
from nlpmtl.tasks.embedding import Embedding
from nlpmtl.tasks.error_analysis import Cells, Confusion, ErrorAnalysis, Histogram, LabelCounts, RegressionPairs
from nlpmtl.tasks.example_call import example_call, is_text_list
from nlpmtl.tasks.fields import TaskFields, build_task, task_from_config, task_type
from nlpmtl.tasks.generation import Generation, Summarization, Translation
from nlpmtl.tasks.label_columns import LabelColumns, label_shapes, parse_context, read_columns
from nlpmtl.tasks.label_lists import find_labels
from nlpmtl.tasks.labeling import Labeling
from nlpmtl.tasks.losses import LabelLoss
from nlpmtl.tasks.masked_lm import MaskedLM
from nlpmtl.tasks.multilabel import Multilabel
from nlpmtl.tasks.multiple_choice import MultipleChoice
from nlpmtl.tasks.outputs import Aggregation, ExampleOutputs, Logits, OutputOptions, Prediction, decode_all
from nlpmtl.tasks.parsing import Parsing
from nlpmtl.tasks.pooling import LongTextFields, PooledFields, pooling_argument
from nlpmtl.tasks.question_answering import QuestionAnswering
from nlpmtl.tasks.ranking import Ranking
from nlpmtl.tasks.regression import Regression
from nlpmtl.tasks.reporting import ItemProbabilities, RowError
from nlpmtl.tasks.scoring import can_resample, check_scoring, loss_metrics, needs_predictions, tasks_in_mean
from nlpmtl.tasks.sentiment import Sentiment
from nlpmtl.tasks.spans import SpanExtraction
from nlpmtl.tasks.stock_model import StockModel, fold_temperature

__all__ = [
    "Aggregation",
    "Cells",
    "Classification",
    "Confusion",
    "Embedding",
    "ErrorAnalysis",
    "ExampleOutputs",
    "Generation",
    "Histogram",
    "ItemProbabilities",
    "LabelColumns",
    "LabelCounts",
    "LabelLoss",
    "LabelTask",
    "Labeling",
    "Logits",
    "LongTextFields",
    "MaskedLM",
    "Multilabel",
    "MultipleChoice",
    "OutputOptions",
    "Parsing",
    "PooledFields",
    "Prediction",
    "QuestionAnswering",
    "Ranking",
    "Regression",
    "RegressionPairs",
    "RowError",
    "Sentiment",
    "SpanExtraction",
    "StockModel",
    "Summarization",
    "Task",
    "TaskFields",
    "Translation",
    "build_task",
    "can_resample",
    "check_scoring",
    "decode_all",
    "example_call",
    "find_labels",
    "fold_temperature",
    "is_text_list",
    "label_shapes",
    "loss_metrics",
    "needs_predictions",
    "parse_context",
    "pooling_argument",
    "read_columns",
    "task_from_config",
    "task_type",
    "tasks_in_mean",
]
