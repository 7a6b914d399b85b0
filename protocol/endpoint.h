/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where the daemon listens, by one rule for daemon and clients: an explicit path, else
 * $KITH_SOCKET, else $XDG_RUNTIME_DIR/kith/kith.sock, else /run/user/<uid>/kith/kith.sock.
 */

#include <stddef.h>

/* Fits sockaddr_un. */
#define ENDPOINT_PATH_SIZE 108

/* explicit_path: NULL when none was given. -ENAMETOOLONG. [any] */
int endpoint_path(const char *explicit_path, char ret_path[static ENDPOINT_PATH_SIZE]);
