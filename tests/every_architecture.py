"""A tiny random checkpoint of every architecture that transformers has a sequence classifier for."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from tests.tiny import write_tokenizer

EVERY: tuple[str, ...] = tuple(sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES))
"""By `model_type`."""
LONGEST = 40
"""Value of `max_position_embeddings`, if the architecture has it."""
NOT_BUILT: dict[str, str] = {
    "layoutlmv2": "needs the package detectron2, which has no wheels",
}
"""Architectures that cannot be built here, with the reason."""
# fmt: off
CAUSAL: frozenset[str] = frozenset((
    "arcee", "axk1", "axk2", "biogpt", "bloom", "cohere_compass_text", "ctrl", "deepseek_v2", "deepseek_v3",
    "diffllama", "doge", "exaone4", "falcon", "gemma", "gemma2", "gemma3_text", "glm", "glm4", "gpt-sw3", "gpt2",
    "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "helium", "hunyuan_v1_dense", "hunyuan_v1_moe", "jamba",
    "jetmoe", "llama", "minicpm3", "minimax", "ministral", "ministral3", "mistral", "mistral4", "mixtral",
    "modernbert-decoder", "mpt", "nemotron", "olmo", "olmo2", "olmo3", "openai-gpt", "opt", "persimmon", "phi",
    "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_5_text", "qwen3_moe", "qwen3_next", "seed_oss", "smollm3",
    "stablelm", "starcoder2", "zamba", "zamba2",
))
# fmt: on
WITHOUT_POSITION_TABLE = frozenset(("mt5", "t5", "umt5", "xlnet"))
"""Architectures with relative positions, whose input may have any length."""
DEPENDS_ON_BATCH = frozenset(("canine", "convbert", "fnet", "funnel", "mobilebert", "nystromformer", "yoso"))
"""Architectures whose padding leaks into other tokens."""
NOT_OF_TOKENS: dict[str, str] = {
    "gemma3": "has no hidden_size",
    "modernvbert": "has no hidden_size",
    "t5gemma": "cannot be used without its decoder",
    "t5gemma2": "has no hidden_size",
    "perceiver": "takes inputs, not token ids",
    "qwen3_5": "has no hidden_size",
    "reformer": "does not return one hidden state per token",
    "ultravbert": "has no hidden_size",
}
"""Architectures without a hidden state per token id, with the message of the refusal."""
_SIZES: dict[str, Any] = {
    "vocab_size": 120,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "cls_token_id": 2,
    "sep_token_id": 3,
}
_ABSENT = object()
"""A size that the architecture's config derives by itself."""
_LATENT: dict[str, Any] = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "head_dim": 8,
}
_EXPERTS: dict[str, Any] = {
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "shared_expert_intermediate_size": 16,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_TWO_STACKS: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}
_LINEAR: dict[str, Any] = {
    "num_hidden_layers": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
}
_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4}
_LLAMA_4: dict[str, Any] = {"llama_4_scaling_beta": 0.1, "original_max_position_embeddings": LONGEST}
_T5: dict[str, Any] = {"d_ff": 48, "d_kv": 16}
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 28,
    "patch_size": 14,
}
_IMAGES: dict[str, Any] = {"vision_config": _VISION, "image_token_id": 119}
_TEXT: dict[str, Any] = {name: value for name, value in _SIZES.items() if name not in ("cls_token_id", "sep_token_id")}
_QWEN_VISION: dict[str, Any] = {
    "depth": 1,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}
_OWN: dict[str, dict[str, Any]] = {
    "axk1": _LATENT | _EXPERTS,
    "axk2": _LATENT | _EXPERTS | {"index_head_dim": 16, "index_topk": 8, "index_n_heads": 2},
    "bart": _TWO_STACKS,
    "bigbird_pegasus": _TWO_STACKS,
    "canine": {"num_hash_buckets": 64},
    "cohere_compass_text": {"rope_parameters": {"sliding_attention": _ROPE, "full_attention": _ROPE}},
    "deepseek_v2": _LATENT | _EXPERTS,
    "deepseek_v3": _LATENT | _EXPERTS,
    "falcon": {"head_dim": _ABSENT},
    "funnel": {
        **{"num_hidden_layers": _ABSENT, "block_sizes": [1, 1], "block_repeats": [1, 1], "d_model": 32, "n_head": 2},
        **{"d_head": 16, "d_inner": 48, "architectures": ["FunnelModel"]},
    },
    "gemma3": {
        "text_config": _TEXT,
        "vision_config": _VISION,
        "mm_tokens_per_image": 4,
        "image_token_index": 119,
        "boi_token_index": 117,
        "eoi_token_index": 118,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "jamba": {"num_hidden_layers": _ABSENT, "num_experts": 2},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6, "visual_embed": False},
    "lilt": {"hidden_size": 36, "channel_shrink_ratio": 1},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "mbart": _TWO_STACKS,
    "mistral4": _LATENT | _EXPERTS | {"rope_parameters": _ROPE | _LLAMA_4},
    "modernvbert": {
        "text_config": _TEXT | {"model_type": "modernbert"},
        "vision_config": _VISION,
        "image_token_id": 119,
    },
    "mt5": _T5,
    "mvp": _TWO_STACKS | {"prompt_length": 4, "prompt_mid_dim": 16},
    "perceiver": {
        **{"d_latents": 32, "d_model": 32, "num_latents": 8, "num_blocks": 1, "num_self_attends_per_block": 1},
        **{"num_self_attention_heads": 2, "num_cross_attention_heads": 2, "qk_channels": 16, "v_channels": 32},
    },
    "plbart": _TWO_STACKS,
    "qwen2_moe": _EXPERTS,
    "qwen3_5": {"text_config": _TEXT | _LINEAR, "vision_config": _QWEN_VISION},
    "qwen3_5_text": _LINEAR,
    "qwen3_moe": _EXPERTS,
    "qwen3_next": _EXPERTS | _LINEAR,
    "reformer": {
        **{"axial_pos_embds_dim": (16, 16), "axial_pos_shape": (4, 10), "attn_layers": ["local", "local"]},
        **{"local_attn_chunk_length": 4, "attention_head_size": 16, "feed_forward_size": 48},
    },
    "roc_bert": {
        **{"pronunciation_embed_dim": 8, "pronunciation_vocab_size": 120},
        **{"shape_embed_dim": 8, "shape_vocab_size": 120},
    },
    "squeezebert": {
        **{"embedding_size": 32, "q_groups": 1, "k_groups": 1, "v_groups": 1},
        **{"post_attention_groups": 1, "intermediate_groups": 1, "output_groups": 1},
    },
    "t5": _T5,
    "t5gemma": {"encoder": _TEXT, "decoder": _TEXT},
    "t5gemma2": {
        "encoder": {"text_config": _TEXT, "vision_config": _VISION, "mm_tokens_per_image": 4, "image_token_index": 119},
        "decoder": _TEXT,
        "image_token_index": 119,
    },
    "ultravbert": _IMAGES | {"text_config": _TEXT | {"model_type": "ultrabert"}},
    "umt5": _T5,
    "xlnet": {
        "max_position_embeddings": _ABSENT,
        "d_model": 32,
        "n_layer": 2,
        "n_head": 2,
        "d_inner": 48,
        "d_head": 16,
    },
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 3,
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "n_mamba_heads": 2,
    },
    "zamba2": {
        **{"layers_block_type": ["linear_attention", "hybrid"], "num_mem_blocks": 1, "n_mamba_heads": 2},
        **{"mamba_headdim": 32, "mamba_d_state": 8, "mamba_ngroups": 1, "chunk_size": 8, "use_long_context": False},
    },
}


def write_any_architecture(name: str, directory: Path, *, seed: int = 0, **config: Any) -> Path:
    """Write config, weights, and a tokenizer of words that states no longest input.

    Args:
        name: one of `EVERY`, or another `model_type` with token ids as its input.
        directory: output directory.
        seed: random seed of the weights.
        config: values of the architecture's config to override.
    """
    default = AutoConfig.for_model(name)
    known = inspect.signature(type(default)).parameters
    sizes = {key: value for key, value in _SIZES.items() if key in known or hasattr(default, key)}
    values = {key: value for key, value in {**sizes, **_OWN.get(name, {}), **config}.items() if value is not _ABSENT}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModel.from_config(AutoConfig.for_model(name, **values))
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * 0.05)
    model.save_pretrained(directory)
    write_tokenizer(directory, longest=None)
    return directory
