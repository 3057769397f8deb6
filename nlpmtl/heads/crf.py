"""Linear-chain CRF head (Lafferty et al., 2001): scores of tags per token, and of transitions between tags.

    s(y) = b[y_1] + Σ_t e_t[y_t] + Σ_t A[y_t, y_t+1] + c[y_T]

Symbols:
- y: tags of the T words of a row; s(y): score of the sequence
- e_t: scores of the tags of word t, from the token head of the architecture
- A: learned transition scores; b, c: learned scores of the first and the last tag. All start at 0, so that an
  untrained head scores each word by itself

References:
    Lafferty, McCallum and Pereira (2001), Conditional Random Fields: Probabilistic Models for Segmenting and Labeling
        Sequence Data, ICML, section 3
    Lample, Ballesteros, Subramanian, Kawakami and Dyer (2016), Neural Architectures for Named Entity Recognition,
        NAACL, section 2.2, https://aclanthology.org/N16-1030

Example:
    >>> import torch
    >>> from nlpmtl.heads import CrfHead, HeadInputs
    >>> class Scores(torch.nn.Linear):
    ...     def forward(self, inputs):
    ...         return super().forward(inputs.hidden)
    >>> outputs = CrfHead(Scores(8, 3), tags=3)(HeadInputs(torch.zeros(2, 5, 8), torch.ones(2, 5)))
    >>> outputs["logits"].shape, outputs["transitions"].shape
    (torch.Size([2, 5, 3]), torch.Size([2, 16]))
"""

from __future__ import annotations

import torch
from torch import nn

from nlpmtl.heads.head import HeadInputs, Outputs


class CrfHead(nn.Module):
    """A token head, and transition scores.

    Args:
        token_head: returns a score for each tag of each token, ``[sequences, sequence_length, tags]``.
        tags: number of tags.
    """

    def __init__(self, token_head: nn.Module, *, tags: int) -> None:
        super().__init__()
        self.token_head = token_head
        self.transitions = nn.Parameter(torch.zeros(tags + 1, tags + 1))

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return the scores of tags and transitions.

        "logits" is ``[sequences, sequence_length, tags]``. "transitions", ``[sequences, (tags + 1)²]``, has the same
        matrix for each sequence, flattened: its entry ``[i, j]`` is for tag j after tag i, its last row for the first
        tag, and its last column for the last tag.
        """
        logits = self.token_head(inputs)
        return {"logits": logits, "transitions": self.transitions.flatten().repeat(logits.shape[0], 1)}
