"""Loss weighting: one weight per task and training step.

A weighting is a class that is registered in `nlpmtl.registry.WEIGHTINGS`, one file per method. `[weighting]` of a run
file names it by `kind`:

>>> from nlpmtl.registry import WEIGHTINGS
>>> from nlpmtl.weighting import StepObservation, Weighting
>>> options = WEIGHTINGS.parse({"kind": "constant", "weights": {"topic": 0.5}})
>>> weighting = WEIGHTINGS.build(options, Weighting, tasks=["topic", "sentiment"], epoch_steps=100, seed=0)
>>> weighting.compute_weights(StepObservation(step=0, label_fractions={"topic": 0.75, "sentiment": 0.25}))
{'topic': 0.5, 'sentiment': 1.0}
"""

from __future__ import annotations

from nlpmtl.weighting.aligned_mtl import AlignedMtl
from nlpmtl.weighting.base import Requirement, StepObservation, Weighting
from nlpmtl.weighting.cagrad import CaGrad
from nlpmtl.weighting.constant import Constant
from nlpmtl.weighting.dualproj import DualProj
from nlpmtl.weighting.dwa import Dwa
from nlpmtl.weighting.fairgrad import FairGrad
from nlpmtl.weighting.famo import Famo
from nlpmtl.weighting.geometric import Geometric
from nlpmtl.weighting.gradients import GradientMethod
from nlpmtl.weighting.gradnorm import GradNorm
from nlpmtl.weighting.gradvac import GradVac
from nlpmtl.weighting.imtl_g import ImtlG
from nlpmtl.weighting.mgda import Mgda
from nlpmtl.weighting.nashmtl import NashMtl
from nlpmtl.weighting.pcgrad import PcGrad
from nlpmtl.weighting.random_weights import RandomWeights
from nlpmtl.weighting.scale import Scale
from nlpmtl.weighting.uncertainty import Uncertainty
from nlpmtl.weighting.upgrad import UpGrad

__all__ = [
    "AlignedMtl",
    "CaGrad",
    "Constant",
    "DualProj",
    "Dwa",
    "FairGrad",
    "Famo",
    "Geometric",
    "GradNorm",
    "GradVac",
    "GradientMethod",
    "ImtlG",
    "Mgda",
    "NashMtl",
    "PcGrad",
    "RandomWeights",
    "Requirement",
    "Scale",
    "StepObservation",
    "Uncertainty",
    "UpGrad",
    "Weighting",
]
