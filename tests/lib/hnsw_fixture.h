/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A graph over made-up vectors, and how good its answers are beside the exact ones. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/hnsw_space_rows.h"
#include "index/hnsw_space_sq8.h"
#include "index/hnsw_space_without.h"

enum hnsw_data {
	HNSW_DATA_UNIFORM,
	HNSW_DATA_CLUSTERED,  /* 40 clusters */
	HNSW_DATA_EQUAL,      /* one vector, n times */
	HNSW_DATA_DUPLICATES, /* 50 vectors, each n / 50 times */
	HNSW_DATA_NEAR,       /* notes that were edited: many are nearly the same as some others */
	HNSW_DATA_OUTLIERS    /* uniform, and one element of 20 times that */
};

/* By what the graph knows vectors: every space that there is. */
enum hnsw_fixture_space {
	HNSW_FIXTURE_ROWS,
	HNSW_FIXTURE_ROWS_F16,
	HNSW_FIXTURE_SQ8,
	HNSW_FIXTURE_PARTLY, /* by codes, but every row from the middle on has none */
	HNSW_FIXTURE_PARTLY_F16,
	HNSW_FIXTURE_WITHOUT, /* by codes, and a row is left out that there is not */
	HNSW_FIXTURE_N_SPACES,
};

struct hnsw_fixture {
	enum metric metric;
	enum dtype dtype; /* of the rows; queries are f32 */
	uint32_t dim;
	uint32_t n_rows;
	uint32_t n_queries;
	uint8_t *rows;
	float *queries;
	struct budget *budget;
	struct hnsw *hnsw;
	const struct hnsw_space *space;
	struct hnsw_space_rows exact;
	struct hnsw_space_sq8 sq8;
	struct hnsw_space_without without;
	struct codes codes; /* for the spaces that need them */
	struct hnsw_scratch scratch;
};

struct hnsw_fixture_spec {
	enum hnsw_data data;
	enum hnsw_fixture_space space;
	float scale;        /* what the vectors are multiplied by; 0: 1 */
	enum metric metric; /* 0: l2 */
	uint32_t dim;
	uint32_t n_rows;
	uint32_t n_queries;
	struct hnsw_params params;
	uint64_t limit_bytes; /* of the budget; 0: plenty */
};

/* An empty graph, and n_rows vectors for it. */
void hnsw_fixture_open(struct hnsw_fixture *fixture, const struct hnsw_fixture_spec *spec);
/* Asserts that all memory came back. */
void hnsw_fixture_close(struct hnsw_fixture *fixture);

const void *hnsw_fixture_row(const struct hnsw_fixture *fixture, uint32_t row);
const float *hnsw_fixture_query(const struct hnsw_fixture *fixture, uint32_t idx);
/* Makes row `to` the same vector as row `from`, before it is a node. */
void hnsw_fixture_copy_row(struct hnsw_fixture *fixture, uint32_t from, uint32_t to);
/* Makes row idx the next node, with slot 3 * idx + 1. */
void hnsw_fixture_append(struct hnsw_fixture *fixture, uint32_t first, uint32_t n);
/* Inserts what was appended, with that many threads. */
void hnsw_fixture_build(struct hnsw_fixture *fixture, uint32_t n_threads);
/* Appends and inserts all rows. */
void hnsw_fixture_fill(struct hnsw_fixture *fixture, uint32_t n_threads);

/* A search for query idx over what is covered; returns the number of hits. */
uint32_t hnsw_fixture_search(struct hnsw_fixture *fixture, uint32_t idx, uint32_t k, uint32_t ef,
                             struct hit *ret_hits);
/* The share of exact answers found, over all queries, fair to ties. Asserts that each answer is in
 * order, without a row twice, and with the distances of the exact scan, bit for bit. */
double hnsw_fixture_recall(struct hnsw_fixture *fixture, uint32_t k, uint32_t ef);

/* Nodes that were retired. */
uint32_t hnsw_fixture_n_dead(const struct hnsw_fixture *fixture);

/* Asserts that hnsw_check() finds no fault, and that every node can be reached. */
void hnsw_fixture_assert_sound(const struct hnsw_fixture *fixture);
/* Asserts that a graph of all that the spec says is sound, and has at least that recall. */
void hnsw_fixture_assert_recall(const struct hnsw_fixture_spec *spec, uint32_t k, uint32_t ef,
                                double least);

/* The k nearest of the first n rows by the exact scan, but those of dead nodes. */
uint32_t hnsw_fixture_exact(const struct hnsw_fixture *fixture, uint32_t idx, uint32_t n,
                            uint32_t k, struct hit *ret_hits);
