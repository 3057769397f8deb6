"""Loading of a checkpoint with another class of transformers, for heads that use its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from nlpmtl.errors import ModelError, NlpmtlError
from nlpmtl.heads import LoadStock
from nlpmtl.hub_response_checks import validated_responses
from nlpmtl.model.checks import explain_load_error
from nlpmtl.model.progress_bars import quiet_loading
from nlpmtl.model.weights import check_finite


def stock_loader(path: str, *, name: str, check: Callable[[], None], **options: Any) -> LoadStock:
    """Return a function that loads a checkpoint in single precision with a class of transformers.

    Args:
        path: directory or Hub id.
        name: name of the encoder, for messages.
        check: called after loading; raises if the files are not those of the encoder.
        options: arguments of ``from_pretrained``, such as the revision.
    """

    def load(auto_class: str) -> tuple[PreTrainedModel, frozenset[str]]:
        try:
            with quiet_loading(), validated_responses():
                model, info = getattr(transformers, auto_class).from_pretrained(
                    path, dtype=torch.float32, output_loading_info=True, **options
                )
        except NlpmtlError:
            raise
        except Exception as error:  # errors of transformers and torch have no common base class
            reason = explain_load_error(error)
            raise ModelError(f"the encoder {name!r} cannot be loaded as {auto_class}: {reason}") from error
        check()
        check_finite(model.state_dict(), error_prefix=f"the encoder {name!r} cannot be used")
        return model, frozenset(info["missing_keys"])

    return load
