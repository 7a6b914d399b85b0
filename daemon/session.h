/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One connection: bytes in, requests out; answers in, bytes out. What a request means is none of
 * its business (dispatch.h).
 *
 *   reading ──► splitter ──► small frame: decoded here ─────────┐
 *      ▲            └──────► large frame: decoded by a worker ──┴─► dispatch, in arrival order
 *      └── stops while: too much is unanswered, a large frame waits for memory or is decoded,
 *          or the session's turn is over (the next session goes first)
 *
 * A client that does not read its answers stops being read, and is closed when it took nothing
 * for SESSION_STALL_MS. session_close() may be called at any time and twice; the session is freed
 * when its handle has closed and its requests were told.
 *
 * Threads: all [loop].
 */

#include <uv.h>

#include "daemon/inflight.h"
#include "daemon/list.h"
#include "daemon/request.h"
#include "protocol/frame.h"

/* Frames that a session may dispatch before it is another one's turn. */
#define SESSION_TURN_FRAMES 16
/* Payloads up to this are decoded on the loop (tens of microseconds at most). */
#define SESSION_INLINE_BYTES (16u << 10)
/* How long a client may leave its answers unread before it is closed. */
#define SESSION_STALL_MS 10000
/* Bytes of answers waiting for the client, above which its requests wait. */
#define SESSION_UNREAD_BYTES (4u << 20)

struct session {
	struct daemon *daemon;
	uint64_t number;       /* never used again, unlike the address */
	struct list link;      /* in the daemon's sessions */
	struct list turn_link; /* in the daemon's turns */
	uv_pipe_t pipe;
	struct frame_splitter splitter;
	struct list requests; /* unanswered, struct request.session_link */
	uint32_t n_requests;
	uint64_t request_bytes; /* of their payloads */
	uint64_t unread_bytes;  /* of answers that wait for the client to read */
	size_t stalled_queue;   /* those at the last look, and since when they are as many */
	uint64_t stalled_ns;
	const uint8_t *held; /* a whole payload that waits for its bytes in flight */
	uint32_t held_n;
	struct list reads;      /* its reads that wait for their turn, struct request.wait_link */
	struct list reads_link; /* in the daemon's read_turns, while there are any */
	struct inflight_wait wait;
	uint32_t wait_bytes; /* taken from the bytes in flight for the frame at hand */
	uint32_t topics;     /* bit 1 << enum wire_topic: events that it wants */
	bool greeted;        /* hello was answered */
	bool reading, waiting, decoding, ended, closing;
	char client[LIMIT_NAME_BYTES + 1];
};

/* Takes over the accepted pipe of fd. -errno; then fd is closed. */
int session_new(struct daemon *daemon, int fd);
void session_close(struct session *session);
/* Gives the session its turn: dispatches what it has. */
void session_turn(struct session *session);
/* Sends bytes: takes buf's memory. */
void session_send(struct session *session, struct wire_buf *buf);
/* A request of it was answered (or dropped). */
void session_answered(struct session *session, struct request *request);
/* Now and then: closes it when the client has not read for too long. */
void session_check_stall(struct session *session, uint64_t now_ns);
