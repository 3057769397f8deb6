"""How the tasks' losses become one.

weighting = WEIGHTINGS.build(options, Weighting, tasks=["topic", "sentiment"])
weighting.weights()                                                # {"topic": 1.0, "sentiment": 1.0}
"""

from __future__ import annotations

from nlpmtl.weighting.base import Weighting
from nlpmtl.weighting.constant import Constant

__all__ = ["Constant", "Weighting"]
