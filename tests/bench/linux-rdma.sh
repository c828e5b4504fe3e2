#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: linux-rdma.sh [--smoke] [--counted] [JSON-FILE]
#
# Both our ends beside Linux' own, NVMe over soft RDMA in one guest: commands a
# second and the tail of fio on nvme-rdma and of leap-perf, each on nvmet-rdma and
# on socp, which keep their data in memory. All four take turns. A guest's
# processors are emulated: only the ratios say anything. With --counted the
# guest's clock counts its instructions: then they do not depend on what else the
# machine does, but it takes longer.

runs=5 seconds=2 limit=900 qemu=
[ "${1:-}" != --smoke ] || { runs=2 seconds=1; shift; }
[ "${1:-}" != --counted ] || {
	seconds=1 limit=5400 qemu='-- -icount shift=3,sleep=off'
	shift
}
json=${1:-}
. "$(dirname "$(realpath "$0")")/../interop/lib.sh"

rxe=$(ls /usr/lib/*/libibverbs/librxe-*.so 2>/dev/null | head -n 1)
socp=$(real_program socp)
perf=$(real_program leap-perf)
work_open
[ -n "$socp" ] && [ -n "$perf" ] || bail "socp and leap-perf are not built"
[ -n "$rxe" ] || bail "ibverbs-providers is not installed"
export LD_LIBRARY_PATH="$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
ldd "$socp" | grep -q librdmacm || bail "socp is built without RDMA"
lab_ready
# shellcheck disable=SC2086 # qemu is a list of words
"$VM/guest.sh" --script "$TOP/tests/bench/linux-rdma-guest.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
	--file "$HERE/commands.sh:/run/commands.sh" \
	--file "$rxe:$rxe" \
	--prog "$socp:/usr/bin/socp" --prog "$perf:/usr/bin/leap-perf" \
	--env "NQN=$NQN" --env "RUNS=$runs" --env "SECONDS_EACH=$seconds" \
	--with nvme --with fio --with rdma \
	--smp 4 --mem 1536 --timeout $limit \
	--module dummy --module crc32_generic --module rdma_rxe \
	--module rdma_ucm --module nvme-rdma --module nvmet-rdma \
	--module 'brd rd_nr=1 rd_size=65536' $qemu \
	>"$WORK/console" 2>&1 || {
	tail -n 30 "$WORK/console" >&2
	exit 1
}
python3 - "$WORK/console" "$json" "$seconds" <<'END'
import json, statistics, sys

samples, order = {}, []
for line in open(sys.argv[1], errors="replace"):
    if not line.startswith("@sample "):
        continue
    host, target, op, depth, iops, tail = line.split()[1:]
    key = (op, int(depth), host, target)
    if key not in samples:
        samples[key] = []
        order.append(key)
    samples[key].append((float(iops), float(tail) / 1000))

def row(key):
    iops = sorted(s[0] for s in samples[key])
    tails = sorted(s[1] for s in samples[key])
    base = statistics.median(
        s[0] for s in samples[key[:2] + ("nvme-rdma", "nvmet")])
    base_tail = statistics.median(
        s[1] for s in samples[key[:2] + ("nvme-rdma", "nvmet")])
    m, t = statistics.median(iops), statistics.median(tails)
    return {"op": key[0], "depth": key[1], "host": key[2], "target": key[3],
            "runs": len(iops), "iops": round(m), "iops_min": round(iops[0]),
            "iops_max": round(iops[-1]), "ratio": round(m / base, 2),
            "p99_9_us": round(t), "p99_9_min": round(tails[0]),
            "p99_9_max": round(tails[-1]),
            "p99_9_ratio": round(t / base_tail, 2)}

rows = [row(k) for k in sorted(order)]
if not rows:
    sys.exit("no samples")
keys = list(rows[0])
wide = [max(len(k), *(len(str(r[k])) for r in rows)) for k in keys]
print("# 4 KiB, one I/O queue, ratios to nvme-rdma on nvmet; a sample is "
      + sys.argv[3] + " s")
print("  ".join(k.ljust(w) for k, w in zip(keys, wide)))
for r in rows:
    print("  ".join(str(r[k]).ljust(w) for k, w in zip(keys, wide)))
if sys.argv[2]:
    with open(sys.argv[2], "w") as f:
        json.dump({"bench": "linux-rdma", "unit": "commands a second, "
                   "medians, inside an emulated guest", "results": rows}, f)
END
