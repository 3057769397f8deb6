"""Mixtures in which a task cannot be trained, or a weighting has no effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nlpmtl import ConfigError
from nlpmtl.registry import SAMPLERS
from nlpmtl.run import build_run, load_config
from nlpmtl.sampling import build_plan
from nlpmtl.training import accelerator_context, sampling_notes
from tests.slow import slow_except
from tests.tiny import make_rows, write_encoder

ROWS = make_rows(12)


def dataset(task: str, **options: Any) -> dict[str, Any]:
    columns = {"text": "text", "pair": "other"} if options.get("kind") == "embedding" else {"text": "text"}
    options = options or {"kind": "classification", "label": task}
    return {"data": {"files": {"train": ROWS, "validation": ROWS}}, "input": columns, "tasks": {task: options}}


def notes_of(directory: Path, *, freeze: bool = False, **tables: Any) -> tuple[str, ...]:
    """Return the notes of the trainer of a run."""
    run = {
        "output": str(directory / "out"),
        "encoder": {"name": str(write_encoder(directory / "encoder")), "max_length": 24, "freeze": freeze},
        "datasets": {"topics": dataset("topic"), "moods": dataset("mood")},
        "train": {"steps": 4, "batch_size": 4, "precision": "fp32"},
        **tables,
    }
    with accelerator_context(directory=directory, precision="fp32", trackers=()) as accelerator:
        return build_run(load_config(run), directory=directory, accelerator=accelerator)[2].notes


@pytest.mark.parametrize("others", [{}, {"topics": dataset("topic")}], ids=["alone", "in a mixture"])
def test_a_task_without_parameters_to_train_is_refused(others: dict[str, Any], tmp_path: Path) -> None:
    datasets = {**others, "pairs": dataset("similar", kind="embedding")}
    with pytest.raises(ConfigError, match=r"task 'similar' has no parameter to train: .* Remove encoder\.freeze"):
        notes_of(tmp_path, freeze=True, datasets=datasets)
    notes_of(tmp_path, freeze=True, datasets=datasets, sharing={"kind": "lora"})


def test_a_dataset_that_is_never_drawn_is_noted(tmp_path: Path) -> None:
    def is_noted(phases: list[dict[str, Any]]) -> bool:
        notes = notes_of(tmp_path, sampling={"kind": "phases", "phases": phases})
        return any(note.startswith("no step draws rows from the dataset 'moods'") for note in notes)

    assert is_noted([{"datasets": ["topics"]}])
    assert is_noted([{"datasets": ["topics"], "until": 0.99}, {}])
    assert not is_noted([{"datasets": ["topics"], "until": 0.5}, {}])


@pytest.mark.parametrize(
    ("kind", "batches", "sizes", "steps", "missing"),
    [
        (
            "proportional",
            "mixed",
            (1_000_000, 2),
            100,
            "its probability with sampling.kind = 'proportional' is too small",
        ),
        ("proportional", "single", (100_000, 20), 1000, "is too small for so few draws (1,000)"),
        ("round_robin", "single", (10, 10), 1, "is too small for so few draws (1)"),
        ("round_robin", "single", (10, 10), 2, None),
        ("proportional", "mixed", (1000, 100), 10, None),
    ],
)
def test_a_dataset_that_is_too_improbable_to_be_drawn_is_noted(
    kind: str, batches: str, sizes: tuple[int, int], steps: int, missing: str | None
) -> None:
    options = SAMPLERS.parse({"kind": kind, "batches": batches})
    plan = build_plan(
        options, names=["large", "small"], sizes=sizes, total_steps=steps, epoch_steps=steps, batch_size=32, seed=0
    )
    drawn = {row.dataset for step, _ in plan.steps(plan.start(), steps) for row in step.rows}
    notes = list(sampling_notes(plan, total_steps=steps, kind=kind))
    assert len(notes) == 2 - len(drawn) == (missing is not None)
    assert missing is None or missing in notes[0]


@pytest.mark.parametrize(
    "kind", slow_except(["geometric", "famo", "gradnorm", "constant", "scale"], "famo", "constant")
)
def test_a_weighting_without_effect_in_steps_of_one_task_is_noted(kind: str, tmp_path: Path) -> None:
    single = {"kind": "uniform", "batches": "single"}
    notes = notes_of(tmp_path, weighting={"kind": kind}, sampling=single)
    without_effect = kind not in ("constant", "scale")
    assert any("has no effect" in note for note in notes) == without_effect
    both = dataset("topic")
    both["tasks"] |= dataset("mood")["tasks"]
    for changed in ({"sampling": {"kind": "uniform"}}, {"sampling": single, "datasets": {"both": both}}):
        notes = notes_of(tmp_path, weighting={"kind": kind}, **changed)
        assert not any("has no effect" in note for note in notes)


def test_a_gradient_method_without_shared_parameters_is_noted(tmp_path: Path) -> None:
    for tables in ({"freeze": True}, {"sharing": {"kind": "adapters"}}):
        (note,) = [note for note in notes_of(tmp_path, weighting={"kind": "gradnorm"}, **tables) if "effect" in note]
        assert note.startswith("weighting.kind = 'gradnorm' has no effect: it weights the gradients of parameters that")
    notes = notes_of(tmp_path, weighting={"kind": "gradnorm"}, sharing={"kind": "lora"})
    assert not any("has no effect" in note for note in notes)
