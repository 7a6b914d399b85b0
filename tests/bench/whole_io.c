/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/whole_io.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int read_whole(int fd, char *buf, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, buf, n);

		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		buf += got;
		n -= (size_t)got;
	}
	return 0;
}

int write_whole(int fd, const char *buf, size_t n)
{
	while (n > 0) {
		ssize_t put = send(fd, buf, n, MSG_NOSIGNAL);

		if (put < 0)
			return -errno;
		buf += put;
		n -= (size_t)put;
	}
	return 0;
}
