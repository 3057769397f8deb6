"""Shared and task-specific LoRA, compared with the formula and with PEFT."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModel

from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.export import export_lora
from nlpmtl.model import Lora, MultiTaskModel, load_encoder
from nlpmtl.model.sharing.lora import LoraLinear
from nlpmtl.tasks import task_from_config
from tests.architectures import write_architecture
from tests.model.sharing.schemes import CASES, ROWS, make_encoder, make_inputs, make_sharing, parts, stir
from tests.tiny import read_json

SPECS: dict[str, dict[str, Any]] = {
    name: {"kind": "classification", "labels": ["no", "yes"], "metrics": None, "input": "text"} for name in ROWS
}


def test_a_row_uses_the_shared_adapter_and_that_of_its_task(tmp_path: Path) -> None:
    """y = W x + b + (α/r) B A x + (α/r_t) B_t A_t x, by hand."""
    encoder = make_encoder(tmp_path)
    sharing = make_sharing(encoder, {**CASES["lora"], "alpha": 5.0})
    linear = next(module for module in sharing.modules() if isinstance(module, LoraLinear))
    tensors: list[torch.Tensor] = []
    hook = linear.register_forward_hook(lambda module, given, output: tensors.extend((given[0], output)))
    sharing(make_inputs(encoder), parts())
    hook.remove()
    x, output = tensors
    assert len(x) == 7, "rows of two tasks occur twice"
    start = 0
    for task, rows in ROWS.items():
        shared, task_adapter = linear.adapters(task)
        assert (len(shared.down), len(task_adapter.down)) == (3, 2)
        for row in range(start, start + len(rows)):
            expected = linear.base.weight @ x[row].T + linear.base.bias[:, None]
            expected = expected + 5 / 3 * shared.up @ shared.down @ x[row].T
            expected = expected + 5 / 2 * task_adapter.up @ task_adapter.down @ x[row].T
            torch.testing.assert_close(output[row], expected.T)
        start += len(rows)


def test_new_adapters_are_the_identity_and_only_adapters_are_trained(tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path)
    inputs, stock = make_inputs(encoder), copy.deepcopy(encoder)
    sharing = Lora(encoder=encoder, tasks=tuple(ROWS), rank=3, task_rank=2, alpha=5.0)
    sharing.double()
    hidden = sharing(inputs, parts())["a"]
    torch.testing.assert_close(hidden, stock(**inputs).last_hidden_state[list(ROWS["a"])])
    trained = {name.rsplit(".", 1)[-1] for name, weight in sharing.named_parameters() if weight.requires_grad}
    assert trained == {"down", "up"}
    first = [linear.shared.down.clone() for _, linear in sharing.adapted()]
    assert not torch.equal(first[0], first[1])
    sharing.init_parameters(1)
    assert not torch.equal(first[0], next(sharing.adapted())[1].shared.down)
    for _, linear in sharing.adapted():
        assert torch.equal(linear.adapters("a")[1].down, linear.adapters("type")[1].down), "equal initial weights"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[MultiTaskModel, Path]:
    path = write_architecture("bert", tmp_path_factory.mktemp("encoder"))
    tasks = [task_from_config(name, spec) for name, spec in SPECS.items()]
    encoder = load_encoder(str(path))
    model = MultiTaskModel.from_encoder(encoder, tasks=tasks, sharing=CASES["lora"], input_length=48, seed=0)
    stir(model.sharing)
    module: nn.Module = model
    module.eval()
    return model, path


@pytest.mark.slow
def test_peft_loads_the_adapters_of_each_task_with_equal_outputs(
    trained: tuple[MultiTaskModel, Path], tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    model, path = trained
    written = export_lora(model, directory=tmp_path / "adapters", base=str(path))
    assert [child.name for child in written] == list(ROWS)
    inputs = make_inputs(model.sharing.encoder)
    hidden = model.sharing(inputs, parts())
    for directory, rows in zip(written, ROWS.values(), strict=True):
        assert sorted(child.name for child in directory.iterdir()) == [
            "adapter_config.json",
            "adapter_model.safetensors",
        ]
        assert read_json(directory / "adapter_config.json")["r"] == 5
        stock = AutoModel.from_pretrained(path, add_pooling_layer=False)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # peft uses the old name
            adapted = peft.PeftModel.from_pretrained(stock, directory).eval()
        again = {key: value[list(rows)] for key, value in inputs.items()}
        expected = adapted(**again).last_hidden_state
        real = again["attention_mask"].bool()
        torch.testing.assert_close(hidden[directory.name][real], expected[real], atol=1e-5, rtol=1e-5)
        plain = adapted.merge_and_unload()(**again).last_hidden_state
        torch.testing.assert_close(hidden[directory.name][real], plain[real], atol=1e-5, rtol=1e-5)


def test_exports_without_adapters_or_task_are_refused(trained: tuple[MultiTaskModel, Path], tmp_path: Path) -> None:
    model, path = trained
    with pytest.raises(ConfigError, match=r"no task 'typo'; did you mean 'type'\?"):
        export_lora(model, directory=tmp_path / "new", base=str(path), tasks=["typo"])
    hard = MultiTaskModel.from_encoder(
        load_encoder(str(path)), tasks=list(model.tasks.values()), sharing=CASES["hard"], input_length=48, seed=0
    )
    with pytest.raises(ModelError, match=r"no LoRA adapters: sharing\.kind = 'hard'"):
        export_lora(hard, directory=tmp_path / "new", base=str(path))
    assert not list(tmp_path.iterdir())
