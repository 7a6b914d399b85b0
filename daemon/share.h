/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What one client may have of what all share. Whoever is alone has everything. When another one
 * has asked lately, a session has
 *
 *   of the loop:     a quarter of each moment (SHARE_MOMENT_NS): then it rests until the next one
 *   of the workers:  all but one of the interactive lane (reading.h)
 *   of its answers:  SHARE_UNREAD_BYTES that its client has not read, before more reads begin
 *
 * so that however much it sends, there is time and a worker for somebody else. The loop's time is
 * what counts, not the number of frames: a ping is one microsecond, a list of all collections
 * hundreds. A quarter, since what a flood takes on the loop it takes once more beside it, in its
 * own process and in the kernel, and the cores are few.
 *
 * The same holds of peers (peer.h): a process with many sessions has, beside another process, as
 * much of the loop and of the workers as one session has beside another one. Only what is unread
 * counts by session: one that waits for another one's answer must not wait for its own reader.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#define SHARE_MOMENT_NS UINT64_C(1000000)
/* Of a moment, that one session may have beside others. */
#define SHARE_NS (SHARE_MOMENT_NS / 4)
/* Reads go on for a client that has less than this to read. */
#define SHARE_UNREAD_BYTES (1u << 20)
/* Frames that a peer may dispatch before it is another one's turn, and the time after which it is,
 * however few they were. */
#define TURN_FRAMES 16
#define TURN_NS UINT64_C(200000)
/* Connections that come in at most in a moment, before the next one. */
#define SHARE_CONNECTIONS 8
/* How long one is one of several after the last change of who asks. */
#define SHARE_LATELY_NS UINT64_C(100000000)

/* Who asks, of all sessions or all peers. */
struct asking {
	uint64_t number;     /* who asked last; 0: nobody yet */
	uint64_t changed_ns; /* when that was another one than before */
	bool changed;        /* ever */
};

/* What one of them has had. */
struct loop_share {
	uint64_t since_ns; /* when its moment began */
	uint64_t spent_ns; /* in it */
};

/* A turn of a peer: what it has had of it. */
struct turn {
	uint64_t began_ns, now_ns;
	uint32_t n_frames;
};

/* That one has asked for something. */
void asking_note(struct asking *asking, uint64_t number, uint64_t now_ns);
/* Whether more than one have, lately. */
bool asking_is_shared(const struct asking *asking, uint64_t now_ns);

/* It has had the loop from began_ns to now_ns. False: beside others that is enough for
 * this moment. */
bool share_spend(struct loop_share *share, uint64_t began_ns, uint64_t now_ns);
/* The next moment begins. */
void share_renew(struct loop_share *share);

static inline bool turn_is_over(const struct turn *turn)
{
	return turn->n_frames >= TURN_FRAMES || turn->now_ns - turn->began_ns >= TURN_NS;
}
