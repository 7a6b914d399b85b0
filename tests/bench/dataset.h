/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A set of vectors with queries and, when known, their true neighbours.
 *
 * On disk it is a folder of base.fvecs, query.fvecs and gt_dist.fvecs in the layout of the TEXMEX
 * sets: each row a little-endian int32 count and that many float32. Truth is the distances of the
 * exact nearest rows of each query, nearest first. info.json beside them may have a "metric"; else
 * it is l2.
 *
 * Threads: filled by one, constant afterwards.
 */

#include <stddef.h>
#include <stdint.h>

#include "index/vector.h"

struct dataset {
	char name[64];
	enum metric metric;
	uint32_t dim;
	size_t n_base;
	size_t n_queries;
	float *base; /* n_base rows of dim floats */
	float *queries;
	uint32_t n_true;       /* neighbours known of each query; 0: none */
	float *true_distances; /* n_queries rows of n_true */
};

/* Reads data_dir/name, which must be l2 or cosine. -ENOENT when a file is missing, -EBADMSG when
 * one is not of that form. */
int dataset_read(const char *data_dir, const char *name, struct dataset **ret);
/* Vectors under l2 of uniform random components in [-1, 1), the same for the same seed. */
int dataset_make(const char *name, size_t n_base, size_t n_queries, uint32_t dim, uint64_t seed,
                 struct dataset **ret);
/* The same, but with as many degrees of freedom as there are factors, as embeddings have fewer than
 * dimensions: each vector is a sum of so many fixed directions, with weights of its own. */
int dataset_make_of_factors(const char *name, size_t n_base, size_t n_queries, uint32_t dim,
                            uint32_t n_factors, uint64_t seed, struct dataset **ret);
/* Finds the n_true nearest rows of each query, by comparing all. -ENOMEM. */
int dataset_find_truth(struct dataset *dataset, uint32_t n_true);
/* NULL is fine; returns NULL. */
struct dataset *dataset_free(struct dataset *dataset);

static inline const float *dataset_row(const struct dataset *dataset, size_t row_idx)
{
	return dataset->base + row_idx * dataset->dim;
}

/* Wraps around. */
static inline const float *dataset_query(const struct dataset *dataset, size_t query_idx)
{
	return dataset->queries + query_idx % dataset->n_queries * dataset->dim;
}

/* How many of k answers to a query are right, fair to ties: one counts when its distance, computed
 * here in f64, is at most that of the k-th true neighbour. */
size_t dataset_n_right(const struct dataset *dataset, size_t query_idx, const uint64_t *rows,
                       size_t k);
