#!/usr/bin/env bash
# Train on two machines: two network namespaces that are connected only by a virtual cable, torchrun with a rendezvous
# at the first; the rows and weights are compared with those of one process. Needs root and iproute2.
#
#     bash benchmarks/two_machines.sh .venv/bin/python
set -euo pipefail
python=$(realpath --no-symlinks "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'ip netns del nlpmtl-a 2> /dev/null; ip netns del nlpmtl-b 2> /dev/null; rm -rf "$work"' EXIT

ip netns add nlpmtl-a
ip netns add nlpmtl-b
ip link add cable-a netns nlpmtl-a type veth peer name cable-b netns nlpmtl-b
for side in a b; do
    ip -n "nlpmtl-$side" link set lo up
    ip -n "nlpmtl-$side" link set "cable-$side" up
done
ip -n nlpmtl-a address add 10.77.0.1/24 dev cable-a
ip -n nlpmtl-b address add 10.77.0.2/24 dev cable-b

export PYTHONPATH=$root OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false NLPMTL_CACHE=$work/cache
"$python" - "$work" << 'END'
import json, sys
from pathlib import Path
from tests.faults.harness import small_run, train_job
work = Path(sys.argv[1])
run = small_run(work / "tiny", dropout=0.0, train={"save_every": 40})
(work / "jobs.json").write_text(json.dumps([{"run": run, "output": str(work / "two"), "resume": False}]))
train_job(run, work / "one")
END

# `is_host`: torchrun finds the machine of the rendezvous by its host's name, and here both have the same one.
start() {  # side, number of the machine
    GLOO_SOCKET_IFNAME="cable-$1" ip netns exec "nlpmtl-$1" "$python" -m torch.distributed.run \
        --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-id two --rdzv-endpoint 10.77.0.1:29400 \
        --rdzv-conf "is_host=$((1 - $2))" --local-addr "10.77.0.$(($2 + 1))" -m tests.faults.harness "$work/jobs.json"
}
start a 0 &
first=$!
start b 1
wait "$first"

"$python" - "$work" << 'END'
import sys
from pathlib import Path
from tests.faults.harness import computed_rows
from tests.tiny import checkpoint, max_weight_difference
work = Path(sys.argv[1])
rows = [computed_rows(work / name) for name in ("one", "two")]
difference = max_weight_difference(checkpoint(work / "one", 40), checkpoint(work / "two", 40))
print(f"two machines: the same rows: {rows[0] == rows[1]}; weights differ by {difference:.1e} from one process")
sys.exit(rows[0] != rows[1] or difference > 1e-5)
END
