/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request on its way: decoded, waiting, worked on, answered. It owns its frame and everything
 * that was decoded from it, so that what works on it needs no session.
 *
 * Exactly one answer: a worker (or a handler on the loop) fills it with request_result() or
 * request_refuse(), then the loop sends and frees with request_finish(). When the connection has
 * gone the answer is dropped; the work is cancelled where that is safe (never a write that began).
 * One whose deadline has passed is answered then and there (request_expire), and its work ends as
 * if the connection had gone; until that has ended it counts as unanswered, so that a client which
 * asks for little time has no more under way than others.
 *
 * Threads: the request belongs to the loop, or to the one job that works on it.
 */

#include "daemon/cache.h"
#include "daemon/lanes.h"
#include "daemon/list.h"
#include "protocol/errors.h"
#include "protocol/message.h"

struct daemon;
struct guest;
struct session;
struct collection;
struct request;

typedef void (*request_step)(struct request *request);

struct request {
	struct daemon *daemon;
	struct session *session; /* NULL once the connection has gone */
	uint64_t session_number; /* of the session, also when it has gone */
	struct list session_link;
	struct wire_request wire;
	struct wire_arena arena;
	void *frame;            /* owned, when it did not fit in the arena */
	uint32_t frame_bytes;   /* of the payload; counted in flight until the answer */
	struct guest *guest;    /* whose it is, or NULL: the owner's */
	uint32_t guest_bytes;   /* counted there until the answer */
	struct wire_buf answer; /* the encoded response */
	bool refused;           /* it is an error */
	int failed;        /* -errno, of the daemon's own; the journal is to have it. 0: none */
	const char *doing; /* at what; static */
	uint64_t started_ns;
	uint64_t used_before; /* of the budget, when it came */
	uint64_t due_ns;      /* its deadline; UINT64_MAX while it is being decoded */
	bool late;            /* it was answered by request_expire() */
	/* The collection that it is about, once found: a reference. */
	struct collection *collection;
	/* Where it waits (for its collection, for a write, for its turn), and what comes then. */
	struct list wait_link;
	request_step next;     /* what a waker calls */
	request_step admitted; /* what comes once the collection is open (collection_enter) */
	request_step unopened; /* what comes when it cannot be; NULL: a refusal */
	bool is_leader;        /* of an ensure: it began the build that it waits for */
	uint64_t target_rows;  /* of an optimize: what was published when it came */
	uint64_t mark;         /* of an optimize: what had been inserted before it */
	struct cache_wait cache_wait; /* for an index to be loaded */
	bool has_loaded;              /* it came to that: nothing was cached */
	int load_result;              /* how that ended */
	struct list followers;        /* of a write: reads of the same session that came later */
	struct job *job;              /* the job that works on it now, for cancelling */
};

/* The method's params: request_params(request, search). */
#define request_params(request, method) ((const struct method##_params *)(request)->wire.params)

/* [loop] charged: its payload bytes were already taken from the budget of bytes in flight. */
struct request *request_new(struct daemon *daemon, struct session *session, uint32_t frame_bytes);
/* Encodes the answer. An answer too large for a frame becomes a refusal. [owner] */
void request_result(struct request *request, const void *result);
void request_refuse(struct request *request, enum wire_error_code code, const char *field,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));
void request_refuse_with(struct request *request, const struct wire_error *error);
/* Refuses by what a storage call returned (-ENOSPC, -EIO, -EBADMSG, ...). It is logged when the
 * request is finished, unless request->failed is 0 again by then: who logged it says so. */
void request_refuse_errno(struct request *request, int error, const char *doing);
/* Whether anybody waits for the answer. [loop] */
static inline bool request_is_wanted(const struct request *request)
{
	return request->session && !request->late;
}
/* Answers that the deadline has passed, and cancels what can be. [loop] */
void request_expire(struct request *request);
/* Whether an answer was filled in. */
static inline bool request_is_answered(const struct request *request)
{
	return request->answer.n > 0 || request->answer.failed;
}
/* Sends the answer, lets the followers go, frees the request. [loop] */
void request_finish(struct request *request);
/* Shorthands on the loop: fill and finish. */
void request_finish_result(struct request *request, const void *result);
void request_finish_refusal(struct request *request, enum wire_error_code code, const char *field,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
