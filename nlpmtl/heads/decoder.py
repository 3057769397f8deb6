"""Decoder heads: the decoder of an encoder-decoder checkpoint, or a new one for an encoder without a decoder.

    log p(y | x) = Σ_t log p(y_t | y_1 … y_{t−1}, h)

Symbols:
- h: hidden states of the encoder, which the layers of the decoder attend to (cross-attention)
- y_t: token t of the target, the last one the end token; training gives the gold tokens before t (teacher forcing)

A new decoder has the layers of mBART: layer normalization before each block, which trains stably from initial weights,
learned positions, and tied input and output embeddings. Its initial weights have the standard deviation 1/√width, as in
Vaswani et al.'s embeddings and close to Xavier's for the layers; with that of BERT, 0.02, the attention to the encoder
of a narrow decoder learned nothing in hundreds of steps.

References:
    Vaswani et al. (2017), Attention Is All You Need, NeurIPS, https://arxiv.org/abs/1706.03762
    Liu et al. (2020), Multilingual Denoising Pre-training for Neural Machine Translation, TACL,
        https://aclanthology.org/2020.tacl-1.47
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, MBartConfig, MBartForConditionalGeneration, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from nlpmtl.errors import ModelError
from nlpmtl.heads.head import HeadContext, HeadInputs, Outputs
from nlpmtl.heads.head_config import token_head_config
from nlpmtl.heads.stock import SEQ2SEQ, HiddenStates, StockPart, encoder_name, stock_part


@dataclass(frozen=True)
class TargetTokens:
    """The tokens of the targets.

    Args:
        size: size of their vocabulary.
        start: id of the token that a decoder starts with.
        end: id of the token after the last one.
        pad: id of the padding token.
        forced_first: id of the token that every generated text starts with; None for none.
    """

    size: int
    start: int
    end: int
    pad: int
    forced_first: int | None = None


class DecoderHead(nn.Module):
    """A decoder over the hidden states of the encoder.

    Args:
        part: a model of transformers with an encoder and a decoder, whose encoder is replaced by `HiddenStates`.
        tokens: the tokens of the targets.
        max_length: maximum number of tokens that are generated.
        num_beams: number of beams of beam search; 1: greedy decoding.
    """

    autocast = True  # it is as large as an encoder

    def __init__(self, part: StockPart, *, tokens: TargetTokens, max_length: int, num_beams: int) -> None:
        super().__init__()
        self.model, self.pretrained = part
        self.tokens, self.max_steps, self.num_beams = tokens, max_length, num_beams
        # Otherwise `generate` would take what this config does not set from the checkpoint's generation_config.json or
        # the defaults of its architecture, which neither the saved model nor its export has.
        self.model.generation_config = self.generation_config()

    def forward(self, inputs: HeadInputs) -> Outputs:
        """Return outputs by name.

        With targets the values of each target token, 0 on padding, ``[sequences, sequence_length]``:
        ``"log_likelihood"``, and ``"mean_log_probability"``, the mean log-probability of all tokens of the vocabulary,
        for label smoothing. Without, ``"tokens"``: the ids of the generated tokens, ``[sequences, sequence_length]``.
        """
        if inputs.targets is None:
            return {"tokens": self.generate(inputs)}
        labels = inputs.targets["tokens"]
        logits = self.logits(inputs, labels)
        logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
        normalizer, present = logits.logsumexp(dim=-1), labels >= 0
        picked = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        values = {"log_likelihood": picked - normalizer, "mean_log_probability": logits.mean(dim=-1) - normalizer}
        return {name: value.where(present, 0.0) for name, value in values.items()}

    def logits(self, inputs: HeadInputs, labels: Tensor) -> Tensor:
        """Return the logits of each target token given those before, ``[sequences, sequence_length, vocabulary]``.

        Args:
            inputs: hidden states of the sequences.
            labels: ids of the target tokens, -100 on padding, ``[sequences, sequence_length]``.
        """
        before = torch.cat([labels.new_full((len(labels), 1), self.tokens.start), labels[:, :-1]], dim=1)
        before = before.masked_fill(before < 0, self.tokens.pad)
        logits: Tensor = self.model(**self._encoded(inputs), decoder_input_ids=before, use_cache=False).logits
        return logits

    def generate(self, inputs: HeadInputs) -> Tensor:
        """Return the ids of the generated tokens without the start token, ``[sequences, sequence_length]``."""
        generate: Any = self.model.generate
        tokens: Tensor = generate(**self._encoded(inputs), generation_config=self.generation_config())
        return tokens[:, 1:]

    def generation_config(self) -> GenerationConfig:
        """Return how transformers generates a text. It never has the padding token, which no target has."""
        tokens = self.tokens
        return GenerationConfig(
            max_new_tokens=self.max_steps,
            num_beams=self.num_beams,
            do_sample=False,
            decoder_start_token_id=tokens.start,
            eos_token_id=tokens.end,
            pad_token_id=tokens.pad,
            forced_bos_token_id=tokens.forced_first,
            suppress_tokens=None if tokens.pad == tokens.end else [tokens.pad],
        )

    def stock_inputs(self, rows: int) -> dict[str, Tensor]:
        """Return the further inputs of the stock model for `stock_logits`, for some texts."""
        return {"decoder_input_ids": torch.full((rows, 1), self.tokens.start, device=self.model.device)}

    def stock_logits(self, inputs: HeadInputs) -> Tensor:
        """Return the logits of the stock model for the first token, ``[sequences, 1, vocabulary]``."""
        first = self.stock_inputs(len(inputs.hidden))
        logits: Tensor = self.model(**self._encoded(inputs), **first, use_cache=False).logits
        return logits

    def stock_weights(self) -> dict[str, Tensor]:
        """Return the weights of the decoder by their names in the stock model."""
        return dict(self.model.state_dict())

    def _encoded(self, inputs: HeadInputs) -> dict[str, Any]:
        """Return the arguments of the model that stand for its encoder, which is not computed again."""
        hidden = BaseModelOutput(last_hidden_state=inputs.hidden)
        return {"encoder_outputs": hidden, "attention_mask": inputs.mask.long()}


def checkpoint_decoder(context: HeadContext, *, start: int | None) -> tuple[StockPart, TargetTokens]:
    """Return the decoder of an encoder-decoder checkpoint, and its special tokens.

    Args:
        context: the encoder, with its checkpoint.
        start: id of the token that the decoder starts with; None: that of the checkpoint.

    Raises:
        ModelError: the checkpoint does not state the token that its decoder starts with.
    """
    part = stock_part(context, SEQ2SEQ)
    config, options = context.config, part.model.generation_config
    start = getattr(options, "decoder_start_token_id", None) if start is None else start
    start = getattr(config, "decoder_start_token_id", None) if start is None else start
    if start is None:
        raise ModelError(
            f"the config of this encoder-decoder ({config.model_type}) has no decoder_start_token_id: add it to its "
            "config.json"
        )
    config.decoder_start_token_id = start  # the saved model has no generation_config.json
    end = config.eos_token_id
    end = end[0] if isinstance(end, list | tuple) else end
    return part, TargetTokens(config.vocab_size, start=start, end=end, pad=config.pad_token_id)


def new_decoder(context: HeadContext, tokens: TargetTokens, *, layers: int, max_length: int, tied: bool) -> StockPart:
    """Return a new decoder for an encoder.

    Args:
        context: the encoder.
        tokens: the tokens of the targets.
        layers: number of layers.
        max_length: maximum number of tokens of a target.
        tied: whether the targets have the vocabulary of the encoder, whose input embeddings the decoder then shares, if
            they are as wide as its hidden states.
    """
    encoder, width = context.encoder, context.width
    assert isinstance(encoder, PreTrainedModel), "the decoder reads its hidden states"
    dropout = token_head_config(context.config).dropout_out
    config = MBartConfig(
        vocab_size=tokens.size,
        d_model=width,
        encoder_layers=1,
        encoder_attention_heads=1,
        encoder_ffn_dim=1,
        decoder_layers=layers,
        decoder_attention_heads=_attention_heads(width, getattr(context.config, "num_attention_heads", 8)),
        decoder_ffn_dim=4 * width,
        max_position_embeddings=max_length,
        dropout=dropout,
        attention_dropout=dropout,
        activation_dropout=0.0,
        scale_embedding=False,
        init_std=width**-0.5,
        pad_token_id=tokens.pad,
        bos_token_id=tokens.start,
        eos_token_id=tokens.end,
        decoder_start_token_id=tokens.start,
        forced_eos_token_id=None,
    )
    with torch.device(next(encoder.parameters()).device):
        model = MBartForConditionalGeneration(config)
    module, _, key = encoder_name(model).rpartition(".")
    setattr(model.get_submodule(module), key, HiddenStates())
    embeddings = getattr(encoder.get_input_embeddings(), "weight", None) if tied else None
    shared = model.get_parameter("lm_head.weight")
    if isinstance(embeddings, nn.Parameter) and embeddings.shape == shared.shape:
        shared = embeddings
    for name in ("model.shared", "model.decoder.embed_tokens", "lm_head"):
        model.get_submodule(name).register_parameter("weight", shared)
    return StockPart(model, pretrained=False)


def _attention_heads(width: int, count: int) -> int:
    """Return the number of attention heads: that of the encoder, or the next lower one that divides the width."""
    return next(heads for heads in range(min(count, width), 0, -1) if width % heads == 0)
