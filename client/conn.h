/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A connection: the socket, what waits to be sent, and the requests whose answers are awaited.
 *
 * What must hold: bytes of a frame are never dropped half-way, whatever deadline passes, so that
 * a call that timed out leaves the stream whole; a request is in `tickets` from its encoding until
 * its answer is collected or nobody wants it any more; an answer that belongs to no ticket is
 * dropped.
 *
 * Threads: one owner at a time, but for `interrupted` and the shutdown that goes with it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/kith.h"
#include "protocol/frame.h"
#include "protocol/message.h"

/* A payload: borrowed from the splitter until its next call when memory is NULL, else inside
 * memory, which is ours. */
struct answer {
	void *memory;
	const uint8_t *payload;
	uint32_t n;
	bool is_error;
};

/* A request that nobody has collected yet, at tickets[id % KITH_MAX_TICKETS]; id 0: free. */
struct ticket {
	uint64_t id;
	enum wire_method_idx method;
	struct answer answer; /* n 0: has not come */
};

/* A linked list, oldest first. */
struct event_queue {
	struct queued_event *first, **last;
	uint32_t n;
	uint64_t lost; /* before the first */
};

struct kith_conn {
	int fd;
	int timeout_ms;
	uint32_t deadline_ms; /* that the daemon is told; 0: none */
	int broken;           /* -errno that every call gets from now on, or 0 */
	struct wire_error broken_error;
	atomic_bool interrupted;
	bool out_closed; /* the daemon takes no more; what it had said can still be read */

	struct frame_splitter in;
	struct wire_buf out;
	size_t n_sent; /* of out */

	uint64_t last_id;
	uint32_t n_tickets;
	struct ticket tickets[KITH_MAX_TICKETS];
	struct event_queue events;

	struct wire_error error; /* of the last call that failed */
	uint64_t server_pid;
	char *server_version; /* owned */
};

/* How long a call may still take. */
struct deadline {
	int64_t end_ms; /* monotonic; INT64_MAX: none */
	bool untouched; /* all of the connection's timeout is left: the socket's own will do */
};

/* timeout_ms: as in kith.h, KITH_USUAL included. */
void deadline_init(struct deadline *deadline, const struct kith_conn *conn, int timeout_ms);

/* Errors. ------------------------------------------------------------------------------------- */

/* Notes what went wrong and returns r. */
int conn_fail(struct kith_conn *conn, int r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The same, and no call will succeed any more. */
int conn_break(struct kith_conn *conn, int r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The same again, for a later call. */
int conn_broken(struct kith_conn *conn);
/* Notes the daemon's refusal and returns its enum kith_error. */
int conn_refuse(struct kith_conn *conn, const struct wire_error *error);

/* Bytes (transport.c). ------------------------------------------------------------------------ */

/* Requests gather until there are as many bytes of them; one read of the daemon. */
#define CONN_GATHER_BYTES FRAME_SMALL_BYTES

/* Bytes that wait to be sent. */
static inline size_t conn_unsent(const struct kith_conn *conn)
{
	return conn->out.n - conn->n_sent;
}
/* Sends what the socket takes at once. */
int conn_push(struct kith_conn *conn);
/* Sends and receives, waiting until something came in or out. -ETIMEDOUT, or what broke. */
int conn_exchange(struct kith_conn *conn, struct deadline *deadline);
/* Waits, taking in what comes, until at most n bytes are left to send. */
int conn_drain(struct kith_conn *conn, size_t n, struct deadline *deadline);
/* Takes frames out of what was received: events and answers go where they wait to be collected.
 * Stops at the answer to id, which *ret_answer then borrows (its n is not 0), or when nothing is
 * left. An id of 0 is nobody's, ret_answer may be NULL then. 0, or why the connection broke. */
int conn_route(struct kith_conn *conn, uint64_t id, struct answer *ret_answer);
/* Makes the answer that was just routed independent of the splitter. -ENOMEM. */
int answer_keep(struct answer *answer, struct frame_splitter *in);

/* Requests (requests.c). ---------------------------------------------------------------------- */

/* A request and its result within the connection's timeout. params and *ret are structs of kith.h
 * (mirror.h); ret may be NULL. */
int conn_call(struct kith_conn *conn, enum wire_method_idx method, const void *params, void **ret);
/* The pipelined form, see kith.h. */
int conn_submit(struct kith_conn *conn, enum wire_method_idx method, const void *params,
                uint64_t *ret_ticket);
int conn_collect_ticket(struct kith_conn *conn, enum wire_method_idx method, uint64_t ticket,
                        int timeout_ms, void **ret);
/* The ticket of that number, or NULL. */
struct ticket *conn_ticket(struct kith_conn *conn, uint64_t id);

/* Events (events.c). -------------------------------------------------------------------------- */

void event_queue_init(struct event_queue *queue);
void event_queue_release(struct event_queue *queue);
/* Keeps a copy of the event; counts it as lost when there is no memory. */
void event_queue_push(struct event_queue *queue, enum wire_event_idx event, const uint8_t *payload,
                      uint32_t n);
