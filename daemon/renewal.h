/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An open collection gets rid of its dead rows: those of records that were replaced or deleted,
 * which stay in the vector file and the record table since rows are only ever added there.
 *
 * The live rows go into a new table, in the same order and under new numbers; the vector file is
 * emptied, and the restore care fills it from the truth; a graph that is in memory stays, and its
 * nodes get the new numbers. Only one of which more than GENERATION_LOST_SHARE led through dead
 * rows is built anew. Meanwhile nobody may read or change the collection (care_vectors.c sees to
 * it, as for an opening); afterwards searches compare what the truth has until the file is filled.
 *
 * A crash at any point leaves a vector file that has rows of the truth, or none.
 */

#include <stdbool.h>

struct collection;
struct renewal;

/* Dead rows that are left alone, beside twice as many as are live: what a renewal reads from the
 * truth was written at least twice since the last. */
#define RENEWAL_DEAD_BYTES (2u << 20)
/* The same in a pause of writing, beside as many as are live. */
#define RENEWAL_IDLE_DEAD_BYTES (1u << 20)

/* Whether there are that many, and the vector file is whole. [loop] */
bool renewal_is_due(const struct collection *collection, bool paused);
/* Whether nobody works on an index, copies the truth or surveys rows; readings may be under way.
 * [loop] */
bool renewal_is_possible(const struct collection *collection);
/* NULL: no memory. Nobody reads or changes the collection from here to the end. [loop] */
struct renewal *renewal_new(struct collection *collection);
/* -errno: the collection is as it was. [worker] */
int renewal_work(struct renewal *renewal);
/* Puts what was made in its place, if it was done. NULL is fine; returns NULL. [loop] */
struct renewal *renewal_end(struct renewal *renewal, bool done);
