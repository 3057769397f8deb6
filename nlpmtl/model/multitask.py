"""The multi-task model, a `PreTrainedModel`: one encoder, a sharing scheme, and a head per task."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from nlpmtl.config import Pooling
from nlpmtl.data import Batch, TaskBatch
from nlpmtl.deprecation import RenamedMethod
from nlpmtl.errors import ConfigError, ModelError, did_you_mean
from nlpmtl.heads import Head, HeadContext, HeadInputs, LoadStock
from nlpmtl.model.encoder import Encoder, init_encoder
from nlpmtl.model.multitask_config import MultiTaskConfig
from nlpmtl.model.shared_parameters import own_parameters, shared_parameters
from nlpmtl.model.sharing import Sharing, SharingOptions, TaskMatrix
from nlpmtl.model.task_covariance import TaskCovariance
from nlpmtl.model.torch_threads import TorchThreads
from nlpmtl.plugins import HINT
from nlpmtl.registry import SHARINGS
from nlpmtl.tasks import Task, task_from_config


class MultiTaskModel(PreTrainedModel):
    """A multi-task model: one encoder, and a head per task.

    `from_pretrained`, `save_pretrained` and `push_to_hub` work as on every model of transformers.

    Args:
        config: config of the model.
        encoder: pretrained encoder; default: an encoder with initial weights.
        tokenizer: tokenizer of the encoder, for task types that need it.

    Raises:
        ModelError: the config has no encoder or no tasks, or names an unknown task type or sharing scheme.
        RunError: the process was forked from one that had loaded a model.

    Example:
        model = nlpmtl.MultiTaskModel.from_pretrained("runs/messages/model")
        print(model(torch.tensor([[2, 7, 8, 3]]))["topic"].shape)  # [rows, labels]
    """

    config_class = MultiTaskConfig
    base_model_prefix = "sharing"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(
        self,
        config: MultiTaskConfig,
        *,
        encoder: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        TorchThreads.check()
        super().__init__(config)
        if config.encoder_config is None or not config.tasks:
            raise ModelError("this config.json has no encoder or no tasks: it was not written by nlpmtl")
        self.tasks: dict[str, Task] = {name: task_from_config(name, spec) for name, spec in config.tasks.items()}
        if tokenizer is not None:
            for task in self.tasks.values():
                task.tokenizer = tokenizer
        scheme = config.sharing.get("kind", "hard")
        if scheme not in SHARINGS.names():
            near = did_you_mean(str(scheme), SHARINGS.names())
            raise ModelError(f"this model has an unknown sharing scheme {scheme!r}; {near}; {HINT}")
        options = SHARINGS.parse(config.sharing)
        pretrained = encoder is not None
        encoder = encoder or init_encoder(config.encoder_config)
        self.sharing = SHARINGS.build(
            options, Sharing, exclude=SharingOptions.model_fields, encoder=encoder, tasks=tuple(self.tasks)
        )
        self.heads = nn.ModuleDict(
            {
                _key(name): _build_head(task, encoder, pooling=config.pooling, tokenizer=tokenizer)
                for name, task in self.tasks.items()
            }
        )
        self.covariance: TaskCovariance | None = None
        if isinstance(options, SharingOptions) and options.relations is not None:
            self.covariance = TaskCovariance(self._task_parameters(), strength=options.relations_strength)
        if pretrained:
            for module in self.modules():  # or transformers would initialise the scheme's modules again
                module._is_hf_initialized = True  # type: ignore[assignment]  # PyTorch types it as Tensor or Module
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_encoder(
        cls, encoder: Encoder, *, tasks: Iterable[Task], sharing: dict[str, Any], input_length: int, seed: int
    ) -> MultiTaskModel:
        """Return a new model with a pretrained encoder.

        If the encoder is that of a multi-task model, the given tasks continue from its heads, and its other tasks stay.

        Args:
            encoder: the encoder; layers of the heads that the checkpoint has are initialised from it.
            tasks: tasks to train.
            sharing: options of the sharing scheme, as plain values.
            input_length: maximum input length in tokens.
            seed: seed of the initial parameters of the heads, ≥ 0.
        """
        trained = {task.name: task for task in tasks}
        all_tasks = {**encoder.pretrained_tasks, **trained}  # with values for training only, such as class weights
        config = MultiTaskConfig(
            encoder_config=encoder.model.config,
            tasks={name: task.to_config() for name, task in all_tasks.items()},
            sharing=sharing,
            input_length=input_length,
            pooling=encoder.pooling,
        )
        model = cls(config, encoder=encoder.model, tokenizer=encoder.tokenizer)
        model.sharing.init_parameters(seed)
        model.tasks = all_tasks
        for name, task in all_tasks.items():
            head = _build_head(
                task,
                encoder.model,
                pooling=encoder.pooling,
                seed=seed,
                pretrained=encoder.head_init,
                tokenizer=encoder.tokenizer,
                load_stock=encoder.load_stock,
            )
            if name in encoder.pretrained_heads:
                head.load_state_dict(encoder.pretrained_heads[name].state_dict())
            for _, parameter in own_parameters(head, encoder.model):
                parameter.requires_grad_(name in trained)
            model.heads[_key(name)] = head
        model.all_tied_weights_keys = shared_parameters(model)
        if model.covariance is not None:
            fresh = all_tasks.keys() - encoder.pretrained_heads.keys()
            model.covariance.start(model._task_parameters(), fresh=fresh)
        return model

    @property
    def _tied_weights_keys(self) -> dict[str, str]:  # type: ignore[override]  # transformers has an attribute
        """Further name of a parameter -> its first name: transformers saves it once, and ties it when it is loaded."""
        return shared_parameters(self)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Return further name of a parameter -> its first name: by identity, and those that the encoder declares.

        While a model is loaded, the parameters that an encoder shares between its layers, as Zamba's does, are not
        tied yet.
        """
        encoder = self.sharing.encoder
        names = {name for name, _ in encoder.named_parameters(remove_duplicate=False)}
        declared = {
            f"sharing.encoder.{name}": f"sharing.encoder.{first}"
            for name, first in encoder.all_tied_weights_keys.items()
            if {name, first} <= names  # a sharing scheme may have replaced the modules
        }
        return {**declared, **shared_parameters(self)}

    def head(self, task: str) -> Any:
        """Return the head of a task, a module that is called with `HeadInputs`."""
        return self.heads[_key(task)]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        rows: Mapping[str, Tensor] | None = None,
        words: Tensor | None = None,
        parts: Mapping[str, TaskBatch] | None = None,
    ) -> dict[str, Tensor | dict[str, Tensor]]:
        """Compute the outputs of all heads.

        Args:
            input_ids: token ids of the sequences, ``[rows, sequence_length]``: batch size and sequence length.
            attention_mask: 1 on tokens, 0 on padding, ``[rows, sequence_length]``; default: no padding.
            token_type_ids: segment ids, ``[rows, sequence_length]``, for encoders that use them.
            rows: indices of the sequences that each task reads, ``[task rows]``, in any order; default: all for all
                tasks.
            words: first token of each word, -1 for none, ``[rows, words]``, for heads that read words.
            parts: the examples of each task, whose targets its head may read; default: none, as in prediction.

        Returns:
            Outputs of the head of each task: logits, ``[task rows, outputs]`` or
            ``[task rows, sequence_length, outputs]``, or a dict of named outputs.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        if rows is None:
            all_rows = torch.arange(input_ids.shape[0], device=input_ids.device)
            rows = dict.fromkeys(self.tasks, all_rows)
        hidden = self.sharing(inputs, rows)
        shared: dict[int, HeadInputs] = {}  # by hidden states: tasks that read the same sequences share their inputs
        outputs: dict[str, Tensor | dict[str, Tensor]] = {}
        for task, task_rows in rows.items():
            states, part = hidden[task], None if parts is None else parts[task]
            # Outputs by token get the length of the targets by token, or of the batch.
            length = mask.shape[1] if part is None or part.sequence_length is None else part.sequence_length
            if part is not None and self.reads_words(task):  # the head may read the targets, too
                states = _fit_length(states, states.shape[1], length)
                head_words = None if words is None else words[:, : part.words]
                head_inputs = HeadInputs(
                    states, mask, input_ids, targets=part.targets, words=head_words, rows=task_rows, dtype=self.dtype
                )
            elif id(states) in shared:
                head_inputs = shared[id(states)]
            else:
                head_inputs = HeadInputs(states, mask, input_ids, words=words, rows=task_rows, dtype=self.dtype)
                shared[id(states)] = head_inputs
            outputs[task] = self._run_head(task, head_inputs, states.shape[1], length)
        return outputs

    def _run_head(self, task: str, inputs: HeadInputs, sequence_length: int, length: int) -> Tensor | dict[str, Tensor]:
        """Return the outputs of a head; those by token are truncated or padded from `sequence_length` to `length`."""
        device, head = self.device.type, self.head(task)
        # Most heads are so small that casting their weights would take longer than it saves.
        in_full = torch.is_autocast_enabled(device) and not getattr(head, "autocast", False)
        with torch.autocast(device, enabled=False) if in_full else nullcontext():
            outputs: Tensor | dict[str, Tensor] = head(inputs)
        if sequence_length == length:
            return outputs
        if isinstance(outputs, Tensor):
            return _fit_length(outputs, sequence_length, length)
        return {name: _fit_length(values, sequence_length, length) for name, values in outputs.items()}

    def reads_words(self, task: str) -> bool:
        """Return whether the head of a task may read words and, in training, targets: all but the standard one may."""
        return not isinstance(self.head(task), Head)

    def penalty(self) -> Tensor | None:
        """Return the term that is added to the loss once per step, a scalar; None if there is none."""
        covariance = None if self.covariance is None else self.covariance.penalty(self._task_parameters())
        has_penalty = type(self.sharing).penalty is not Sharing.penalty
        sharing = self.sharing.penalty() if has_penalty else None
        penalties = [penalty for penalty in (sharing, covariance) if penalty is not None]
        return torch.stack(penalties).sum() if penalties else None

    def post_step(self) -> None:
        """Update the sharing scheme and the task covariance after an optimizer step."""
        if type(self.sharing).post_step is not Sharing.post_step:
            self.sharing.post_step()
        if self.covariance is not None:
            self.covariance.update(self._task_parameters())

    def task_relations(self) -> dict[str, TaskMatrix]:
        """Return the learned relations between tasks, by name."""
        return self.sharing.task_relations() | ({} if self.covariance is None else self.covariance.task_relations())

    def predict_logits(self, batch: Batch, rows: Mapping[str, Tensor]) -> Mapping[str, Any]:
        """Compute logits on the device of the model, for a batch on any device.

        Args:
            batch: the batch.
            rows: indices of the rows of each task, ``[task rows]``.

        Raises:
            RunError: the process was forked, and the computation would not end.
        """
        TorchThreads.check()
        device = self.device
        moved = {task: indices.to(device) for task, indices in rows.items()}
        batch = batch.to(device)
        logits: dict[str, Any] = self(**batch.inputs, rows=moved, words=batch.words)
        return logits

    after_step = RenamedMethod("post_step")
    assemble = RenamedMethod("from_encoder")
    infer = RenamedMethod("predict_logits")
    relations = RenamedMethod("task_relations")

    def _task_parameters(self) -> dict[str, dict[str, Tensor]]:
        """Return the parameters of each task in its head and the encoder, under names that are the same for tasks."""
        parameters: dict[str, dict[str, Tensor]] = {}
        for name in self.tasks:
            head = self.head(name)
            prefix = f"{head.level} head" if isinstance(head, Head) else f"{type(head).__qualname__} head"
            by_name = {f"{prefix}.{key}": parameter for key, parameter in own_parameters(head, self.sharing.encoder)}
            parameters[name] = {**by_name, **self.sharing.task_parameters(name)}
        return parameters

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise nothing: heads initialise themselves, and the encoder is pretrained."""


def _build_head(
    task: Task,
    encoder: PreTrainedModel,
    *,
    pooling: Pooling | None,
    seed: int = 0,
    pretrained: Mapping[str, Tensor] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    load_stock: LoadStock | None = None,
) -> nn.Module:
    """Return a new head; its initial weights depend on the seed and the name of the task only."""
    context = HeadContext(
        encoder.config,
        seed=zlib.crc32(f"{seed}/{task.name}".encode()),
        encoder=encoder,
        pooling=pooling,
        pretrained=pretrained or {},
        tokenizer=tokenizer,
        load_stock=load_stock,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(context.seed)
        head: object = task.build_head(context)
    if not isinstance(head, nn.Module):
        raise ConfigError(f"task {task.name!r}: build_head() must return an nn.Module, found {type(head).__name__}")
    return head


def _fit_length(values: Tensor, sequence_length: int, length: int) -> Tensor:
    """Truncate or pad values by token, ``[sequences, sequence_length, …]``, to a length; return others unchanged."""
    if sequence_length == length or values.dim() < 3 or values.shape[1] != sequence_length:
        return values
    return functional.pad(values, (0, 0) * (values.dim() - 2) + (0, length - sequence_length))


def _key(task: str) -> str:
    """Return the name of a task in a ModuleDict, which reserves some names such as ``type``."""
    return f"{task}_head"


AutoConfig.register(MultiTaskConfig.model_type, MultiTaskConfig, exist_ok=True)
AutoModel.register(MultiTaskConfig, MultiTaskModel, exist_ok=True)
