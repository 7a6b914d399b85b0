/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HNSW graph over a resident row set, in this process: what building and searching cost
 * without a daemon around it. Memory comes from the row set's budget.
 *
 * Threads: one owner, also of the row set; building lends threads of its own.
 */

#include <stddef.h>
#include <stdint.h>

#include "tests/bench/graph_spec.h"
#include "tests/bench/row_set.h"

struct local_graph;

/* Inserts all rows. Borrows the rows. */
int local_graph_build(const struct row_set *rows, const struct graph_spec *spec,
                      struct local_graph **ret);
/* NULL is fine; returns NULL. */
struct local_graph *local_graph_free(struct local_graph *graph);

/* Of the graph alone, vectors not counted. */
uint64_t local_graph_bytes(const struct local_graph *graph);
/* The k nearest rows to the dataset's query, which was prepared before. ret_comparisons may be
 * NULL. -EBADMSG when there are fewer. */
int local_graph_search(struct local_graph *graph, size_t query_idx, uint32_t k, uint32_t ef,
                       uint64_t *ret_rows, uint64_t *ret_comparisons);
