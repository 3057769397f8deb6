"""The part of a card that tells how a model came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlpmtl.card.card_data import DYNAMICS, LEARNING_CURVE, CardData, CardDataset
from nlpmtl.card.markdown import code, escape, table


def training(card: CardData) -> list[str]:
    """Data, settings, machine, the learning curve and what was chosen on the way."""
    shown = [(path, card.plots[path]) for path in (LEARNING_CURVE, DYNAMICS) if path in card.plots]
    return [
        "## Training",
        "",
        *(line for path, alt in shown for line in (f"![{escape(alt)}]({path})", "")),
        *table(
            ("dataset", "source", "licence", "train rows", "validation rows", "tasks"),
            map(_dataset, card.datasets),
        ),
        *(f"- {line}" for line in _settings(card)),
        "",
    ]


def _dataset(one: CardDataset) -> tuple[str, ...]:
    tasks = dict.fromkeys(task for counts in one.label_counts.values() for task in counts)
    licence = one.data_config.get("license")
    return (
        code(one.name),
        _origin(one),
        escape(licence) if licence else "not stated",
        _rows(one, "train"),
        _rows(one, "validation"),
        ", ".join(map(code, tasks)),
    )


def _origin(one: CardDataset) -> str:
    if one.hub_id is None:
        return "local files"
    parts = [one.data_config.get("subset"), one.data_config.get("revision")]
    return " ".join([code(one.hub_id), *(code(part) for part in parts if part)])


def _rows(one: CardDataset, split: str) -> str:
    if split not in one.rows:
        return "–"
    held_out = ", held out of train" if split == "validation" and one.held_out else ""
    limited = ", a part" if split in one.subsampled else ""
    return f"{one.rows[split]:,}{held_out}{limited}"


def _settings(card: CardData) -> Iterator[str]:
    config, run = card.config, card.run
    train = config["train"]
    yield f"{card.steps:,} steps of {train['batch_size']} rows; the weights are those of step {card.best_step:,}"
    yield "; ".join(f"{what}: {_kind(config[what])}" for what in ("sampling", "weighting", "sharing"))
    yield (
        f"AdamW, learning rate {train['lr']:g}, of the heads {train['head_lr'] or train['lr']:g}, weight decay "
        f"{train['weight_decay']:g}, gradients clipped at {train['max_grad_norm']:g}, schedule "
        f"{code(train['schedule'])} after a warm-up of {train['warmup']:.0%} of the steps"
    )
    frozen = "; the encoder was frozen" if config["encoder"]["freeze"] else ""
    yield f"precision {code(run['precision'])}, seed {run['seed']}, input up to {card.input_length} tokens{frozen}"
    machine = run["machine"]
    processor = machine.get("accelerator") or machine["processor"]
    processes = "1 process" if run["processes"] == 1 else f"{run['processes']} processes"
    yield f"{processes} on {code(run['device'])} ({escape(str(processor))}), {code(machine['system'])}"
    yield ", ".join(f"{escape(name)} {escape(version)}" for name, version in run["versions"].items())


def _kind(options: Mapping[str, Any]) -> str:
    """A kind, and the options that are set."""
    others = [f"{key} = {value}" for key, value in options.items() if key != "kind" and value not in (None, {}, [])]
    return code(options["kind"]) + (f" ({', '.join(map(code, others))})" if others else "")
