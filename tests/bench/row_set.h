/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The base vectors of a dataset as rows for the kernels, with a record table that says who is
 * visible, and the exact search over them in this process: all the work of a search and no daemon
 * around it. Rows lie either in huge pages or in a vector file that is mapped.
 *
 * Threads: one owner; searching is for anyone.
 */

#include <stddef.h>
#include <stdint.h>

#include "index/budget.h"
#include "index/codes.h"
#include "index/kernels.h"
#include "index/record_table.h"
#include "index/topk.h"
#include "index/vector.h"
#include "storage/vector_file.h"
#include "tests/bench/dataset.h"
#include "tests/lib/scratch_dir.h"

#define ROW_SET_MAX_QUERIES 16
#define ROW_SET_MAX_K 64

struct row_set {
	const char *name; /* "resident", "mapped", "resident f16" */
	const struct dataset *dataset;
	enum metric metric;
	enum dtype dtype;
	uint32_t stride_bytes;
	uint32_t extent_rows;
	size_t n_extents;
	const void **extents;
	struct budget *budget;
	char *block; /* the rows of a resident one */
	struct record_table table;
	struct vector_file *file; /* of a mapped one */
	struct scratch_dir scratch;
};

/* Borrows the dataset. */
int row_set_resident(const struct dataset *dataset, enum metric metric, struct row_set **ret);
/* The same rounded to f16; -ERANGE when a vector cannot be. */
int row_set_resident_f16(const struct dataset *dataset, enum metric metric, struct row_set **ret);
int row_set_mapped(const struct dataset *dataset, enum metric metric, struct row_set **ret);
/* NULL is fine; returns NULL. */
struct row_set *row_set_free(struct row_set *set);

/* Reads every row once. */
float row_set_read(const struct row_set *set);
/* The codes of all rows, from the set's budget; to be released before the set. */
int row_set_encode(const struct row_set *set, struct codes *ret);
static inline const void *row_set_row(const struct row_set *set, uint64_t row)
{
	const char *extent = set->extents[row / set->extent_rows];

	return extent + row % set->extent_rows * set->stride_bytes;
}

/* The k nearest rows to each of n queries (the dataset's, from query_idx on): n times k hits,
 * nearest first. By way of the codes, unless they are NULL. */
void row_set_hits(const struct row_set *set, const struct kernels *kernels,
                  const struct codes *codes, size_t query_idx, uint32_t n, uint32_t k,
                  struct hit *ret_hits);
/* Their rows alone. */
void row_set_search(const struct row_set *set, const struct kernels *kernels, size_t query_idx,
                    uint32_t n, uint32_t k, uint64_t *ret_rows);
