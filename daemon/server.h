/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The listening socket: who may come in. The directory must be the daemon's user's own and closed
 * to others (0700, made when missing), the socket is 0600, and each peer's uid is checked
 * (SO_PEERCRED). With guests (allow_uids) others may walk through the directory to the socket (0711
 * and 0666), never write to it; then the check of the uid keeps out who is no guest. A socket that
 * a dead daemon left is replaced; one that answers is not. A socket that the service manager handed
 * over is used as it is and never unlinked. [loop]
 */

struct daemon;
struct server;

/* fd: a listening socket (taken, also on failure), or < 0 to make one at config.socket. The log
 * says why on failure. */
int server_new(struct daemon *daemon, int fd, struct server **ret);
/* Stops accepting and frees when its handle has closed. NULL is fine. */
void server_close(struct server *server);
