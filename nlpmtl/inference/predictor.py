"""`Predictor`: predictions of a trained model for raw inputs, for one task or for all tasks in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack, get_args

import torch
from transformers import PreTrainedTokenizerBase

from nlpmtl.batched_inference import max_batch_tokens
from nlpmtl.config import check_count, check_flag, check_output
from nlpmtl.data import describe_value, without_truncation
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.export import export_onnx, export_sentence_transformer, export_task
from nlpmtl.hub import PushOptions, fetch, push
from nlpmtl.inference.backend import Backend, BackendName, Precision, load_backend
from nlpmtl.inference.containers import Container, open_container
from nlpmtl.inference.device import check_device
from nlpmtl.inference.pipeline import InferencePipeline, Table, Text
from nlpmtl.inference.task_inputs import InputReader, check_task_names
from nlpmtl.kernels import Int8Linear, KernelSwitch
from nlpmtl.model import MultiTaskModel
from nlpmtl.plugins import import_plugins
from nlpmtl.tasks import Aggregation, OutputOptions, Task

__all__ = ["Predictor", "Text"]

_SINGLE_TASK_EXPORTS = {"transformers": export_task, "sentence-transformers": export_sentence_transformer}


class Predictor:
    """Predictions of a trained model for raw inputs.

    One input gives one prediction, a list gives a list, and an iterator gives an iterator, which buffers up to 2,048
    inputs. Several threads may share a predictor.

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        tokens: maximum number of tokens, with padding, in a forward pass; default: a value that suits the device.
        directory: the directory that the model was loaded from; default: none.

    Raises:
        ConfigError: an argument is invalid.

    Example:
        model = nlpmtl.Predictor.from_pretrained("runs/messages/model")
        model.predict("Ada lives in Turin.", task="topic")  # {"label": "places", "score": 0.99}
        model.predict_all(["Ada lives in Turin.", "It rained."])  # [{"topic": {…}, "places": […]}, …]
    """

    def __init__(
        self,
        model: Backend,
        tokenizer: PreTrainedTokenizerBase,
        *,
        tokens: int | None = None,
        directory: Path | None = None,
    ) -> None:
        if not hasattr(model, "predict_logits"):
            raise ConfigError(
                f"model: a loaded model was expected, found {describe_value(model)}. To load one from a directory or "
                "the Hub, write Predictor.from_pretrained(…)"
            )
        self.model, self.tokenizer = model, tokenizer
        self._directory = directory
        limit = max_batch_tokens(model.device) if tokens is None else check_count(tokens, name="tokens", least=1)
        self._pipeline = InferencePipeline(model, tokenizer, tokens=limit)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | None = None,
        device: str | torch.device = "auto",
        dtype: torch.dtype | Precision | None = None,
        backend: BackendName | None = None,
        kernels: KernelSwitch = "auto",
        plugins: Sequence[str] = (),
    ) -> Predictor:
        """Load a model from a directory or the Hub.

        Args:
            name: a model directory, the directory of a run (for its model), or a Hub id.
            revision: commit, tag or branch of a model on the Hub; default: ``"main"``.
            token: access token for a private or gated model; default: that of `hf auth login`, or HF_TOKEN.
            device: "auto" (a GPU if there is one, else the CPU), or a device such as "cpu", "cuda:1" or "mps". The
                precision does not depend on it.
            dtype: compute precision: "fp32", "bf16", "int8" (int8 matmuls in the encoder, on a CPU), or a
                floating-point dtype of torch; default: that of the saved weights, "fp32" unless ``train.precision`` was
                "fp64".
            backend: "torch" or "onnx"; default: "onnx" for a directory with a ``model.onnx`` and no weights, else
                "torch".
            kernels: "auto": before int8 is used, check once per version of torch that it computes what PyTorch does,
                and use single precision if not; "off": no check. No other kernel is used in prediction.
            plugins: modules to import first, which register task types and sharing schemes of the model.

        Raises:
            ConfigError: the backend, device or precision is unknown or not available, a plugin cannot be imported, a
                revision of a directory is given, or the token is invalid.
            ModelError: the model does not exist, is invalid, was not written by nlpmtl, or access is denied.
        """
        check_device(device, dtype=dtype)
        import_plugins(plugins)
        directory = fetch(name, revision=revision, token=token)
        model, tokenizer = load_backend(str(directory), backend=backend, device=device, dtype=dtype, kernels=kernels)
        return cls(model, tokenizer, directory=directory)

    def push_to_hub(self, repo_id: str, **options: Unpack[PushOptions]) -> str:
        """Upload the model to the Hub in one commit.

        A predictor that was loaded from a directory uploads this directory in its present state, with its card and
        scores. A predictor created from a model and a tokenizer uploads these, without a card.

        Args:
            repo_id: the repository, as ``"name/model"``; created if missing.
            private: visibility of the repository; default: unchanged, or the owner's setting for a new one.
            revision: the branch, created if missing; default: ``"main"``.
            message: commit message; default: "Upload nlpmtl model", with the number of files.
            create_pr: whether to open a pull request on an existing repository instead; default: False.
            token: a token with write access; default: that of `hf auth login`, or HF_TOKEN.

        Returns:
            The URL of the commit, or of the pull request.

        Raises:
            ConfigError: an argument is invalid, no access token is set, or HF_HUB_OFFLINE is set. No file was uploaded.
            ModelError: the directory does not hold a complete model, or a request to the Hub failed. The branch is
                unchanged.
        """
        with TemporaryDirectory() as scratch:
            if self._directory is None:
                assert isinstance(self.model, MultiTaskModel), "a graph comes from a directory"
                self.model.save_pretrained(scratch)
                without_truncation(self.tokenizer).save_pretrained(scratch)
            return push(self._directory or scratch, repo_id, **options)

    def __repr__(self) -> str:
        """Return the directory of the model, its device and its tasks."""
        source = "" if self._directory is None else f"{str(self._directory)!r}, "
        tasks = "".join(f"\n  {task!r}" for task in self.tasks.values())
        return f"Predictor({source}device={str(self.model.device)!r}):{tasks}"

    @property
    def directory(self) -> Path | None:
        """The model directory that it was loaded from, in the cache for a Hub id; None if it was not loaded."""
        return self._directory

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the model by name."""
        return self.model.tasks

    def predict(
        self,
        inputs: Text | Iterable[Text] | Table,
        *,
        task: str,
        all_scores: bool = False,
        aggregation_strategy: Aggregation = "first",
    ) -> Any:
        """Predict one task.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several inputs, see `predict_all`.
            task: name of the task.
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: see `predict_all`.

        Returns:
            A prediction for one input, as JSON values; a list for inputs with a length, an iterator for others.

        Raises:
            ConfigError: the task or the strategy is unknown, or the task does not accept the input (such as a single
                text instead of a pair).
            DataError: an input is malformed; the message names its position and type.
        """
        if not isinstance(task, str):
            raise ConfigError(
                f"task: the task name must be a string, found {describe_value(task)}; tasks: "
                f"{', '.join(self.tasks)}. To predict several, use predict_all(…, tasks=[…])"
            )
        results = self.predict_all(
            inputs, tasks=[task], all_scores=all_scores, aggregation_strategy=aggregation_strategy
        )
        if isinstance(results, Mapping):
            return results[task]
        predictions = (by_task[task] for by_task in results)
        return list(predictions) if isinstance(results, list) else predictions

    def predict_all(
        self,
        inputs: Text | Iterable[Text] | Table,
        *,
        tasks: Sequence[str] | None = None,
        all_scores: bool = False,
        aggregation_strategy: Aggregation = "first",
    ) -> Any:
        """Predict several tasks in one forward pass.

        For a text longer than the maximum input length, token classification, spans, question answering and tasks with
        `long` use overlapping windows; other tasks read its beginning, and their predictions, if they are dicts, have
        ``"truncated": True``.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several: a list, a NumPy or Arrow array, a
                pandas Series, an iterator; or a table: a pandas DataFrame, a `datasets.Dataset`, an Arrow table. Tables
                and dicts need the columns that a task was trained on, or ``text``, optionally with ``pair``, or
                ``words``; and the further inputs of a task type.
            tasks: names of the tasks; default: all that accept the input (a task on pairs does not accept a single
                text).
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: for tags of words, as in `pipeline()`: "first" joins them to spans, "none" returns
                each tagged word.

        Returns:
            ``{task: prediction}`` for one input; a list of these in input order for inputs with a length; an iterator
            of these for others.

        Raises:
            ConfigError: a task or the strategy is unknown, or a named task does not accept an input.
            DataError: an input is malformed; the message names its position and type.
        """
        check_task_names(tasks, self.tasks)
        if aggregation_strategy not in get_args(Aggregation):
            raise ConfigError(
                f'aggregation_strategy: "first" or "none" was expected, found {aggregation_strategy!r}. Only the first '
                "token of each word is trained, so the scores of the others cannot be averaged"
            )
        options = OutputOptions(all_scores=check_flag(all_scores, name="all_scores"), aggregation=aggregation_strategy)
        reader = InputReader(self.tasks, names=tasks)
        container = open_container(inputs)
        stream = self._pipeline.stream(_read_rows(inputs, container, reader), reader=reader, options=options)
        if container is None:
            return next(stream)
        return stream if container.lazy else list(stream)

    def find_truncated(self, inputs: Text | Iterable[Text] | Table, *, tasks: Sequence[str] | None = None) -> Any:
        """Return whether a task reads only the beginning of an input, since it exceeds the maximum input length.

        Predictions that are lists, such as trees, rankings and embeddings, cannot have the key ``truncated``.

        Args:
            inputs: one input or several, see `predict_all`.
            tasks: names of the tasks; default: all that accept the input.

        Returns:
            Whether it does for one input; a list of these for several.

        Raises:
            ConfigError: a task is unknown, or a named task does not accept an input.
            DataError: an input is malformed; the message names its position and type.
        """
        check_task_names(tasks, self.tasks)
        reader = InputReader(self.tasks, names=tasks)
        container = open_container(inputs)
        truncated = self._pipeline.find_truncated(_read_rows(inputs, container, reader), reader=reader)
        return truncated[0] if container is None else truncated

    def export(
        self, directory: str | Path, *, to: str = "transformers", task: str | Sequence[str] | None = None
    ) -> float:
        """Export the model for use without nlpmtl, and verify its logits.

        Args:
            directory: output directory; must be empty or not exist.
            to: ``"transformers"``, a model of one task for `transformers.pipeline`; ``"onnx"``; or
                ``"sentence-transformers"``, a model of one task that predicts embeddings.
            task: name of the task, or names of several for ONNX; default: all tasks.

        Returns:
            The largest difference of a logit between both models, relative to the largest logit of the task (to 1 if
            that is less).

        Raises:
            ConfigError: a task or the format is unknown, several tasks are given for a format of one task, or the
                directory is not empty.
            ModelError: the model cannot be exported in this format. Nothing is written.
        """
        names = [task] if isinstance(task, str) else task
        directory = check_output(directory, key="directory")
        check_task_names(names, self.tasks)
        tasks = list(self.tasks if names is None else names)
        if not isinstance(self.model, MultiTaskModel):
            raise ModelError("this is already an export; export from the original model directory")
        if any(isinstance(module, Int8Linear) for module in self.model.modules()):
            raise ModelError('this model was loaded with dtype="int8": load it again without a dtype to export it')
        if to == "onnx":
            return export_onnx(self.model, self.tokenizer, directory=directory, tasks=names)
        if to not in _SINGLE_TASK_EXPORTS:
            known = ", ".join(f'"{name}"' for name in (*_SINGLE_TASK_EXPORTS, "onnx"))
            raise ConfigError(f"to: one of {known} was expected, found {to!r}")
        if len(tasks) != 1:
            raise ConfigError(f"a {to} model has a single task: specify one of {', '.join(tasks)}")
        return _SINGLE_TASK_EXPORTS[to](self.model, self.tokenizer, task=tasks[0], directory=directory)


def _read_rows(inputs: Any, container: Container | None, reader: InputReader) -> Iterator[Any]:
    """Return the inputs of a container, or a single one, in order; of a table the columns that the tasks read."""
    if container is None:
        return iter([inputs])
    reader.check_series(inputs)
    return container.rows(() if container.columns is None else reader.columns(container))
