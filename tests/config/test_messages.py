"""Messages of config errors: no phrases of pydantic, and hints for keys of other tools."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import nlpmtl
import nlpmtl.metrics
import nlpmtl.model
import nlpmtl.sampling
import nlpmtl.tasks
import nlpmtl.weighting
from nlpmtl.config import messages, parse_run, read_run
from nlpmtl.config.run import ATTENTION
from nlpmtl.errors import ConfigError
from nlpmtl.registry import LOSSES, OPTIMIZERS, SAMPLERS, SCHEDULES, SHARINGS, TASKS, WEIGHTINGS, Registry

PHRASES = re.compile(
    r"Field required|Input should|should have|should match|Value error|valid (dictionary|tuple|string|integer|number)|"
    r"unable to (parse|interpret)|Keys should|Extra inputs|type=|\[key\]|dictionary|"
    r"NoneType|after validation|pydantic",
    re.IGNORECASE,
)


def make(**tables: Any) -> dict[str, Any]:
    task = {"kind": "classification", "label": "topic"}
    dataset = {"data": {"files": {"train": "a.jsonl"}}, "input": {"text": "text"}, "tasks": {"topic": task}}
    return {"encoder": {"name": "org/encoder"}, "datasets": {"news": dataset}, **tables}


def problem(overrides: dict[str, Any] | None = None, **tables: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        parse_run(read_run(make(**tables), overrides=overrides), where="run.toml")
    return str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"encoder": {}}, 'encoder.name: this key is missing; write name = "…" (a Hub id, a directory, or "package:'),
        ({"datasets": {}}, "datasets: at least 1 entry is needed (found {})"),
        ({"datasets": {"news": {}}}, "datasets.news.data: this table is missing; write [data] (source of the rows)"),
        ({"train": 3}, "train: a table was expected (found 3)"),
        ({"encoder": "bert"}, 'encoder: a table was expected, such as {name = "bert-base-uncased"} ('),
        (
            {"optimizer": {"kind": "adamw", "betas": [0.9]}},
            "optimizer.betas: a list of 2 entries, such as [0.9, 0.999]",
        ),
        ({"train": {"batch_size": 10**9}}, "train.batch_size: must be at most 1000000 (found 1000000000)"),
        (
            {"train": {"micro_tokens": 10**30}},
            "train.micro_tokens: a number with at most 18 digits was expected",
        ),
        ({"train": {"lr": -(10**400)}}, "train.lr: a number with at most 18 digits was expected (found -1000"),
        ({"datasets": "a"}, 'datasets: a table was expected, such as {reviews = {extends = "reviews.toml"}} ('),
        ({"datasets.news": "a.toml"}, 'news: a table was expected, such as {extends = "dataset.toml"} ('),
        ({"datasets.news.data": "a.csv"}, 'data: a table was expected, such as {files = {train = "train.jsonl"}} ('),
        ({"datasets.news.data.files": "a.csv"}, 'files: a table was expected, such as {train = "train.jsonl"} ('),
        ({"datasets.news.data.splits": "dev"}, 'splits: a table was expected, such as {validation = "dev"} ('),
        ({"datasets.news.input": "text"}, "input: a table was expected, such as {text = \"sentence\"} (found 'text')"),
        ({"datasets.news.tasks": "a"}, 'tasks: a table was expected, such as {topic = {kind = "classification", label'),
        ({"datasets.news.limit": 20}, "limit: a table was expected, such as {train = 1000} (found 20)"),
        (
            {"sampling": "proportional"},
            'sampling: a table with a `kind` was expected; write { kind = "proportional" } (',
        ),
        ({"sharing": "shared"}, "sharing: a table with a `kind` was expected (found 'shared')"),
        ({"datasets.news.tasks.topic": "ner"}, 'a table with a `kind` was expected; write { kind = "labeling" } ('),
        ({"datasets.news.limit": {"train": "20"}}, "limit.train: a whole number was expected (found '20')"),
        ({"datasets.news.limit": {"train": True}}, "limit.train: a whole number was expected (found True)"),
        (
            {"weighting": {"kind": "constant", "weights": {"topic": "2"}}},
            "weighting.weights.topic: a number was expected (found '2')",
        ),
        (
            {"datasets.news.tasks.topic.class_weights": {"x": True}},
            "class_weights.x: a number was expected (found True",
        ),
        ({"seed": "1"}, "seed: a whole number was expected (found '1')"),
        ({"datasets.news.data.validation": "10%"}, "data.validation: a number was expected (found '10%')"),
        ({"encoder.revision": 3}, "encoder.revision: a string in quotes was expected (found 3)"),
        ({"train.lr": "x"}, "train.lr: a number was expected (found 'x')"),
        ({"train.lr": 0}, "train.lr: must be greater than 0"),
        ({"train.steps": 1.5}, "train.steps: a whole number was expected (found 1.5)"),
        ({"train.warmup": 1}, "train.warmup: must be less than 1"),
        ({"train.weight_decay": -1}, "train.weight_decay: must be at least 0"),
        ({"datasets.news.tasks.topic.weight": 0.5}, "topic.weight: the column of the weights of rows was expected"),
        ({"train.lr": float("inf")}, "train.lr: a finite number was expected (found inf)"),
        ({"train.schedule": "x"}, "train.schedule: unknown learning-rate schedule 'x'; known: constant, cosine, "),
        ({"train.layer_decay": 0}, "train.layer_decay: must be greater than 0"),
        ({"encoder.freeze_layers": -1}, "encoder.freeze_layers: must be at least 0"),
        ({"encoder": {"name": "x", "freeze": True, "freeze_layers": 2}}, "`freeze` and `freeze_layers` are mutually"),
        ({"encoder.freeze": True, "train.layer_decay": 0.9}, "train.layer_decay: with encoder.freeze = true no layer"),
        ({"datasets.news.tasks.topic.lr": 0}, "tasks.topic.lr: must be greater than 0"),
        ({"train.trackers": "wandb"}, 'train.trackers: a list, such as ["a", "b"], was expected (found \'wandb\')'),
        ({"output": 3}, 'output: a path, such as "runs/first", was expected (found 3)'),
        ({"encoder.freeze": 1}, "encoder.freeze: true or false was expected (found 1)"),
        ({"encoder.sha256": "a"}, "encoder.sha256: 64 hex digits in lower case were expected (found 'a')"),
        ({"plugins": [3]}, 'plugins.0: a string, such as "text", was expected (found 3)'),
        ({"datasets.news.tasks.topic": {"kind": "classification"}}, "tasks.topic.label: this key is missing; write la"),
        ({"datasets.1x": make()["datasets"]["news"]}, "datasets.1x: a name consists of letters, digits, _ and -"),
    ],
)
def test_messages_state_the_problem_and_the_fix(overrides: dict[str, Any], message: str) -> None:
    assert message in problem(overrides)


VALUES = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.sampled_from(["", "x", "linear", "ner", "mean"])
    | some.lists(some.integers() | some.sampled_from(["a", "a b"]) | some.none(), max_size=2)
    | some.dictionaries(some.sampled_from(["a", "kind", "label", "1"]), some.integers() | some.just("x"), max_size=2)
)
TABLES = {
    "": ["seed", "output", "plugins", "encoder", "datasets", "sampling", "weighting", "sharing", "train", "eval", "x"],
    "encoder.": ["name", "max_length", "revision", "sha256", "attn_implementation", "freeze", "gradient_checkpointing"],
    "train.": [
        "epochs",
        "steps",
        "batch_size",
        "lr",
        "head_lr",
        "warmup",
        "max_grad_norm",
        "precision",
        "trackers",
        "keep",
        "l",
    ],
    "eval.": ["every", "select", "patience"],
    "sampling.": ["temperature", "kind", "phases", "cap", "weights"],
    "sharing.": ["shared", "rank", "kind"],
    "datasets.news.": ["data", "input", "tasks", "limit"],
    "datasets.news.data.": ["files", "hub", "splits", "validation", "encoding", "delimiter", "header", "on_bad_row"],
    "datasets.news.input.": ["words", "text", "pair"],
    "datasets.news.tasks.topic.": ["kind", "label", "labels", "metrics", "class_weights", "loss_weight", "threshold"],
}
KEYS = some.sampled_from([prefix + key for prefix, keys in TABLES.items() for key in keys])
REGISTRIES: dict[str, Registry] = {
    "sampling": SAMPLERS,
    "weighting": WEIGHTINGS,
    "sharing": SHARINGS,
    "optimizer": OPTIMIZERS,
    "train.schedule": SCHEDULES,
    "datasets.news.tasks.topic.loss": LOSSES,
    "datasets.news.tasks.topic": TASKS,
}


@settings(max_examples=100, deadline=None)
@given(overrides=some.dictionaries(KEYS, VALUES, min_size=1, max_size=4), data=some.data())
def test_no_message_contains_phrases_of_pydantic(overrides: dict[str, Any], data: some.DataObject) -> None:
    kinds = {
        f"{table}.kind": data.draw(some.sampled_from(registry.names()))
        for table, registry in REGISTRIES.items()
        if data.draw(some.booleans())
    }
    try:
        parse_run(read_run(make(), overrides={**kinds, **overrides}), where="run.toml")
    except ConfigError as error:
        lines = [re.sub(r"\(found .*", "", line) for line in str(error).splitlines()]
        assert not [line for line in lines if PHRASES.search(line)], lines


def test_an_invalid_weight_of_a_class_has_one_message() -> None:
    key = "datasets.news.tasks.topic.class_weights"
    assert problem({key: {"x": -1}}) == f"run.toml: {key}.x: must be at least 0.0 (found -1)"
    assert problem({key: 3}) == f'run.toml: {key}: a table was expected, or: must be "balanced" (found 3)'


def test_messages_for_every_option_of_every_kind() -> None:
    messages = []
    values: tuple[Any, ...] = (None, -1, "x", [], [0.5], {})
    for table, registry in REGISTRIES.items():
        for kind in registry.names():
            for name in registry.options(kind).model_fields.keys() - {"kind"}:
                for value in values:
                    overrides = {f"{table}.kind": kind, f"{table}.{name}": value}
                    try:
                        parse_run(read_run(make(), overrides=overrides), where="")
                    except ConfigError as error:
                        messages += [re.sub(r"\(found .*", "", line) for line in str(error).splitlines()]
    assert messages
    assert not [message for message in messages if PHRASES.search(message)]


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("learning_rate", "train.lr"),
        ("lr", "train.lr"),
        ("num_train_epochs", "train.epochs"),
        ("epochs", "train.epochs"),
        ("per_device_train_batch_size", "train.batch_size"),
        ("batch_size", "train.batch_size"),
        ("max_grad_norm", "train.max_grad_norm"),
        ("warmup_ratio", "train.warmup"),
        ("max_seq_length", "encoder.max_length"),
        ("max_length", "encoder.max_length"),
        ("model_name_or_path", "encoder.name"),
        ("output_dir", "output"),
        ("save_steps", "train.save_every"),
        ("eval_steps", "eval.every"),
        ("fp16", 'train.precision = "bf16"'),
        ("bf16", 'train.precision = "bf16"'),
        ("logging_steps", "every step is logged"),
        ("metric_for_best_model", "eval.select"),
        ("early-stopping-patience", "eval.patience"),
        ("Learning_Rate", "train.lr"),
        ("max_steps", "train.steps"),
        ("text_column", "datasets.NAME.input.text"),
        ("run_name", "output"),
        ("adam_beta1", 'optimizer.betas, with optimizer.kind = "adamw"'),
        ("deepspeed", "DeepSpeed is not supported"),
        ("torch_compile", "nlpmtl does not compile models"),
        ("trust_remote_code", "code of a repository is never run"),
        ("cache_dir", "set the environment variable NLPMTL_CACHE"),
        ("lora", 'sharing.kind = "lora"'),
        ("iterations", "train.steps"),
        ("val_set_size", "datasets.NAME.data.validation"),
        ("tagging_scheme", "datasets.NAME.tasks.TASK.scheme"),
        ("mtl_weights", 'weighting.weights, with weighting.kind = "constant"'),
        ("hidden_dropout_prob", "the dropout of the encoder"),
        ("criterion", "the loss is that of the task type"),
        ("dataloader_drop_last", "data is prepared once and cached"),
        ("ddp_find_unused_parameters", "several processes are started by torchrun"),
        ("gpus", "training uses the GPU if there is one"),
        ("lr_scheduler_type", "train.schedule"),
        ("lr_scheduler_kwargs", 'train.schedule = {kind = "polynomial", power = 2.0}'),
        ("layerwise_lr_decay", "train.layer_decay"),
        ("llrd", "train.layer_decay"),
        ("num_layers_to_freeze", "encoder.freeze_layers"),
        ("freeze_embeddings", "encoder.freeze_layers"),
        ("pooling_mode", "datasets.NAME.tasks.TASK.pooling"),
    ],
)
def test_keys_of_other_tools_are_recognised_in_every_table(key: str, ours: str) -> None:
    for prefix in ("", "train.", "eval.", "encoder."):
        if f"{prefix}{key}" != ours and key not in TABLES[prefix]:
            assert re.search(
                rf"{prefix}{key}: unknown key; (write )?{re.escape(ours)}(?!\w)", problem({prefix + key: 1})
            )


@pytest.mark.parametrize("key", ["class_weights", "scheme", "long", "pooling"])
def test_a_key_of_other_task_types_is_not_its_own_hint(key: str) -> None:
    place = f"datasets.news.tasks.topic.{key}"
    message = problem({"datasets.news.tasks.topic.kind": "question_answering", place: 1})
    assert re.search(rf"{place}: unknown key; (known: kind, label, labels, lr|did you mean 'weight')", message)


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("news.text_column", "datasets.news.input.text"),
        ("news.input.sentence1", "datasets.news.input.text"),
        ("news.data.train_file", "datasets.news.data.files"),
        ("news.dataset_name", "datasets.news.data.hub"),
        ("news.tasks.topic.label_column", "datasets.news.tasks.topic.label"),
        ("news.tasks.topic.num_labels", "datasets.news.tasks.topic.labels"),
        ("news.text", "datasets.news.input.text"),
        ("news.data.train", "datasets.news.data.files.train"),
        ("news.data.dev", "datasets.news.data.files.validation"),
        ("news.data.name", "datasets.news.data.hub"),
        ("news.data.sep", "datasets.news.data.delimiter"),
        ("news.tasks.topic.loss_weight", 'weighting.weights.topic, with weighting.kind = "constant"'),
        ("news.tasks.topic.learning_rate", "datasets.news.tasks.topic.lr"),
        ("news.tasks.topic.head_lr", "datasets.news.tasks.topic.lr"),
        ("news.tasks.topic.pooling_mode", "datasets.news.tasks.topic.pooling"),
        ("news.label_smoothing_factor", "datasets.news.tasks.TASK.label_smoothing"),
    ],
)
def test_keys_inside_datasets(key: str, ours: str) -> None:
    assert f"datasets.{key}: unknown key; write {ours} (" in problem({f"datasets.{key}": 1})


def test_a_table_dataset_is_a_misspelt_table_of_datasets() -> None:
    hint = "write [datasets.NAME] with its data, input and tasks ("
    assert f"dataset: unknown key; {hint}" in problem({"dataset": {"news": {"data": {"hub": "a/b"}}}})


def test_every_hint_names_a_key_that_exists() -> None:
    known = {prefix + field for prefix, table in messages._TABLES.items() for field in table.model_fields}
    for table, registry in {**REGISTRIES, "datasets.NAME.tasks.TASK": TASKS}.items():
        known |= {f"{table}.{field}" for kind in registry.names() for field in registry.options(kind).model_fields}
    hints = [*messages._OTHER_TOOLS, *(hint for hints in messages._IN_TABLE.values() for hint in hints.values())]
    for hint in hints:
        key = re.split("[ ,]", hint)[0]
        assert key in known or key.rpartition(".")[0] in known, hint  # such as data.files.train


def test_every_key_of_another_tool_leads_to_a_field_of_its_kind() -> None:
    for registry in (SAMPLERS, WEIGHTINGS, SHARINGS, OPTIMIZERS, LOSSES):
        for kind in registry.names():
            options = registry.options(kind)
            names = [name for names in options.other_keys.values() for name in names.split()]
            assert len(names) == len(set(names)), kind
            assert not set(names) & options.model_fields.keys(), f"{kind}: a field would be called unknown"
            for ours in options.other_keys:
                assert re.split("[ ,]", ours)[0] in {*options.model_fields, "class_weights"}, (kind, ours)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sharing": {"kind": "lora", "r": 8}}, "sharing.r: unknown key; write rank (found 8)"),
        ({"sharing": {"kind": "lora", "lora_rank": 8}}, "sharing.lora_rank: unknown key; write rank ("),
        ({"sharing": {"kind": "lora", "lora_alpha": 8}}, "sharing.lora_alpha: unknown key; write alpha ("),
        (
            {"sharing": {"kind": "hard", "r": 8}},
            'sharing.r: unknown key; write sharing.rank, with sharing.kind = "lora" (',
        ),
        (
            {"sharing": {"kind": "adapters", "reduction-factor": 8}},
            "factor: unknown key; write size, the hidden size of",
        ),
        ({"sampling": {"kind": "temperature", "T": 5}}, "sampling.T: unknown key; write temperature (found 5)"),
        (
            {"sampling": {"kind": "temperature", "alpha": 0.5}},
            "alpha: unknown key; write temperature, which is 1 / alpha (",
        ),
        (
            {"sampling": {"kind": "uniform", "tau": 2}},
            'write sampling.temperature, with sampling.kind = "loss_ratio" or "',
        ),
        ({"sampling": {"kind": "capped", "K": 9}}, "sampling.K: unknown key; write cap ("),
        ({"weighting": {"kind": "gradnorm", "learning_rate": 9}}, "weighting.learning_rate: unknown key; write lr ("),
        (
            {"weighting": {"kind": "constant", "alpha": 1}},
            'write weighting.alpha, with weighting.kind = "fairgrad" or "gr',
        ),
        ({"optimizer": {"kind": "adamw", "momentum": 0.9}}, 'write optimizer.momentum, with optimizer.kind = "sgd" ('),
        ({"optimizer": {"kind": "adamw", "lr": 0.1}}, "optimizer.lr: unknown key; write train.lr ("),
    ],
)
def test_keys_of_other_tools_inside_a_kind(table: dict[str, Any], message: str) -> None:
    assert message in problem(**table)


TASK = "datasets.news.tasks.topic"


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        *[({f"{TASK}.kind": "labeling", f"{TASK}.scheme": value}, '"bio" (') for value in ("IOB2", "iob2", "BIO2")],
        *[
            ({f"{TASK}.kind": "labeling", f"{TASK}.scheme": value}, '"bioes", w')
            for value in ("BILOU", "iobes", "BMEWO")
        ],
        ({f"{TASK}.kind": "labeling", f"{TASK}.scheme": "IOB"}, '"bio" (each span begins with B-) or "iob1" ('),
        *[
            ({"train.precision": value}, '"bf16" or "fp32": fp16 is not')
            for value in ("fp16", "16-mixed", 16, "float16")
        ],
        *[({"train.precision": value}, '"fp32" (') for value in ("float32", "no", 32, "32-true", False)],
        *[({"train.precision": value}, '"bf16" (') for value in ("bf16-mixed", "bfloat16")],
        ({"train.precision": "double"}, '"fp64" ('),
        ({"datasets.news.data.quoting": "QUOTE_NONE"}, '"none" ('),
        ({"datasets.news.data.quoting": 3}, '"none" ('),
        ({"datasets.news.data.quoting": "QUOTE_ALL"}, '"minimal" ('),
        ({"datasets.news.data.on_bad_row": "drop"}, '"skip" ('),
        ({"train.kernels": True}, '"auto" ('),
        ({"train.trackers": ["tb"]}, '"tensorboard" ('),
        ({"eval.every": "epoch"}, "the number of steps; an epoch is ceil(train rows / train.batch_size) steps ("),
        ({"encoder.max_length": "auto"}, "the number of tokens, such as 512 ("),
        *[
            ({"encoder.attn_implementation": value}, '"flash_attention_2" (')
            for value in ("flash", "flash_attn", "fa2")
        ],
        ({"encoder.attn_implementation": "flex"}, '"flex_attention" ('),
        ({"encoder.attn_implementation": "paged|eager"}, '"eager" ('),
        ({"encoder.attn_implementation": "auto"}, "nothing: omit the key for the default ("),
        ({"sampling.kind": "uniform", "sampling.batches": "homogeneous"}, '"single" ('),
        ({"sharing.kind": "adapters", "sharing.form": "houlsby"}, '"bottleneck" ('),
        ({"train.warmup": 500, "train.steps": 8000}, "0.0625 ("),
        ({"train.warmup": 500}, "0.1 for a tenth, or 500 / (steps of the run) ("),
    ],
)
def test_values_of_other_tools_are_recognised(overrides: dict[str, Any], hint: str) -> None:
    assert f"write {hint}" in problem(overrides)


@pytest.mark.parametrize(("schedule", "ours"), [("constant_with_warmup", "constant"), ("cosine_with_warmup", "cosine")])
def test_schedules_of_other_tools_are_recognised(schedule: str, ours: str) -> None:
    assert re.search(f"write ['\"]{ours}['\"]", problem({"train.schedule": schedule}))


def test_the_attention_implementations_are_those_of_transformers() -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    installed = [name for name in ALL_ATTENTION_FUNCTIONS.valid_keys() if name not in ("paged|eager", "packed")]
    assert {"eager", *installed} == set(ATTENTION)
    for name in ("flash_attention_5", "kernels-community/flash-attn2", *ATTENTION):
        parse_run(make(encoder={"name": "a", "attn_implementation": name}), where="")
    assert 'must be "eager", "sdpa", ' in problem({"encoder.attn_implementation": "sdpaa"})


@pytest.mark.parametrize(
    "overrides", [{"train.precision": "int8"}, {"train.warmup": -1}, {"train.warmup": True}, {"train.precision": []}]
)
def test_other_values_have_no_hint(overrides: dict[str, Any]) -> None:
    assert "write" not in problem(overrides)


@pytest.mark.parametrize("table", ["data", "input", "tasks"])
def test_dataset_tables_at_the_top_level_of_a_run(table: str) -> None:
    assert f"run.toml: {table}: unknown key; write datasets.NAME.{table} (" in problem({table: {"a": 1}})


@pytest.mark.parametrize("key", ["encoder.token", "encoder.use_auth_token", "train.hub_token"])
def test_access_tokens_in_a_config_are_refused(key: str) -> None:
    assert f"{key}: unknown key; log in with `hf auth login`, or set HF_TOKEN; remove it" in problem({key: "a"})


@pytest.mark.parametrize(
    "tables",
    [
        {"hf_token": "abcdef-secret"},
        {"hub": {"token": "abcdef-secret", "private": True}},
        {"trackers": {"wandb": {"api_key": "abcdef-secret"}}},
        {"train": {"note": "hf_abcdef-secret012345678"}},
        {"passwords": ["abcdef-secret"]},
    ],
)
def test_secrets_in_a_config_are_not_printed(tables: dict[str, Any]) -> None:
    assert "abcdef-secret" not in problem(**tables)


def test_a_deeply_nested_value_is_not_printed() -> None:
    value: dict[str, Any] = {}
    for _ in range(900):
        value = {"a": value}
    with pytest.raises(ConfigError, match=r"run\.toml: trainer: unknown key"):
        parse_run({**make(), "trainer": value}, where="run.toml")


def test_a_value_of_several_types_has_one_message() -> None:
    message = problem({"datasets.news.tasks.topic.class_weights": "balance"})
    assert message == (
        'run.toml: datasets.news.tasks.topic.class_weights: a table was expected, or: must be "balanced" '
        "(found 'balance')"
    )


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("ner", "labeling"),
        ("NER", "labeling"),
        ("token_classification", "labeling"),
        ("token-classification", "labeling"),
        ("pos", "labeling"),
        ("text-classification", "classification"),
        ("Sequence Classification", "classification"),
        ("multi-label", "multilabel"),
        ("sts", "regression"),
    ],
)
def test_kinds_of_other_tools_are_recognised(kind: str, ours: str) -> None:
    message = problem({"datasets.news.tasks.topic.kind": kind})
    assert f"unknown task type {kind!r}; write {ours!r}" in message


@pytest.mark.parametrize(
    ("key", "kind", "ours"),
    [
        ("sampling", "size_proportional", "proportional"),
        ("sampling", "Round-Robin", "round_robin"),
        ("sampling", "equal", "uniform"),
        ("weighting", "equal", "constant"),
        ("weighting", "Nash-MTL", "nashmtl"),
        ("weighting", "RLW", "random"),
        ("weighting", "dynamic_weight_average", "dwa"),
        ("sharing", "hard_parameter_sharing", "hard"),
        ("sharing", "LoRA", "lora"),
        ("sharing", "houlsby", "adapters"),
    ],
)
def test_other_names_of_samplers_weightings_and_sharing_schemes(key: str, kind: str, ours: str) -> None:
    assert f"{kind!r}; write {ours!r} (" in problem({f"{key}.kind": kind})


@pytest.mark.parametrize(
    ("metric", "ours"),
    [
        ("acc", "accuracy"),
        ("f1_macro", "macro_f1"),
        ("MCC", "matthews_correlation"),
        ("seqeval", "span_f1"),
        ("pearson", "pearsonr"),
        ("mean_squared_error", "mse"),
        ("f1-score", "f1"),
    ],
)
def test_other_names_of_metrics(metric: str, ours: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown metric '{metric}'; write '{ours}'"):
        nlpmtl.metrics.check(metric, reads="label", pos_label=None)


def test_python_keyword_arguments_are_recognised() -> None:
    with pytest.raises(ConfigError, match=r"lr: unknown key; write train\.lr \(found 0\.1\)"):
        nlpmtl.train(make(), lr=0.1)
    with pytest.raises(ConfigError, match=r"train\.learning_rate: unknown key; write train\.lr"):
        nlpmtl.train(make(), train={"learning_rate": 0.1})


def test_suggested_keys_exist() -> None:
    from nlpmtl.config.messages import _BY_OTHER, _NO_KEY

    assert not _BY_OTHER.keys() & _NO_KEY.keys()
    for other in _BY_OTHER:
        assert "unknown key; " in problem({other: 1})


def test_layers_have_a_default_as_other_schemes() -> None:
    config = parse_run(read_run(make(sharing={"kind": "layers"})), where="run.toml")
    assert config.sharing.shared is None  # type: ignore[attr-defined]


def test_a_key_in_brackets_is_an_unknown_key_like_any_other() -> None:
    """pydantic uses the same marker for errors in the names of keys."""
    with pytest.raises(ConfigError, match=r"config: \[key\]: unknown key"):
        parse_run({"encoder": {"name": "x"}, "datasets": {}, "[key]": 1}, where="config")


def test_every_path_of_an_option_may_have_a_hint() -> None:
    tables = ["datasets", "x", "tasks", "sampling", "optimizer", "data", "train"]
    for count in range(4):
        for path in product(tables, repeat=count):
            for key in ("temperature", "betas", "lr", "kind", "no_such_key"):
                hint = messages.instead_of_option([*path, key], "2")
                assert hint is None or hint
    hint = messages.instead_of_option(["datasets", "x", "sampling", "temperature"], "2")
    assert hint == messages.instead_of_option(["sampling", "temperature"], "2")
