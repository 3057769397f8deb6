"""Deep biaffine attention (Dozat and Manning, 2017): scores of the arcs of a dependency tree and of their relations.

    s_arc(d, h) = [a_d; 1]ᵀ U [b_h; 1]        s_rel(d, h, r) = [c_d; 1]ᵀ V_r [e_h; 1]

Symbols:
- d, h: a dependent and its head, which is a word or the root
- a, b, c, e: four feed-forward layers of the hidden state of a word's first token (of a learned vector for the root)
- U, V_r: learned matrices, one for arcs and one for each relation r

Relations are scored at the gold heads in training and at the heads of the best tree in prediction, which is a tree with
one root (`spanning_tree`).

Departures from the paper:
- The hidden states are those of the encoder instead of an LSTM.
- The dropout probability is that of the encoder's own token heads.

References:
    Dozat and Manning (2017), Deep Biaffine Attention for Neural Dependency Parsing, ICLR, equations 4 to 9,
        https://arxiv.org/abs/1611.01734

Example:
    >>> import torch
    >>> from nlpmtl.heads import HeadInputs, ParserHead
    >>> head = ParserHead(8, relations=3)
    >>> hidden, mask = torch.randn(1, 4, 8), torch.ones(1, 4)
    >>> outputs = head(HeadInputs(hidden, mask, words=torch.tensor([[1, 2]])))
    >>> {name: tuple(values.shape) for name, values in outputs.items()}
    {'arcs': (1, 2, 3), 'relations': (1, 2, 3), 'heads': (1, 2)}
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.heads.head import HeadInputs, Outputs
from nlpmtl.heads.spanning_tree import maximum_spanning_tree

_ARC_SIZE, _RELATION_SIZE = 256, 128
_SLOPE = 0.1
"""Slope of the leaky ReLU below 0, as in the paper."""
_ROOT_STD = 0.02
_NO_ARC = -1e9


class Biaffine(nn.Module):
    """Biaffine scores of pairs of vectors. The weights start at 0, as in the paper.

    Args:
        width: size of the vectors.
        outputs: number of scores of a pair.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width + 1, width + 1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the scores of all pairs of a row, ``[rows, left, right, outputs]``.

        Args:
            left: ``[rows, left, width]``.
            right: ``[rows, right, width]``.
        """
        return torch.einsum("bxoj,byj->bxyo", self._transform(left), _with_one(right))

    def of_pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the scores of vectors at the same place, ``[rows, places, outputs]``.

        Args:
            left: ``[rows, places, width]``.
            right: ``[rows, places, width]``.
        """
        return torch.einsum("bxoj,bxj->bxo", self._transform(left), _with_one(right))

    def _transform(self, left: Tensor) -> Tensor:
        return torch.einsum("bxi,oij->bxoj", _with_one(left), self.weight)


def _with_one(vectors: Tensor) -> Tensor:
    """Append 1 to each vector, for the linear terms."""
    return functional.pad(vectors, (0, 1), value=1.0)


class ParserHead(nn.Module):
    """Head of a dependency parser.

    Args:
        width: hidden size of the encoder.
        relations: number of relations.
        dropout: dropout probability after each feed-forward layer.
    """

    def __init__(self, width: int, *, relations: int, dropout: float = 0.0) -> None:
        super().__init__()

        def layer(size: int) -> nn.Module:
            return nn.Sequential(nn.Linear(width, size), nn.LeakyReLU(_SLOPE), nn.Dropout(dropout))

        self.arc_dependent, self.arc_head = layer(_ARC_SIZE), layer(_ARC_SIZE)
        self.relation_dependent, self.relation_head = layer(_RELATION_SIZE), layer(_RELATION_SIZE)
        self.arc, self.relation = Biaffine(_ARC_SIZE, 1), Biaffine(_RELATION_SIZE, relations)
        self.root = nn.Parameter(torch.randn(width) * _ROOT_STD)

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return the scores of a batch.

        Returns:
            "arcs": score of each head of each word, ``[sequences, words, 1 + words]``, where column 0 is the root and
            column ``i`` is word ``i`` counted from 1; −10⁹ for the word itself and for a word without a token. The
            words after the last one with a token, such as those beyond the maximum input length, are omitted.
            "relations": score of each relation of a word to its head, ``[sequences, words, relations]``.
            "heads", without targets: the heads of the best tree, ``[sequences, words]``, 0 for a word without a token.
        """
        count = _last_word(inputs.words) if inputs.targets is None else inputs.targets["heads"].shape[1]
        words, exists = inputs.at_words()[:, :count], inputs.words[:, :count] >= 0
        heads = torch.cat([self.root.to(words).expand(len(words), 1, -1), words], dim=1)
        arcs = self.arc(self.arc_dependent(words), self.arc_head(heads)).squeeze(-1)
        itself = torch.eye(words.shape[1], dtype=torch.bool, device=words.device)
        allowed = functional.pad(exists.unsqueeze(1) & ~itself, (1, 0), value=True)
        arcs = arcs.masked_fill(~allowed, max(_NO_ARC, torch.finfo(arcs.dtype).min))
        head = _best_heads(arcs, exists) if inputs.targets is None else inputs.targets["heads"].clamp(min=0)
        vectors = self.relation_head(heads)
        vectors = vectors.gather(1, head.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
        relations = self.relation.of_pairs(self.relation_dependent(words), vectors)
        if inputs.targets is not None:
            return {"arcs": arcs, "relations": relations}
        if words.shape[1] == inputs.hidden.shape[1]:  # as long as the tokens: they would be taken for values per token
            arcs, relations = (functional.pad(values, (0, 0, 0, 1)) for values in (arcs, relations))
        return {"arcs": arcs, "relations": relations, "heads": head}


def _last_word(words: Tensor) -> int:
    """Return the number of the last word that has a token in any sequence, counted from 1; 0 if none has."""
    places = (words >= 0).any(dim=0).nonzero()
    return int(places[-1]) + 1 if len(places) else 0


def _best_heads(arcs: Tensor, exists: Tensor) -> Tensor:
    """Return the heads of the best tree over the words with a token, ``[sequences, words]``; see `ParserHead`."""
    heads = torch.zeros_like(exists, dtype=torch.long)
    for row, (scores, words) in enumerate(zip(arcs.detach().double().cpu(), exists.cpu(), strict=True)):
        places = words.nonzero().squeeze(1)
        columns = functional.pad(places + 1, (1, 0))
        tree = torch.from_numpy(maximum_spanning_tree(scores[places][:, columns].numpy()))
        heads[row, places] = columns[tree].to(heads.device)
    return heads
