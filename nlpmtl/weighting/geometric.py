"""The geometric mean of the losses: no loss drowns another, whatever their sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from nlpmtl.registry import WEIGHTINGS
from nlpmtl.weighting.base import Seen, Sight, Weighting, all_finite

_LEAST = 1e-12


@WEIGHTINGS.register("geometric")
@dataclass(kw_only=True)
class Geometric(Weighting):
    """Geometric loss strategy (Chennupati et al. 2019, MultiNet++, equation 2): L = Π_t mean_t^share_t.

    Its gradient is Σ_t share_t · (L / mean_t) · ∇mean_t, so weight_t = L / mean_t. With equal shares it is the paper's
    geometric mean. It has to know the step's losses first: a forward more.

    A geometric mean is defined for losses ≥ 0. Where a loss of a step is negative or not finite, all weights of the
    step are 1.
    """

    sight: ClassVar[Sight] = "losses"

    def weigh(self, seen: Seen) -> dict[str, float]:
        if not all_finite(seen.losses.values()) or any(loss < 0 for loss in seen.losses.values()):
            return dict.fromkeys(seen.shares, 1.0)
        losses = {task: max(loss, _LEAST) for task, loss in seen.losses.items()}
        total = math.exp(math.fsum(share * math.log(losses[task]) for task, share in seen.shares.items()))
        return {task: total / losses[task] for task in seen.shares}
