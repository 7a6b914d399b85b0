#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: demo.sh KITH_DEMO KITHD
#
# What `./bootstrap demo` runs after the build, with fewer passages: it ends well, says what it is
# there to show, and leaves nothing behind.
set -eu

demo=$1
export KITHD="$2"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/tmp"
status=0
TMPDIR=$dir/tmp "$demo" --passages 1000 >"$dir/said" 2>&1 || status=$?
bad=0

fail() {
	echo "$*"
	bad=1
}

# says REGEX...: the output has a line with each
says() {
	for regex; do
		grep -qE -e "$regex" "$dir/said" || fail "the demo did not say: $regex"
	done
}

[ $status -eq 0 ] || fail "the demo ended with exit status $status"
says '^Embedded .* The embedder is lexical' '^Stored +[1-9][0-9]* passages' \
	'^ +[01]\.[0-9][0-9]  /.*, line [1-9][0-9]*$' '^Indexed +8 clients' \
	'^ +1 build ran; the graph has ([1-9][0-9]*) nodes, \1 of' \
	'^Killed +kill -9 while [1-9][0-9]* more passages' \
	'^Restarted +the first answer came [0-9]+ ms' '^ +it is right: ' \
	'^Opened +the index is .* with [1-9][0-9]* nodes from its file' '^ +0 builds ran$' \
	'^ +its answer is right: hnsw, [1-9]' \
	'^Checked +([1-9][0-9]*) of \1 acknowledged passages are there' '^All of it held\.'
[ -z "$(ls -A "$dir/tmp")" ] || fail "the demo left behind: $(ls -A "$dir/tmp")"
[ $bad -eq 0 ] || cat "$dir/said"
exit $bad
