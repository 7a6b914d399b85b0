#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: install_client.sh CMAKE BUILD_DIR CC
#
# Installs the client somewhere else and builds with it what a user would: by pkg-config against
# either library, and by find_package. Skipped without pkg-config.
set -eu

cmake=$1
build=$2
cc=$3
command -v pkg-config >/dev/null || exit 77
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

"$cmake" --install "$build" --component client --prefix "$tree/usr" >/dev/null
lib=$(dirname "$(find "$tree/usr" -name libkith.so.0)")
export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"

cat >"$tree/user.c" <<'END'
#include <kith.h>
#include <stdio.h>

int main(void)
{
	struct kith_options options = {.socket_path = "/nonexistent/kith.sock"};
	struct kith_conn *conn;

	puts(kith_version());
	return kith_connect(&options, &conn) == 0;
}
END
cat >"$tree/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(user C)
find_package(Kith 0.1 REQUIRED)
add_executable(user user.c)
target_link_libraries(user Kith::kith)
END

version=$(pkg-config --modversion kith)

# runs HOW PROGRAM
runs() {
	said=$("$2")
	if [ "$said" != "$version" ]; then
		echo "$1: says '$said', not '$version'"
		exit 1
	fi
}

# shellcheck disable=SC2046
"$cc" -o "$tree/shared" "$tree/user.c" $(pkg-config --cflags --libs kith)
runs shared "$tree/shared"
# shellcheck disable=SC2046
"$cc" -o "$tree/static" "$tree/user.c" $(pkg-config --cflags --static --libs kith |
	sed 's/-lkith/-l:libkith.a/')
LD_LIBRARY_PATH='' runs static "$tree/static"
"$cmake" -S "$tree" -B "$tree/build" -DCMAKE_PREFIX_PATH="$tree/usr" -DCMAKE_C_COMPILER="$cc" >/dev/null
"$cmake" --build "$tree/build" >/dev/null
runs cmake "$tree/build/user"
"$tree/usr/bin/kith" --version >/dev/null
[ -f "$tree/usr/share/man/man1/kith.1" ] && [ -f "$tree/usr/share/man/man3/kith.3" ]
