#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: layering.sh SOURCE_DIR
#
# What each folder may include, of ours ("folder/file.h") and of others (<file.h>). A header that is
# in no list is refused too: whoever brings a library says here which folder may use it.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/tree_files.sh"

sockets='sys/socket.h sys/un.h netinet/* arpa/* netdb.h poll.h sys/epoll.h'
files='fcntl.h dirent.h fts.h ftw.h glob.h sys/stat.h sys/file.h'
threads='pthread.h threads.h semaphore.h'
simd='*intrin.h cpuid.h arm_*.h'
libc='assert.h complex.h ctype.h dirent.h endian.h errno.h fcntl.h features.h fenv.h float.h fnmatch.h
	fts.h ftw.h getopt.h glob.h inttypes.h langinfo.h libgen.h limits.h locale.h malloc.h math.h
	netdb.h poll.h pthread.h pwd.h sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h
	stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h
	strings.h termios.h threads.h time.h uchar.h unistd.h wchar.h wctype.h arpa/* linux/*
	netinet/* sys/*'

# The rule of a folder: ours and others it may include, and the parts of the C library that it must
# not know. The patterns are the shell's.
set_rule() {
	not=
	case $1 in
	protocol | protocol/*)
		ours='protocol/*' others='msgpack.h msgpack/*' not="$sockets $files $threads sys/mman.h"
		;;
	storage | storage/*)
		ours='storage/*' others="sqlite3.h $simd" not=$sockets
		;;
	index | index/*)
		ours='index/*' others="mimalloc.h roaring/* utf8proc.h libstemmer.h $simd"
		not="$sockets $files"
		;;
	daemon | daemon/*)
		ours='daemon/* protocol/* storage/* index/*' others='uv.h systemd/* ini.h'
		;;
	client | client/*)
		ours='client/* protocol/*' others='jansson.h'
		;;
	tests | tests/*)
		ours='*' others='*'
		;;
	*)
		return 1
		;;
	esac
}

# matches NAME PATTERN...
matches() {
	name=$1
	shift
	for pattern; do
		# shellcheck disable=SC2254
		case $name in
		$pattern) return 0 ;;
		esac
	done
	return 1
}

# Reads lines 'path:line:#include "x"' and prints those that break a rule.
check() {
	while IFS=: read -r path line include; do
		if ! set_rule "${path%/*}"; then
			echo "$path:$line: layering.sh has no rule for this folder"
			continue
		fi
		header=${include#*[\"<]}
		header=${header%%[\">]*}
		# shellcheck disable=SC2086
		case $include in
		*\"*)
			if [ ! -f "$header" ]; then
				echo "$path:$line: \"$header\" is not a path from the root"
			elif ! matches "$header" $ours; then
				echo "$path:$line: must not include \"$header\""
			fi
			;;
		*)
			if matches "$header" $not; then
				echo "$path:$line: must not know <$header>"
			elif ! matches "$header" $libc $others; then
				echo "$path:$line: must not include <$header>"
			fi
			;;
		esac
	done
}

cd "$1"
set -f # patterns are for case, not for files
bad=$(tree_files -name '*.[ch]' | xargs grep -Hn '^[[:space:]]*#[[:space:]]*include' | check)
if [ -n "$bad" ]; then
	printf '%s\n' "$bad"
	exit 1
fi
