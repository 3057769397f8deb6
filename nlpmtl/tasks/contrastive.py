"""Losses of text embeddings: InfoNCE, supervised contrastive loss, and cosine regression.

    InfoNCE:      L_i = −log exp(q_i · c_i / τ) / Σ_j exp(q_i · c_j / τ)
    supervised:   L_i = −1/|P(i)| · Σ_{p ∈ P(i)} log exp(z_i · z_p / τ) / Σ_{a ≠ i} exp(z_i · z_a / τ)
    regression:   L_i = (q_i · c_i − y_i)²

Symbols:
- q_i, c_i, z_i: embeddings of length 1: of a text, of its pair, and of a text with a class
- j: the pairs and negatives of all rows of the step; a: all rows of the step
- P(i): the other rows of the step with the class of row i; a row without one has the loss 0
- τ: temperature; y_i: similarity of the pair, from 0 to 1

All are losses over the rows of a whole step, on any number of processes: see `Task.coupled`. With Matryoshka dimensions
(Kusupati et al., 2022) the loss is the mean over the embeddings that are cut to each of them.

Departures from the papers:
- InfoNCE: a candidate that is similar according to the data is not a negative of row i: one with the text of q_i or
  c_i, and the pair of another row with the text of q_i.
- Matryoshka: the mean over the dimensions instead of their sum.

References:
    van den Oord, Li and Vinyals (2018), Representation Learning with Contrastive Predictive Coding, equation 4,
        https://arxiv.org/abs/1807.03748
    Khosla et al. (2020), Supervised Contrastive Learning, NeurIPS, equation 2, https://arxiv.org/abs/2004.11362
    Reimers and Gurevych (2019), Sentence-BERT, EMNLP, section 3, "Regression Objective Function",
        https://arxiv.org/abs/1908.10084
    Kusupati et al. (2022), Matryoshka Representation Learning, NeurIPS, https://arxiv.org/abs/2205.13147
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def info_nce(queries: Tensor, candidates: Tensor, *, positive: Tensor, similar: Tensor, temperature: float) -> Tensor:
    """Return the InfoNCE loss of each query, ``[queries]``.

    Args:
        queries: ``[queries, width]``, of length 1.
        candidates: ``[candidates, width]``, of length 1.
        positive: index of the candidate that is the positive of each query, ``[queries]``.
        similar: whether each candidate is similar to each query, and so not a negative, ``[queries, candidates]``.
        temperature: τ.
    """
    from torch import finfo
    from torch.nn.functional import cross_entropy, one_hot

    similarity = queries @ candidates.T / temperature
    ignored = similar & ~one_hot(positive, len(candidates)).bool()
    return cross_entropy(similarity.masked_fill(ignored, finfo(similarity.dtype).min), positive, reduction="none")


def supervised_contrastive(embeddings: Tensor, classes: Tensor, *, temperature: float) -> Tensor:
    """Return the supervised contrastive loss of each text, ``[texts]``.

    Args:
        embeddings: ``[texts, width]``, of length 1.
        classes: id of the class of each text, ``[texts]``.
        temperature: τ.
    """
    import torch

    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    similarity = (embeddings @ embeddings.T / temperature).masked_fill(itself, torch.finfo(embeddings.dtype).min)
    logs = similarity.log_softmax(dim=1)
    positives = (classes.unsqueeze(1) == classes) & ~itself
    total = logs.masked_fill(~positives, 0.0).sum(dim=1)
    return -total / positives.sum(dim=1).clamp(min=1)


def cosine_regression(first: Tensor, second: Tensor, similarity: Tensor) -> Tensor:
    """Return the squared error of the cosine similarity of each pair, ``[pairs]``.

    Args:
        first: ``[pairs, width]``, of length 1.
        second: ``[pairs, width]``, of length 1.
        similarity: gold similarity, ``[pairs]``.
    """
    return ((first * second).sum(dim=1) - similarity.to(first.dtype)).square()
