/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One connection: bytes in, requests out; answers in, bytes out. What a request means is none of
 * its business (dispatch.h).
 *
 *   reading ──► splitter ──► small frame: decoded here ─────────┐
 *      ▲            └──────► large frame: decoded by a worker ──┴─► dispatch, in arrival order
 *      └── stops while: too much is unanswered, a large frame waits for memory or is decoded,
 *          its peer's turn is over (the next peer goes first), or it has had its share of the
 *          loop and rests for a moment (share.h)
 *
 * A client that does not read its answers stops being read, and is closed when it took nothing
 * for SESSION_STALL_MS. session_close() may be called at any time and twice; the session is freed
 * when its handle has closed and its requests were told.
 *
 * Threads: all [loop].
 */

#include <uv.h>

#include "daemon/guest.h"
#include "daemon/inflight.h"
#include "daemon/list.h"
#include "daemon/peer.h"
#include "daemon/request.h"
#include "daemon/share.h"
#include "protocol/frame.h"

/* Payloads up to this are decoded on the loop (tens of microseconds at most). */
#define SESSION_INLINE_BYTES (16u << 10)
/* How long a client may leave its answers unread before it is closed. */
#define SESSION_STALL_MS 10000
/* A large frame has its memory before it has come. While others wait for memory, it may pause for
 * so long and must be whole within so long: else a few claims of the largest frame, with nothing
 * behind them, would keep everybody's large requests out. */
#define SESSION_CLAIM_PAUSE_MS 1000
#define SESSION_CLAIM_WHOLE_MS 10000
/* Bytes of answers waiting for the client, above which its requests wait. */
#define SESSION_UNREAD_BYTES (4u << 20)

struct session {
	struct daemon *daemon;
	uint64_t number;         /* never used again, unlike the address */
	struct list link;        /* in the daemon's sessions */
	struct peer *peer;       /* a reference */
	struct list turn_link;   /* in its peer's turns, or the daemon's resting sessions */
	struct loop_share share; /* of the loop's time */
	uv_pipe_t pipe;
	struct frame_splitter splitter;
	struct list requests; /* unanswered, struct request.session_link */
	uint32_t n_requests;
	uint64_t request_bytes; /* of their payloads */
	uint64_t due_ns;        /* none of them has a deadline before this */
	uint64_t unread_bytes;  /* of answers that wait for the client to read */
	struct list unread;     /* struct outgoing.link: those; the first is being written */
	size_t stalled_queue;   /* those at the last look, and since when they are as many */
	uint64_t stalled_ns;
	const uint8_t *held; /* a whole payload that waits for its bytes in flight */
	uint32_t held_n;
	struct list reads;      /* its reads that wait for their turn, struct request.wait_link */
	struct list reads_link; /* in its peer's readers, while there are any */
	uint32_t n_reading;     /* its reads in the lane */
	struct inflight_wait wait;
	struct guest *guest; /* whose it is, or NULL: the owner's */
	struct guest_wait guest_wait;
	uint32_t guest_bytes; /* taken from its guest's for the frame at hand */
	uint32_t wait_bytes;  /* taken from the bytes in flight for the frame at hand */
	uint64_t claim_ns;    /* since when, for a large frame that has not come yet; 0: none */
	uint64_t fed_ns;      /* when bytes last came */
	uint32_t topics;      /* bit 1 << enum wire_topic: events that it wants */
	bool greeted;         /* hello was answered */
	bool reading, waiting, decoding, ended, closing;
	char client[LIMIT_NAME_BYTES + 1];
};

/* Takes over the accepted pipe of fd, and a reference to who is at its other end, perhaps a guest.
 * -errno; then fd is closed and the reference given back. */
int session_new(struct daemon *daemon, int fd, struct peer *peer, struct guest *guest);
void session_close(struct session *session);
/* Gives the session what is left of its peer's turn: dispatches what it has. */
void session_turn(struct session *session, struct turn *turn);
/* Sends bytes: takes buf's memory. */
void session_send(struct session *session, struct wire_buf *buf);
/* A request of it was answered (or dropped). */
void session_answered(struct session *session, struct request *request);
/* A request of it got its deadline. */
void session_note_deadline(struct session *session, uint64_t due_ns);
/* Now and then: answers the requests whose deadline has passed. It may close the session. */
void session_check_deadlines(struct session *session, uint64_t now_ns);
/* Now and then: closes it when others wait for the memory of a frame that does not come. */
void session_check_claim(struct session *session, uint64_t now_ns);
/* Now and then: closes it when the client has not read for too long. */
void session_check_stall(struct session *session, uint64_t now_ns);
