#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: seam.sh SOURCE_DIR
#
# Nothing touches a file around the I/O seam (storage/store_io.h): only its POSIX form calls the
# system, and SQLite opens a database only with the VFS that goes through it. Other files in the list
# do what no test of the disk is about, the reason beside each.
set -eu
# shellcheck source-path=SCRIPTDIR
. "${0%/*}/tree_files.sh"

cd "$1"
calls='open|openat|creat|fopen|freopen|unlink|unlinkat|rename|renameat|mkdir|mkdirat|rmdir|remove|truncate'
calls="$calls|ftruncate|fallocate|posix_fallocate|fsync|fdatasync|opendir|mkstemp|mkdtemp|tmpfile|symlink|link"
calls="$calls|chmod|fchmod|write|pwrite|fwrite|read|pread|fread|mmap|stat|lstat|fstat|access"
calls="$calls|open64|openat2|fdopen|fdopendir|scandir|nftw|glob|renameat2|linkat|symlinkat|readlink|realpath"
calls="$calls|mkostemp|memfd_create|mkfifo|mknod|chown|utimensat|flock|lockf|lseek|readv|writev|preadv|pwritev"
calls="$calls|copy_file_range|sendfile|splice|sync_file_range|syncfs|sync|msync|statx|fstatat|faccessat|statvfs"
calls="$calls|fstatvfs|fputs|fprintf|uv_fs_[a-z]+|sqlite3_open|sqlite3_open16|sqlite3_open_v2"

# allowed PATH TEXT
allowed() {
	case $1 in
	storage/store_io_posix.c) ;; # the seam
	storage/sql.c) [ "${2#*sqlite3_open_v2(path}" != "$2" ] ;; # with the VFS of the seam
	daemon/config.c) ;;          # reads the config file before there is a daemon
	daemon/log.c) ;;             # writes to stderr, and asks whether that is the journal
	daemon/main.c) ;;            # /dev/null for closed streams, signals from a descriptor
	daemon/server.c) ;;          # the socket
	daemon/pressure.c) ;;        # descriptors of the kernel and the service manager
	daemon/footprint.c) ;;       # /proc: made in memory
	storage/uuid.c) ;;           # random bytes
	*) return 1 ;;
	esac
}

bad=$(tree_files -name '*.[ch]' | grep -E '^(\./)?(protocol|storage|index|daemon)/' |
	xargs grep -HnE "(^|[^A-Za-z0-9_>.])($calls)\(" | grep -vE ':[0-9]+:[[:space:]]*(/\*| \*|static )' |
	while IFS=: read -r path line text; do
		allowed "${path#./}" "$text" || echo "$path:$line: goes around the I/O seam: $text"
	done)
if [ -n "$bad" ]; then
	printf '%s\n' "$bad"
	exit 1
fi
