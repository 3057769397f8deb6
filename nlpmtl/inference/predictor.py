"""Prediction: a text in, the answers of one task or of all of them out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack, get_args

import torch
from transformers import PreTrainedTokenizerBase

from nlpmtl.batched_inference import max_batch_tokens
from nlpmtl.data import describe_value, open_container, without_truncation
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.export import export_onnx, export_task
from nlpmtl.hub import PushOptions, fetch, push
from nlpmtl.inference.backend import Backend, BackendName, Precision, load_backend
from nlpmtl.inference.device import check_device
from nlpmtl.inference.pipeline import InferencePipeline, Table, Text
from nlpmtl.inference.task_inputs import InputReader
from nlpmtl.kernels import Int8Linear, KernelSwitch
from nlpmtl.model import MultiTaskModel
from nlpmtl.plugins import import_plugins
from nlpmtl.tasks import Aggregation, OutputOptions, Task

__all__ = ["Predictor", "Text"]


class Predictor:
    """A model that answers.

        model = Predictor.from_pretrained("runs/demo/model")
        model.predict("A delightful film.", task="sst2")
        model.predict_all(["Ada lives in Turin.", "It rained."])

    One input gives one answer, a list a list, an iterator an iterator that reads ahead by up to 2048 inputs.

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        tokens: most padded tokens in one forward; default: what suits the device.
    """

    def __init__(self, model: Backend, tokenizer: PreTrainedTokenizerBase, *, tokens: int | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self._directory: Path | None = None
        self._pipeline = InferencePipeline(model, tokenizer, tokens=tokens or max_batch_tokens(model.device))

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
        """A predictor from a model directory or a Hub id.

        Args:
            name: a model directory, or a Hub id.
            revision: a commit, tag or branch of the Hub's model; default: its main branch.
            token: to read a private or gated one; default: that of `hf auth login`, or HF_TOKEN.
            device: where to compute: "auto", a GPU if there is one and else the CPU, or a device such as "cuda:1". It
                never changes the precision.
            dtype: in which precision: "fp32", "bf16", "int8" (the encoder's products in eight bits, on a CPU), or a
                floating dtype of torch; default: single.
            backend: what computes, "torch" or "onnx"; default: onnxruntime for a directory with a ``model.onnx`` and
                no weights for torch, else torch.
            kernels: "auto": before int8 is used, check once per version of torch that it computes what PyTorch does,
                and use single precision if not; "off": no check. No other kernel is used in prediction.
            plugins: modules to import first, which register the kinds of tasks and sharing schemes that the model has.

        Raises:
            ConfigError: the backend is unknown, not installed, or lacks that device or precision; the device is not
                there; a plugin cannot be imported; a directory has no revisions; a token that cannot be one.
            ModelError: there is no such model, it may not be read, or it is not one of nlpmtl's.
        """
        check_device(device, dtype=dtype)
        import_plugins(plugins)
        directory = fetch(name, revision=revision, token=token)
        predictor = cls(*load_backend(str(directory), backend=backend, device=device, dtype=dtype, kernels=kernels))
        predictor._directory = directory
        return predictor

    def push_to_hub(self, repo_id: str, **options: Unpack[PushOptions]) -> str:
        """Upload the model to the Hub in one commit.

        A predictor that was loaded from a directory sends that directory as it is now, with its card and scores. A
        predictor made of a model and a tokenizer sends these two, without a card.

        Args:
            repo_id: the repository, as ``"name/model"``; created if missing.
            private: visibility of the repository; default: unchanged, or the owner's setting for a new one.
            revision: the branch, created if missing; default: ``"main"``.
            message: commit message; default: the number of files.
            create_pr: whether to open a pull request on an existing repository instead; default: False.
            token: a token with write access; default: that of `hf auth login`, or HF_TOKEN.

        Returns:
            The URL of the commit, or of the pull request.

        Raises:
            ConfigError: an argument is invalid, there is no token, or HF_HUB_OFFLINE is set. Nothing was sent.
            ModelError: the directory holds no complete model, or the Hub refused or failed: the branch is unchanged.
        """
        with TemporaryDirectory() as scratch:
            if self._directory is None:
                assert isinstance(self.model, MultiTaskModel), "a graph comes from a directory"
                self.model.save_pretrained(scratch)
                without_truncation(self.tokenizer).save_pretrained(scratch)
            return push(self._directory or scratch, repo_id, **options)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The model's tasks by name."""
        return self.model.tasks

    def predict(
        self,
        inputs: Text | Iterable[Text] | Table,
        *,
        task: str,
        all_scores: bool = False,
        aggregation_strategy: Aggregation = "first",
    ) -> Any:
        """Predict one task: one prediction for one input, a list for several, an iterator for an iterator.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several, see `predict_all`.
            task: the name of the task.
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: see `predict_all`.

        Raises:
            ConfigError: there is no such task or strategy, or it wants pairs and got a text, or the other way round.
            DataError: an input is not a text, pair or row of words; the message names its position and type.
        """
        if not isinstance(task, str):
            raise ConfigError(
                f"task: the name of a task was expected, found {describe_value(task)}; it is one of "
                f"{', '.join(self.tasks)}. predict_all takes several: tasks=[…]"
            )
        answers = self.predict_all(
            inputs, tasks=[task], all_scores=all_scores, aggregation_strategy=aggregation_strategy
        )
        if isinstance(answers, Mapping):
            return answers[task]
        predictions = (answer[task] for answer in answers)
        return list(predictions) if isinstance(answers, list) else predictions

    def predict_all(
        self,
        inputs: Text | Iterable[Text] | Table,
        *,
        tasks: Sequence[str] | None = None,
        all_scores: bool = False,
        aggregation_strategy: Aggregation = "first",
    ) -> Any:
        """The answers of several tasks, from one pass of the encoder.

        A text that is longer than the model reads is labelled in overlapping windows; other tasks read its beginning,
        and say so: ``"truncated": True``.

        Args:
            inputs: a text, a pair ``(text, pair)``, ``{"words": […]}``, or several: a list, a NumPy or Arrow array, a
                pandas Series, an iterator; or a table: a pandas DataFrame, a `datasets.Dataset`, an Arrow table. Tables
                and rows need the columns that a task was trained on, or ``text``, perhaps ``pair``, or ``words``.
            tasks: names of tasks; default: all that can read the input (a pair task cannot read a single text).
            all_scores: add ``"scores"``, the probability of every label.
            aggregation_strategy: for words with BIO tags, as `pipeline()` names it: "first" joins them to spans, "none"
                answers every tagged word by itself.

        Returns:
            ``{task: prediction}`` for one input; a list of these, one per row in row order, for what has a length; an
            iterator of these for what has none.

        Raises:
            ConfigError: a named task or the strategy does not exist, or the task cannot read an input.
            DataError: an input is not a text, pair or row of words; the message names its position and type.
        """
        self._check_tasks(tasks)
        if aggregation_strategy not in get_args(Aggregation):
            raise ConfigError(
                f'aggregation_strategy: "first" or "none", found {aggregation_strategy!r}. A word is answered at its '
                "first token, as it was trained: others have learned nothing that could be averaged"
            )
        options = OutputOptions(all_scores=all_scores, aggregation=aggregation_strategy)
        reader = InputReader(self.tasks, wanted=tasks)
        container = open_container(inputs)
        if container is None:
            return next(self._pipeline.stream(iter([inputs]), reader=reader, options=options))
        reader.check_series(inputs)
        columns = () if container.columns is None else reader.columns(container)
        stream = self._pipeline.stream(container.rows(columns), reader=reader, options=options)
        return stream if container.lazy else list(stream)

    def export(
        self, directory: str | Path, *, to: str = "transformers", task: str | Sequence[str] | None = None
    ) -> float:
        """Write the model for use without nlpmtl.

        Args:
            directory: where to; it must not exist, or be empty.
            to: ``"transformers"``, a stock model of one task for `transformers.pipeline`, or ``"onnx"``.
            task: which task, or several for ONNX; default: all that the model has.

        Returns:
            The largest difference between a logit of the written model and of this one, as a fraction of the largest
            logit of the task (of 1, where that is less).

        Raises:
            ConfigError: there is no such task, it has to be one and is not, or the directory holds something.
            ModelError: the model cannot be written so.
        """
        wanted = [task] if isinstance(task, str) else task
        self._check_tasks(wanted)
        tasks = list(self.tasks if wanted is None else wanted)
        if not isinstance(self.model, MultiTaskModel):
            raise ModelError("this is an exported model already: export from the directory that it was made of")
        if any(isinstance(module, Int8Linear) for module in self.model.modules()):
            raise ModelError('this model was loaded as "int8": load it again without a dtype, and export that')
        if to == "onnx":
            return export_onnx(self.model, self.tokenizer, directory=Path(directory), tasks=wanted)
        if to != "transformers":
            raise ConfigError(f"a model is exported to transformers or to onnx, not to {to!r}")
        if len(tasks) != 1:
            raise ConfigError(f"a stock transformers model has one task: choose one of {', '.join(tasks)}")
        return export_task(self.model, self.tokenizer, task=tasks[0], directory=Path(directory))

    def _check_tasks(self, tasks: Sequence[str] | None) -> None:
        """ConfigError if they are not names of tasks of this model."""
        if tasks is None:
            return
        if isinstance(tasks, str | bytes | Mapping) or not isinstance(tasks, Collection) or not tasks:
            raise ConfigError(
                f"tasks: a list of names was expected, found {describe_value(tasks)}; the model has "
                f"{', '.join(self.tasks)}"
            )
        for name in tasks:
            if not isinstance(name, str):
                raise ConfigError(f"tasks: the name of a task was expected, found {describe_value(name)}")
            if name not in self.tasks:
                raise ConfigError(f"this model has no task {name!r}; {did_you_mean(name, self.tasks)}")
