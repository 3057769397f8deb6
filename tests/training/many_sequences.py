"""Rows with one to four token sequences, made by hand, and task types that read them.

As a script, it computes one step per (sharing scheme, weighting) on each of several processes and writes the changes
of the parameters: ``torchrun -m tests.training.many_sequences DIRECTORY``.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from nlpmtl.config import TaskOptions
from nlpmtl.data import (
    Collator,
    Example,
    Labels,
    Ragged,
    Targets,
    TaskBatch,
    TokenizedSplit,
    Tokens,
    TokenSequence,
    stack_targets,
)
from nlpmtl.heads import HeadContext, HeadInputs, Outputs
from nlpmtl.model import Encoder, MultiTaskModel, load_encoder
from nlpmtl.registry import TASKS, WEIGHTINGS
from nlpmtl.sampling import RowRef, StepPlan
from nlpmtl.tasks import ExampleOutputs, OutputOptions, Prediction, Task
from nlpmtl.training import GradientAccumulator, StepReport, TrainStep, accelerator_context
from nlpmtl.training.fsdp import apply_fsdp, full_tensors
from nlpmtl.weighting import Weighting
from tests.tiny import write_encoder

FIRST_WORD, MASK = 5, 4
ROWS = 14


class Toy(Task):
    """A task type without predictions."""

    columns = {"label": "number"}  # noqa: RUF012 - a constant

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.sequence_head(1)

    def decode(self, items: Sequence[ExampleOutputs]) -> list[Prediction]:
        return [Prediction(0.0) for _ in items]

    def format(self, prediction: Prediction, example: Example, options: OutputOptions = OutputOptions()) -> Any:  # noqa: B008
        return prediction.value


class Choice(Toy):
    """One of two to four sequences is right."""

    kind = "toy_choice"

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        logits = batch.by_example(outputs["logits"].squeeze(-1), fill=-torch.inf)
        return functional.cross_entropy(logits, batch.targets["choice"], reduction="none")


class Mean(Toy):
    """A number from the mean over one to three windows."""

    kind = "toy_mean"

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        return (batch.mean_by_example(outputs["logits"]).squeeze(-1) - batch.targets["number"]).square()


class WordHead(nn.Module):
    """Logits of words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(width, 2)

    def forward(self, inputs: HeadInputs) -> Tensor:
        if inputs.targets is not None:  # they have the length of the words that the head reads
            assert inputs.words.shape == inputs.targets["tags"].shape
        logits: Tensor = self.out(inputs.at_words())
        return logits


class Words(Toy):
    """A label per word."""

    kind = "toy_words"

    def build_head(self, context: HeadContext) -> nn.Module:
        return WordHead(context.width)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        losses = functional.cross_entropy(outputs["logits"].transpose(1, 2), batch.targets["tags"], reduction="none")
        return batch.by_example(losses.sum(dim=1)).sum(dim=1)


class Masked(Toy):
    """The ids of two masked tokens of each sequence, of modified copies."""

    kind = "toy_masked"

    def corrupt(
        self, sequences: Sequence[TokenSequence], targets: Targets, rng: np.random.Generator
    ) -> tuple[list[TokenSequence], Targets]:
        copies, places, ids = [], [], []
        for sequence in sequences:
            place = np.sort(rng.choice(np.arange(1, len(sequence.ids)), 2, replace=False))
            masked = sequence.ids.copy()
            masked[place] = MASK
            copies.append(replace(sequence, ids=masked))
            places.append(place)
            ids.append(sequence.ids[place])
        return copies, replace(targets, sequence={"place": places, "id": ids})

    def build_head(self, context: HeadContext) -> nn.Module:
        return context.token_head(40)

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        index = batch.targets["place"].unsqueeze(-1).expand(-1, -1, outputs["logits"].shape[-1])
        logits = outputs["logits"].gather(1, index)
        losses = functional.cross_entropy(logits.transpose(1, 2), batch.targets["id"], reduction="none")
        return batch.by_example(losses.sum(dim=1)).sum(dim=1)


class EmbeddingHead(nn.Module):
    """Mean pooling and normalization."""

    def forward(self, inputs: HeadInputs) -> dict[str, Tensor]:
        return {"embedding": functional.normalize(inputs.mean, dim=-1)}


class Contrast(Toy):
    """InfoNCE: the second sequence of a row is nearer to the first one than those of all other rows."""

    kind = "toy_contrast"
    coupled = True

    def build_head(self, context: HeadContext) -> nn.Module:
        return EmbeddingHead()

    def loss(self, outputs: Outputs, batch: TaskBatch) -> Tensor:
        first, second = (outputs["embedding"][batch.position == position] for position in range(2))
        labels = torch.arange(len(first), device=first.device)
        return functional.cross_entropy(5 * first @ second.T, labels, reduction="none")


class Listed(Labels):
    """Targets of each row in a list; None for a row without."""

    padded_to_batch = False

    def __init__(self, targets: Sequence[Targets | None]) -> None:
        counts = np.array([0 if target is None else target.count for target in targets])
        super().__init__((), 0, counts > 0, counts)
        object.__setattr__(self, "all", list(targets))

    def values(self, rows: Sequence[int]) -> list[Any]:
        return [0.0 for _ in rows]

    def tensor(self, rows: Any, *, first_tokens: Ragged | None, sequence_length: int) -> Tensor:
        raise NotImplementedError

    def targets(self, rows: Any, *, first_tokens: Ragged | None, sequence_length: int) -> dict[str, Tensor]:
        return stack_targets([self.all[row] for row in np.asarray(rows).tolist()])  # type: ignore[attr-defined]

    def example_targets(self, row: int, *, first_tokens: Ragged | None, sequence_length: int) -> Targets:
        targets: Targets = self.all[row]  # type: ignore[attr-defined]
        return targets


def make_splits(seed: int = 0) -> dict[str, TokenizedSplit]:
    """Return rows with sequences of several tasks, and rows with one sequence each, of two of these tasks."""
    rng = np.random.default_rng(seed)

    def sequence() -> list[int]:
        return [2, *rng.integers(FIRST_WORD, 40, rng.integers(3, 11)).tolist(), 3]

    ids = [sequence() for _ in range(ROWS)]
    choices, windows, pairs = [], [], []
    for row in range(ROWS):
        sequence_ids = [row, *range(len(ids), len(ids) + rng.integers(1, 4))]
        ids.extend(sequence() for _ in sequence_ids[1:])
        choices.append(
            rng.permutation(sequence_ids).tolist() + ([row] if row % 3 == 0 and len(sequence_ids) < 4 else [])
        )  # one twice
        pairs.append([sequence_ids[1], row])
        windows.append(sequence_ids[: rng.integers(1, len(sequence_ids) + 1)])
    first_tokens = Ragged.pack([np.flatnonzero(rng.random(len(tokens)) < 0.7) for tokens in ids])
    tags = [rng.integers(0, 2, len(first_tokens[row])).tolist() for row in range(ROWS)]
    labels: dict[str, Labels] = {
        "choice": Listed([Targets(example={"choice": int(rng.integers(len(c)))}) for c in choices]),
        "mean": Listed([None if i % 4 == 1 else Targets(example={"number": float(rng.random())}) for i in range(ROWS)]),
        "words": Listed([Targets(len(tag), sequence={"tags": [tag]}) if len(tag) else None for tag in tags]),
        "masked": Listed([Targets(2 * len(w)) for w in windows]),
        "contrast": Listed([None if i % 5 == 2 else Targets() for i in range(ROWS)]),
    }
    sequence_indices = {"choice": Ragged.pack(choices), "mean": Ragged.pack(windows), "masked": Ragged.pack(windows)}
    sequence_indices["contrast"] = Ragged.pack(pairs)
    weights = {"mean": rng.random(ROWS) + 0.5, "contrast": rng.random(ROWS) + 0.5}
    several = TokenizedSplit(
        Tokens(Ragged.pack(ids), first_tokens=first_tokens),
        labels=labels,
        sequence_indices=sequence_indices,
        weights=weights,
    )
    plain_ids = [sequence() for _ in range(ROWS)]
    numbers = [Targets(example={"number": float(rng.random())}) for _ in range(ROWS)]
    plain = TokenizedSplit(Tokens(Ragged.pack(plain_ids)), labels={"mean": Listed(numbers)})
    return {"many": several, "plain": plain}


def plan(step: int = 0, *, size: int = 16) -> StepPlan:
    """Return the rows of a step."""
    rng = np.random.default_rng(step)
    return StepPlan(step, tuple(RowRef(int(d), int(r), step) for d, r in rng.integers((0, 0), (2, ROWS), (size, 2))))


@dataclass(frozen=True)
class Toys:
    """A model in double precision with SGD, whose learning rate of 1 subtracts the gradient from the parameters."""

    model: MultiTaskModel
    tasks: Mapping[str, Task]
    splits: dict[str, TokenizedSplit]
    accelerator: Accelerator

    def collator(self) -> Collator:
        corrupt = {name: task.corrupt for name, task in self.tasks.items() if type(task).corrupt is not Task.corrupt}
        datasets, names = list(self.splits.values()), list(self.splits)
        return Collator(datasets, pad=0, types=False, words=True, corrupt=corrupt, names=names, seed=3)

    def train_step(self, *, micro_tokens: int = 10_000, weighting: str = "constant", lr: float = 1.0) -> TrainStep:
        groups = [{"params": list(self.model.parameters()), "lr": lr, "initial_lr": lr}]
        options = WEIGHTINGS.parse({"kind": weighting})
        return TrainStep(
            accumulator=GradientAccumulator(
                accelerator=self.accelerator,
                model=self.model,
                tasks=self.tasks,
                collate=self.collator(),
                micro_tokens=micro_tokens,
                packed=False,
                seed=3,
            ),
            optimizer=torch.optim.SGD(groups),
            weighting=WEIGHTINGS.build(options, Weighting, tasks=list(self.tasks), epoch_steps=4, seed=0),
            schedule=lambda step: 1.0,
            max_grad_norm=0.0,
        )

    def change(self, step: StepPlan, **options: Any) -> tuple[Tensor, StepReport]:
        """Return the change of all parameters by one step, which is undone, and its report."""
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        report = self.train_step(**options)(step)
        change = [(before[name] - value).flatten() for name, value in self.model.state_dict().items()]
        self.model.load_state_dict(before)
        return torch.cat(change), report


TYPES: dict[str, type[Toy]] = {"choice": Choice, "mean": Mean, "words": Words, "masked": Masked, "contrast": Contrast}
SCHEMES: dict[str, dict[str, Any]] = {"hard": {"kind": "hard"}, "layers": {"kind": "layers", "shared": 1}}


@lru_cache
def loaded(path: Path) -> Encoder:
    return load_encoder(str(path))


def make_toys(directory: Path, accelerator: Accelerator, *, scheme: str = "hard", dropout: float = 0.0) -> Toys:
    """Return a new model and its rows."""
    path = directory / f"encoder-{dropout}"
    TASKS._members |= {task.kind: (task, TaskOptions) for task in TYPES.values()}  # a fixture removes them
    encoder = loaded(path if path.exists() else write_encoder(path, dropout=dropout))
    encoder = replace(encoder, model=copy.deepcopy(encoder.model))
    tasks = {name: task(name=name, labels=(), metrics=None, input="text") for name, task in TYPES.items()}
    model = MultiTaskModel.from_encoder(
        encoder, tasks=tasks.values(), sharing=SCHEMES[scheme], input_length=48, seed=1
    ).double()
    return Toys(model.train(), tasks, make_splits(), accelerator)


def main(directory: Path) -> None:
    """Write the changes of each scheme and weighting on this process."""
    with accelerator_context(directory=directory, precision="fp64", trackers=()) as accelerator:
        changes = {}
        for scheme in SCHEMES:
            toys = make_toys(directory, accelerator, scheme=scheme)
            for weighting in ("constant", "upgrad"):
                changes[f"{scheme} {weighting}"] = toys.change(plan(), micro_tokens=60, weighting=weighting)[0]
        toys = make_toys(directory, accelerator)
        before = {name: value.clone() for name, value in toys.model.state_dict().items()}
        apply_fsdp(toys.model, device=accelerator.device)
        toys.train_step(micro_tokens=60)(plan())
        after = full_tensors(toys.model.state_dict())
        changes["hard sharded"] = torch.cat([(before[name] - after[name]).flatten() for name in before])
        torch.save(changes, directory / f"changes-{accelerator.process_index}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
