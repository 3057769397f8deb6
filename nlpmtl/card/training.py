"""Section of a model card: training data and hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nlpmtl.card.card_data import DYNAMICS_PLOT, LEARNING_CURVE_PLOT, CardData, CardDataset
from nlpmtl.card.markdown import code, escape, table


def training(card: CardData) -> list[str]:
    """Return the section with the plots of the training, the datasets, the hyperparameters and the environment."""
    plots = [(path, card.plots[path]) for path in (LEARNING_CURVE_PLOT, DYNAMICS_PLOT) if path in card.plots]
    return [
        "## Training",
        "",
        *(line for path, alt in plots for line in (f"![{escape(alt)}]({path})", "")),
        *table(
            ("dataset", "source", "licence", "train rows", "validation rows", "tasks"),
            map(_dataset, card.datasets),
        ),
        *(f"- {line}" for line in _settings(card)),
        "",
    ]


def _dataset(dataset: CardDataset) -> tuple[str, ...]:
    tasks = dict.fromkeys(task for counts in dataset.label_counts.values() for task in counts)
    licence = dataset.data_config.get("license")
    return (
        code(dataset.name),
        _origin(dataset),
        escape(licence) if licence else "not stated",
        _rows(dataset, "train"),
        _rows(dataset, "validation"),
        ", ".join(map(code, tasks)),
    )


def _origin(dataset: CardDataset) -> str:
    if dataset.hub_id is None:
        return "local files"
    parts = [dataset.hub_id, dataset.data_config.get("subset"), dataset.data_config.get("revision")]
    return " ".join(code(part) for part in parts if part)


def _rows(dataset: CardDataset, split: str) -> str:
    if split not in dataset.rows:
        return "–"
    notes = ["held out of train"] * (split == "validation" and bool(dataset.held_out))
    notes += ["subsampled"] * (split in dataset.subsampled)
    return f"{dataset.rows[split]:,}" + (f" ({', '.join(notes)})" if notes else "")


def _settings(card: CardData) -> Iterator[str]:
    config, run = card.config, card.run
    train = config["train"]
    yield f"{card.steps:,} steps with a batch size of {train['batch_size']}; weights of step {card.best_step:,}"
    yield "; ".join(f"{part}: {_kind(config[part])}" for part in ("sampling", "weighting", "sharing"))
    schedule = train["schedule"]
    yield (
        f"{_kind(config['optimizer'])}, learning rate {train['lr']:g} ({_other_rates(config)}), "
        f"weight decay {train['weight_decay']:g}, maximum gradient norm {train['max_grad_norm']:g}, "
        f"{code(schedule) if isinstance(schedule, str) else _kind(schedule)} schedule with a warm-up of "
        f"{train['warmup']:.0%} of the steps"
    )
    frozen = ", encoder frozen" if config["encoder"]["freeze"] else ""
    if config["encoder"]["freeze_layers"] is not None:
        frozen = f", embeddings and the lowest {config['encoder']['freeze_layers']} layers frozen"
    yield f"precision {code(run['precision'])}, seed {run['seed']}, input up to {card.input_length} tokens{frozen}"
    machine = run["machine"]
    processor = machine.get("accelerator") or machine["processor"]
    processes = "1 process" if run["processes"] == 1 else f"{run['processes']} processes"
    yield f"{processes} on {code(run['device'])} ({escape(str(processor))}), {code(machine['system'])}"
    yield ", ".join(f"{escape(name)} {escape(version)}" for name, version in run["versions"].items())


def _other_rates(config: Mapping[str, Any]) -> str:
    """Return the learning rates that differ from that of the encoder's last layer."""
    train = config["train"]
    parts = [f"heads: {train['head_lr'] or train['lr']:g}"]
    tasks = {name: task for dataset in config["datasets"].values() for name, task in dataset["tasks"].items()}
    parts += [f"{code(name)}: {task['lr']:g}" for name, task in tasks.items() if task["lr"] is not None]
    if train["layer_decay"] < 1:
        parts.append(f"times {train['layer_decay']:g} from a layer to the one below it")
    return "; ".join(parts)


def _kind(options: Mapping[str, Any]) -> str:
    """Return a kind, and the options that are set."""
    others = [f"{key} = {value}" for key, value in options.items() if key != "kind" and value not in (None, {}, [])]
    return code(options["kind"]) + (f" ({', '.join(map(code, others))})" if others else "")
