"""`Head` with the weights of the head in transformers gives its logits, on every architecture."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from transformers import AutoConfig

from nlpmtl.heads import Head, HeadConfig, HeadInputs, sequence_head_config, token_head_config
from tests.heads.transformers_heads import (
    LABELS,
    VARIANTS,
    batch,
    config_of,
    copy_weights,
    drop_in_the_head_alone,
    hidden_of,
    logits_of,
    stock_of,
)

Level = Literal["sequence", "token"]


@pytest.mark.parametrize("level", ["sequence", "token"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_head_with_the_weights_of_transformers_equals_its_head(variant: str, level: Level) -> None:
    config, stock = config_of(variant), stock_of(variant, level)
    head_config = sequence_head_config(config) if level == "sequence" else token_head_config(config)
    head = Head(width=16, outputs=LABELS, config=head_config, level=level)
    copy_weights(stock, head, head_config)
    hidden, mask = hidden_of(stock).detach(), batch()[1]
    with torch.no_grad():
        expected, actual = logits_of(stock), head.eval()(HeadInputs(hidden, mask))
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() < 1e-6
        assert expected.std() > 0.1  # so that the comparison is meaningful
        # Also with dropout: the same probabilities in the same order.
        drop_in_the_head_alone(stock)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            expected = logits_of(stock)
            torch.manual_seed(11)
            actual = head.train()(HeadInputs(hidden, mask))
        assert (actual - expected).abs().max() < 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_module_names_exist_in_transformers(variant: str) -> None:
    encoder_config = config_of(variant)
    levels: tuple[Level, ...] = ("sequence", "token")
    for level in levels:
        config = (sequence_head_config if level == "sequence" else token_head_config)(encoder_config)
        modules = dict(stock_of(variant, level).named_modules())
        assert set(config.hf_modules) <= modules.keys()
        assert len(set(config.hf_modules)) == 1 + config.dense + (config.dense and config.norm is not None)


def test_an_architecture_that_is_not_listed_gets_a_dense_layer() -> None:
    config = AutoConfig.for_model("camembert", hidden_dropout_prob=0.3)
    stock = ("classifier.dense", "classifier.out_proj")
    assert sequence_head_config(config) == HeadConfig(dropout_in=0.3, dropout_out=0.3, hf_modules=stock)
    assert token_head_config(config) == HeadConfig(dense=False, dropout_out=0.3)


def test_an_architecture_without_dropout_gets_none() -> None:
    config = AutoConfig.for_model("vit")
    del config.hidden_dropout_prob
    assert sequence_head_config(config).dropout_in == sequence_head_config(config).dropout_out == 0.0
