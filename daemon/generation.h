/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One built instance of an index: the graph, and how far it covers its collection's rows. Rows
 * [0, covered_rows) that anyone can see have a node; later ones are pending and are scanned. Nodes
 * stand in the order of rows. Who is visible the record table alone decides, at each search's own
 * seq, so a generation needs no news of replaced or deleted records to answer right.
 *
 * It is an entry of the cache (cache.h), which keeps the one that serves; flights and searches
 * refer to it as long as they need it.
 *
 * Threads: counted and published on the loop; searched by anyone who took a reference there.
 */

#include <stdint.h>

#include "daemon/cache.h"
#include "daemon/lanes.h"
#include "daemon/tally.h"
#include "index/hnsw.h"
#include "index/hnsw_space_rows.h"
#include "index/hnsw_space_sq8.h"
#include "index/recall_curve.h"
#include "index/record_table.h"
#include "protocol/methods.h"
#include "storage/snapshot.h"
#include "storage/vector_file.h"

struct collection;
struct index;
struct pin;

/* What an index is declared with. */
struct index_params {
	uint32_t m;
	uint32_t ef_construction;
	uint32_t ef_search; /* of searches that do not say; no part of the graph */
	enum wire_quantization quantization;
	uint64_t identity; /* drawn when it is declared: names the files of this declaration */
};

struct generation {
	struct cache_entry entry; /* first: what the cache sees */
	struct daemon *daemon;
	struct index *index; /* that it serves, while the cache keeps it */
	uint64_t number;     /* within its index, counted from 1 */
	struct index_params params;
	struct hnsw *hnsw;
	struct recall_curve curve; /* of the graph */
	struct snapshot *snapshot; /* that a mapped graph lies in, or NULL */
	uint64_t covered_rows;
	uint64_t saved_rows;  /* of those, how many the snapshot covers */
	uint32_t saved_nodes; /* covered nodes that the snapshot has */
	struct tally *tally;  /* its index's: a reference */
};

extern const struct cache_type generation_type;

/* A node whose vector is gone (its record was replaced or deleted, and the vector file begun anew
 * since) cannot be led through. More than one in so many, and the graph finds less. */
#define GENERATION_LOST_SHARE 5

/* The key of the generation that serves an index of these parameters. */
struct cache_key generation_key(const struct collection *collection,
                                const struct index_params *params);
/* An empty one, with one reference; snapshot: what its graph will be mapped from (one more closes
 * it), NULL for one in memory. -errno. */
int generation_new(const struct collection *collection, const struct index_params *params,
                   struct tally *tally, struct snapshot *snapshot, struct generation **ret);
/* It is served from its snapshot. */
static inline bool generation_is_mapped(const struct generation *generation)
{
	return generation->snapshot != NULL;
}
/* It was, and the snapshot can no longer be read: what was found with it is of no use. [any] */
bool generation_is_lost(const struct generation *generation);
/* Gives each node the row of its slot among the first n_rows of the table, and counts those that
 * are live after seq; nodes whose row is retired or gone (*ret_n_lost) are dead from now on. Nobody
 * else may use the generation. [any] */
uint64_t generation_map_rows(struct generation *generation, const struct record_table *table,
                             uint64_t n_rows, uint64_t seq, uint32_t *ret_n_lost);
struct generation *generation_ref(struct generation *generation);
/* NULL is fine; returns NULL. */
struct generation *generation_unref(struct generation *generation);

/* Where the vectors of a pinned collection lie, as a graph's space. */
struct row_source {
	const struct hnsw_space *space; /* one of the two */
	struct hnsw_space_rows rows;
	struct hnsw_space_sq8 codes;
	const struct collection *collection;
	uint64_t n_faults;           /* of the vector file when it began */
	_Atomic uint64_t bad_extent; /* one that could not be read, or UINT64_MAX */
};

/* Every row of the graph is mapped at the pin. */
void row_source_init(struct row_source *source, const struct collection *collection,
                     const struct index_params *params, const struct pin *pin);
/* UINT64_MAX: all that was asked for was sound. */
uint64_t row_source_bad_extent(const struct row_source *source);
