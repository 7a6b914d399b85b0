/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The floor under every round trip: a socketpair whose other end a thread answers on, with
 * blocking reads and writes and nothing else, or with some work in between.
 */

#include <stddef.h>
#include <sys/types.h>

struct echo;

struct echo_spec {
	size_t request_bytes;
	size_t answer_bytes;
	void (*work)(void *ctx); /* done by the thread between request and answer; may be NULL */
	void *ctx;
};

int echo_new(const struct echo_spec *spec, struct echo **ret);
/* Ends the thread. NULL is fine; returns NULL. */
struct echo *echo_free(struct echo *echo);
/* Of the answering thread, for cpu.h. */
pid_t echo_thread_id(const struct echo *echo);
/* One request and its answer. -errno. */
int echo_round_trip(struct echo *echo);
