# SPDX-License-Identifier: BSD-3-Clause
# Manual pages: their example programs compile, their markup has no errors, and
# programs list no option that their page does not have.
. "$top_srcdir/tests/programs/lib.sh"

man=$top_srcdir/docs/man
for page in "$man"/*.3; do
	awk '/^\.Sh EXAMPLES/ { on = 1 } /^\.Ed/ { show = 0 }
		show { sub(/^\\&/, ""); gsub(/\\e/, "\\"); print }
		on && /^\.Bd/ { show = 1 }' "$page" >"$tmp/example.c"
	ok "$(basename "$page") has an example" grep -q 'int main' \
		"$tmp/example.c"
	ok "$(basename "$page"): it compiles" $CC -std=c11 -Wall -Wextra \
		-Werror \
		-I"$top_srcdir/include" -c -o "$tmp/example.o" "$tmp/example.c"
done

for prog in socp leapctl leap-perf leap-hostd femu-hook; do
	case $prog in
	leap-perf) program=$perf ;;
	leap-hostd) program=$hostd ;;
	femu-hook) program=$(binary "$top_builddir/examples/femu-hook/femu-hook") ;;
	*) eval program=\$$prog ;;
	esac
	for opt in $("$program" --help 2>&1 | sed -n 's/^ .*--\([a-z-]*\).*/\1/p' |
		sort -u); do
		case $opt in help | version) continue ;; esac
		ok "$prog.1 has --$opt" grep -Eq -- "(Fl|,) -$opt( |\$)" \
			"$man/$prog.1"
	done
done

if command -v mandoc >/dev/null; then
	for page in "$man"/*.[0-9]; do
		ok "$(basename "$page"): no errors" \
			mandoc -Tlint -Werror "$page"
	done
else
	n=$((n + 1))
	echo "ok $n - markup # SKIP mandoc is not installed"
fi
plan
