#!/bin/sh
# run.sh - runs the tests that `make test` has built, and adds up what the runners said.
#
#   sh tests/run.sh              all of them
#   sh tests/run.sh PART...      unit: C units, under ASan and UBSan
#                                lua: the module
#                                router: the router on real PostgreSQL
#                                sanitized: the same, with the router under ASan and UBSan
#                                chaos: nodes and networks that fail under load, with a checker;
#                                at length with MOONGATE_CHAOS=long
#                                patroni: three nodes under Patroni; left out where it is not installed
#
# Tests tagged #release measure memory or time, which sanitizers distort, and those tagged #slow wait most
# of their time for something that other tests do, too: `sanitized` leaves both out.
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
		timeout --kill-after=10 1800 "$@" 2>&1
		echo $? >"$work/status"
	} | tee "$log"
	result=$(cat "$work/status")
}

# add PASSED FAILED: a runner that failed without a failed test has crashed, or could not start.
add() {
	passed=$((passed + ${1:-0}))
	failed=$((failed + ${2:-0}))
	if [ "$result" -ne 0 ] && [ "${2:-0}" -eq 0 ]; then
		echo "FAILED  the runner ended with status $result: see $log"
		failed=$((failed + 1))
	fi
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

# specs NAME FOLDER [OPTION...]
specs() {
	name=$1
	folder=$2
	shift 2
	run "$name" lua5.4 /usr/bin/busted --output=tests/support/reporter.lua \
		--helper=tests/support/helper.lua --pattern='_spec%.lua$' \
		"$@" -- "$folder"
	add "$(total '^\([0-9]*\) passed, .*')" "$(total '^[0-9]* passed, \([0-9]*\) failed$')"
}

# The module lives in a Lua without sanitizers: there glibc overwrites what is freed.
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

# The router is a process of the tests': what its sanitizers have to say, they leave in files.
sanitized() {
	reports=$(pwd)/$work/reports
	mkdir -p "$reports"
	export ASAN_OPTIONS="log_path=$reports/report:detect_leaks=1"
	export UBSAN_OPTIONS="log_path=$reports/report:print_stacktrace=1"
	export MOONGATE_BIN="$build/asan/moongate"
	specs sanitized tests/router --exclude-tags=release,slow
	unset ASAN_OPTIONS UBSAN_OPTIONS
	for report in "$reports"/*; do
		[ -e "$report" ] || continue
		echo "FAILED  the router's sanitizers reported:"
		cat "$report"
		failed=$((failed + 1))
	done
}

export LUA_PATH="lua/?.lua;lua/?/init.lua;tests/?.lua;;"
export LUA_CPATH="$build/lib/?.so;;"
rm -rf "$work"
mkdir -p "$work"
for part in "${@:-all}"; do
	case $part in
	all)
		unit
		module
		router
		sanitized
		chaos
		patroni
		;;
	unit | router | sanitized | chaos | patroni) $part ;;
	lua) module ;;
	*)
		echo "run.sh: there is no part \"$part\": unit, lua, router, sanitized, chaos, patroni" >&2
		exit 2
		;;
	esac
done

echo
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
