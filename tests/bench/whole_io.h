/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* All of so many bytes through a blocking socket. [any] */

#include <stddef.h>

/* -EPIPE when the other end is gone. */
int read_whole(int fd, char *buf, size_t n);
int write_whole(int fd, const char *buf, size_t n);
