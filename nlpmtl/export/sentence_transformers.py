"""Export of one task as a directory that sentence-transformers loads: encoder, pooling and normalisation."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from nlpmtl.errors import ModelError
from nlpmtl.export.parts import check_task, transformers_encoder, with_max_length
from nlpmtl.export.readme import sentence_transformers_readme
from nlpmtl.fs import set_default_permissions, write_json
from nlpmtl.heads import EmbeddingHead, HeadInputs
from nlpmtl.hub.model_directory import atomic_directory
from nlpmtl.model import MultiTaskModel
from nlpmtl.model.progress_bars import quiet_loading
from nlpmtl.strict_json import dumps

_TOLERANCE = 1e-5
_MODULES = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
"""Directory and class of each module, in the order in which sentence-transformers runs them."""
_MODES = {"first": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
"""Pooling of nlpmtl = mode of sentence-transformers."""
_TEST_TEXTS = ("Ada lives in Turin, and she has never seen a better film.", "No.", "A kettle, a lamp and a book. " * 40)


def export_sentence_transformer(
    model: MultiTaskModel, tokenizer: PreTrainedTokenizerBase, *, task: str, directory: Path
) -> float:
    """Write one task of a model as a directory that ``SentenceTransformer(directory)`` loads.

    It has the files that sentence-transformers documents: those of the encoder and the tokenizer, ``modules.json``,
    ``1_Pooling/config.json``, ``sentence_bert_config.json`` and ``config_sentence_transformers.json``. Before the
    directory is moved to its path, its encoder is loaded and the embeddings of some texts are compared.

    Args:
        model: the model, in evaluation mode.
        tokenizer: its tokenizer.
        task: name of the task.
        directory: where to write; must be empty or not exist.

    Returns:
        Maximum difference of a number of an embedding.

    Raises:
        ConfigError: the model has no such task, or the directory is not empty.
        ModelError: the task has no embeddings, or no transformers encoder computes its hidden states.
    """
    check_task(model, task)
    head = model.head(task)
    if not isinstance(head, EmbeddingHead):
        raise _error(task, f"its task type, {model.tasks[task].kind!r}, does not predict embeddings")
    encoder = transformers_encoder(model, task=task, to_error=_error)
    if head.mode not in _MODES:
        raise _error(task, f"sentence-transformers has no pooling {head.mode!r}: train it with another `pooling`")
    if encoder.config.is_encoder_decoder:
        raise _error(
            task,
            f"its encoder is a part of the encoder-decoder {encoder.config.model_type!r}. Export it to ONNX: nlpmtl "
            f"export … --to onnx --task {task}",
        )
    tokenizer = with_max_length(tokenizer, model.config.input_length)
    with atomic_directory(directory) as part:
        encoder.save_pretrained(part)
        set_default_permissions(part)
        tokenizer.save_pretrained(part)
        _write_modules(
            part, width=encoder.config.hidden_size, mode=_MODES[head.mode], length=tokenizer.model_max_length
        )
        (part / "README.md").write_text(sentence_transformers_readme(model.tasks[task]), encoding="utf-8")
        return _verify(part, model=model, head=head, task=task)


def _write_modules(directory: Path, *, width: int, mode: str, length: int) -> None:
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (path, name) in enumerate(_MODULES)
    ]
    (directory / "modules.json").write_text(dumps(modules, indent=2) + "\n", encoding="utf-8")
    for path, _ in _MODULES[1:]:
        (directory / path).mkdir()
    modes = {f"pooling_mode_{other}": other == mode for other in _MODES.values()}
    write_json(directory / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **modes})
    write_json(directory / "sentence_bert_config.json", {"max_seq_length": length, "do_lower_case": False})
    versions = {"transformers": transformers.__version__, "pytorch": torch.__version__}
    config = {"__version__": versions, "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(directory / "config_sentence_transformers.json", config)


def _verify(directory: Path, *, model: MultiTaskModel, head: EmbeddingHead, task: str) -> float:
    """Load the encoder, and return the maximum difference of its embeddings; ModelError if it is too large."""
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    with quiet_loading():  # the export has no pooler, which some architectures have by default
        encoder = AutoModel.from_pretrained(directory, trust_remote_code=False).eval().to(model.device)
    inputs = tokenizer(list(_TEST_TEXTS), truncation=True, padding=True, return_tensors="pt").to(model.device)
    with torch.inference_mode():
        hidden = encoder(**inputs).last_hidden_state
        exported = head(HeadInputs(hidden, inputs["attention_mask"], dtype=model.dtype))["embedding"]
        rows = {task: torch.arange(len(_TEST_TEXTS), device=model.device)}
        expected = model(**inputs, rows=rows)[task]["embedding"]
    difference = float((exported - expected).abs().max())
    if not difference <= max(_TOLERANCE, 8 * torch.finfo(model.dtype).eps):
        raise _error(task, f"the exported encoder gives other embeddings: they differ by {difference:.1e}")
    return difference


def _error(task: str, reason: str) -> ModelError:
    return ModelError(f"task {task!r} cannot be exported to sentence-transformers: {reason}")
