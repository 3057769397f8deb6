"""The model: one encoder, a sharing scheme, and a head for each task, as transformers knows models."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from nlpmtl.data import Batch
from nlpmtl.deprecation import RenamedMethod
from nlpmtl.errors import ModelError, did_you_mean
from nlpmtl.format_version import FORMAT_KEY, FORMAT_VERSION
from nlpmtl.heads import Head, HeadContext, HeadInputs, named_outputs
from nlpmtl.model.encoder import Encoder, init_encoder
from nlpmtl.model.sharing import Sharing, SharingOptions, TaskMatrix
from nlpmtl.model.task_covariance import TaskCovariance
from nlpmtl.plugins import HINT
from nlpmtl.registry import SHARINGS
from nlpmtl.saved_config import OWN_TYPE
from nlpmtl.strict_json import dumps
from nlpmtl.tasks import Task, task_from_config

_HUB_ID = re.compile(r"[\w.-]*\w[\w.-]*(/[\w.-]*\w[\w.-]*)?")


class MultiTaskConfig(PretrainedConfig):
    """A model's ``config.json``: the encoder's own config inside, and every task in plain values.

    Args:
        encoder_config: the encoder's config.
        tasks: each task by name, as `Task.to_config` describes it.
        sharing: the sharing scheme's options.
        input_length: the longest input in tokens.
    """

    model_type = OWN_TYPE
    sub_configs = {"encoder_config": AutoConfig}  # noqa: RUF012 - transformers declares it so

    def __init__(
        self,
        *,
        encoder_config: PretrainedConfig | dict[str, Any] | None = None,
        tasks: Mapping[str, dict[str, Any]] | None = None,
        sharing: dict[str, Any] | None = None,
        input_length: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # first: it resets the attention of configs that are inside
        if isinstance(encoder_config, dict):
            encoder_config = AutoConfig.for_model(**encoder_config)
        self.encoder_config = encoder_config
        self.tasks, self.sharing = dict(tasks or {}), sharing or {"kind": "hard"}
        self.input_length = input_length

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return transformers' text with the tasks in their order, which predictions keep, and without local paths."""
        config = drop_local_names(json.loads(super().to_json_string(use_diff)))
        return dumps({**config, FORMAT_KEY: FORMAT_VERSION, "tasks": self.tasks}, indent=2) + "\n"


def drop_local_names(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config without the directory that it, or a config inside it, was loaded from; Hub ids are kept."""
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if key in ("_name_or_path", "name_or_path") and not (isinstance(value, str) and _HUB_ID.fullmatch(value)):
            continue
        kept[key] = drop_local_names(value) if isinstance(value, dict) else value
    return kept


class MultiTaskModel(PreTrainedModel):
    """One encoder, many heads.

    `from_pretrained`, `save_pretrained` and `push_to_hub` work as on every model of transformers.
    """

    config_class = MultiTaskConfig
    base_model_prefix = "sharing"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: MultiTaskConfig, *, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if config.encoder_config is None or not config.tasks:
            raise ModelError("this config.json describes no encoder or no tasks: it was not written by nlpmtl")
        self.tasks: dict[str, Task] = {name: task_from_config(name, spec) for name, spec in config.tasks.items()}
        scheme = config.sharing.get("kind", "hard")
        if scheme not in SHARINGS.names():
            near = did_you_mean(str(scheme), SHARINGS.names())
            raise ModelError(f"this model has an unknown sharing scheme {scheme!r}; {near}; {HINT}")
        options = SHARINGS.parse(config.sharing)
        pretrained = encoder is not None
        encoder = encoder or init_encoder(config.encoder_config)
        self.sharing = SHARINGS.build(
            options,
            Sharing,
            exclude=SharingOptions.model_fields,
            encoder=encoder,
            tasks=tuple(self.tasks),
        )
        self.heads = nn.ModuleDict({_key(name): _build_head(task, encoder) for name, task in self.tasks.items()})
        self.covariance: TaskCovariance | None = None
        if isinstance(options, SharingOptions) and options.relations is not None:
            self.covariance = TaskCovariance(self._own_weights(), strength=options.relations_strength)
        if pretrained:
            for module in self.modules():  # else transformers initialises the scheme's modules in the encoder again
                # The flag is no Tensor or Module, as the types of PyTorch have every attribute of a module.
                module._is_hf_initialized = True  # type: ignore[assignment]
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_encoder(
        cls, encoder: Encoder, *, tasks: Iterable[Task], sharing: dict[str, Any], input_length: int, seed: int
    ) -> MultiTaskModel:
        """A new model out of a pretrained encoder and tasks.

        An encoder that was part of a multi-task model brings its heads: those of the tasks are where they go on, all
        others are kept as they are.

        Args:
            encoder: the encoder; each head starts from those of its layers that the checkpoint has.
            tasks: the tasks.
            sharing: the sharing scheme's options, in plain values.
            input_length: the longest input in tokens.
            seed: of the heads' first weights.
        """
        made = {task.name: task for task in tasks}
        own = {**encoder.pretrained_tasks, **made}  # with what training alone knows, such as class weights
        config = MultiTaskConfig(
            encoder_config=encoder.model.config,
            tasks={name: task.to_config() for name, task in own.items()},
            sharing=sharing,
            input_length=input_length,
        )
        model = cls(config, encoder=encoder.model)
        model.sharing.init_parameters(seed)
        model.tasks = own
        for name, task in own.items():
            head = _build_head(task, encoder.model, seed=seed, pretrained=encoder.head_init)
            if name in encoder.pretrained_heads:
                head.load_state_dict(encoder.pretrained_heads[name].state_dict())
            model.heads[_key(name)] = head.requires_grad_(name in made)
        if model.covariance is not None:
            model.covariance.start(model._own_weights(), fresh=own.keys() - encoder.pretrained_heads.keys())
        return model

    def head(self, task: str) -> Any:
        """Return the head of a task: any module that is called with `HeadInputs`."""
        return self.heads[_key(task)]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        rows: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        """Logits of the tasks, from one pass over the rows.

        Args:
            input_ids: tokens, ``[rows, time]``.
            attention_mask: 1 on tokens, 0 on padding, ``[rows, time]``; default: no padding.
            token_type_ids: segments, ``[rows, time]``, for encoders that have them.
            rows: which rows each task is asked about, ``[part]``, ascending; default: every task about every row.

        Returns:
            What the head of each task returns: logits, ``[part, outputs]`` or ``[part, time, outputs]``, or a dict of
            named outputs.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        if rows is None:
            every = torch.arange(input_ids.shape[0], device=input_ids.device)
            rows = dict.fromkeys(self.tasks, every)
        hidden = self.sharing(inputs, rows)
        shared: dict[int, HeadInputs] = {}  # tasks of the same rows have the same hidden states
        outputs: dict[str, Tensor | dict[str, Tensor]] = {}
        for task, task_rows in rows.items():
            states = hidden[task]
            if id(states) not in shared:
                shared[id(states)] = HeadInputs(states, mask, input_ids, rows=task_rows, dtype=self.dtype)
            outputs[task] = self._run_head(task, shared[id(states)], time=states.shape[1], batch_time=mask.shape[1])
        return outputs

    def _run_head(self, task: str, inputs: HeadInputs, *, time: int, batch_time: int) -> Tensor | dict[str, Tensor]:
        """Return the outputs of a head; those of tokens are padded to the length of the batch."""
        device = self.device.type
        # A head is so small that casting its weights would take longer than it saves.
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            outputs: Tensor | dict[str, Tensor] = self.head(task)(inputs)
        if time == batch_time:
            return outputs
        if isinstance(outputs, Tensor):
            return _pad_time(outputs, time, batch_time)
        return {name: _pad_time(values, time, batch_time) for name, values in outputs.items()}

    def penalty(self) -> Tensor | None:
        """What is added to a step's loss, once a step whatever its micro-batches; a scalar, or None."""
        covariance = None if self.covariance is None else self.covariance.penalty(self._own_weights())
        found = [one for one in (self.sharing.penalty(), covariance) if one is not None]
        return torch.stack(found).sum() if found else None

    def post_step(self) -> None:
        """What is to be done after each step of the optimizer."""
        self.sharing.post_step()
        if self.covariance is not None:
            self.covariance.update(self._own_weights())

    def task_relations(self) -> dict[str, TaskMatrix]:
        """What has been learned about the tasks' relations, by name."""
        return self.sharing.task_relations() | ({} if self.covariance is None else self.covariance.task_relations())

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Logits for a batch on any device, computed where the model is."""
        device = self.device
        moved = {task: at.to(device) for task, at in rows.items()}
        logits: dict[str, Any] = self(**batch.to(device).inputs, rows=moved)
        return logits

    after_step = RenamedMethod("post_step")
    assemble = RenamedMethod("from_encoder")
    infer = RenamedMethod("predict_logits")
    relations = RenamedMethod("task_relations")

    def _own_weights(self) -> dict[str, dict[str, Tensor]]:
        """What each task has of its own, in its head and inside the encoder, by names that tasks have in common."""
        found: dict[str, dict[str, Tensor]] = {}
        for name in self.tasks:
            head = self.head(name)
            prefix = f"{head.level} head" if isinstance(head, Head) else f"{type(head).__qualname__} head"
            own = {f"{prefix}.{key}": weight for key, weight in head.named_parameters()}
            found[name] = {**own, **self.sharing.task_parameters(name)}
        return found

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: heads initialise themselves, and the encoder comes with its weights."""


def _build_head(
    task: Task, encoder: PreTrainedModel, *, seed: int = 0, pretrained: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """Return a new head; its initial weights depend on the seed and the name of the task only."""
    context = HeadContext(
        encoder.config, seed=zlib.crc32(f"{seed}/{task.name}".encode()), encoder=encoder, pretrained=pretrained or {}
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(context.seed)
        return task.build_head(context)


def _pad_time(values: Tensor, time: int, batch_time: int) -> Tensor:
    """Return an output of tokens, ``[sequences, time, ...]``, padded to the length of the batch; others as they are."""
    if values.dim() < 3 or values.shape[1] != time:
        return values
    return functional.pad(values, (0, 0) * (values.dim() - 2) + (0, batch_time - time))


def _key(task: str) -> str:
    """A task's name inside a ModuleDict, which keeps some names, such as ``type``, for itself."""
    return f"{task}_head"


class TaskLoss(NamedTuple):
    """Summed loss of a task on a batch, and summed uncertainty of its predictions; None if it is not computed."""

    loss: Tensor
    uncertainty: Tensor | None


def batch_losses(
    model: nn.Module,
    batch: Batch,
    tasks: Mapping[str, Task],
    *,
    names: Collection[str] | None = None,
    needs_uncertainties: bool = False,
) -> dict[str, TaskLoss]:
    """Compute the losses of a batch, for the tasks that have labels in it.

    Args:
        model: a `MultiTaskModel`.
        batch: batch on the device of the model.
        tasks: tasks of the run.
        names: names of the tasks to compute; default: all.
        needs_uncertainties: whether to compute the uncertainty of the predictions, for the task types that have one.

    Returns:
        The losses by task, in the order of `tasks`.
    """
    parts = {name: part for name, part in batch.tasks.items() if names is None or name in names}
    results = model(**batch.inputs, rows={name: part.rows for name, part in parts.items()})
    losses: dict[str, TaskLoss] = {}
    for name, task in tasks.items():
        if name in parts:
            outputs, part = named_outputs(results[name]), parts[name]
            uncertainty = None
            if needs_uncertainties:
                uncertainty = task.uncertainty({key: value.detach() for key, value in outputs.items()}, part)
            example_losses = task.loss(outputs, part)
            if part.weight is not None:
                example_losses = example_losses * part.weight
            losses[name] = TaskLoss(example_losses.sum(), uncertainty)
    return losses


AutoConfig.register(MultiTaskConfig.model_type, MultiTaskConfig, exist_ok=True)
AutoModel.register(MultiTaskConfig, MultiTaskModel, exist_ok=True)
