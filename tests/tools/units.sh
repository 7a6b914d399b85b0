#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: units.sh SOURCE_DIR KITHD
#
# The user units say what the daemon relies on, and pass systemd-analyze without a word: it takes
# an unknown key or value for a warning and goes on. Exit status 77: there is no systemd-analyze.
set -eu

source=$1
kithd=$2

# must_say UNIT LINE...: the unit has each line
must_say() {
	unit=$1
	shift
	for line; do
		grep -qxF "$line" "$source/systemd/$unit" || {
			echo "systemd/$unit: no line '$line'"
			exit 1
		}
	done
}

must_say kithd.socket '[Socket]' 'ListenStream=%t/kith/kith.sock' SocketMode=0600 \
	DirectoryMode=0700 WantedBy=sockets.target
must_say kithd.service.in '[Service]' Type=notify Requires=kithd.socket After=kithd.socket \
	StateDirectory=kith StateDirectoryMode=0700 CacheDirectory=kith CacheDirectoryMode=0700 \
	Restart=on-failure Also=kithd.socket
command -v systemd-analyze >/dev/null || exit 77

# Made up: the user manager's own folder, which a build machine has not.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sed "s|@KITHD@|$kithd|" "$source/systemd/kithd.service.in" >"$dir/kithd.service"
cp "$source/systemd/kithd.socket" "$dir"
said=$(XDG_RUNTIME_DIR=$dir systemd-analyze verify --user --man=no \
	"$dir/kithd.socket" "$dir/kithd.service" 2>&1) || {
	printf '%s\n' "$said"
	exit 1
}
# What it finds in the machine's other units is not ours.
if printf '%s\n' "$said" | grep kithd; then
	exit 1
fi
