/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Threads that write and search: each over a connection of its own, batch after batch, until the
 * daemon goes away under it. Between two writes they look for what they wrote and for what they
 * deleted: the one must be found (a graph that misses it is asked to be exact), the other never,
 * whatever state an index is in. They remember what
 *was acknowledged, so that afterwards it can be told whether the daemon kept its word: what was
 *acknowledged is there, what was not is there wholly or not at all.
 *
 *	writers_init(&writers, 8, "notes", seed);
 *	writers_start(&writers, service);
 *	writers_await(&writers, 100);                // batches acknowledged
 *	daemon_process_kill(service->daemon);
 *	writers_join(&writers);
 *	... start the daemon again ...
 *	writers_check(&writers, service->conn);      // and go on from what is there
 *
 * A batch is WRITER_BATCH_ROWS numbered records of its own; it is made, sometimes replaced as a
 * whole by its next version, sometimes deleted. Failures of a thread are reported by join.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/service_fixture.h"

#define WRITER_BATCH_ROWS 12u
#define WRITER_MAX_BATCHES 4096u
#define WRITERS_MAX 16u

/* A batch's version; 0: it is not there. */
struct written_batch {
	uint32_t acknowledged;
	uint32_t last; /* ever tried: what comes next is newer */
	bool doubtful; /* the last try was not acknowledged: it holds or the one before it does */
	uint32_t tried;
};

struct writers;

struct writer {
	struct writers *writers;
	struct kith_conn *conn;
	pthread_t thread;
	uint64_t random;
	uint64_t first_number; /* of its first record */
	uint32_t n_batches;
	uint64_t n_looked;
	struct written_batch *batches; /* owned */
	char failure[256];             /* "": none */
};

struct writers {
	struct writer v[WRITERS_MAX];
	uint32_t n;
	const char *collection;
	atomic_uint n_acknowledged; /* since the start */
	atomic_bool enough;         /* they end after the batch at hand */
};

void writers_init(struct writers *writers, uint32_t n, const char *collection, uint64_t seed);
void writers_release(struct writers *writers);
/* Connects them all, then lets them begin. */
void writers_start(struct writers *writers, const struct service_fixture *service);
/* Waits until n batches were acknowledged since the start. */
void writers_await(struct writers *writers, uint32_t n);
/* Waits for their end: the daemon goes away, or `enough` is set. Fails the test when one of them
 * was refused for another reason than that the daemon stops. */
void writers_join(struct writers *writers);
/* Searches so far, of all of them. Not while they run. */
uint64_t writers_n_looked(const struct writers *writers);
/* The collection holds what it must and nothing else. Doubtful batches become what is found. */
void writers_check(struct writers *writers, struct kith_conn *conn);
