/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Other engines, for a comparison on the same machine in the same run (--peers). Each is built in
 * only where its library was found. Threads: one owner; building lends threads of its own.
 */

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/dataset.h"
#include "tests/bench/graph_spec.h"

struct peer {
	const char *name;
	/* An exact l2 index over all base rows, its own copy of them; NULL when it cannot. */
	void *(*open)(const struct dataset *dataset);
	/* The k nearest rows, nearest first. */
	void (*search)(void *index, const float *query, uint32_t k, uint64_t *ret_rows);
	void (*close)(void *index);
};

struct graph_peer {
	const char *name;
	uint32_t builds; /* that are measured at most: one build may take a minute */
	/* A graph over all base rows under the dataset's metric; NULL when it cannot. */
	void *(*build)(const struct dataset *dataset, const struct graph_spec *spec);
	/* Of the vectors or codes, the links and what finds them; locks and tables of ids left out.
	 */
	uint64_t (*bytes)(const void *graph);
	/* The k nearest rows to the dataset's query, which was prepared before. Distances are
	 * counted only when ret_comparisons is not NULL. */
	void (*search)(void *graph, size_t query_idx, uint32_t k, uint32_t ef, uint64_t *ret_rows,
	               uint64_t *ret_comparisons);
	void (*close)(void *graph);
};

#ifdef __cplusplus
extern "C" const struct peer peer_hnswlib;
extern "C" const struct graph_peer graph_peer_hnswlib;
extern "C" const struct graph_peer graph_peer_faiss_flat;
extern "C" const struct graph_peer graph_peer_faiss_sq8;
#else
extern const struct peer peer_hnswlib;
extern const struct graph_peer graph_peer_hnswlib;
extern const struct graph_peer graph_peer_faiss_flat;
extern const struct graph_peer graph_peer_faiss_sq8;
#endif

#define GRAPH_PEERS_MAX 3

/* Those that are built in; NULL-terminated. The bars are about the first graph, hnswlib's. */
extern const struct peer *const peers[];
extern const struct graph_peer *const graph_peers[];
/* Whether a run that may name one wants this peer: its name begins so, or wanted is NULL. */
bool peer_is_wanted(const char *name, const char *wanted);
