/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notify.h"

#ifdef KITH_SYSTEMD

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#define STATUS_SIZE 256

int notify_listen_fd(void)
{
	/* 1: the variables are ours alone, not for a child of ours. */
	int n = sd_listen_fds(1);

	if (n == 0)
		return -1;
	if (n != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
		return -EINVAL;
	return SD_LISTEN_FDS_START;
}

/* That the manager cannot be told changes nothing about what we do, so results are dropped. */

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

void notify_status(const char *format, ...)
{
	char status[STATUS_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(status, sizeof(status), format, args);
	va_end(args);
	/* What follows a newline would be a state of its own, and names in it are a client's. */
	status[strcspn(status, "\n")] = '\0';
	(void)sd_notifyf(0, "STATUS=%s", status);
}

#else

int notify_listen_fd(void)
{
	return -1;
}

void notify_ready(void)
{
}

void notify_stopping(void)
{
}

void notify_status(const char *format, ...)
{
	(void)format;
}

#endif
