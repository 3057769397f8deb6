"""What a weighting is: each task's weight in the loss of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Weighting(ABC):
    """How the tasks' losses become one."""

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """The weight of each task, multiplied with its share of the step's rows."""
