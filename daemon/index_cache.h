/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An index and the cache: how its serving generation comes in, leaves and comes back.
 *
 * The cache keeps the generation that serves, under the identity of the index's declaration; the
 * index only points to it. The cache may let go of it when nothing of it is unsaved and nobody
 * works on it: then the index is `evicted`, and the next search, or whoever asks to warm it, loads
 * it again. However many ask, one load flight runs; the searches wait for it, since it reads a
 * small part of what comparing every record would.
 *
 * What is open stays open: the snapshot that a generation was saved to or loaded from is kept with
 * its table and head, so that an evicted index whose file has not changed (only a save changes it)
 * comes back without looking at the file's name, header or table, or at its structure again.
 *
 * Threads: all [loop].
 */

#include "daemon/cache.h"
#include "daemon/index.h"

/* The generation serves from now on, in the place of the one before, and covers so many rows; who
 * waits for its load is told. Not 0: the cache does not keep it, and nothing serves. */
int index_serve(struct index *index, struct generation *generation, uint64_t covered_rows);
/* The one that serves is of no use any more. Fine when none does. */
void index_unserve(struct index *index);
/* The load did not bring one; who waits for it is told. Fine when nobody does. */
void index_load_failed(struct index *index, int error);
/* The snapshot (taken; NULL: none is known) is what the index is loaded from when it was evicted;
 * head: of its graph. */
void index_keep_snapshot(struct index *index, struct snapshot *snapshot,
                         const struct hnsw_head *head);

/* The generation for a search that is planned: 0 and a reference; CACHE_MISS: there is none, so
 * every record is compared; CACHE_LOADING: request->next is called when it has been loaded or
 * cannot be, perhaps it was already. */
int index_acquire(struct index *index, struct request *request, struct generation **ret);
/* Answers a `warm` once it serves, an `evict` once it is evicted or was not there. */
void index_warm(struct index *index, struct request *request);
void index_evict(struct index *index, struct request *request);
/* An evicted index: loads it when somebody asks for more than searches do. */
void index_look_evicted(struct index *index);
/* No flight is under way: evicts it if somebody asked and nothing is unsaved. */
void index_look_evicting(struct index *index);

/* Keeps the figures of the one that serves for the one that takes its place. */
void index_remember(struct index *index);
/* A mapped generation turned out not to be readable any more: it is built anew. Fine when it does
 * not serve any more. */
void index_graph_lost(struct generation *generation);
/* Whether the generation fits into what the collection may have of the cache, after the
 * collection's other indexes that nobody uses have made room. */
bool index_makes_share(const struct index *index, const struct generation *generation);
/* Whether the one that serves should be loaded again, to the place that the cache wants it at. */
bool index_is_misplaced(struct index *index, uint64_t now_ns);

/* For the cache, about the generation that serves. */
bool index_can_do_without(const struct index *index);
void index_lost(struct index *index, enum cache_removal why);
