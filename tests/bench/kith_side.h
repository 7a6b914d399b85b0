/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Kith's side of a measurement: a private daemon, a connection to it, and the few calls that
 * suites make of it, on records whose ids are the numbers of their rows.
 *
 * Results are those of kith.h. Threads: one owner; other threads bring connections of their own.
 */

#include "client/kith.h"
#include "tests/bench/dataset.h"
#include "tests/lib/daemon_process.h"

struct kith_side {
	struct daemon_process *daemon;
	struct kith_conn *conn;
};

/* A zeroed one is ready for each. Starts the daemon, with a budget that holds the largest set
 * resident, and connects. */
int kith_side_start(struct kith_side *side);
/* Stops and removes all of it. Fine when it did not start. */
void kith_side_stop(struct kith_side *side);

/* One more connection. */
int kith_side_connect(const struct kith_side *side, struct kith_conn **ret);

/* Makes an empty collection for the dataset's vectors, under its metric. */
int kith_side_create(struct kith_side *side, const char *collection, const struct dataset *dataset);
int kith_side_drop(struct kith_side *side, const char *collection);
/* Stores all base rows, durably, batches pipelined. */
int kith_side_import(struct kith_side *side, const char *collection, const struct dataset *dataset);
/* Searches now and then until the answers come from memory: the vectors of a collection that is
 * searched become resident in the background. */
int kith_side_warm(struct kith_side *side, const char *collection, const struct dataset *dataset);
/* Makes sure of the usual index and waits until it serves. */
int kith_side_ensure(struct kith_side *side, const char *collection);
/* Returns when all records are in the index and the index is on disk. */
int kith_side_optimize(struct kith_side *side, const char *collection);
/* How many workers the daemon has for searches. */
int kith_side_workers(struct kith_side *side, uint32_t *ret);
/* What became of the collection's one index: -ENOENT when it has none. The text is not kept. */
int kith_side_index(struct kith_side *side, const char *collection, struct kith_index *ret);

int kith_side_upsert(struct kith_conn *conn, const char *collection, uint64_t id,
                     const float *vector, uint32_t dim);
/* The k nearest records to the dataset's query; ef_search 0: as the index has it. */
int kith_side_search(struct kith_conn *conn, const char *collection, const struct dataset *dataset,
                     size_t query_idx, uint32_t k, uint32_t ef_search,
                     struct kith_search_result **ret);
/* The same to each of n queries, from query_idx on without wrapping around. */
int kith_side_search_many(struct kith_conn *conn, const char *collection,
                          const struct dataset *dataset, size_t query_idx, uint32_t n, uint32_t k,
                          uint32_t ef_search, struct kith_search_result **ret);
/* As kith_side_search(), with as many candidates as the index takes to need for that recall. */
int kith_side_search_aimed(struct kith_conn *conn, const char *collection,
                           const struct dataset *dataset, size_t query_idx, uint32_t k,
                           double target_recall, struct kith_search_result **ret);
/* Of an answer with k hits to the dataset's query, how many are right. */
size_t kith_side_n_right(const struct dataset *dataset, size_t query_idx,
                         const struct kith_search_result *answer);
