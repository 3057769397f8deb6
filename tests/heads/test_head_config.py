"""Our head with the stock head's weights is the stock head, on every architecture."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from transformers import AutoConfig

from nlpmtl.heads import Head, HeadConfig, HeadInputs, sequence_shape, token_shape
from tests.heads.stock import (
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
def test_equals_the_stock_head(variant: str, level: Level) -> None:
    config, stock = config_of(variant), stock_of(variant, level)
    shape = sequence_shape(config) if level == "sequence" else token_shape(config)
    head = Head(width=16, outputs=LABELS, shape=shape, level=level)
    copy_weights(stock, head, shape)
    hidden, mask = hidden_of(stock).detach(), batch()[1]
    with torch.no_grad():
        expected, found = logits_of(stock), head.eval()(HeadInputs(hidden, mask))
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-6
        assert expected.std() > 0.1  # so that equal says something
        # Dropout too: the same places, of the same shares, in the same order.
        drop_in_the_head_alone(stock)
        with torch.random.fork_rng():
            torch.manual_seed(11)
            expected = logits_of(stock)
            torch.manual_seed(11)
            found = head.train()(HeadInputs(hidden, mask))
        assert (found - expected).abs().max() < 1e-6


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_stock_names_are_modules_of_the_stock_model(variant: str) -> None:
    for level, shape in (("sequence", sequence_shape(config_of(variant))), ("token", token_shape(config_of(variant)))):
        modules = dict(stock_of(variant, level).named_modules())
        assert set(shape.stock) <= modules.keys()
        assert len(set(shape.stock)) == 1 + shape.dense + (shape.dense and shape.norm is not None)


def test_an_architecture_that_is_not_listed_gets_a_dense_layer() -> None:
    config = AutoConfig.for_model("camembert", hidden_dropout_prob=0.3)
    stock = ("classifier.dense", "classifier.out_proj")
    assert sequence_shape(config) == HeadConfig(drop_in=0.3, drop_out=0.3, stock=stock)
    assert token_shape(config) == HeadConfig(dense=False, drop_out=0.3)


def test_an_architecture_without_dropout_gets_none() -> None:
    config = AutoConfig.for_model("vit")
    del config.hidden_dropout_prob
    assert sequence_shape(config).drop_in == sequence_shape(config).drop_out == 0.0
