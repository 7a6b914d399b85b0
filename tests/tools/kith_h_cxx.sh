#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: kith_h_cxx.sh SOURCE_DIR CC
#
# client/kith.h is a C++ header too, with C linkage. Skipped where CC does not speak C++.
set -eu

cd "$1"
echo 'int main() { return 0; }' | "$2" -x c++ -fsyntax-only - 2>/dev/null || exit 77
"$2" -std=c++11 -pedantic-errors -Wall -Wextra -Werror -Iclient -x c++ -S -o - - <<'END' | grep -q 'kith_search$\|kith_search@PLT'
#include <kith.h>

extern "C" int use(struct kith_conn *conn, const float *query);

extern "C" int use(struct kith_conn *conn, const float *query)
{
	struct kith_search_params params = {};

	params.collection = kith_text("notes");
	params.namespace_ = kith_text("home");
	params.vectors = kith_vectors(query, 4);
	return kith_search(conn, &params, nullptr);
}
END
