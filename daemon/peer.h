/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who is at the other end: one process of the owner's with all its connections, or one guest with
 * those of all its processes. Connections of a peer take their turns as one and have one share
 * (share.h), so that a crowd of them has no more than a single one would. Which process it is the
 * kernel tells (SO_PEERCRED): the one that connected. Where it does not (0), all of a user's are
 * one.
 *
 * It lives as long as somebody refers to it: its sessions, its reads in the lane.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/list.h"
#include "daemon/share.h"

struct daemon;

struct peer {
	struct list link; /* in the daemon's peers */
	uint64_t number;  /* never used again, unlike the address */
	pid_t pid;        /* 0: a guest, or not known */
	uid_t uid;
	uint32_t n_refs;
	uint32_t n_sessions;     /* of them, the connections */
	bool full_said;          /* that it has as many as it may */
	struct loop_share share; /* of the loop's time */
	struct list turn_link;   /* in the daemon's turns, or its resting peers */
	struct list turns;       /* struct session.turn_link: its sessions that wait for theirs */
	struct list reads_link;  /* in the daemon's read_turns, while it has readers */
	struct list readers;     /* struct session.reads_link: its sessions with reads that wait */
	uint32_t n_reading;      /* its reads in the lane */
};

/* The peer of that process (0: of that user), made when it is the first. A reference; NULL: no
 * memory. */
struct peer *peer_get(struct daemon *daemon, uid_t uid, pid_t pid);
struct peer *peer_ref(struct peer *peer);
/* NULL is fine; returns NULL. */
struct peer *peer_unref(struct peer *peer);
