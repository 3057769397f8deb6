"""`MultiTaskModel`: logits, heads, saving and loading."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

from nlpmtl.errors import ModelError
from nlpmtl.heads import Head, HeadConfig, HeadContext, HeadInputs, sequence_head_config
from nlpmtl.kernels import enable_packing
from nlpmtl.model import Encoder, MultiTaskConfig, MultiTaskModel, load_encoder
from nlpmtl.tasks import Classification, Task, task_from_config
from tests.model.sharing.schemes import CASES
from tests.slow import slow_except
from tests.tiny import write_encoder

SIZES: dict[str, Any] = {"vocab_size": 150, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
LAYERS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 70,
}
ENCODERS: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**SIZES, **LAYERS),
    "roberta": RobertaConfig(**SIZES, **LAYERS, type_vocab_size=1),
    "distilbert": DistilBertConfig(**SIZES, dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=70),
    "modernbert": ModernBertConfig(**SIZES, **LAYERS, cls_token_id=2, sep_token_id=3, local_attention=8),
}
SPECS: dict[str, dict[str, Any]] = {
    "topic": {"kind": "classification", "labels": ["a", "b", "c"], "metrics": None, "input": "words"},
    "places": {"kind": "labeling", "labels": ["O", "B-x", "I-x"], "metrics": None, "input": "words", "scheme": "bio"},
    "grade": {
        "kind": "regression",
        "labels": [],
        "metrics": None,
        "input": "pair",
        "target": {"mean": 2.0, "std": 3.0},
    },
    "kinds": {"kind": "multilabel", "labels": ["x", "y"], "metrics": None, "input": "text"},
}


def tasks(specs: dict[str, dict[str, Any]] | None = None) -> list[Task]:
    return [task_from_config(name, spec) for name, spec in (SPECS if specs is None else specs).items()]


@lru_cache
def loaded(directory: Path) -> Encoder:
    return load_encoder(str(directory))


def assemble(
    directory: Path,
    specs: dict[str, dict[str, Any]] | None = None,
    *,
    seed: int = 0,
    sharing: dict[str, Any] = CASES["hard"],
) -> MultiTaskModel:
    encoder = loaded(directory)
    encoder = replace(encoder, model=copy.deepcopy(encoder.model))
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks(specs), sharing=sharing, input_length=48, seed=seed)
    model.train(False)
    return model


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An encoder of each architecture, with the tiny tokenizer."""
    paths = {}
    for name, config in ENCODERS.items():
        paths[name] = directory = tmp_path_factory.mktemp(name)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(write_encoder(directory))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            AutoModel.from_config(config).save_pretrained(directory)
        if name != "bert":
            tokenizer.model_input_names = ["input_ids", "attention_mask"]
        tokenizer.save_pretrained(directory)
    return paths


@pytest.fixture(scope="module")
def bert(directories: dict[str, Path]) -> Path:
    return directories["bert"]


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 100, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("name", slow_except(ENCODERS, "bert", "modernbert"))
def test_a_saved_model_gives_identical_logits(directories: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Read by `MultiTaskModel` and by `AutoModel`, with hard sharing, for every architecture."""
    model = assemble(directories[name])
    expected = model(**inputs())
    model.save_pretrained(tmp_path)
    for loaded in (MultiTaskModel.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        assert isinstance(loaded, MultiTaskModel)
        state = loaded.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
        actual = loaded.train(False)(**inputs())
        assert actual.keys() == expected.keys() == SPECS.keys()
        for task, logits in expected.items():  # the memory layout of weights can change the last bit of a sum
            torch.testing.assert_close(actual[task], logits, rtol=0, atol=1e-6 * float(logits.detach().abs().max()))
        assert {task: made.to_config() for task, made in loaded.tasks.items()} == {
            task: made.to_config() for task, made in model.tasks.items()
        }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", list(ENCODERS))
def test_logits_have_the_right_shape_and_ignore_padding(directories: dict[str, Path], name: str) -> None:
    model = assemble(directories[name])
    given = inputs()
    batched = model(**given)
    assert {task: tuple(logits.shape) for task, logits in batched.items()} == {
        "topic": (3, 3),
        "places": (3, 9, 3),
        "grade": (3, 1),
        "kinds": (3, 2),
    }
    single = model(input_ids=given["input_ids"][1:2, :6])
    for task, logits in single.items():
        same = batched[task][1:2, :6] if task == "places" else batched[task][1:2]
        torch.testing.assert_close(logits, same, rtol=0, atol=1e-5)


def test_rows_select_the_tasks_to_predict(bert: Path) -> None:
    model = assemble(bert)
    every = model(**inputs())
    some = model(**inputs(), rows={"topic": torch.tensor([0, 2]), "places": torch.tensor([1])})
    assert set(some) == {"topic", "places"}
    torch.testing.assert_close(some["topic"], every["topic"][[0, 2]])
    torch.testing.assert_close(some["places"], every["places"][[1]])


@pytest.mark.parametrize(
    "name",
    slow_except(
        ["type", "keys", "items", "forward", "training", "topic_head", "a-b", "_", "values"], "keys", "training", "a-b"
    ),
)
def test_a_task_may_have_any_name(bert: Path, tmp_path: Path, name: str) -> None:
    model = assemble(bert, {name: SPECS["topic"], "other": SPECS["kinds"]})
    model.save_pretrained(tmp_path)
    loaded = MultiTaskModel.from_pretrained(tmp_path).train(False)
    torch.testing.assert_close(loaded(**inputs())[name], model(**inputs())[name], rtol=0, atol=1e-7)
    assert loaded.head(name).out.out_features == 3


def test_heads_are_initialised_from_the_checkpoint_and_the_seed(bert: Path) -> None:
    start = load_encoder(str(bert)).head_init
    first, same, other = assemble(bert), assemble(bert), assemble(bert, seed=1)
    single = assemble(bert, {"kinds": SPECS["kinds"]})
    for task in ("topic", "grade", "kinds"):
        assert torch.equal(weight(first, task, "dense"), start["dense.weight"]), task
    assert torch.equal(weight(first, "topic", "out"), weight(same, "topic", "out"))
    assert not torch.equal(weight(first, "topic", "out"), weight(other, "topic", "out"))
    assert torch.equal(weight(first, "kinds", "out"), weight(single, "kinds", "out")), "independent of other heads"


@pytest.mark.parametrize("case", slow_except(CASES, "hard", "lora", "adapters"))
def test_new_models_do_not_depend_on_the_random_state(case: str, bert: Path) -> None:
    torch.manual_seed(1)
    model, plain = assemble(bert, sharing=CASES[case]), assemble(bert)
    torch.manual_seed(2)
    same = assemble(bert, sharing=CASES[case]).state_dict()
    assert not [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, same[name])]
    logits, expected = model(**inputs()), plain(**inputs())
    for task in SPECS:
        torch.testing.assert_close(logits[task], expected[task], rtol=0, atol=1e-5)


def weight(model: MultiTaskModel, task: str, layer: str) -> torch.Tensor:
    parameter: Tensor = model.head(task).get_parameter(f"{layer}.weight")
    return parameter


@pytest.mark.parametrize("architecture", ["modernbert", "bert"])
def test_token_heads_are_initialised_as_in_transformers(architecture: str, tmp_path: Path) -> None:
    """ModernBERT's token classifier has the dense layer and the norm of its masked language model; BERT's has not."""
    write_encoder(tmp_path)
    AutoModelForMaskedLM.from_config(ENCODERS[architecture]).save_pretrained(tmp_path)
    stock, info = AutoModelForTokenClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert {name for name in info["missing_keys"] if not name.startswith("classifier")} == set()
    model = assemble(tmp_path, {"places": SPECS["places"], "topic": SPECS["topic"]})
    for name in ("places", "topic") if architecture == "modernbert" else ():
        assert torch.equal(model.head(name).dense.weight, stock.head.dense.weight)
        assert torch.equal(model.head(name).norm.weight, stock.head.norm.weight)
    assert model.head("places").config.dense is (architecture == "modernbert")


def test_config_json_describes_the_model(bert: Path, tmp_path: Path) -> None:
    assemble(bert).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "nlpmtl"
    assert config["encoder_config"]["model_type"] == "bert"
    assert config["input_length"] == 48
    assert config["sharing"] == {"kind": "hard"}
    assert config["tasks"].keys() == SPECS.keys()
    assert config["tasks"]["grade"]["target"] == {"mean": 2.0, "std": 3.0}
    assert "auto_map" not in config
    again = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(again, MultiTaskConfig)
    assert isinstance(again.encoder_config, BertConfig)


def test_tasks_keep_their_order(bert: Path, tmp_path: Path) -> None:
    reordered = dict(reversed(SPECS.items()))
    assemble(bert, reordered).save_pretrained(tmp_path)
    assert list(MultiTaskModel.from_pretrained(tmp_path).tasks) == list(reordered) != sorted(reordered)


def test_a_config_without_tasks_or_encoder_is_refused() -> None:
    with pytest.raises(ModelError, match="not written by nlpmtl"):
        MultiTaskModel(MultiTaskConfig(encoder_config=ENCODERS["bert"]))
    with pytest.raises(ModelError, match="not written by nlpmtl"):
        MultiTaskModel(MultiTaskConfig(tasks=SPECS))


def test_a_task_of_an_unknown_kind_is_refused() -> None:
    config = MultiTaskConfig(encoder_config=ENCODERS["bert"], tasks={"odd": {**SPECS["topic"], "kind": "odd"}})
    with pytest.raises(ModelError, match="task 'odd' of this model cannot be made"):
        MultiTaskModel(config)


def test_the_attention_reaches_the_encoder_inside(bert: Path, tmp_path: Path) -> None:
    model = assemble(bert)
    model.save_pretrained(tmp_path)
    eager = MultiTaskModel.from_pretrained(tmp_path, attn_implementation="eager").train(False)
    assert eager.sharing.encoder.config._attn_implementation == "eager"
    torch.testing.assert_close(eager(**inputs())["topic"], model(**inputs())["topic"], rtol=0, atol=1e-5)


def test_heads_compute_in_the_precision_of_their_weights(bert: Path) -> None:
    model = assemble(bert)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(**inputs())
    exact = model(**inputs())
    assert {logits.dtype for logits in rough.values()} == {torch.float32}
    assert all(0 < float((rough[task] - exact[task]).detach().abs().max()) < 0.1 for task in SPECS)


def test_packed_rows_have_logits_for_every_position_of_the_batch(bert: Path) -> None:
    model = assemble(bert)
    rows = {"places": torch.tensor([1]), "topic": torch.tensor([0, 1]), "grade": torch.tensor([], dtype=torch.long)}
    padded = model(**inputs(), rows=rows)
    enable_packing(model.sharing.encoder)
    packed = model(**inputs(), rows=rows)
    assert {task: logits.shape for task, logits in packed.items()} == {t: logits.shape for t, logits in padded.items()}
    torch.testing.assert_close(packed["topic"], padded["topic"], atol=1e-5, rtol=0)
    torch.testing.assert_close(packed["places"][:, :6], padded["places"][:, :6], atol=1e-5, rtol=0)
    assert torch.equal(packed["places"][:, 6:], torch.zeros(1, 3, 3))


class AttentionPooling(Head):
    """A head with attention pooling."""

    def __init__(self, *, width: int, temperature: float = 1.0, **head: Any) -> None:
        super().__init__(width=width, **head)
        self.query = nn.Parameter(torch.linspace(-0.3, 0.3, width))  # attention weights below 1
        self.temperature, self.calls = temperature, 0

    def pool(self, inputs: HeadInputs) -> Tensor:
        self.calls += 1
        scores = (inputs.hidden @ self.query / self.temperature).masked_fill(~inputs.mask, -torch.inf)
        return (scores.softmax(dim=-1).unsqueeze(-1) * inputs.hidden).sum(dim=1)


def replace_head(model: MultiTaskModel, task: str, kind: Any, **options: Any) -> Any:
    old: Any = model.head(task)
    head = kind(width=32, outputs=old.out.out_features, config=old.config, level=old.level, **options)
    head.out.load_state_dict(old.out.state_dict())
    head.dense.load_state_dict(old.dense.state_dict())
    model.heads[f"{task}_head"] = head.eval()
    return head


def test_each_head_pools_shared_rows_with_its_own_weights(bert: Path) -> None:
    """Default heads, custom heads, and heads of one class with other weights or options."""
    specs = dict.fromkeys(("stock", "attentive", "sharp", "learned", "patched", "stock_too"), SPECS["topic"])
    model = assemble(bert, specs)
    attentive = replace_head(model, "attentive", AttentionPooling)
    sharp = replace_head(model, "sharp", AttentionPooling, temperature=0.3)
    learned = replace_head(model, "learned", AttentionPooling)
    with torch.no_grad():
        learned.query.mul_(-1)
    patched: Any = model.head("patched")
    patched.pool = lambda inputs: inputs.hidden[:, -1]
    ids = torch.tensor([[2, 9, 10, 11, 3], [2, 12, 13, 14, 3]])
    hidden = model.sharing.encoder(ids).last_hidden_state
    together = model(ids)
    for name in specs:
        head = model.head(name)
        assert torch.allclose(together[name], head(HeadInputs(hidden, torch.ones_like(ids))), atol=1e-6), name
    assert (attentive.calls, sharp.calls, learned.calls) == (2, 2, 2)
    stock: Any = model.head("stock")
    heads = (stock, attentive, sharp, learned, patched)
    pooled = [head.pool(HeadInputs(hidden, torch.ones_like(ids))) for head in heads]
    for i, row in enumerate(pooled):
        assert all(not torch.allclose(row, other, atol=1e-3) for other in pooled[:i])


class TwoStates(Head):
    """A head that reads the first hidden state and the mean, so that its dense layer has another size, or none."""

    def __init__(self, *, width: int, config: HeadConfig, dense: bool, **head: Any) -> None:
        super().__init__(width=2 * width, config=replace(config, dense=dense), **head)

    def pool(self, inputs: HeadInputs) -> Tensor:
        return torch.cat([inputs.first, inputs.mean], dim=-1)


@pytest.mark.parametrize("dense", [True, False])
def test_a_head_with_other_layers_ignores_the_checkpoint_head(bert: Path, dense: bool) -> None:
    class Wide(Classification):
        def build_head(self, context: HeadContext) -> Head:
            config = sequence_head_config(context.config)
            return TwoStates(width=32, outputs=3, config=config, level="sequence", dense=dense, seed=context.seed)

    wide = Wide(name="wide", labels=("a", "b", "c"), metrics=None, input="words")
    encoder = load_encoder(str(bert))
    given: dict[str, Any] = {"sharing": {"kind": "hard"}, "input_length": 48, "seed": 0}
    model = MultiTaskModel.from_encoder(encoder, tasks=[wide, *tasks({"stock": SPECS["topic"]})], **given)
    assert model(**inputs())["wide"].shape == (3, 3)
    assert torch.equal(weight(model, "stock", "dense"), encoder.head_init["dense.weight"])


def test_default_heads_of_the_same_rows_are_pooled_once(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = assemble(bert, dict.fromkeys(("one", "two"), SPECS["topic"])), []
    first = HeadInputs.first.func  # type: ignore[attr-defined]

    def counted(inputs: HeadInputs) -> Tensor:
        calls.append(inputs)
        value: Tensor = first(inputs)
        return value

    monkeypatch.setattr(HeadInputs.first, "func", counted)
    model(torch.tensor([[2, 9, 3]]))
    assert len(calls) == 1
