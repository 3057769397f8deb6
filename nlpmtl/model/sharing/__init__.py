"""Sharing schemes: which parameters of the encoder the tasks share, one file per scheme.

`[sharing]` of a run file names a scheme by `kind`. It is built around a pretrained encoder:

>>> from transformers import BertConfig, BertModel
>>> from nlpmtl.model.sharing import Sharing, SharingOptions
>>> from nlpmtl.registry import SHARINGS
>>> config = BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
>>> options = SHARINGS.parse({"kind": "layers", "shared": 1})
>>> context = {"encoder": BertModel(config, add_pooling_layer=False), "tasks": ("topic", "sentiment")}
>>> sharing = SHARINGS.build(options, Sharing, exclude=SharingOptions.model_fields, **context)
>>> sharing.relative_flops(labels=2.0)
1.5
"""

from __future__ import annotations

from nlpmtl.config.sharing import SharingOptions
from nlpmtl.model.sharing.adapters import Adapters
from nlpmtl.model.sharing.base import Sharing, TaskMatrix
from nlpmtl.model.sharing.cross_stitch import CrossStitch
from nlpmtl.model.sharing.hard import Hard
from nlpmtl.model.sharing.lora import Lora
from nlpmtl.model.sharing.soft_l2 import SoftL2
from nlpmtl.model.sharing.split_encoder import Layers

__all__ = ["Adapters", "CrossStitch", "Hard", "Layers", "Lora", "Sharing", "SharingOptions", "SoftL2", "TaskMatrix"]
