#!/bin/sh
# Puts the sources of PostgreSQL 15's regression suite under the folder $1, from Debian's source package, and
# builds the C library of test functions that they load. Ends with status 3 where that can't be had.
#
# apt gets lists, cache and sources of its own in there: nothing of the system's is changed. The newest version
# that the mirror has is taken, which may be a minor release away from the server's.
# SPDX-License-Identifier: MIT
set -eu

dest=$1
suite=$dest/suite

missing() {
	echo "regress: skipped: $*" >&2
	exit 3
}

# Debian's own entries alone, as sources: others don't have PostgreSQL's, or have another one.
debian_sources() {
	for file in /etc/apt/sources.list.d/*.sources; do
		[ -e "$file" ] || continue
		awk 'BEGIN { RS = ""; ORS = "\n\n" } /URIs:[^\n]*debian/' "$file" | sed 's/^Types:.*/Types: deb-src/'
	done > "$dest/apt/parts/debian.sources"
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -n 's/^deb \(.*debian.*\)/deb-src \1/p' > "$dest/apt/parts/debian.list"
}

own_apt() {
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dest/apt/parts" \
		-o Dir::State::Lists="$dest/apt/lists" -o Dir::Cache="$dest/apt/cache" "$@"
}

download() {
	mkdir -p "$dest/apt/parts" "$dest/apt/lists/partial" "$dest/apt/cache/archives/partial"
	debian_sources
	own_apt apt-get update > "$dest/apt.log" 2>&1 || return 1
	for version in $(own_apt apt-cache showsrc postgresql-15 2>/dev/null | sed -n 's/^Version: //p' | sort -rV); do
		(cd "$dest/apt" && own_apt apt-get source --only-source --download-only \
			"postgresql-15=$version") >> "$dest/apt.log" 2>&1 && return 0
	done
	return 1
}

unpack() {
	mkdir "$dest/unpacked"
	tar -xf "$1" -C "$dest/unpacked" --strip-components=1 --wildcards '*/src/test/regress'
	mv "$dest/unpacked/src/test/regress" "$suite.new"
	rm -r "$dest/unpacked"
	basename "$1" | sed 's/.*_\([0-9.]*\)\.orig.*/\1/' > "$suite.new/VERSION"
}

# Where PostgreSQL's own makefile would put it; two more libraries of the tests are Debian's.
build_library() {
	mkdir "$suite.new/lib"
	"${CC:-gcc}" -O1 -w -shared -fPIC -I"$(pg_config --includedir-server)" \
		-o "$suite.new/lib/regress.so" "$suite.new/regress.c"
	cp "$(pg_config --pkglibdir)/autoinc.so" "$(pg_config --pkglibdir)/refint.so" "$suite.new/lib/"
}

[ -d "$suite" ] && exit 0
rm -rf "$dest/apt" "$dest/unpacked" "$suite.new"
mkdir -p "$dest"
dest=$(cd "$dest" && pwd)
suite=$dest/suite
command -v apt-get >/dev/null || missing "there is no apt-get to fetch postgresql-15's sources with"
case $(pg_config --version 2>/dev/null) in
"PostgreSQL 15"*) ;;
*) missing "pg_config is not PostgreSQL 15's (postgresql-server-dev-15)" ;;
esac
[ -x "$(dirname "$(pg_config --pgxs)")/../test/regress/pg_regress" ] ||
	missing "there is no pg_regress (postgresql-server-dev-15)"
download || missing "apt-get source postgresql-15 does not work here, see $dest/apt.log"
unpack "$(echo "$dest"/apt/postgresql-15_*.orig.tar.*)"
build_library || missing "the suite's C functions cannot be built"
mv "$suite.new" "$suite"
rm -rf "$dest/apt"
