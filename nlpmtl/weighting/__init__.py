"""How the tasks' losses become one.

weighting = WEIGHTINGS.build(options, Weighting, tasks=["topic", "sentiment"], epoch_steps=100, seed=0)
weighting.weigh(Seen(step=0, shares={"topic": 0.75, "sentiment": 0.25}))      # {"topic": 1.0, "sentiment": 1.0}
"""

from __future__ import annotations

from nlpmtl.weighting.base import Seen, Sight, Weighting
from nlpmtl.weighting.constant import Constant
from nlpmtl.weighting.dwa import Dwa
from nlpmtl.weighting.famo import Famo
from nlpmtl.weighting.geometric import Geometric
from nlpmtl.weighting.gradients import GradientMethod
from nlpmtl.weighting.gradnorm import GradNorm
from nlpmtl.weighting.random_weights import RandomWeights
from nlpmtl.weighting.scale import Scale
from nlpmtl.weighting.uncertainty import Uncertainty

__all__ = [
    "Constant",
    "Dwa",
    "Famo",
    "Geometric",
    "GradNorm",
    "GradientMethod",
    "RandomWeights",
    "Scale",
    "Seen",
    "Sight",
    "Uncertainty",
    "Weighting",
]
