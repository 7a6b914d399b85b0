/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon without Kith: one loop and the daemon's own lanes behind a Unix socket. Each request
 * is so many bytes, its work is done by a worker of the interactive lane, and each answer is so
 * many bytes: no protocol, no plan, no records. What Kith adds is seen beside it.
 *
 * Threads: one owner; the server has a thread for its loop and those of its lanes.
 */

#include <stddef.h>
#include <stdint.h>

struct lane_echo;

struct lane_echo_spec {
	const char *path;     /* of the socket; borrowed */
	size_t request_bytes; /* at least 8 */
	size_t answer_bytes;
	uint32_t n_workers;
	/* The request's first 8 bytes are a number; workers count from 0. [worker] */
	void (*work)(void *ctx, uint32_t worker, uint64_t number);
	void *ctx;
};

int lane_echo_new(const struct lane_echo_spec *spec, struct lane_echo **ret);
/* When every connection is closed. NULL is fine; returns NULL. */
struct lane_echo *lane_echo_free(struct lane_echo *echo);

/* A connection, with blocking reads and writes; to be closed by close(). */
int lane_echo_connect(const struct lane_echo *echo, int *ret_fd);
/* One request and its answer; buf holds the larger of the two. */
int lane_echo_round_trip(const struct lane_echo *echo, int fd, uint64_t number, char *buf);
