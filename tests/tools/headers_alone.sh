#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: headers_alone.sh SOURCE_DIR CC [FLAG]...
#
# Every header compiles without anything before it, and twice. client/kith.h, which others build
# with, does so as strict C11 and without a folder of ours in its reach.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/tree_files.sh"

cd "$1"
shift
bad=0
for header in $(tree_files -name '*.h'); do
	printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
		"$@" -I. -x c -fsyntax-only - || {
		echo "$header does not compile alone"
		bad=1
	}
done
if [ -f client/kith.h ]; then
	echo '#include <kith.h>' |
		"$1" -std=c11 -pedantic-errors -Wall -Wextra -Werror -Iclient -x c -fsyntax-only - || {
		echo "client/kith.h is not for everybody's compiler"
		bad=1
	}
fi
exit $bad
