/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Room that is kept on the disk for what gives room back. A delete must write before anything can
 * go; on a full disk that would fail, and nobody could help it but by other means. So a file
 * ("reserve") holds room that nobody needs until then. What deletes and meets a full disk gives it
 * up and tries again; what adds goes on only while it is held, or can be taken again, so that what
 * was given up is not eaten by that.
 *
 * It is for one daemon's own use: what other programs do with the room, nobody can say.
 *
 * Threads: [any]; who takes or gives it up may wait for the disk.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/store_io.h"

/* A delete writes each page that it changes once, as 4 KiB and a little: two pages for a record,
 * and those of many records are the same. So it is room for 1,000 records at the least. */
#define RESERVE_BYTES (8u << 20)

struct reserve;

/* Of so many bytes in the data directory dir; does not take it yet. -ENOMEM. */
int reserve_new(struct store_io *io, const char *dir, uint64_t n_bytes, struct reserve **ret);
/* The file stays. NULL is fine; returns NULL. */
struct reserve *reserve_free(struct reserve *reserve);

/* Takes it, unless it is held. -ENOSPC: there is no room, as if it had been given up. Other errors
 * say that it cannot be had here at all. */
int reserve_take(struct reserve *reserve);
/* It is not held, because the disk is full, or was when somebody last looked. */
bool reserve_is_given_up(const struct reserve *reserve);
/* Whether nothing may be added: it is given up, and cannot be taken again. */
bool reserve_lacks_room(struct reserve *reserve);
/* Why what adds for long is to end early: -ECANCELED, or -ENOSPC when it is given up, so that what
 * it was is left to deletes; 0: it is not. */
int reserve_why_stop(const struct reserve *reserve, const atomic_bool *cancelled);
/* What adds ended like that. */
void reserve_added(struct reserve *reserve, int result);
/* Whether room comes before speed: it is given up, or what added last met a full disk beside it. */
bool reserve_is_short(const struct reserve *reserve);
/* Whether what failed with that error may be tried once more: it was that the disk is full, and the
 * reserve is given up now. */
bool reserve_helps(struct reserve *reserve, int error);
