"""Start-up time of `nlpmtl --help` and `import nlpmtl`, each in a new process, compared with Python itself.

python -m benchmarks.startup [--runs 10]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import nlpmtl": ["-c", "import nlpmtl"],
    "nlpmtl --help": ["-m", "nlpmtl", "--help"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):  # interleaved; the first round fills the disk cache and is not counted
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    print(f"{'':16}{'median s':>10}{'min s':>8}{'max s':>8}   ({runs} runs each)")
    for name, measured in times.items():
        counted = measured[1:]
        print(f"{name:16}{statistics.median(counted):10.3f}{min(counted):8.3f}{max(counted):8.3f}")


if __name__ == "__main__":
    main()
