"""The biaffine head: its scores by hand, and what it returns in training and in prediction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nlpmtl.heads import Biaffine, HeadInputs, ParserHead

WIDTH, RELATIONS = 8, 3


@pytest.fixture
def head() -> ParserHead:
    torch.manual_seed(0)
    head = ParserHead(WIDTH, relations=RELATIONS)
    torch.nn.init.normal_(head.arc.weight)
    torch.nn.init.normal_(head.relation.weight)
    return head.eval()


def inputs(*, targets: dict[str, Tensor] | None = None, sequence_length: int = 7) -> HeadInputs:
    """Return two sentences: of three words, and of two, of which the first has no token."""
    words = torch.tensor([[1, 3, 4], [-1, 2, -1]])
    hidden = torch.randn(2, sequence_length, WIDTH, generator=torch.Generator().manual_seed(1))
    return HeadInputs(hidden, torch.ones(2, sequence_length), words=words, targets=targets)


def test_the_formula() -> None:
    biaffine = Biaffine(2, 3)
    torch.nn.init.normal_(biaffine.weight)
    left, right = torch.randn(2, 4, 2), torch.randn(2, 5, 2)
    scores = biaffine(left, right)
    assert scores.shape == (2, 4, 5, 3)
    for row, i, j, output in [(0, 0, 0, 0), (1, 3, 4, 2), (0, 2, 1, 1)]:
        x, y = torch.cat([left[row, i], torch.ones(1)]), torch.cat([right[row, j], torch.ones(1)])
        assert scores[row, i, j, output].item() == pytest.approx((x @ biaffine.weight[output] @ y).item(), rel=1e-4)
    assert torch.allclose(biaffine.of_pairs(left, right[:, :4]), scores.diagonal(dim1=1, dim2=2).transpose(1, 2))


def test_arcs_of_training_and_prediction_are_equal(head: ParserHead) -> None:
    heads = torch.tensor([[0, 1, 1], [-100, 0, -100]])
    trained, predicted = head(inputs(targets={"heads": heads})), head(inputs())
    assert torch.equal(trained["arcs"], predicted["arcs"])
    assert trained.keys() == {"arcs", "relations"}
    assert trained["relations"].shape == (2, 3, RELATIONS)


def test_a_word_is_no_head_of_itself_and_a_word_without_a_token_of_none(head: ParserHead) -> None:
    arcs = head(inputs())["arcs"]
    allowed = arcs > -1e8
    assert allowed[0].tolist() == [[True, False, True, True], [True, True, False, True], [True, True, True, False]]
    assert allowed[1, 1].tolist() == [True, False, False, False]


def test_predicted_heads_are_a_tree_over_the_words_with_a_token(head: ParserHead) -> None:
    heads = head(inputs())["heads"].tolist()
    assert heads[0].count(0) == 1
    assert heads[1] == [0, 0, 0]


def test_relations_are_those_at_the_heads(head: ParserHead) -> None:
    predicted = head(inputs())
    again = head(inputs(targets={"heads": predicted["heads"]}))
    assert torch.equal(again["relations"], predicted["relations"])
    other = head(inputs(targets={"heads": torch.tensor([[2, 0, 2], [0, 0, 0]])}))
    assert not torch.equal(other["relations"], predicted["relations"])


def test_outputs_per_word_are_never_as_long_as_the_tokens(head: ParserHead) -> None:
    """`Inference` takes such outputs for values per token, and removes those of padding."""
    outputs = head(HeadInputs(torch.randn(1, 3, WIDTH), torch.ones(1, 3), words=torch.tensor([[1, -1, 2]])))
    assert outputs["arcs"].shape == (1, 4, 4)
    assert outputs["relations"].shape == (1, 4, RELATIONS)
    assert outputs["heads"].shape == (1, 3)


def test_words_after_the_last_one_with_a_token_are_left_out(head: ParserHead) -> None:
    """Scores of all pairs of the words of a long document would not fit into memory."""
    short = inputs()
    padding = torch.full((2, 5), -1)
    long = HeadInputs(short.hidden, short.mask, words=torch.cat([short.words, padding], dim=1))
    expected, outputs = head(short), head(long)
    assert all(torch.equal(outputs[name], expected[name]) for name in ("arcs", "relations", "heads"))
    targets = {"heads": outputs["heads"]}
    trained = head(HeadInputs(short.hidden, short.mask, words=long.words, targets=targets))
    assert torch.equal(trained["arcs"], outputs["arcs"])


def test_no_words() -> None:
    head = ParserHead(WIDTH, relations=RELATIONS)
    outputs = head(HeadInputs(torch.randn(1, 2, WIDTH), torch.ones(1, 2), words=torch.zeros(1, 0, dtype=torch.long)))
    assert [tuple(outputs[name].shape) for name in ("arcs", "relations", "heads")] == [(1, 0, 1), (1, 0, 3), (1, 0)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_finite(head: ParserHead, dtype: torch.dtype) -> None:
    module: torch.nn.Module = head
    module.to(dtype)
    values = HeadInputs(torch.randn(1, 4, WIDTH, dtype=dtype), torch.ones(1, 4), words=torch.tensor([[1, -1, 2]]))
    outputs = head(values)
    assert all(torch.isfinite(output.float()).all() for output in outputs.values())
