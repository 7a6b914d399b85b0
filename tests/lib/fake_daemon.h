/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A daemon made of a thread and a script: what the client library is tested against, since a real
 * daemon never answers wrongly, never stalls on demand and never dies between two bytes.
 *
 * It listens at `socket`, serves one connection after the other, says hello by itself and gives
 * every other request to the handler, which runs on its thread: while the handler waits, nothing
 * is read. Failures abort.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "protocol/message.h"
#include "tests/lib/scratch_dir.h"

/* What a handler asserts with: cmocka's asserts are for the thread that runs the test. */
#define FAKE_MUST(condition) ((condition) ? (void)0 : fake_abort(#condition))
_Noreturn void fake_abort(const char *what);

struct fake_daemon;

typedef void fake_handler(struct fake_daemon *daemon, const struct wire_request *request);

struct fake_daemon {
	struct scratch_dir dir;
	char socket[SCRATCH_PATH_SIZE];
	void *ctx;
	fake_handler *handler;
	const struct wire_error *refuse_hello; /* instead of saying hello */
	const struct wire_error *turn_away;    /* said to who connects, who is then left */
	atomic_uint n_connections;             /* ever accepted */

	pthread_t thread;
	int listen_fd;
	_Atomic(int) fd; /* of the connection at hand, or -1 */
	atomic_bool stopping;
	bool running;
};

/* refuse_hello and ctx may be set between init and start. */
void fake_daemon_init(struct fake_daemon *daemon, fake_handler *handler, void *ctx);
void fake_daemon_start(struct fake_daemon *daemon);
/* Ends the thread: what the handler wrote can be read from now on. */
void fake_daemon_stop(struct fake_daemon *daemon);
/* Stops it when it runs, and removes the socket. */
void fake_daemon_release(struct fake_daemon *daemon);

/* Inside the handler. Sending to a client that is gone does nothing. */
void fake_answer(struct fake_daemon *daemon, const struct wire_request *request,
                 const void *result);
/* The same to a request of before. */
void fake_answer_id(struct fake_daemon *daemon, uint64_t id, enum wire_method_idx method,
                    const void *result);
void fake_refuse(struct fake_daemon *daemon, uint64_t id, const struct wire_error *error);
void fake_event(struct fake_daemon *daemon, enum wire_event_idx event, const void *fields);
/* Any bytes. */
void fake_send(struct fake_daemon *daemon, const void *bytes, size_t n);
/* Ends the connection at hand. */
void fake_hang_up(struct fake_daemon *daemon);
/* Sends that signal to the client, a process of its own: it comes before any later answer. */
void fake_signal(struct fake_daemon *daemon, int signal);
