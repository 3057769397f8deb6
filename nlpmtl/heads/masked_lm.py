"""Head of masked language modelling: the architecture's own head at the masked tokens only.

    p(w | x) = softmax(U g(h_t) + b)_w        loss = Σ_t −log p(w_t | x)

Symbols:
- h_t: hidden state of the masked token t; other tokens are not computed
- g: layers of the architecture's own head, such as dense, activation and normalization
- U: output embeddings, which most architectures tie to the input embeddings of the encoder; b: bias
- w_t: the original token

References:
    Devlin, Chang, Lee and Toutanova (2019), BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, NAACL, section 3.1, https://aclanthology.org/N19-1423
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.heads.head import HeadInputs, Outputs
from nlpmtl.heads.stock import StockPart


class MaskedLMHead(nn.Module):
    """Masked language modelling with a model of transformers whose encoder is replaced.

    With targets it returns the loss of each masked token, because logits of a whole vocabulary for all of them would
    take much memory; otherwise the most probable tokens at the mask tokens.

    Args:
        part: what `stock_part` returns for ``AutoModelForMaskedLM``.
        mask_token: id of the mask token.
        top_k: number of tokens that are predicted for each mask token.
    """

    autocast = True  # its last layer has an output for each token of the vocabulary

    def __init__(self, part: StockPart, *, mask_token: int, top_k: int) -> None:
        super().__init__()
        self.model, self.pretrained = part
        self.mask_token, self.top_k = mask_token, top_k

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return outputs by name.

        With targets ``"loss"``, ``[sequences, most masked]``, 0 on padding. Otherwise ``"scores"`` and ``"tokens"``,
        the probabilities and ids of the most probable tokens, ``[sequences, most mask tokens, top_k]``, in descending
        order of probability; 0 on padding.
        """
        if inputs.targets is not None:
            place, token = inputs.targets["place"], inputs.targets["token"]
            index = (place >= 0).nonzero(as_tuple=True)
            logits = self.logits(inputs.hidden[index[0], place[index]])
            losses = functional.cross_entropy(logits, token[index], reduction="none")
            return {"loss": losses.new_zeros(place.shape).index_put(index, losses)}
        masked = (inputs.input_ids == self.mask_token) & inputs.mask
        counts = masked.sum(dim=1)
        logits = self.logits(inputs.hidden[masked])
        scores, tokens = logits.softmax(dim=-1).topk(min(self.top_k, logits.shape[-1]), dim=-1)
        index = (torch.arange(int(counts.max()), device=counts.device) < counts.unsqueeze(1)).nonzero(as_tuple=True)
        shape = (len(counts), int(counts.max()), scores.shape[-1])
        return {
            name: values.new_zeros(shape).index_put(index, values)
            for name, values in (("scores", scores), ("tokens", tokens.to(scores.dtype)))
        }

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of the vocabulary, ``[tokens, vocabulary]``, for hidden states, ``[tokens, width]``."""
        logits: Tensor = self.model(inputs_embeds=hidden.unsqueeze(0)).logits[0]
        return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

    def stock_logits(self, inputs: HeadInputs) -> Tensor:
        """Return the logits of the stock model at all tokens, ``[sequences, sequence_length, vocabulary]``."""
        logits: Tensor = self.model(inputs_embeds=inputs.hidden).logits
        return logits

    def stock_weights(self) -> dict[str, Tensor]:
        """Return the weights of the head by their names in the stock model."""
        return dict(self.model.state_dict())
