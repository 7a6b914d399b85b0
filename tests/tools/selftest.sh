#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: selftest.sh SOURCE_DIR CC
#
# The checks find what they are for: each is run on a small good tree, where it passes, and on the
# same tree with one violation, where it fails and names it.
set -eu

source=$1
cc=$2
tools=$source/tests/tools
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
bad=0

# A licence line for a file of the tree; the check must not take this script's for one.
spdx='SPDX-License-Identifier: Apache-2.0'

good_tree() {
	rm -rf "$tree"
	mkdir -p "$tree/protocol" "$tree/storage" "$tree/index" "$tree/daemon" "$tree/client" \
		"$tree/tests/unit" "$tree/systemd"
	for folder in protocol storage index; do
		printf '/* %s */\n#pragma once\n#include <stdint.h>\nuint32_t %s_it(void);\n' "$spdx" \
			$folder >"$tree/$folder/$folder.h"
	done
	printf '/* %s */\n#include <uv.h>\n#include "index/index.h"\n#include "storage/storage.h"\n' \
		"$spdx" >"$tree/daemon/daemon.c"
	printf '/* %s */\n#pragma once\n#include <stddef.h>\n' "$spdx" >"$tree/client/kith.h"
	printf 'see [the code](.%s)\n' ./daemon/daemon.c >"$tree/protocol/PROTOCOL.md"
	cp "$source/systemd/kithd.socket" "$source/systemd/kithd.service.in" "$tree/systemd"
	printf '#!/bin/sh\n# %s\ncat <<END\n  --size N  how much [5, 1 to 9 MiB]\n  --help  this\nEND\n' \
		"$spdx" >"$tree/program"
	chmod +x "$tree/program"
	printf '.\\" %s\n.TP\n.BI \\-\\-size " N"\nSize.\n.TP\n.B \\-\\-help\nThis.\n' "$spdx" \
		>"$tree/program.8"
	printf '.\\" %s\n.TP\n.BI size " = " N\nSize\n[5, 1 to 9 MiB].\n' "$spdx" >"$tree/conf.5"
}

run_check() {
	case $1 in
	headers_alone) "$tools/headers_alone.sh" "$tree" "$cc" -std=gnu17 -Wall -Wextra -Werror ;;
	man_options) "$tools/man_options.sh" "$tree/program" "$tree/program.8" "$tree/conf.5" ;;
	units) "$tools/units.sh" "$tree" "$tree/program" ;;
	*) "$tools/$1.sh" "$tree" ;;
	esac
}

# finds CHECK WORDS: the tree as it is now fails the check, which says WORDS.
finds() {
	status=0
	said=$(run_check "$1" 2>&1) || status=$?
	if [ $status = 77 ]; then
		echo "$1 cannot run here"
	elif [ $status = 0 ] || ! printf '%s\n' "$said" | grep -qF -e "$2"; then
		printf '%s did not find: %s (exit status %s)\n%s\n' "$1" "$2" $status "$said"
		bad=1
	fi
	good_tree
}

good_tree
for check in layering headers_alone sources seam man_options units; do
	status=0
	said=$(run_check $check 2>&1) || status=$?
	if [ $status != 0 ] && [ $status != 77 ]; then
		printf '%s fails on a good tree:\n%s\n' $check "$said"
		bad=1
	fi
done

echo '#include "daemon/daemon.h"' >>"$tree/index/index.h"
touch "$tree/daemon/daemon.h"
finds layering 'index/index.h:5: must not include "daemon/daemon.h"'
echo '#include "index/index.h"' >>"$tree/storage/storage.h"
finds layering 'storage/storage.h:5: must not include "index/index.h"'
echo '#include "storage/storage.h"' >>"$tree/client/kith.h"
finds layering 'client/kith.h:4: must not include "storage/storage.h"'
printf '/* %s */\n' "$spdx" >"$tree/tests/unit/lib.h"
echo '# include "tests/unit/lib.h"' >>"$tree/daemon/daemon.c"
finds layering 'daemon/daemon.c:5: must not include "tests/unit/lib.h"'
echo '#include "protocol.h"' >>"$tree/protocol/protocol.h"
finds layering 'protocol/protocol.h:5: "protocol.h" is not a path from the root'
echo '#include <sqlite3.h>' >>"$tree/daemon/daemon.c"
finds layering 'daemon/daemon.c:5: must not include <sqlite3.h>'
echo '#include <uv.h>' >>"$tree/storage/storage.h"
finds layering 'storage/storage.h:5: must not include <uv.h>'
echo '#include <curl/curl.h>' >>"$tree/daemon/daemon.c"
finds layering 'daemon/daemon.c:5: must not include <curl/curl.h>'
echo '#include <sys/socket.h>' >>"$tree/protocol/protocol.h"
finds layering 'protocol/protocol.h:5: must not know <sys/socket.h>'
mkdir "$tree/extras"
echo '#include <stdio.h>' >"$tree/extras/extra.c"
finds layering 'extras/extra.c:1: layering.sh has no rule for this folder'

echo 'size_t too_early(void);' >>"$tree/protocol/protocol.h"
finds headers_alone 'protocol/protocol.h does not compile alone'
sed -i '/#pragma once/d' "$tree/index/index.h"
echo 'struct twice { int x; };' >>"$tree/index/index.h"
finds headers_alone 'index/index.h does not compile alone'
echo '#include "protocol/protocol.h"' >>"$tree/client/kith.h"
finds headers_alone "client/kith.h is not for everybody's compiler"

echo 'int x;' >"$tree/storage/bare.c"
finds sources 'storage/bare.c (no SPDX line)'
echo 'int x;' >"$tree/storage/bare.cc"
finds sources 'storage/bare.cc (no SPDX line)'
echo 'int x;' >"$tree/bootstrap"
finds sources 'bootstrap (no SPDX line)'
printf '/* %s%s: later */\n' TO DO >>"$tree/daemon/daemon.c"
finds sources 'later */ (finish it or file an issue)'
printf '/* see .%s */\n' ./elsewhere/notes >>"$tree/daemon/daemon.c"
finds sources 'elsewhere/notes (leads out of the tree)'
printf 'see [it](.%s)\n' ./elsewhere/notes.md >"$tree/protocol/PROTOCOL.md"
finds sources 'elsewhere/notes.md (leads out of the tree)'
printf '/* see %s%s */\n' / scratch/notes >>"$tree/daemon/daemon.c"
finds sources "an absolute path that is not the system's"

printf '/* %s */\nint f(void)\n{\n\treturn unlink("x");\n}\n' "$spdx" >"$tree/storage/around.c"
finds seam 'storage/around.c:4: goes around the I/O seam'
printf 'static inline int g(const char *x)\n{\n\treturn access(x, 0);\n}\n' >>"$tree/daemon/daemon.h"
finds seam 'daemon/daemon.h:3: goes around the I/O seam'
printf '/* %s */\nint f(void)\n{\n\treturn sqlite3_open("x", 0);\n}\n' "$spdx" >"$tree/storage/sql.c"
finds seam 'storage/sql.c:4: goes around the I/O seam'

sed -i '/size/d' "$tree/program.8"
finds man_options '--size is missing'
sed -i '/--help/d' "$tree/program"
finds man_options 'has no --help'
sed -i '/BI size/d' "$tree/conf.5"
finds man_options 'size is missing'
sed -i 's/1 to 9/1 to 8/' "$tree/program"
finds man_options 'size does not say [5, 1 to 8 MiB]'
printf '.TP\n.BI colour " = " N\nNone.\n' >>"$tree/conf.5"
finds man_options 'has no key colour'

sed -i 's/^Restart=.*/&\nRestrat=on-failure/' "$tree/systemd/kithd.service.in"
finds units 'Restrat'
sed -i 's/^DirectoryMode=.*/&\nBacklog=many/' "$tree/systemd/kithd.socket"
finds units 'many'
sed -i 's/^SocketMode=.*/SocketMode=0666/' "$tree/systemd/kithd.socket"
finds units "kithd.socket: no line 'SocketMode=0600'"
sed -i '/^StateDirectory=/d' "$tree/systemd/kithd.service.in"
finds units "kithd.service.in: no line 'StateDirectory=kith'"
rm "$tree/program"
finds units 'is not executable'

exit $bad
