#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: valgrind.sh KITHD KITH
#
# A daemon's life under valgrind, which ends without an error and with no block of memory left: records
# come and are replaced, an index is built, searched, evicted and loaded, a backup is made, looked
# through and taken back, a collection is repaired, all of them are dropped.
set -eu

command -v valgrind >/dev/null || exit 77
kithd=$1
kith="$2 --socket"
dir=$(mktemp -d)
pid=
cleanup() {
	[ -z "$pid" ] || kill -9 "$pid" || :
	rm -rf "$dir"
}
trap cleanup EXIT

client() {
	command=$1
	shift
	$kith "$dir/run/kith.sock" "$command" "$@" >>"$dir/said" 2>&1 || {
		tail -n 5 "$dir/said"
		echo "kith $command failed"
		exit 1
	}
}

perl -e 'srand(7); print pack("l< f<*", 32, map { rand(2) - 1 } 1 .. 32) for 1 .. 1500' \
	>"$dir/notes.fvecs"
perl -e 'print qq({"id":$_,"text":"note $_","meta":{"line":$_}}\n) for 0 .. 1499' >"$dir/notes.jsonl"

valgrind --quiet --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all \
	--error-exitcode=99 --log-file="$dir/found" "$kithd" --socket "$dir/run/kith.sock" \
	--data-dir "$dir/data" --cache-dir "$dir/cache" 2>"$dir/log" &
pid=$!
until $kith "$dir/run/kith.sock" ping >/dev/null 2>&1; do
	kill -0 $pid || { cat "$dir/log" "$dir/found"; exit 1; }
	sleep 0.2
done

client create notes --dim 32 --metric cosine
client import notes "$dir/notes.fvecs" --jsonl "$dir/notes.jsonl"
client search notes --fvecs "$dir/notes.fvecs" --row 1 --include texts,metas
client ensure notes
client search notes --fvecs "$dir/notes.fvecs" --row 1 --include texts,metas
client import notes "$dir/notes.fvecs"
client delete notes 1 2 3
client optimize notes
client evict notes
client search notes --fvecs "$dir/notes.fvecs" --row 5 --target-recall 0.99
client backup "$dir/backup"
client verify
client repair notes
client drop notes.damaged --yes
client drop notes --yes
client restore "$dir/backup"
client search notes --fvecs "$dir/notes.fvecs" --row 7
client checkpoint notes
client drop-index notes vector
for command in du stats errors jobs; do
	client $command
done
client drop notes --yes

kill $pid
status=0
wait $pid || status=$?
pid=
if [ $status != 0 ]; then
	cat "$dir/log" "$dir/found"
	exit 1
fi
