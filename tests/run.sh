#!/bin/sh
# run.sh - runs the tests that `make test` has built, and adds up what the runners said.
#
#   sh tests/run.sh              all of them
#   sh tests/run.sh PART...      unit: C units, under ASan and UBSan
#                                lua: the module
#                                sanitized_module: the specs that work its C code the most, with the
#                                module under ASan and UBSan
#                                router: the router on real PostgreSQL
#                                sanitized: the same, with the router under ASan and UBSan
#                                chaos: nodes and networks that fail under load, with a checker;
#                                at length with MOONGATE_CHAOS=long
#                                patroni: three nodes under Patroni; left out where it is not installed
#
# Tests tagged #release measure memory or time, which sanitizers distort, and those tagged #slow wait most
# of their time for something that other tests do, too: what runs under sanitizers leaves both out.
# Exit status 1 where a test failed, or none ran.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
work=$build/test-run
passed=0
failed=0
skipped=0

# run NAME COMMAND...: the output is shown and kept in $log, the exit status in $result.
run() {
	log=$work/$1.log
	shift
	{
		timeout --foreground --kill-after=10 1800 "$@" 2>&1
		echo $? >"$log.status"
	} | tee "$log"
	result=$(cat "$log.status")
}

# add PASSED FAILED: a runner that failed without a failed test has crashed, or could not start.
add() {
	passed=$((passed + ${1:-0}))
	failed=$((failed + ${2:-0}))
	if [ "$result" -ne 0 ] && [ "${2:-0}" -eq 0 ]; then
		echo "FAILED  the runner ended with status $result: see $log"
		failed=$((failed + 1))
	fi
	[ "$result" -eq 0 ] || remember "${2:-0}"
}

# remember FAILED: what the runner said of what failed is told once more at the end, as outputs are long.
remember() {
	{
		printf '\nFrom %s:\n' "$log"
		sed -n -e '/^[0-9]* success.* \/ /,$p' -e '/^\[  *\(ERROR\|LINE\|FAILED\) *\]/p' "$log" | head -n 100
		[ "$1" -gt 0 ] || tail -n 20 "$log"
	} >>"$work/failures"
}

# The number that the sed expression $1 marks in the last line of $log that it matches.
total() {
	sed -n "s/$1/\1/p" "$log" | tail -n 1
}

unit() {
	for source in tests/core/test_*.c; do
		name=$(basename "$source" .c)
		run "$name" "$build/asan/tests/$name"
		add "$(total '^\[  PASSED  \] \([0-9]*\) test.*')" "$(total '^ \([0-9]*\) FAILED TEST.*')"
	done
}

# specs NAME PLACES [OPTION...]: the places are a folder or files, parted by blanks.
specs() {
	name=$1
	places=$2
	shift 2
	run "$name" lua5.4 /usr/bin/busted --output=tests/support/reporter.lua \
		--helper=tests/support/helper.lua --pattern='_spec%.lua$' \
		"$@" -- $places
	add "$(total '^\([0-9]*\) passed, .*')" "$(total '^[0-9]* passed, \([0-9]*\) failed$')"
}

# The module lives in a Lua without sanitizers: there glibc overwrites what is freed. Under sanitizers
# there are some of these specs only: see below.
module() {
	export MALLOC_PERTURB_=165
	specs lua tests/lua
	unset MALLOC_PERTURB_
}

router() {
	export MOONGATE_BIN="$build/moongate"
	specs router tests/router
}

chaos() {
	export MOONGATE_BIN="$build/moongate"
	specs chaos tests/chaos
}

# Three nodes under Patroni, and etcd: a switchover and a failover under load. Optional.
patroni() {
	for program in etcd patroni patronictl; do
		command -v "$program" >/dev/null && continue
		echo "patroni: there is no $program here (make deps-patroni): its tests are left out"
		skipped=1
		return
	done
	export MOONGATE_BIN="$build/moongate"
	specs patroni tests/patroni
}

# What the sanitizers of other processes have to say, they leave in files of this folder.
reports_of() {
	reports=$(pwd)/$work/reports-$1
	mkdir -p "$reports"
	asan_options="log_path=$reports/report:detect_leaks=1"
	ubsan_options="log_path=$reports/report:print_stacktrace=1"
}

# add_reports WHOSE
add_reports() {
	for report in "$reports"/*; do
		[ -e "$report" ] || continue
		echo "FAILED  the $1's sanitizers reported:"
		tee -a "$work/failures" <"$report"
		failed=$((failed + 1))
	done
}

sanitized() {
	reports_of router
	export ASAN_OPTIONS="$asan_options" UBSAN_OPTIONS="$ubsan_options"
	export MOONGATE_BIN="$build/asan/moongate"
	specs sanitized tests/router --exclude-tags=release,slow
	unset ASAN_OPTIONS UBSAN_OPTIONS
	add_reports router
}

# A lua5.4 that has the sanitizers in it, for the tests and the applications that they start, however
# little of the environment those are given. Other programs, PostgreSQL's above all, go without.
# Glibc itself never frees what it learns from LOCPATH.
sanitized_lua() {
	echo "leak:__argz_add_sep" >"$work/suppressions"
	mkdir -p "$work/bin"
	cat >"$work/bin/lua5.4" <<-END
		#!/bin/sh
		export ASAN_OPTIONS="$asan_options" UBSAN_OPTIONS="$ubsan_options"
		export LSAN_OPTIONS="suppressions=$(pwd)/$work/suppressions:print_suppressions=0"
		export LD_PRELOAD="$(${CC:-gcc} -print-file-name=libasan.so) $(${CC:-gcc} -print-file-name=libubsan.so)"
		exec $(command -v lua5.4) -e 'require("luv").os_unsetenv("LD_PRELOAD")' "\$@"
	END
	chmod +x "$work/bin/lua5.4"
}

sanitized_module() {
	reports_of module
	sanitized_lua
	places=
	for name in abandoned call convoy copy listen notice pipeline pool prepare stream task types; do
		places="$places tests/lua/${name}_spec.lua"
	done
	before=$PATH
	# The option, as .busted names the other module, which goes before what LUA_CPATH says.
	export PATH="$(pwd)/$work/bin:$PATH"
	specs sanitized_module "$places" --exclude-tags=release,slow --cpath="$build/asan/lib/?.so"
	export PATH="$before"
	add_reports module
}

# do_parts PART...
do_parts() {
	for part; do
		case $part in
		unit | sanitized_module | router | sanitized | chaos | patroni) $part ;;
		lua) module ;;
		*)
			echo "run.sh: there is no part \"$part\": unit, lua, sanitized_module, router, sanitized, chaos, patroni" >&2
			exit 2
			;;
		esac
	done
}

# Most tests wait most of their time for something, so that two lots of them take little longer than one.
# They share nothing. What loads the machine on purpose comes after, alone.
all() {
	beside=$work/beside
	(
		do_parts unit lua sanitized
		echo "$passed $failed" >"$beside.counts"
	) >"$beside.log" 2>&1 &
	trap 'trap - INT; kill 0' INT # the shell keeps Ctrl-C from what is in the background
	do_parts router sanitized_module
	wait
	printf '\nBeside those:\n\n'
	cat "$beside.log"
	beside_passed=0
	beside_failed=1
	[ ! -e "$beside.counts" ] || read -r beside_passed beside_failed <"$beside.counts"
	passed=$((passed + beside_passed))
	failed=$((failed + beside_failed))
	do_parts chaos patroni
}

export LUA_PATH="lua/?.lua;lua/?/init.lua;tests/?.lua;;"
export LUA_CPATH="$build/lib/?.so;;"
rm -rf "$work"
mkdir -p "$work"
if [ $# -eq 0 ]; then
	all
else
	do_parts "$@"
fi

[ ! -e "$work/failures" ] || cat "$work/failures"
echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
