#!/bin/sh
# lint.sh - everything that can be said of the sources without running them. `make lint` runs it.
#
# All checks run, also after one has failed; the last line says how many files were looked at.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
jobs=$(nproc)
problems=0

c_files=$(find core examples tests -name '*.[ch]' | sort)
lua_files=$(find lua scripts examples tests -name '*.lua' 2>/dev/null | sort)
shell_files=$(find tests scripts .ci -type f \( -name '*.sh' -o -path '.ci/*' \) 2>/dev/null | sort)

# check NAME COMMAND...: what the command prints is shown where it fails.
check() {
	name=$1
	shift
	if output=$("$@" 2>&1); then
		echo "ok      $name"
	else
		problems=$((problems + 1))
		echo "FAILED  $name"
		echo "$output" | sed '/^[0-9]* warnings* generated\.$/d; s/^/        /'
	fi
}

format() {
	clang-format --dry-run -Werror $c_files
}

# The compiler's view of a file, as in the Makefile: only the parser's files see PostgreSQL's headers.
tidy_one() {
	case $1 in
	core/sql/parse*) extra="-isystem $(pg_config --includedir-server) -isystem /usr/include/pg_query" ;;
	core/script/*) extra="-include tests/support/lua_noreturn.h" ;;
	*) extra= ;;
	esac
	clang-tidy --quiet "$1" -- -std=c11 -Icore -D_GNU_SOURCE $library_flags $extra
}

tidy() {
	library_flags=$(pkg-config --cflags lua5.4 libpq libcares libssl libcrypto libxxhash libcurl jansson)
	export library_flags
	echo "$c_files" | grep '^core/.*\.c$' | xargs -P "$jobs" -n 1 sh tests/lint.sh --tidy
}

compiles() {
	make --no-print-directory --silent --jobs "$jobs" BUILD="$build" all
}

shell_syntax() {
	status=0
	for file in $shell_files; do
		case $(head -n 1 "$file") in
		*bash*) bash -n "$file" || status=1 ;;
		*) sh -n "$file" || status=1 ;;
		esac
	done
	return $status
}

if [ "${1:-}" = --tidy ]; then
	tidy_one "$2"
	exit
fi

count() { echo "$*" | wc -w; }

check "it compiles without a warning" compiles
check "clang-format: C is formatted" format
check "clang-tidy: no likely mistakes in C" tidy
check "C files include downwards, say what they are, are short" \
	lua5.4 tests/support/check_sources.lua $c_files
check "objects: no mutable globals, libraries in their rooms, one export" \
	sh tests/support/check_symbols.sh "$build"
check "luacheck: no likely mistakes in Lua" luacheck --quiet --codes --no-color $lua_files
check "shell scripts parse" shell_syntax

echo "lint: $(count $c_files) C, $(count $lua_files) Lua and $(count $shell_files) shell files checked," \
	"$problems checks failed"
[ "$problems" -eq 0 ]
