"""`make identity` reports every difference between two versions, and none between a version and itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.identity import (
    LOSSES_PATCH,
    Inputs,
    Version,
    compare_versions,
    report,
    sums_losses_per_batch,
    worktree,
)
from benchmarks.identity_compare import Comparison, Count, compare_runs, digest, new_name
from benchmarks.identity_jobs import READ_LOSSES, select_jobs

ROOT = Path(__file__).resolve().parents[1]
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the commit is checked out with git")
TENSORS = {"encoder.layer.weight": torch.tensor([[1.0, 2.0]]), "heads.topic.bias": torch.tensor(0.5)}
PREDICTIONS: dict[str, Any] = {"topic": {"label": "a", "score": 0.25}, "grade": {"value": 1.5}}
SCORES = {"step": 2, "tasks": {"topic": {"accuracy": 0.5}}}


def write_run(
    directory: Path,
    *,
    tensors: dict[str, torch.Tensor] = TENSORS,
    predictions: dict[str, Any] = PREDICTIONS,
    scores: dict[str, Any] = SCORES,
) -> Path:
    """Write the files of a run that are compared; a first checkpoint holds something else."""
    for place in ("model", "checkpoints/step-000002", "checkpoints/step-000010"):
        (directory / place).mkdir(parents=True)
        step_2 = place.endswith("2")
        save_file({"old": torch.zeros(1)} if step_2 else tensors, directory / place / "model.safetensors")
    moments = {f"{name}/exp_avg": value * 2 for name, value in tensors.items()}
    save_file(moments, directory / "checkpoints" / "step-000010" / "optimizer.safetensors")
    (directory / "predictions.jsonl").write_text(json.dumps({"text": "x", "predictions": predictions}) + "\n")
    (directory / "scores.json").write_text(json.dumps(scores))
    return directory


def compare(tmp_path: Path, renamed: dict[str, str] | None = None, **changed: Any) -> Comparison:
    base, current = write_run(tmp_path / "base"), write_run(tmp_path / "current", **changed)
    return compare_runs("job", base, current, renamed=renamed or {})


def test_equal_runs_are_equal(tmp_path: Path) -> None:
    assert compare(tmp_path) == Comparison("job", (Count(6, 6), Count(2, 2), Count(2, 2)), ())


def test_the_last_bit_of_a_weight_is_reported_wherever_it_is(tmp_path: Path) -> None:
    weight = TENSORS["encoder.layer.weight"].clone()
    weight[0, 1] = torch.nextafter(weight[0, 1], torch.tensor(3.0))
    comparison = compare(tmp_path, tensors={**TENSORS, "encoder.layer.weight": weight})
    assert comparison.counts[0] == Count(3, 6)
    assert comparison.differences == (
        "checkpoint encoder.layer.weight/exp_avg: differs by at most 4.8e-07",
        "checkpoint encoder.layer.weight: differs by at most 2.4e-07",
        "model encoder.layer.weight: differs by at most 2.4e-07",
    )


def test_types_shapes_and_missing_tensors_are_reported(tmp_path: Path) -> None:
    tensors = {"encoder.layer.weight": torch.tensor([1.0, 2.0]), "heads.topic.weight": torch.tensor(0.5)}
    comparison = compare(tmp_path, tensors=tensors)
    assert comparison.counts[0] == Count(0, 9)
    assert "model encoder.layer.weight: torch.float32 (1, 2) and torch.float32 (2,)" in comparison.differences
    assert "model heads.topic.bias: only in BASE" in comparison.differences
    assert "model heads.topic.weight: only in the working tree" in comparison.differences


def test_renamed_tensors_are_compared_under_their_new_names_also_in_the_optimizer(tmp_path: Path) -> None:
    renamed = {"encoder.": "model.encoder.", "heads.": "task_heads."}
    tensors = {new_name(name, renamed): value for name, value in TENSORS.items()}
    assert list(tensors) == ["model.encoder.layer.weight", "task_heads.topic.bias"]
    assert compare(tmp_path, tensors=tensors, renamed=renamed).counts[0] == Count(6, 6)


def test_the_longest_of_several_prefixes_is_replaced() -> None:
    assert new_name("encoder.layer.bias", {"encoder.": "a.", "encoder.layer.": "b."}) == "b.bias"
    assert new_name("heads.topic", {"encoder.": "a."}) == "heads.topic"


def test_predictions_and_scores_that_differ_are_reported(tmp_path: Path) -> None:
    comparison = compare(
        tmp_path,
        predictions={"topic": {"label": "a", "score": 0.2500001}},
        scores={"step": 2, "tasks": {"topic": {"accuracy": 0.75}}},
    )
    assert comparison.counts == (Count(6, 6), Count(0, 2), Count(1, 2))
    assert comparison.differences == (
        'prediction 1 topic: {"label": "a", "score": 0.25} in BASE, {"label": "a", "score": 0.2500001} in the working '
        "tree",
        'prediction 1 grade: {"value": 1.5} in BASE, missing in the working tree',
        "score tasks.topic.accuracy: 0.5 in BASE, 0.75 in the working tree",
    )


def test_further_metrics_of_a_later_version_are_no_difference(tmp_path: Path) -> None:
    scores = {"step": 2, "tasks": {"topic": {"accuracy": 0.5, "macro_f1": 0.25}}}
    assert compare(tmp_path, scores=scores).differences == ()


def test_a_job_that_failed_in_one_version_or_both_is_a_difference(tmp_path: Path) -> None:
    current = write_run(tmp_path / "current")
    (current / "error.txt").write_text("Traceback\nValueError: no\n")
    comparison = compare_runs("job", write_run(tmp_path / "base"), current)
    assert comparison == Comparison("job", (), ("working tree: ValueError: no",))
    nothing = compare_runs("job", tmp_path / "neither", tmp_path / "nor")
    assert nothing.differences == (
        "BASE: no predictions.jsonl was written",
        "working tree: no predictions.jsonl was written",
    )


def test_a_job_without_a_model_is_compared_by_its_values(tmp_path: Path) -> None:
    base, current = tmp_path / "base", tmp_path / "current"
    for output, affinity in ((base, 0.5), (current, 0.25)):
        output.mkdir()
        (output / "scores.json").write_text(json.dumps({"affinity": [[1.0, affinity]], "tasks": ["a", "b"]}))
    assert compare_runs("relate", base, base) == Comparison("relate", (Count(0, 0), Count(0, 0), Count(4, 4)), ())
    changed = compare_runs("relate", base, current)
    assert changed.differences == ("score affinity.0.1: 0.5 in BASE, 0.25 in the working tree",)
    assert list(report([changed], show=0))[1] == "| relate | – | – | 3 of 4 | different |"
    assert compare_runs("resumed", base, base).differences[0] == "BASE: no predictions.jsonl was written"


def test_files_that_are_not_found_are_a_difference(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, predictions={}) for name in ("base", "current")]
    for run in runs:
        for file in run.rglob("*.safetensors"):
            file.rename(file.with_suffix(".bin"))
    assert compare_runs("job", *runs).differences == ("no tensors were found", "no predictions were found")


def test_digests_depend_on_type_shape_and_bytes() -> None:
    zeros = [torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.int32), torch.tensor([0.0, -0.0])]
    assert len({digest(tensor) for tensor in zeros}) == 4
    assert digest(torch.zeros(2, dtype=torch.bfloat16)) == digest(torch.zeros(2, dtype=torch.bfloat16))


def test_jobs_are_selected_by_name_and_by_group() -> None:
    jobs = ["sampling/exp3", "weighting/dwa", "weighting/scale", "resumed"]
    assert select_jobs(jobs, []) == jobs
    assert select_jobs(jobs, ["resumed", "weighting"]) == jobs[1:]
    assert select_jobs(jobs, ["weighting/scale"]) == ["weighting/scale"]
    with pytest.raises(SystemExit, match="no job 'scale'; jobs: sampling/exp3, weighting/dwa"):
        select_jobs(jobs, ["scale"])


def test_the_report_lists_differences_up_to_a_limit() -> None:
    comparisons = [
        Comparison("resumed", (Count(3, 3), Count(2, 2), Count(1, 1)), ()),
        Comparison("sharing/hard", (Count(1, 3), Count(2, 2), Count(1, 1)), ("model a: x", "model b: y")),
        Comparison("sharing/lora", (), ("BASE: no",)),
    ]
    lines = list(report(comparisons, show=1))
    assert "| resumed | 3 of 3 | 2 of 2 | 1 of 1 | equal |" in lines
    assert "| sharing/hard | 1 of 3 | 2 of 2 | 1 of 1 | different |" in lines
    assert lines[-4:-1] == [
        "sharing/hard: model a: x",
        "sharing/hard: and 1 more (--show 0 lists all)",
        "sharing/lora: BASE: no",
    ]
    assert lines[-1] == "different: 1 of 3 jobs, 10 of 12 values"
    assert list(report(comparisons[:1], show=0))[-1] == "equal: 1 of 1 jobs, 6 of 6 values"


def test_versions_that_sum_losses_over_a_batch_are_patched(tmp_path: Path) -> None:
    assert not sums_losses_per_batch(ROOT)
    file = tmp_path / "nlpmtl" / "tasks" / "classification.py"
    file.parent.mkdir(parents=True)
    file.write_text('functional.cross_entropy(logits, labels, reduction="sum")\n')
    assert sums_losses_per_batch(tmp_path)


@pytest.mark.slow
def test_jobs_that_read_losses_are_registered(tmp_path: Path) -> None:
    members = Version(ROOT, tmp_path).members()
    assert {f"{table}/{name}" for table, names in members.items() for name in names} >= READ_LOSSES - {"relate"}


@needs_git
def test_a_patch_that_does_not_apply_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="patch does not apply"), worktree("HEAD", tmp_path / "x", patch=LOSSES_PATCH):
        pass
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@needs_git
def test_a_version_is_equal_to_itself_and_a_changed_weight_is_reported(tmp_path: Path) -> None:
    inputs = Inputs.write(tmp_path / "inputs")
    with worktree("HEAD", tmp_path / "head") as source:
        base, current, patched = (Version(source, tmp_path / name) for name in ("base", "current", "patched"))
        jobs = ["weighting/dwa", "sharing/hard"]
        comparisons = compare_versions(base, current, inputs=inputs, only=jobs, patched=patched)
    assert [comparison.job for comparison in comparisons] == jobs
    for comparison in comparisons:
        assert comparison.differences == ()
        assert all(count.equal == count.total > 0 for count in comparison.counts)
    assert (patched.runs / "weighting/dwa" / "model").exists()
    assert not (patched.runs / "sharing").exists()
    file = current.runs / "sharing/hard" / "model" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name, value in weights.items() if value.dim() == 2)
    weights[name][0, 0] += 1.0
    save_file(weights, file)
    changed = compare_runs("sharing/hard", base.runs / "sharing/hard", current.runs / "sharing/hard")
    assert changed.differences == (f"model {name}: differs by at most 1.0e+00",)
