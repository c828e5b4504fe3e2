# SPDX-License-Identifier: BSD-3-Clause
# Run every benchmark that was built: tables on stdout, JSON in bench-*.json of
# the build folder. Needs a machine with nothing else to do.
#
# usage: run.sh [--smoke] [NAME...]     NAME as in bench-NAME
set -u
cd "$top_builddir/tests/bench" || exit 1
smoke=
names=
for a in "$@"; do
	case $a in
	--smoke) smoke=--smoke ;;
	*) names="$names $a" ;;
	esac
done
[ -n "$names" ] || names=$(ls bench-* 2>/dev/null | sed -n 's/^bench-\([a-z-]*\)$/\1/p')
[ -n "$names" ] || { echo "no benchmarks here" >&2; exit 1; }

echo "# $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
	"$(nproc) cores, $(uname -sr), load $(cut -d' ' -f1-3 /proc/loadavg)"
bad=0
for n in $names; do
	echo "# bench-$n $smoke"
	if ./bench-$n $smoke --json >"$top_builddir/bench-$n.json.tmp"; then
		mv "$top_builddir/bench-$n.json.tmp" "$top_builddir/bench-$n.json"
		python3 - "$top_builddir/bench-$n.json" <<'P' 2>/dev/null ||
import json, sys
d = json.load(open(sys.argv[1]))
rows = d["results"]
keys = list(rows[0])
cell = lambda v: "%.3f" % v if isinstance(v, float) else str(v)
wide = [max(len(k), *(len(cell(r.get(k, ""))) for r in rows)) for k in keys]
print("  ".join(k.ljust(w) for k, w in zip(keys, wide)))
for r in rows:
    print("  ".join(cell(r.get(k, "")).ljust(w) for k, w in zip(keys, wide)))
P
			cat "$top_builddir/bench-$n.json"
	else
		echo "bench-$n failed" >&2
		bad=1
	fi
done
exit $bad
