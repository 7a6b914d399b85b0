/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HNSW graph over a row set of f32, in this process: what building and searching cost without
 * a daemon around it. Memory comes from the row set's budget.
 *
 * Threads: one owner, also of the row set; building lends threads of its own, and searching is for
 * anyone with a scratch of their own.
 */

#include <stddef.h>
#include <stdint.h>

#include "index/hnsw.h"
#include "tests/bench/graph_spec.h"
#include "tests/bench/row_set.h"

struct local_graph;

/* What distances are taken from. */
enum local_graph_over {
	LOCAL_GRAPH_OVER_CODES, /* quantization sq8: codes, refined by the rows */
	LOCAL_GRAPH_OVER_ROWS,  /* quantization none */
};

/* Inserts all rows. Borrows the rows. */
int local_graph_build(const struct row_set *rows, enum local_graph_over over,
                      const struct graph_spec *spec, struct local_graph **ret);
/* How soon a build that was cancelled has ended, and for how long its progress stood still at most
 * until then, over some builds over codes that are cancelled with the more rows inserted the later
 * they come. */
struct local_graph_cuts {
	double cancel_ms;
	double progress_ms;
};
int local_graph_cut(const struct row_set *rows, const struct graph_spec *spec,
                    struct local_graph_cuts *ret);

/* NULL is fine; returns NULL. */
struct local_graph *local_graph_free(struct local_graph *graph);

/* What has to be in memory to search it: the graph and what distances are taken from. */
uint64_t local_graph_bytes(const struct local_graph *graph);
/* The k nearest rows to the dataset's query, which was prepared before. ret_stats may be NULL.
 * -EBADMSG when there are fewer. */
int local_graph_search(const struct local_graph *graph, struct hnsw_scratch *scratch,
                       size_t query_idx, uint32_t k, uint32_t ef, uint64_t *ret_rows,
                       struct hnsw_search_stats *ret_stats);
