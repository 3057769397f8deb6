"""Shapes, pooling and initial weights of classification heads."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from nlpmtl.config import Pooling
from nlpmtl.heads import Head, HeadConfig, HeadInputs, sequence_head_config, token_head_config
from tests.heads.transformers_heads import VARIANTS, config_of

HIDDEN = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])


def head(config: HeadConfig | None = None, **other: Any) -> Head:
    config = config or HeadConfig(dense=False)
    return Head(**{"width": 8, "outputs": 4, "config": config, "level": "sequence", **other}).eval()


def logits(head: Head, hidden: Tensor, mask: Tensor) -> Tensor:
    outputs: Tensor = head(HeadInputs(hidden, mask))
    return outputs


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_shape(variant: str) -> None:
    config = config_of(variant)
    hidden = torch.randn(2, 5, 16)
    mask = torch.ones(2, 5, dtype=torch.int64)
    assert logits(head(sequence_head_config(config), width=16), hidden, mask).shape == (2, 4)
    assert logits(head(token_head_config(config), width=16, level="token"), hidden, mask).shape == (2, 5, 4)


def test_a_batch_without_rows_has_empty_logits() -> None:
    for pooling in get_args(Pooling):
        config = HeadConfig(pooling=pooling)
        assert logits(head(config), HIDDEN[:0], MASK[:0]).shape == (0, 4)


def test_first_pooling_reads_only_the_first_token() -> None:
    classifier = head()
    changed = HIDDEN.clone()
    changed[:, 1:] = 9.0
    assert torch.equal(logits(classifier, HIDDEN, MASK), logits(classifier, changed, MASK))
    assert torch.allclose(logits(classifier, HIDDEN, MASK), classifier.out(HIDDEN[:, 0]))


def test_mean_pooling_ignores_padding() -> None:
    classifier = head(HeadConfig(dense=False, pooling="mean"))
    expected = torch.stack([HIDDEN[i, :n].mean(0) for i, n in enumerate((5, 2, 1))])
    assert torch.allclose(logits(classifier, HIDDEN, MASK), classifier.out(expected), atol=1e-6)
    padded = HIDDEN.clone()
    padded[MASK == 0] = 1e4
    assert torch.equal(logits(classifier, padded, MASK), logits(classifier, HIDDEN, MASK))


def test_max_pooling_takes_the_maximum_of_each_dimension_over_tokens() -> None:
    classifier = head(HeadConfig(dense=False, pooling="max"))
    expected = torch.stack([HIDDEN[i, :n].amax(0) for i, n in enumerate((5, 2, 1))])
    assert torch.equal(logits(classifier, HIDDEN, MASK), classifier.out(expected))
    padded = HIDDEN.clone()
    padded[MASK == 0] = 1e4
    assert torch.equal(logits(classifier, padded, MASK), logits(classifier, HIDDEN, MASK))


def test_attention_pooling_computes_its_formula_and_starts_as_the_mean() -> None:
    classifier = head(HeadConfig(dense=False, pooling="attention"))
    mean = torch.stack([HIDDEN[i, :n].mean(0) for i, n in enumerate((5, 2, 1))])
    assert torch.allclose(classifier.pool(HeadInputs(HIDDEN, MASK)), mean, atol=1e-6)
    w, b, q = (classifier.pooling.get_parameter(name).detach() for name in ("dense.weight", "dense.bias", "query"))
    w.mul_(50)
    b.normal_()
    q.normal_(std=3.0)
    rows = []
    for i, n in enumerate((5, 2, 1)):
        scores = [float(torch.tanh(w @ HIDDEN[i, t] + b) @ q) for t in range(n)]
        weights = torch.tensor(scores).exp() / torch.tensor(scores).exp().sum()
        rows.append(sum(weights[t] * HIDDEN[i, t] for t in range(n)))
    pooled = classifier.pool(HeadInputs(HIDDEN, MASK))
    assert torch.allclose(pooled, torch.stack(rows), atol=1e-5)  # type: ignore[arg-type]
    assert not torch.allclose(pooled, mean, atol=1e-2)
    padded = HIDDEN.clone()
    padded[MASK == 0] = 1e4
    assert torch.equal(classifier.pool(HeadInputs(padded, MASK)), pooled)


def test_other_poolings_do_not_change_the_initial_weights_of_the_other_layers() -> None:
    first, attention = (head(HeadConfig(pooling=pooling), seed=3).state_dict() for pooling in ("first", "attention"))
    assert attention.keys() - first.keys() == {"pooling.dense.weight", "pooling.dense.bias", "pooling.query"}
    assert all(torch.equal(attention[name], weight) for name, weight in first.items())


def test_token_level_heads_give_logits_per_token() -> None:
    classifier = head(HeadConfig(pooling="mean"), level="token")
    full = logits(classifier, HIDDEN, MASK)
    for position in range(5):
        assert torch.allclose(
            full[:, position : position + 1],
            logits(classifier, HIDDEN[:, position : position + 1], MASK[:, :1]),
            atol=1e-6,
        )


def test_hidden_layers_follow_the_config() -> None:
    plain = head(HeadConfig(dense=False, norm=1e-5))
    assert sorted(dict(plain.named_parameters())) == ["out.bias", "out.weight"]
    full = head(HeadConfig(bias=False, norm=0.25, norm_bias=True, activation="gelu", dropout_in=0.1, dropout_out=0.2))
    names = ["dense.weight", "norm.bias", "norm.weight", "out.bias", "out.weight"]
    assert sorted(dict(full.named_parameters())) == names
    assert (full.dropout_in.p, full.dropout_out.p, full.norm.eps) == (0.1, 0.2, 0.25)
    normed = nn.functional.layer_norm(nn.functional.gelu(full.dense(HIDDEN[:, 0])), (8,), eps=0.25)
    assert torch.allclose(logits(full, HIDDEN, MASK), full.out(normed), atol=1e-6)


def test_initial_weights_have_the_given_std_zero_biases_and_unit_norms() -> None:
    classifier = head(HeadConfig(norm=1e-5, norm_bias=True), width=200, std=0.05)
    assert classifier.dense.weight.std().item() == pytest.approx(0.05, rel=0.02)
    assert abs(classifier.dense.weight.mean().item()) < 1e-3
    assert classifier.dense.bias.abs().sum() == classifier.out.bias.abs().sum() == classifier.norm.bias.abs().sum() == 0
    assert torch.equal(classifier.norm.weight, torch.ones(200))


def test_initial_weights_depend_only_on_the_seed() -> None:
    torch.manual_seed(1)
    classifier = head(HeadConfig(), seed=4)
    torch.manual_seed(2)
    head(HeadConfig(), seed=9, outputs=7)
    again = head(HeadConfig(), seed=4)
    for name, weight in classifier.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))
    assert not torch.equal(classifier.out.weight, head(HeadConfig(), seed=5).out.weight)


def test_heads_are_built_on_the_meta_device_when_weights_are_loaded() -> None:
    with torch.device("meta"):
        assert all(weight.is_meta for weight in head(HeadConfig(norm=1e-5)).parameters())


def test_gradient_reaches_every_layer() -> None:
    classifier = head(HeadConfig(norm=1e-5, norm_bias=True, pooling="mean"))
    logits(classifier, HIDDEN, MASK).square().sum().backward()
    for name, weight in classifier.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("level", ["sequence", "token"])
@pytest.mark.parametrize("cutoff", [2.0, 1.5])
def test_modernbert_heads_are_initialised_as_transformers_does(level: Any, cutoff: float) -> None:
    """Truncated normal: 1/sqrt(width) for the last layer, depending on the number of layers for the dense one."""
    sizes = {"vocab_size": 50, "hidden_size": 128, "num_hidden_layers": 8, "intermediate_size": 8, "num_labels": 50}
    sizes["num_attention_heads"] = 2
    config = AutoConfig.for_model("modernbert", initializer_cutoff_factor=cutoff, pad_token_id=1, **sizes)
    auto: Any = AutoModelForSequenceClassification if level == "sequence" else AutoModelForTokenClassification
    stock = auto.from_config(config)
    head_config = sequence_head_config(config) if level == "sequence" else token_head_config(config)
    classifier = Head(width=128, outputs=50, config=head_config, level=level)
    for layer, expected in ((classifier.dense, stock.head.dense), (classifier.out, stock.classifier)):
        assert layer.weight.std().item() == pytest.approx(expected.weight.std().item(), rel=0.03)
        assert layer.weight.abs().max().item() == pytest.approx(expected.weight.abs().max().item(), rel=0.15)
    assert torch.equal(classifier.norm.weight, stock.head.norm.weight)
    assert torch.equal(classifier.out.bias, stock.classifier.bias)
