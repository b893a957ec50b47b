#!/bin/sh
# check_symbols.sh - proves of what was built: no mutable variable outlives a function but in main.c, each
# library is called from its room alone, the Lua module exports one symbol, and the C library those of
# moongate.h.
#
#   sh check_symbols.sh BUILD        exit status 1 where it is not so
#
# Objects tell the truth where sources can hide behind macros and transitive includes.
set -u
build=$1
status=0

# nm -f sysv: name|value|class|type|size|line|section. Tables of pointers lie in .data.rel.ro, which is
# read-only once the loader is done.
mutable_variables() {
	nm -f sysv "$1" | awk -F'|' -v file="$1" '
		{ gsub(/ /, "", $1); gsub(/ /, "", $3); gsub(/ /, "", $7) }
		$3 ~ /^[bBdDcCsS]$/ && $7 !~ /^\.data\.rel\.ro/ {
			print file ": mutable variable " $1 " (" $7 ")"; found = 1
		}
		END { exit found }'
}

foreign_calls() {
	nm -u "$1" | awk -v file="$1" '
		function only(pattern, room) {
			if ($2 ~ pattern && file !~ "/core/" room "/") {
				print file ": calls " $2 ", which only core/" room " may"; found = 1
			}
		}
		{ only("^luaL?_", "script"); only("^PQ", "(cluster|script|router|api)"); only("^ares_", "cluster"); only("^(curl_easy|curl_multi|curl_url|json_object|json_load)", "cluster")
		  only("^pg_query_", "sql"); only("^MHD_", "router") }
		END { exit found }'
}

exports() {
	nm -D --defined-only "$1" | awk -v file="$1" '
		$3 != "luaopen_moongate_core" { print file ": exports " $3; found = 1 }
		$3 == "luaopen_moongate_core" { entry = 1 }
		END { if (!entry) print file ": does not export luaopen_moongate_core"
		      exit found || !entry }'
}

# The functions that core/moongate.h declares.
declared=$(tr '\n' ' ' <core/moongate.h | grep -o 'MOONGATE_API [^(;]*(' | grep -o 'moongate_[a-z_]*($' | tr -d '(' | sort)

# exports_declared LIBRARY NM_OPTION
exports_declared() {
	exported=$(nm "$2" --defined-only --extern-only "$1" | awk 'NF == 3 { print $3 }' | sort)
	[ "$exported" = "$declared" ] && return
	echo "$1: exports" $exported "and not" $declared
	return 1
}

for object in "$build"/core/*/*.o; do
	[ -e "$object" ] || { echo "$build: no objects; run make all" && exit 1; }
	source=core/${object#"$build"/core/}
	[ -e "${source%.o}.c" ] || continue # left over from a file that is gone
	[ "$source" = core/router/main.o ] || mutable_variables "$object" || status=1
	foreign_calls "$object" || status=1
done
exports "$build/lib/moongate/core.so" || status=1
exports_declared "$build/lib/libmoongate.so" -D || status=1
exports_declared "$build/lib/libmoongate.a" -g || status=1
exit $status
