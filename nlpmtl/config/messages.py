"""Hints for unknown keys and values: names from other tools, and keys in the wrong table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlpmtl.config.dataset import DataConfig, DatasetConfig, InputConfig
from nlpmtl.config.run import EncoderConfig, EvalConfig, RunConfig, TrainConfig
from nlpmtl.registry import OPTIMIZERS, SAMPLERS, SHARINGS, WEIGHTINGS, Registry
from nlpmtl.strict_model import StrictModel

_DATASET = "datasets.NAME."
_TABLES: Mapping[str, type[StrictModel]] = {
    "": RunConfig,
    "train.": TrainConfig,
    "eval.": EvalConfig,
    "encoder.": EncoderConfig,
    _DATASET: DatasetConfig,
    f"{_DATASET}data.": DataConfig,
    f"{_DATASET}input.": InputConfig,
}
_OTHER_TOOLS = {
    "train.lr": "learning_rate base_lr max_lr peak_lr encoder_lr adam_lr base_learning_rate initial_lr "
    "initial_learning_rate peak_learning_rate backbone_lr",
    "train.head_lr": "head_learning_rate classifier_lr classifier_learning_rate lr_head",
    "train.epochs": "num_train_epochs num_epochs max_epochs n_epochs nb_epochs n_epoch max_epoch",
    "train.steps": "max_steps num_train_steps total_steps training_steps num_training_steps max_iter max_iters "
    "iterations num_iterations num_steps",
    "train.batch_size": "per_device_train_batch_size per_gpu_train_batch_size train_batch_size batch bs "
    "mini_batch_size effective_batch_size batchsize batch_size_per_device per_device_batch_size train_bs",
    "train.micro_tokens": "gradient_accumulation_steps gradient_accumulation accumulate_grad_batches max_tokens "
    "per_device_eval_batch_size eval_batch_size micro_batch_size auto_find_batch_size grad_accum grad_accumulation "
    "accumulation_steps update_freq eval_accumulation_steps",
    "train.max_grad_norm": "clip grad_clip gradient_clip gradient_clip_val gradient_clipping clip_grad_norm "
    "clip_norm grad_clip_norm grad_norm gradient_norm",
    "train.weight_decay": "wd l2 decay adam_weight_decay",
    "train.warmup": "warmup_ratio warmup_proportion num_warmup_steps warmup_steps warm_up warmup_fraction",
    "optimizer.kind": "optim",
    'optimizer.betas, with optimizer.kind = "adamw"': "adam_beta1 adam_beta2 adam_betas betas",
    'optimizer.eps, with optimizer.kind = "adamw"': "adam_epsilon adam_eps eps",
    "train.schedule": "lr_scheduler_type lr_scheduler scheduler lr_schedule scheduler_type lr_schedule_type",
    'train.schedule = {kind = "polynomial", power = 2.0}': "lr_scheduler_kwargs lr_scheduler_args scheduler_kwargs "
    "lr_power poly_power lr_end",
    "train.layer_decay": "layerwise_lr_decay layer_wise_lr_decay llrd llrd_factor layer_lr_decay lr_layer_decay "
    "layerwise_learning_rate_decay layer_decay_rate lr_layerwise_decay layerwise_lr_decay_power discriminative_lr "
    "discriminative_learning_rate lr_decay",
    "train.precision": "fp16 bf16 mixed_precision half_precision amp dtype torch_dtype fp32 float16 half autocast "
    "fp16_full_eval bf16_full_eval tf32",
    "train.save_every": "save_steps save_interval checkpoint_steps checkpointing_steps save_strategy",
    "train.keep": "save_total_limit checkpoints_total_limit max_checkpoints",
    "train.trackers": "report_to logger loggers log_with wandb wandb_project",
    "eval.every": "eval_steps eval_interval evaluation_steps val_check_interval eval_strategy evaluation_strategy "
    "eval_every_n_steps evaluate_during_training",
    "eval.select": "metric_for_best_model monitor greater_is_better load_best_model_at_end best_metric "
    "validation_metric metric_best metrics_for_best_model save_best_only",
    "eval.patience": "early_stopping_patience early_stopping early_stop es_patience early_stopping_threshold min_delta",
    "encoder.name": "model_name_or_path model_name model base_model pretrained_model pretrained_model_name_or_path "
    "model_id checkpoint backbone tokenizer_name tokenizer encoder_name pretrained transformer bert tokenizer_path",
    "encoder.max_length": "max_seq_length max_seq_len max_sequence_length max_len seq_length sequence_length "
    "model_max_length max_source_length cutoff_len sequence_len",
    "encoder.attn_implementation": "attention attention_implementation",
    "encoder.freeze": "freeze_encoder freeze_base_model freeze_backbone freeze_bert",
    "encoder.freeze_layers": "num_layers_to_freeze n_layers_to_freeze layers_to_freeze freeze_n_layers "
    "freeze_first_n_layers num_frozen_layers n_frozen_layers frozen_layers freeze_layer freeze_embeddings "
    "freeze_lower_layers freeze_layer_num",
    "encoder.gradient_checkpointing": "activation_checkpointing gradient_checkpointing_kwargs "
    "activation_checkpointing_kwargs",
    "encoder.revision": "model_revision",
    "output": "run_name output_dir out_dir save_dir outdir logging_dir output_path save_path default_root_dir "
    "checkpoint_dir",
    "seed": "random_seed random_state data_seed manual_seed rng_seed seed_everything",
    "sampling.kind": "sampler mixing sampling_strategy multi_task_sampling train_sampling_strategy "
    "proportional_sampling",
    "weighting.kind": "loss_weighting loss_weight_strategy gradient_surgery mtl_strategy",
    'weighting.weights, with weighting.kind = "constant"': "loss_weights task_weights mtl_weights",
    'sharing.shared, with sharing.kind = "layers"': "shared_layers num_shared_layers n_shared_layers",
    "sharing.kind": "parameter_sharing shared_encoder sharing_scheme",
    'sharing.kind = "lora"': "peft lora lora_r lora_rank lora_alpha lora_config peft_config adapter adapters",
    f"{_DATASET}data.files": "data_files train_file validation_file test_file data_dir path",
    f"{_DATASET}data.hub": "dataset_name dataset dataset_id hf_dataset hub_id",
    f"{_DATASET}data.delimiter": "sep separator delim csv_separator",
    f"{_DATASET}data.subset": "dataset_config_name dataset_config config_name",
    f"{_DATASET}data.validation": "validation_split_percentage validation_split val_size dev_size test_size "
    "val_set_size val_split test_split split_ratio",
    f"{_DATASET}input.text": "text_column text_column_name sentence sentence1 sentence1_key text_field input_column "
    "text_col content",
    f"{_DATASET}input.pair": "text_pair sentence2 sentence2_key text_b premise hypothesis",
    f"{_DATASET}input.words": "tokens text_column_tokens tokens_column",
    f"{_DATASET}tasks.TASK.label": "label_column label_column_name label_field target target_column label_col "
    "target_col labels_column tag_column ner_tags",
    f"{_DATASET}tasks.TASK.labels": "label_list label_names class_names classes id2label label2id num_labels "
    "num_classes",
    f"{_DATASET}tasks.TASK.metrics": "metric metric_name",
    f"{_DATASET}tasks.TASK.kind": "task_type problem_type",
    f"{_DATASET}tasks.TASK.scheme": "tagging_scheme tag_scheme iob_scheme label_scheme",
    f"{_DATASET}tasks.TASK.pooling": "pooling_mode pooling_strategy pooling_type pooler_type pooling_method",
    f"{_DATASET}tasks.TASK.class_weights": "class_weight pos_weight",
    f"{_DATASET}tasks.TASK.label_smoothing": "label_smoothing label_smoothing_factor",
    'weighting.weights.TASK, with weighting.kind = "constant"': "loss_weight task_weight",
    f"{_DATASET}limit": "max_train_samples max_eval_samples max_samples max_rows max_train_rows "
    "max_train_samples_per_task n_train",
}
"""Key of nlpmtl = keys of transformers' Trainer and example scripts, Lightning, sentence-transformers and others."""
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN; remove it"
_LENGTHS = "rows of similar length are batched together, and padded to the longest of them; remove it"
_DROPOUT = "the dropout of the encoder and of its heads is that of the checkpoint's config.json; remove it"
_DEVICE = "training uses the GPU if there is one; remove it"
_LOSS = 'the loss is that of the task type; task types with labels take `loss = {kind = "focal"}`'
_CASE = "the checkpoint's tokenizer decides that; remove it"
_DATASET_TABLE = "write [datasets.NAME] with its data, input and tasks"
_NO_KEY = {
    "log_every_n_steps": "every step is logged, in metrics.jsonl of the run's directory; remove it",
    "do_train": "`nlpmtl train` trains and `nlpmtl evaluate` evaluates; remove it",
    "do_eval": "`nlpmtl train` trains and `nlpmtl evaluate` evaluates; remove it",
    "do_predict": "`nlpmtl predict` predicts; remove it",
    "overwrite_output_dir": "an output directory that is in use is never overwritten; remove it",
    "resume_from_checkpoint": "give `--resume` to `nlpmtl train` (in Python resume=True)",
    "num_workers": "data is prepared once and cached; remove it",
    **dict.fromkeys(("group_by_length", "length_column_name", "pad_to_max_length", "padding"), _LENGTHS),
    "truncation": "inputs longer than encoder.max_length are truncated; remove it",
    **dict.fromkeys(("train_dataset", "eval_dataset"), _DATASET_TABLE),
    **dict.fromkeys(("torch_compile", "compile"), "nlpmtl does not compile models; remove it"),
    "disable_tqdm": "a progress bar is shown on a terminal only; remove it",
    "trust_remote_code": "code of a repository is never run: encoders are the architectures of transformers; leave "
    "it out",
    "cache_dir": "set the environment variable NLPMTL_CACHE for tokenized data, HF_HOME for downloads; remove it",
    "format": "the format is inferred from the extension of the file name; remove it",
    "fsdp": "start the run with `accelerate launch --use_fsdp --fsdp_version 2`; remove it",
    "fsdp_config": "start the run with `accelerate launch --use_fsdp --fsdp_version 2`; remove it",
    "deepspeed": "DeepSpeed is not supported, FSDP2 is: `accelerate launch --use_fsdp --fsdp_version 2`; remove it",
    **dict.fromkeys(
        ("device", "no_cuda", "use_cpu", "use_cuda", "cuda", "cuda_device", "gpu", "gpus", "n_gpu"), _DEVICE
    ),
    **dict.fromkeys(("dropout", "hidden_dropout_prob", "attention_dropout", "classifier_dropout"), _DROPOUT),
    **dict.fromkeys(("loss", "loss_function", "loss_fn", "criterion"), _LOSS),
    **dict.fromkeys(("lowercase", "lower_case", "do_lower_case"), _CASE),
    "shuffle": "train rows are shuffled; remove it",
    "optim_args": "write the options of the optimizer in [optimizer]",
    "hub_private_repo": "`nlpmtl push MODEL REPO_ID --private` publishes a model after the run",
    "push_to_hub": "`nlpmtl push MODEL REPO_ID` publishes a model after the run",
    "hub_model_id": "`nlpmtl push MODEL REPO_ID` publishes a model after the run",
    **dict.fromkeys(("hub_token", "hf_token", "push_to_hub_token", "use_auth_token"), _LOG_IN),
}
_PREFIXES = {
    "dataloader_": "data is prepared once and cached; remove it",
    "ddp_": "several processes are started by torchrun or accelerate launch; remove it",
    "torch_compile_": "nlpmtl does not compile models; remove it",
    "logging_": "every step is logged, in metrics.jsonl of the run's directory; remove it",
}
"""Families of options without a key in nlpmtl."""
_IN_TABLE = {
    "data": {
        "name": f"{_DATASET}data.hub",
        "train": f"{_DATASET}data.files.train",
        "dev": f"{_DATASET}data.files.validation",
        "valid": f"{_DATASET}data.files.validation",
        "val": f"{_DATASET}data.files.validation",
        "test": f"{_DATASET}data.files.test",
    },
    "tasks": {
        **dict.fromkeys(("learning_rate", "head_lr", "task_lr", "lr_head"), f"{_DATASET}tasks.TASK.lr"),
    },
}
"""Keys with another meaning in one table."""
_ADVICE = {
    "encoder.freeze_layers": "encoder.freeze_layers, the number of frozen layers (0: only the embeddings)",
    "train.layer_decay": "train.layer_decay, the factor from a layer to the one below it (0.9)",
    "train.precision": 'train.precision = "bf16" (or "fp32"; fp16 is not supported)',
    "train.warmup": "train.warmup, a fraction of all steps (0.1 is a tenth)",
    "train.micro_tokens": "train.batch_size, the rows of an optimizer step, which are split into forward "
    "passes of train.micro_tokens tokens",
}
_NO_FP16 = '"bf16" or "fp32": fp16 is not supported'
_HAS_WARMUP = "; every schedule starts with the warm-up of train.warmup"
_IN_STEPS = "the number of steps; an epoch is ceil(train rows / train.batch_size) steps"
_VALUES: Mapping[str, Mapping[str, str]] = {
    "tasks.scheme": {
        '"bio"': "iob2 iob_2 bio2 conll conll2003",
        '"bio" (each span begins with B-) or "iob1" (only a span directly after another one does)': "iob",
        '"bioes", which reads its letters too': "iobes bilou biluo bioul bmes bmewo bmeso bieso",
        '"plain"': "io none raw pos no",
    },
    "data.quoting": {
        '"none"': "quote_none no false off 3",
        '"minimal"': "quote_minimal quote_all quote_nonnumeric quote_notnull quote_strings default true 0 1 2",
    },
    "data.on_bad_row": {'"skip"': "drop ignore warn continue", '"stop"': "error raise fail strict"},
    "train.precision": {
        _NO_FP16: "fp16 float16 half 16 f16 16_mixed 16_true fp16_mixed fp16_full amp mixed",
        '"bf16"': "bf16_mixed bf16_true bfloat16 bfloat bf16_full",
        '"fp32"': "float32 single full float 32 f32 32_true tf32 no none false off highest high",
        '"fp64"': "float64 double 64 f64 64_true",
    },
    "train.schedule": {
        f'"constant"{_HAS_WARMUP}': "constant_with_warmup constant_schedule_with_warmup none no",
        f'"linear"{_HAS_WARMUP}': "linear_with_warmup linear_schedule_with_warmup linear_decay linearlr",
        f'"cosine"{_HAS_WARMUP}': "cosine_with_warmup cosine_schedule_with_warmup cosine_annealing cosine_decay "
        "cosineannealinglr",
        f'"cosine", without restarts{_HAS_WARMUP}': "cosine_with_restarts cosine_with_hard_restarts "
        "cosine_annealing_warm_restarts cosineannealingwarmrestarts",
    },
    "train.kernels": {'"auto"': "on true yes default", '"off"': "false none no"},
    "train.on_bad_step": {'"skip"': "ignore warn continue", '"stop"': "error raise fail"},
    "train.trackers": {'"tensorboard"': "tb", '"wandb"': "weights_and_biases wb"},
    "train.save_every": {_IN_STEPS: "epoch epochs steps best no"},
    "eval.every": {_IN_STEPS: "epoch epochs steps no"},
    "encoder.max_length": {"the number of tokens, such as 512": "auto max none longest true"},
    "encoder.attn_implementation": {
        '"flash_attention_2"': "flash fa2 fa flash2 flash_attn flash_attn_2 flash_attention flashattention "
        "flash_attention2 flashattention2 flash_2 xformers",
        '"flash_attention_3"': "fa3 flash_attn_3 flash3 flashattention3",
        '"sdpa"': "torch math scaled_dot_product scaled_dot_product_attention mem_efficient efficient",
        '"flex_attention"': "flex flexattention",
        '"eager"': "vanilla manual naive standard paged|eager",
        "nothing: omit the key for the default": "auto default none",
    },
    "sampling.batches": {'"single"': "homogeneous homogenous per_dataset", '"mixed"': "heterogeneous heterogenous"},
    "sharing.form": {'"bottleneck"': "houlsby pfeiffer", '"pal"': "pals projected_attention"},
}
"""Table and key = what to write = values of other tools, in lower case and with underscores."""
_KINDS: Mapping[str, Registry] = {
    "sampling": SAMPLERS,
    "weighting": WEIGHTINGS,
    "sharing": SHARINGS,
    "optimizer": OPTIMIZERS,
}
_BY_OTHER = {name: ours for ours, names in _OTHER_TOOLS.items() for name in names.split()}


def instead(path: Sequence[str]) -> str | None:
    """Return a hint for an unknown key: what to write instead; None if there is none.

    Args:
        path: the unknown key, such as ``["train", "learning_rate"]``.
    """
    key = path[-1].lower().lstrip("-").replace("-", "_")
    if key in _NO_KEY:
        return _NO_KEY[key]
    if list(path) == ["encoder", "token"]:
        return _LOG_IN
    if list(path) == ["dataset"]:
        return _DATASET_TABLE
    table = _table(path)
    of_kind = _with_kind(path) if table in _KINDS else None
    if of_kind is not None:
        return f"write {of_kind}"
    if key in _IN_TABLE.get(table, {}):
        return f"write {_fill(_IN_TABLE[table][key], path)}"
    for candidate in (key, key.removesuffix("s"), f"{key}s"):
        ours = _BY_OTHER.get(candidate) or _elsewhere(candidate)
        if ours is not None:
            ours = _fill(ours, path)
            if ours == ".".join(path):  # a key of other kinds
                return None
            near = candidate not in _BY_OTHER and ours.split(".")[:-1] == list(
                path[:-1]
            )  # a misspelt key of this table
            return None if near else f"write {_ADVICE.get(ours, ours)}"
    return next((advice for start, advice in _PREFIXES.items() if key.startswith(start)), None)


def instead_of_option(path: Sequence[str], value: str) -> str | None:
    """Return a hint for a key that is written as an option of a command; None without such a key.

    Args:
        path: the key, such as ``["epochs"]`` or ``["train", "epochs"]``.
        value: its value, as it was written.

    Example:
        >>> instead_of_option(["learning-rate"], "3e-5")
        'write --set train.lr=3e-5'
    """
    hint = instead(path)
    if hint is None and path[0] in RunConfig.model_fields:
        hint = f"write {'.'.join(path)}"
    key = (hint or "").removeprefix("write ")
    return f"write --set {key}={value}" if re.fullmatch(r"[\w.]+", key) else hint


def instead_of_value(path: Sequence[str], value: Any, *, message: str, tables: Mapping[str, Any]) -> str | None:
    """Return a hint for an invalid value: what to write instead; None if there is none.

    Args:
        path: the key, such as ``["train", "precision"]``.
        value: its value.
        message: the error, which lists the possible values where there are only some.
        tables: the whole config.
    """
    keys = list(path[:-1]) if path[-1].isdigit() else list(path)
    place = f"{_table(keys)}.{keys[-1]}"
    if place == "train.warmup":
        return _fraction(value, tables=tables)
    other = str(value).lower().replace("-", "_").replace(" ", "_")
    hint = next((ours for ours, names in _VALUES.get(place, {}).items() if other in names.split()), None)
    # A kind of a plugin may have a key of the same name with other values.
    is_possible = hint is not None and all(name in message for name in re.findall('"[^"]+"', hint))
    return f"write {hint}" if is_possible else None


def _fraction(steps: Any, *, tables: Mapping[str, Any]) -> str | None:
    """Return the warm-up, a fraction of all steps, for a number of steps."""
    if isinstance(steps, bool) or not isinstance(steps, int | float) or not steps >= 1:
        return None
    train = tables.get("train")
    total = train.get("steps") if isinstance(train, Mapping) else None
    if isinstance(total, int) and 0 < steps < total:
        return f"warmup is a fraction of all steps: for {steps} of {total} steps write {steps / total:.4g}"
    return (
        f"warmup is a fraction of all steps, not their number: write 0.1 for a tenth, or {steps} / (steps of the run)"
    )


def _table(path: Sequence[str]) -> str:
    """Return the table of a key: its name, without that of the dataset and of the task; "" if it is another one."""
    inside = list(path[2:]) if path[0] == "datasets" else list(path)
    return inside[0] if len(inside) == (3 if inside[:1] == ["tasks"] else 2) else ""


def _with_kind(path: Sequence[str]) -> str | None:
    """Return the dotted form of a key that another kind of the same table has, with these kinds."""
    table, key = path[-2:]
    registry = _KINDS[table]
    for ours in (key, *(registry.options(kind).meant_by(key) for kind in registry.names())):
        kinds = [kind for kind in registry.names() if ours in registry.options(kind).model_fields]
        if kinds:
            listed = " or ".join(f'"{kind}"' for kind in kinds)
            return f"{table}.{ours}, with {table}.kind = {listed}"
    return None


def _elsewhere(key: str) -> str | None:
    """Return the dotted form of a key that belongs to another table; None for an unknown key."""
    return next((f"{prefix}{key}" for prefix, table in _TABLES.items() if key in table.model_fields), None)


def _fill(ours: str, path: Sequence[str]) -> str:
    """Insert the dataset and the task of the unknown key into a hint; dataset files do not name a dataset."""
    if path[0] == "datasets" and len(path) > 2:
        ours = ours.replace("NAME", path[1])
        path = path[2:]
    elif len(path) > 1 and path[0] in DatasetConfig.model_fields:  # [data] itself is unknown only in a run's config
        ours = ours.removeprefix(_DATASET)
    if path[0] == "tasks" and len(path) > 2:
        ours = ours.replace("TASK", path[1])
    return ours
