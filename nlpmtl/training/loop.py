"""The training loop: a generator of what happened. Logging, saving, evaluating and stopping are its caller's `for`.

for report, cursor in train_steps(plan, cursor=cursor, total=total, stepper=stepper):
    ...
"""

from __future__ import annotations

from collections.abc import Iterator

from nlpmtl.sampling import Cursor, Plan
from nlpmtl.training.train_step import StepReport, TrainStep


def train_steps(plan: Plan, *, cursor: Cursor, total: int, stepper: TrainStep) -> Iterator[tuple[StepReport, Cursor]]:
    """Compute the steps from a cursor on; each comes with the cursor after it, what its sampler learned included."""
    while cursor.step < total:
        stepper.accumulator.model.train()  # the caller may have evaluated
        step, cursor = plan.next(cursor)
        report = stepper(step)
        if report.feedback is not None:
            cursor = plan.update(cursor, report.feedback)
        yield report, cursor
