"""Checks that a checkpoint can be used as an encoder: architecture, tokenizer and computed hidden states."""

from __future__ import annotations

import inspect
from typing import Any

from transformers import AutoModel, AutoModelForSeq2SeqLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from nlpmtl.data.tokenization import encode_untruncated
from nlpmtl.errors import ModelError
from nlpmtl.model.probe import EncoderProperties, embedding_size, measure
from nlpmtl.model.weights import check_finite

BATCH_WARNING = 1e-4
"""Relative difference between hidden states in a batch and of separate rows above which the user is warned."""
BATCH_LIMIT = 1e-2
"""Relative difference above which the encoder is refused."""
ADVICE = "Use an encoder, such as BERT, RoBERTa, DeBERTa or ModernBERT"


def model_class(config: PretrainedConfig) -> Any:
    """Return the class that AutoModel builds for a config; None if transformers has none."""
    try:
        classes = AutoModel._model_mapping[type(config)]
    except KeyError:
        return None
    if not isinstance(classes, tuple):
        return classes
    by_name = {member.__name__: member for member in classes if member is not None}
    return next((by_name[name] for name in config.architectures or () if name in by_name), classes[0])


def check_architecture(config: PretrainedConfig, *, name: str) -> None:
    """Check the architecture of a config, before any weights are loaded.

    Args:
        config: config of the checkpoint.
        name: name of the checkpoint, for messages.

    Raises:
        ModelError: transformers has no model for it, it is an encoder-decoder, or it does not take token ids.
    """
    member = model_class(config)
    if member is None:
        raise ModelError(
            f"the encoder {name!r} has the type {config.model_type!r}, for which AutoModel has no model. {ADVICE}"
        )
    arguments = inspect.signature(member.forward).parameters
    has_decoder = getattr(config, "is_encoder_decoder", False) or "decoder_input_ids" in arguments
    if has_decoder and type(config) not in AutoModelForSeq2SeqLM._model_mapping:
        raise ModelError(
            f"the encoder {name!r} is an encoder-decoder ({config.model_type}), for which transformers has no "
            f"AutoModelForSeq2SeqLM. {ADVICE}"
        )
    if "input_ids" not in arguments:
        raise ModelError(
            f"the encoder {name!r} ({config.model_type}) takes {member.main_input_name}, not token ids. {ADVICE}"
        )


def check_encoder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str
) -> tuple[int | None, tuple[str, ...]]:
    """Check a loaded encoder and its tokenizer.

    Args:
        model: the encoder, in single precision on the CPU.
        tokenizer: its tokenizer.
        name: name of the checkpoint, for messages.

    Returns:
        The maximum input length that the position tables allow, None without such tables, and notes for the user.

    Raises:
        ModelError: a weight is not finite, its attention is causal, its tokenizer does not fit, or its hidden states
            depend on the batch.
    """
    model_type = model.config.model_type
    check_finite(model.state_dict(), error_prefix=f"the encoder {name!r} cannot be used")
    pad, special = tokenizer.pad_token_id, tokenizer.all_special_ids
    try:
        properties = measure(model, pad=0 if pad is None else int(pad), special=special)
    except ModelError as error:
        raise ModelError(f"the encoder {name!r} ({model_type}) cannot be used: {error}. {ADVICE}") from error
    if properties.causal:
        if getattr(model.config, "is_causal", True):
            advice = f'{ADVICE}; or write direction = "both" in [encoder], for attention to all tokens of a text'
        else:
            advice = f'{ADVICE}: direction = "both" has no effect on this architecture'
        raise ModelError(
            f"the encoder {name!r} ({model_type}) has causal attention, as decoder-only language models do: no token "
            f"attends to later tokens, so a head on the first token cannot learn. {advice}"
        )
    check_tokenizer(tokenizer, owner=f"the encoder {name!r}", embedding_count=embedding_size(model))
    batch_notes = _check_batches(properties, name=name, model_type=model_type)
    return properties.positions, (*batch_notes, *_report_changes(properties, name=name))


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, *, owner: str, embedding_count: int | None) -> None:
    """Check that a tokenizer supports batches, and that all its ids have embeddings.

    Args:
        tokenizer: the tokenizer.
        owner: the checkpoint, for messages, such as ``"the encoder 'a/b'"``.
        embedding_count: number of token embeddings; None without an embedding table.

    Raises:
        ModelError: the tokenizer is not fast, is empty, has no padding token, or gives ids without embeddings.
    """
    if not tokenizer.is_fast:
        raise ModelError(f"{owner} has no fast tokenizer (tokenizer.json), which is needed to align words with tokens")
    vocabulary = tokenizer.get_vocab()
    regular_tokens = vocabulary.keys() - set(tokenizer.all_special_tokens) - tokenizer.get_added_vocab().keys() - {"▁"}
    if not regular_tokens:
        raise ModelError(
            f"{owner} has no tokenizer: without its files transformers builds one with {len(vocabulary)} "
            "special tokens, for which every word is unknown. Save the checkpoint's tokenizer next to its weights: "
            "AutoTokenizer.from_pretrained(…).save_pretrained(directory)"
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"{owner} has no padding token in its tokenizer, which batches need: set tokenizer.pad_token, for example "
            "to tokenizer.eos_token, and save the tokenizer with the checkpoint (save_pretrained)"
        )
    largest = max(vocabulary, key=vocabulary.__getitem__)
    if embedding_count is not None and vocabulary[largest] >= embedding_count:
        without_embedding = sum(token_id >= embedding_count for token_id in vocabulary.values())
        raise ModelError(
            f"the tokenizer of {owner} does not fit its embeddings: {without_embedding} of its tokens, such "
            f"as {largest!r} with the id {vocabulary[largest]}, have no row in the table of {embedding_count}. Save "
            "the tokenizer that belongs to the checkpoint, or enlarge the table: model.resize_token_embeddings"
            f"({vocabulary[largest] + 1}), then save_pretrained"
        )
    (empty,) = encode_untruncated(tokenizer, [""], pairs=[""])
    largest_special_id = max(empty.ids, default=0)
    table_size = vocabulary[largest] + 1 if embedding_count is None else embedding_count
    if largest_special_id >= table_size:
        raise ModelError(
            f"the tokenizer of {owner} does not fit its embeddings: the post_processor of its tokenizer.json adds a "
            f"special token with the id {largest_special_id} to each text, and the table has {table_size} rows. Save "
            "the tokenizer that belongs to the checkpoint"
        )


def _check_batches(properties: EncoderProperties, *, name: str, model_type: str) -> tuple[str, ...]:
    difference = properties.batch_difference
    message = (
        f"the encoder {name!r} ({model_type}): hidden states depend on the other rows of the batch. In a padded batch "
        f"they differ from those of the row computed separately by a relative {difference:.1e}"
    )
    if not difference <= BATCH_LIMIT:
        raise ModelError(f"{message}, more than {BATCH_LIMIT:g}, so predictions would change with the batch. {ADVICE}")
    return (f"{message}: predictions may change with the batch",) if difference > BATCH_WARNING else ()


def _report_changes(properties: EncoderProperties, *, name: str) -> tuple[str, ...]:
    return tuple(
        f"the encoder {name!r} changes its {key} from {before!r} to {after!r} when it computes short rows, and does "
        f"not change it back, so predictions for long rows depend on the rows before them. To avoid that, set {key} to "
        f"{after!r} in its config.json"
        for key, before, after in properties.changes
    )
