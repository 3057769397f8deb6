"""`nlpmtl relate`: measure task affinity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import echo, echo_json, print_table, quiet_libraries
from nlpmtl.cli.options import Json, Overrides, Run, check_files, parse_overrides

if TYPE_CHECKING:
    from nlpmtl.affinity import Estimate, Relations


def relate(
    run: Run,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of training steps, at least 10 (default: one epoch, limited to 50 to 200 steps).",
        ),
    ] = None,
    encoders: Annotated[
        int,
        typer.Option(metavar="K", help="Maximum number of models (groups of tasks that share an encoder), at least 1."),
    ] = 2,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Output directory (default: `output` in the run file).")
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure which tasks help or hurt each other, before a long run.

    Trains a multi-task model for a few steps without saving it. Writes relate.json, relate-affinity.png and
    relate-tree.png.
    """
    from nlpmtl.config import check_writable
    from nlpmtl.run_config import load_config

    config = load_config(run, overrides=parse_overrides(overrides))
    if output is not None:
        output = check_writable(output, key="output")
    check_files(config)
    from nlpmtl.affinity import Relations, iter_relate  # after the checks: this imports torch
    from nlpmtl.progress import display_events

    quiet_libraries()
    result = display_events(
        lambda show: iter_relate(config, output=output, steps=steps, encoders=encoders, on_progress=show),
        ends=Relations,
    )
    if as_json:
        echo_json(result.to_json(), indent=2)
        return
    _print_pairs(result)
    for line in _summary(result):
        echo(line)
    echo(f"\n{_written(result)}")


def _written(result: Relations) -> str:
    from nlpmtl.affinity.driver import PLOTS

    assert result.directory is not None, "relate writes into a directory"
    *names, last = ["relate.json", *(name for name in PLOTS if (result.directory / name).exists())]
    return f"wrote {', '.join(names)}{' and ' if names else ''}{last} to {result.directory}"


def _print_pairs(result: Relations) -> None:
    from nlpmtl.affinity import ALL

    index = {task: i for i, task in enumerate(result.tasks)}
    rows = []
    for pair in result.pairs:
        i, j = index[pair.tasks[0]], index[pair.tasks[1]]
        numbers = [_number(result.cosines[ALL], i, j)]
        numbers += [_number(result.affinity, a, b, times=100) for a, b in ((i, j), (j, i))]
        rows.append((*pair.tasks, *numbers, pair.reading))
    echo(
        f"{len(result.measured)} measurements over {result.steps} steps. cosine: cosine of the gradients of A and B;\n"
        "A → B: loss reduction of B in % after a step on A (negative: the loss of B rises); ± standard error"
    )
    numbers = ["cosine", "A → B", "B → A"]
    print_table("task A", "task B", *numbers, "reading", rows=rows, numbers=numbers)


def _number(estimate: Estimate, i: int, j: int, *, times: float = 1.0) -> str:
    return f"{times * estimate.mean[i, j]:+z.2f} ± {times * estimate.error[i, j]:.2f}"


def _summary(result: Relations) -> Iterator[str]:
    """Yield the lines below the table: conclusions, and the proposed groups of tasks."""
    from nlpmtl.affinity import UNCLEAR, UNRELATED

    readings = {pair.reading for pair in result.pairs}
    if readings == {UNRELATED}:
        yield "The tasks are unrelated: a step on one has little effect on the others."
    elif readings <= {UNRELATED, UNCLEAR}:
        yield "No significant transfer between tasks; try more --steps."
    if result.not_learning:
        names = ", ".join(result.not_learning)
        effect = "Steps on one half of the rows do not significantly reduce the loss on the other half"
        yield f"{effect}: {names} (too few steps, or already overfitted)"
    count = len(result.grouping.groups)
    search = "" if result.grouping.exact else " (found by local search)"
    yield f"Groups for {count} encoders{search}:" if count > 1 else "One encoder for all tasks:"
    for group in result.grouping.groups:
        helpers = [result.tasks[i] for i in group.tasks if i not in group.serves]
        role = "an auxiliary task" if len(helpers) == 1 else "auxiliary tasks"
        helped_by = f"  (trained with {', '.join(helpers)} as {role})" if helpers else ""
        yield f"  {', '.join(result.tasks[i] for i in group.serves)}{helped_by}"
    if count > 1:
        gain, error = 100 * float(result.gain.mean), 100 * float(result.gain.error)
        difference = f"{gain:+z.2f} ± {error:.2f} percentage points of loss reduction per step, summed over tasks"
        if not result.gain.significant:
            yield f"Not significantly better than one shared encoder: {difference}."
        else:
            yield f"{'Better' if gain > 0 else 'Worse'} than one shared encoder: {difference}."
