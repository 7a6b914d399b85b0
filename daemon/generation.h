/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One built instance of an index: the graph, and how far it covers its collection's rows. Rows
 * [0, covered_rows) that anyone can see have a node; later ones are pending and are scanned. Nodes
 * stand in the order of rows. Who is visible the record table alone decides, at each search's own
 * seq, so a generation needs no news of replaced or deleted records to answer right.
 *
 * Threads: counted and published on the loop; searched by anyone who took a reference there.
 */

#include <stdint.h>

#include "daemon/lanes.h"
#include "daemon/tally.h"
#include "index/hnsw.h"
#include "index/hnsw_space_rows.h"
#include "index/hnsw_space_sq8.h"
#include "index/record_table.h"
#include "protocol/methods.h"
#include "storage/vector_file.h"

struct collection;
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
	uint32_t n_refs;
	uint64_t number; /* within its index, counted from 1 */
	struct index_params params;
	struct hnsw *hnsw;
	uint64_t covered_rows;
	uint64_t saved_rows;  /* of those, how many the snapshot covers */
	uint32_t saved_nodes; /* covered nodes that the snapshot has */
	struct tally *tally;  /* its index's: a reference */
};

/* An empty one, with one reference. -errno. */
int generation_new(struct budget *budget, const struct index_params *params, struct tally *tally,
                   struct generation **ret);
struct generation *generation_ref(struct generation *generation);
/* NULL is fine; returns NULL. */
struct generation *generation_unref(struct generation *generation);

/* Where the vectors of a pinned collection lie, as a graph's space. */
struct row_source {
	const struct hnsw_space *space; /* one of the two */
	struct hnsw_space_rows rows;
	struct hnsw_space_sq8 codes;
	const struct collection *collection;
	_Atomic uint64_t bad_extent; /* the first that could not be read, or UINT64_MAX */
};

/* Every row of the graph is mapped at the pin. */
void row_source_init(struct row_source *source, const struct collection *collection,
                     const struct index_params *params, const struct pin *pin);
/* UINT64_MAX: all that was asked for was sound. */
uint64_t row_source_bad_extent(const struct row_source *source);
