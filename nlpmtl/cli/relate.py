"""`nlpmtl relate`: how related the tasks are, as a table and a few plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlpmtl.cli.console import check_toml, echo, echo_json, print_table, quiet_libraries
from nlpmtl.cli.options import Run
from nlpmtl.cli.progress import display_events

if TYPE_CHECKING:
    from nlpmtl.affinity import Estimate, Relations


def relate(
    run: Run,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps of training, 10 at least; default: an epoch, within 50 and 200 steps."),
    ] = None,
    encoders: Annotated[int, typer.Option(metavar="K", help="How many models there may be, 1 at least.")] = 2,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; default: the run file's `output`.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as seed=3; as often as needed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure how related the tasks of a run are, before a long run.

    The mixture is trained for a few steps; no model is kept. Written are relate.json, relate-affinity.png and
    relate-tree.png.
    """
    check_toml(run, overrides)
    from nlpmtl.affinity import Relations, iter_relate
    from nlpmtl.config import parse_override
    from nlpmtl.run import load_config

    quiet_libraries()
    config = load_config(run, overrides=dict(map(parse_override, overrides or ())))
    found = display_events(iter_relate(config, output=output, steps=steps, encoders=encoders), ends=Relations)
    if as_json:
        echo_json(found.to_json(), indent=2)
        return
    _print_pairs(found)
    for line in _reading(found):
        echo(line)
    echo(f"\nwritten: relate.json, relate-affinity.png and relate-tree.png in {found.directory}")


def _print_pairs(found: Relations) -> None:
    from nlpmtl.affinity import ALL

    place = {task: i for i, task in enumerate(found.tasks)}
    rows = []
    for pair in found.pairs:
        i, j = place[pair.tasks[0]], place[pair.tasks[1]]
        numbers = [_number(found.cosines[ALL], i, j)]
        numbers += [_number(found.affinity, a, b, times=100) for a, b in ((i, j), (j, i))]
        rows.append((*pair.tasks, *numbers, pair.reading))
    echo(
        f"measured {len(found.measured)} times in {found.steps} steps: the cosine between the gradients of two tasks; "
        "by how many per cent\na step on one lowers the loss of the other; ± the standard error"
    )
    numbers = ["cosine", "first → second", "second → first"]
    print_table("first", "second", *numbers, "reading", rows=rows, numbers=numbers)


def _number(found: Estimate, i: int, j: int, *, times: float = 1.0) -> str:
    return f"{times * found.mean[i, j]:+.2f} ± {times * found.error[i, j]:.2f}"


def _reading(found: Relations) -> Iterator[str]:
    """In sentences: whether there is anything, and the groups."""
    from nlpmtl.affinity import UNCLEAR, UNRELATED

    readings = {pair.reading for pair in found.pairs}
    if readings == {UNRELATED}:
        yield "The tasks are unrelated: what a step on one does to another, if anything, is little."
    elif readings <= {UNRELATED, UNCLEAR}:
        yield "No help or harm from task to task can be told from noise; more --steps may tell."
    if found.not_learning:
        names = ", ".join(found.not_learning)
        yield f"Steps on these do not surely help other rows of their own; hardly learnt yet, or by heart: {names}"
    count = len(found.grouping.groups)
    how = "" if found.grouping.exact else ", the best that local search found"
    yield f"Groups for {count} encoder{'s' * (count > 1)}{how}:" if count > 1 else "One encoder for all:"
    for group in found.grouping.groups:
        along = [found.tasks[i] for i in group.tasks if i not in group.serves]
        helping = f"  (with {', '.join(along)} along, to help)" if along else ""
        yield f"  {', '.join(found.tasks[i] for i in group.serves)}{helping}"
    if count > 1:
        gain, error = 100 * float(found.gain.mean), 100 * float(found.gain.error)
        told = f"{gain:+.2f} ± {error:.2f} per cent of a loss at each step, summed over the tasks"
        if not found.gain.clear:
            yield f"That they are better than one encoder for all cannot be told from noise: {told}."
        else:
            yield f"Against one encoder for all they are {'better' if gain > 0 else 'worse'}: {told}."
