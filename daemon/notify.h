/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The service manager's side: sockets handed over (LISTEN_FDS) and states told (NOTIFY_SOCKET).
 * Built without libsystemd, or started without a manager, all of it does nothing. [loop]
 */

/* The descriptor of the one listening Unix stream socket that was handed over; -1 when none was;
 * -EINVAL when what was handed over is not that. */
int notify_listen_fd(void);
void notify_ready(void);
void notify_stopping(void);
/* A line for `systemctl status`. */
void notify_status(const char *format, ...) __attribute__((format(printf, 1, 2)));
