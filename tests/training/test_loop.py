from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from nlpmtl.registry import SAMPLERS
from nlpmtl.sampling import build_plan
from nlpmtl.training import train_steps
from tests.tiny import make_run
from tests.training.bench import make_bench


def test_steps_come_with_the_cursor_after_them_and_in_training_mode(tmp_path: Path, accelerator: Accelerator) -> None:
    bench = make_bench(make_run(tmp_path, rows=10), accelerator)
    plan = build_plan(
        SAMPLERS.parse({"kind": "proportional"}),
        names=["words", "pairs", "texts"],
        sizes=[len(rows) for rows in bench.datasets],
        total_steps=4,
        epoch_steps=2,
        batch_size=3,
        seed=1,
    )
    _, second = plan.next(plan.start())
    steps = train_steps(plan, cursor=second, total=4, stepper=bench.stepper())
    seen = []
    for report, cursor in steps:
        assert bench.model.training
        assert report.step == cursor.step
        seen.append(cursor.step)
        bench.model.train(False)  # as an evaluation does
    assert seen == [2, 3, 4]
    assert sum(cursor.rows_per_dataset) == 12
