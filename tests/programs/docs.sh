# SPDX-License-Identifier: BSD-3-Clause
# What the documents say is there: files and names that they mention, options and
# commands of the programs, layers; their C compiles, the README's program runs.
top_srcdir=$(cd "$top_srcdir" && pwd)
top_builddir=$(cd "$top_builddir" && pwd)
. "$top_srcdir/tests/programs/lib.sh"

hook=$(binary "$top_builddir/examples/femu-hook/femu-hook")
cd "$top_srcdir" || exit 1
pages="README.md HACKING.md SECURITY.md NEWS scripts/vm/README.md
	$(echo docs/*.md docs/man/*.[137])"

# spans FILE: what stands between backquotes, a line each
spans() {
	sed '/^```/,/^```/d; /^    /d' "$1" | tr '\n' ' ' |
		grep -o '`[^`]*`' | tr -d '`' | sed 's/  */ /g'
}

# commands FILE: spans, and lines of examples, those that go on joined
commands() {
	case $1 in
	*.md) spans "$1" ;;
	esac
	sed -n 's/^\(    \|	\)//p; /^\.Bd/,/^\.Ed/{s/\\e$/\\/; /^[^.]/p;}' "$1" |
		sed -e ':a' -e '/\\$/{N;s/\\\n//;ba' -e '}' -e 's/  *#.*//'
}

# --- files ---
find . \( -path ./build -o -name .git -o -name _build \) -prune -o \
	-type f -print >"$tmp/files"
is_there() {	# PATH: all of one, or its end; a program's, or a folder's
	pattern=$(echo "${1%/}" | sed 's,\.,\\.,g; s,\*,[^/]*,g')
	grep -Eq "/$pattern(\.c|\.sh|/.*)?\$" "$tmp/files"
}
for page in $(echo "$pages" | tr ' ' '\n' | grep '\.md$'); do
	missing=
	for name in $(spans "$page" | sed 's/ .*//; s,^\.\.*/,,' | grep -E \
		-e '^(bench|test|hello)-[a-z-]+$' \
		-e '^[a-zA-Z0-9_.*-]+(/[a-zA-Z0-9_.*/-]*|\.(c|h|sh|md|map))$' |
		grep -vE '^build/|/[A-Z]+(/|$)' | sort -u); do
		is_there "$name" || missing="$missing $name"
	done
	for name in $(grep -o '](\([^):#]*\)[#)]' "$page" | tr -d ']()#'); do
		[ -e "$(dirname "$page")/$name" ] || missing="$missing $name"
	done
	is "$page: the files that it names are there" "$missing" ""
done

# --- names ---
find include src m4 configure.ac docs/man -type f | xargs cat |
	grep -Eo '(leap|LEAP)_[A-Za-z0-9_]+' | sort -u >"$tmp/names"
find include -type f | xargs cat | grep -Eo '(leap|LEAP)_[A-Za-z0-9_]+' |
	sort -u >"$tmp/public"
for page in $pages; do
	case $page in
	*.3) grep -Eo '\b(leap_[a-z0-9_]+|LEAP_[A-Z]+_[A-Z0-9_]+)' "$page" |
		grep -vx "$(basename "$page" .3)" >"$tmp/has" ;;
	*) grep -Eo '\b(leap|LEAP)_[A-Za-z0-9_]+\b' "$page" >"$tmp/has" ;;
	esac
	case $page in
	*.3) sed -n 's/^\.Xr \(leap_[a-z]*\) .*/\1/p' "$page" |
		cat "$tmp/public" - | sort -u >"$tmp/known" ;;
	*) sort -u "$tmp/names" >"$tmp/known" ;;
	esac
	is "$page: the names that it mentions are there" "$(sort -u "$tmp/has" |
		grep -Evx 'leap_+noun_verb' | comm -23 - "$tmp/known")" ""
done

# --- pages of the manual ---
is "pages refer to pages that are there" "$(
	sed -n 's/^\.Xr \([a-z_-]*\) \([137]\).*/\1.\2/p' docs/man/* | sort -u |
		while read -r name; do
			[ -e "docs/man/$name" ] || echo "$name"
		done)" ""
is "every page of the library is in leapio.7" "$(
	for page in docs/man/*.3; do
		name=$(basename "$page" .3)
		grep -q "^\.Xr $name 3" docs/man/leapio.7 || echo "$name"
	done)" ""

# --- options and commands ---
for page in $pages; do commands "$page"; done >"$tmp/commands"
known() {	# PROGRAM HELP-COMMAND...: lines that begin with it have its options
	prog=$1
	shift
	"$@" >"$tmp/help" 2>&1
	sed -n "s,^\(# \|[A-Z_]*=[^ ]* \)*\([^ ]*/\)*$prog\( \|$\),,p" \
		"$tmp/commands" |
		sed 's/ -- .*//; s/[|&;].*//' >"$tmp/lines"
	ok "$prog is in an example" test -s "$tmp/lines"
	is "$prog has the options of the documents" "$(
		grep -Eo -- '(^| )--[a-z-]+' "$tmp/lines" | sort -u |
			while read -r option; do
				grep -Eq -- "$option([^a-z-]|\$)" "$tmp/help" ||
					echo "$option"
			done)" ""
}
known socp "$socp" --help
known femu-hook "$hook" --help
known leap-perf "$perf" --help
known leap-hostd sh -c "'$hostd' --help; '$hostd' devices --help"
known leapctl "$leapctl" --help
is "leapctl has the commands of the documents" "$(
	sed 's/--control [^ ]*//; s/--json//; s/^ *//' "$tmp/lines" |
		grep -Eo '^[a-z]+( (add|remove|list|allow|deny|resize|disconnect))?' |
		sort -u | while read -r command; do
			grep -q -- "^  ${command% list}" "$tmp/help" ||
				echo "$command"
		done)" ""
known test.sh cat scripts/test.sh
known quickstart.sh cat scripts/quickstart.sh
known configure cat configure configure.ac

# --- layers ---
"$socp" --layers >"$tmp/layers"
is "leap_bdev.3 has every layer and option" "$(
	sed 's/^  *//; s/  .*//' "$tmp/layers" | tr ',' '\n' |
		sed 's/^ *\([a-z_]*\).*/\1/' | sort -u | while read -r word; do
			grep -q "\b$word\b" docs/man/leap_bdev.3 || echo "$word"
		done)" ""

# --- code ---
n_code=0
for page in $(echo "$pages" | tr ' ' '\n' | grep '\.md$'); do
	awk -v base="$tmp/${page##*/}" '/^```/ { on = 0 }
		on { print >base "." n ".c" }
		/^```c$/ { n++; on = 1 }' "$page"
done
for code in "$tmp"/*.md.*.c; do
	ok "${code##*/} compiles" $CC -std=c11 -Wall -Wextra -Werror -I include \
		-c -o "$code.o" "$code"
done
serve() {	# PORT: build and start the README's program
	sed "s/:4420/:$1/" "$tmp/README.md.1.c" >"$tmp/disk.c"
	$CC -std=c11 -I include -c -o "$tmp/disk.o" "$tmp/disk.c" &&
		"$top_builddir/libtool" --silent --tag=CC --mode=link $CC \
			-o "$tmp/disk" "$tmp/disk.o" "$top_builddir/libleapio.la" ||
		return 1
	"$(binary "$tmp/disk")" >"$tmp/disk.out" 2>&1 &
	pid=$!
	url=tcp://127.0.0.1:$1/nqn.2024-01.io.example:disk
	wait_for 10 "$perf" --quiet --count 1 "$url" && kill -0 "$pid"
}
# Of builds with sanitizers this one has no part.
if [ -z "$LEAP_INSTRUMENTED" ]; then
	# As printed; elsewhere, when somebody has the port.
	ok "the README's program serves" \
		eval 'serve 4420 || serve $((20000 + $$ % 10000))'
	ok "what is written to it is read" "$perf" --verify --quiet \
		--count 2000 "$url"
	stop_socp TERM 2>/dev/null	# the shell says so
fi
plan
