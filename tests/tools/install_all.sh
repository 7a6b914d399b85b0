#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: install_all.sh CMAKE BUILD_DIR
#
# Installs everything somewhere else and takes a user's first steps there: the command line against
# the daemon, with kill -9 between them.
set -eu

cmake=$1
build=$2
tree=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid"; rm -rf "$tree"' EXIT

fail() {
	echo "$*"
	cat "$tree/kithd.log"
	exit 1
}

"$cmake" --install "$build" --prefix "$tree/usr" >/dev/null
bin=$tree/usr/bin
: >"$tree/kithd.log"
for page in man1/kith.1 man3/kith.3 man5/kith.conf.5 man8/kithd.8; do
	[ -f "$tree/usr/share/man/$page" ] || fail "$page is not installed"
done
units=$tree/usr/lib/systemd/user
for unit in kithd.socket kithd.service; do
	[ -f "$units/$unit" ] || fail "$unit is not installed"
done
grep -qx 'ListenStream=%t/kith/kith.sock' "$units/kithd.socket" ||
	fail "kithd.socket does not listen where clients look"
grep -qx "ExecStart=$bin/kithd" "$units/kithd.service" ||
	fail "kithd.service does not start $bin/kithd"

# The user's own Kith stays out of it.
unset STATE_DIRECTORY CACHE_DIRECTORY NOTIFY_SOCKET LISTEN_FDS LISTEN_PID
export HOME="$tree" XDG_CONFIG_HOME="$tree/config" KITH_SOCKET="$tree/run/kith.sock"

start_daemon() {
	"$bin/kithd" --data-dir "$tree/data" --cache-dir "$tree/cache" 2>>"$tree/kithd.log" &
	pid=$!
	until "$bin/kith" ping >/dev/null 2>&1; do
		kill -0 "$pid" || fail "kithd did not start"
	done
}

# says TEXT COMMAND...: what the command prints has the text in it
says() {
	text=$1
	shift
	said=$("$bin/kith" "$@") || fail "kith $*: exit status $?"
	case $said in
	*"$text"*) ;;
	*) fail "kith $*: no '$text' in: $said" ;;
	esac
}

# finds MODE: the third row is the nearest to itself, with what was stored beside it
finds() {
	says "\"mode\":\"$1\"" search notes --fvecs "$tree/v.fvecs" --row 2 -k 1
	says '"text":"third"' search notes --fvecs "$tree/v.fvecs" --row 2 -k 1 --include texts
}

# Five rows of two floats: (1, 0), (0, 1), (1, 1), (-1, 0), (0, -1). A kill may come before their
# vectors are synced, and a saved graph is of use while those of no more than a fifth are gone.
printf '\2\0\0\0\0\0\200\077\0\0\0\0\2\0\0\0\0\0\0\0\0\0\200\077\2\0\0\0\0\0\200\077\0\0\200\077' \
	>"$tree/v.fvecs"
printf '\2\0\0\0\0\0\200\277\0\0\0\0\2\0\0\0\0\0\0\0\0\0\200\277' >>"$tree/v.fvecs"
printf '{"id":%s,"text":"%s"}\n' 7 first 8 second 9 third 10 fourth 11 fifth >"$tree/v.jsonl"

start_daemon
says '"created":true' create notes --dim 2 --metric cosine
says '"inserted":5' import notes "$tree/v.fvecs" --jsonl "$tree/v.jsonl"
finds exact
says built ensure notes
finds hnsw
says second get notes 8
says '"saved":true' optimize notes
says '"deleted":1' delete notes 8
kill -9 "$pid"
wait "$pid" || :
start_daemon
says '"count":4' count notes
says existing ensure notes
finds hnsw
says notes describe notes
says '"builds":0' indexes notes
says version stats
says '"dropped":true' drop notes --yes
kill "$pid"
wait "$pid" || fail "kithd stopped with exit status $?"
pid=
