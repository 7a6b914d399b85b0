/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/row_set.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "index/exact.h"
#include "index/exact_codes.h"
#include "tests/bench/read_pass.h"

#define MASK_WORDS (RECORD_TABLE_CHUNK_ROWS / 64)
/* Of the budget: for the record table, and for codes of the rows and a graph over them. */
#define N_SLABS 64

static size_t rows_in(const struct row_set *set, size_t extent_idx)
{
	size_t first = extent_idx * set->extent_rows;
	size_t left = set->dataset->n_base - first;

	return left < set->extent_rows ? left : set->extent_rows;
}

/* Every row is a record with a number for its id, live and without an expiry. */
static int fill_table(struct row_set *set)
{
	size_t n = set->dataset->n_base;
	int r = record_table_reserve(&set->table, n, 0);

	for (size_t i = 0; i < n && !r; i++) {
		struct record_table_row row = {
		        .slot = i + 1,
		        .id.number = i,
		        .retired_seq = RECORD_TABLE_LIVE,
		};

		r = record_table_append(&set->table, &row);
	}
	return r;
}

/* A set without rows yet. */
static int set_new(const char *name, const struct dataset *dataset, enum metric metric,
                   enum dtype dtype, struct row_set **ret)
{
	struct row_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return -ENOMEM;
	set->name = name;
	set->dataset = dataset;
	set->metric = metric;
	set->dtype = dtype;
	set->stride_bytes = vector_stride_bytes(dataset->dim, dtype);
	r = budget_new((uint64_t)N_SLABS * SLAB_BYTES, NULL, &set->budget);
	if (r) {
		free(set);
		return r;
	}
	record_table_init(&set->table, set->budget);
	r = fill_table(set);
	if (r)
		row_set_free(set);
	else
		*ret = set;
	return r;
}

static int set_extents(struct row_set *set, uint32_t extent_rows)
{
	set->extent_rows = extent_rows;
	set->n_extents = (set->dataset->n_base + extent_rows - 1) / extent_rows;
	set->extents = calloc(set->n_extents, sizeof(*set->extents));
	return set->extents ? 0 : -ENOMEM;
}

/* Rows [first, first + n) of the dataset. */
static int prepare(const struct row_set *set, size_t first, size_t n, void *rows)
{
	const struct dataset *dataset = set->dataset;
	size_t bytes = n * dataset->dim * dtype_bytes(set->dtype);
	void *packed;
	size_t bad;
	int r;

	if (set->dtype == DTYPE_F32) {
		vector_prepare(dataset_row(dataset, first), n, dataset->dim, DTYPE_F32, set->metric,
		               rows);
		return 0;
	}
	packed = malloc(bytes);
	if (!packed)
		return -ENOMEM;
	r = vector_convert(dataset_row(dataset, first), n, dataset->dim, DTYPE_F32, set->metric,
	                   set->dtype, packed, &bad);
	if (r == 0)
		vector_prepare(packed, n, dataset->dim, set->dtype, set->metric, rows);
	free(packed);
	return r ? -ERANGE : 0;
}

/* Memory for all extents, in huge pages. */
static int take_block(struct row_set *set)
{
	size_t bytes = set->n_extents * SLAB_BYTES;

	set->block = aligned_alloc(SLAB_BYTES, bytes);
	if (!set->block)
		return -ENOMEM;
	/* Slower without, and right. */
	(void)madvise(set->block, bytes, MADV_HUGEPAGE);
	return 0;
}

static int make_resident(const char *name, const struct dataset *dataset, enum metric metric,
                         enum dtype dtype, struct row_set **ret)
{
	uint32_t extent_rows = SLAB_BYTES / vector_stride_bytes(dataset->dim, dtype);
	struct row_set *set;
	int r = set_new(name, dataset, metric, dtype, &set);

	if (r)
		return r;
	r = set_extents(set, extent_rows);
	r = r ? r : take_block(set);
	for (size_t i = 0; i < set->n_extents && !r; i++) {
		void *extent = set->block + i * SLAB_BYTES;

		r = prepare(set, i * extent_rows, rows_in(set, i), extent);
		set->extents[i] = extent;
	}
	if (r) {
		row_set_free(set);
		return r;
	}
	*ret = set;
	return 0;
}

int row_set_resident(const struct dataset *dataset, enum metric metric, struct row_set **ret)
{
	return make_resident("resident", dataset, metric, DTYPE_F32, ret);
}

int row_set_resident_f16(const struct dataset *dataset, enum metric metric, struct row_set **ret)
{
	return make_resident("resident f16", dataset, metric, DTYPE_F16, ret);
}

/* Appends all rows, an extent's worth at a time. */
static int fill_file(struct row_set *set)
{
	const struct dataset *dataset = set->dataset;
	uint32_t step = SLAB_BYTES / set->stride_bytes;
	uint64_t *slots = calloc(step, sizeof(*slots));
	void *rows = aligned_alloc(64, (size_t)step * set->stride_bytes);
	int r = slots && rows ? 0 : -ENOMEM;

	for (size_t first = 0; first < dataset->n_base && !r; first += step) {
		size_t n = dataset->n_base - first < step ? dataset->n_base - first : step;

		for (size_t i = 0; i < n; i++)
			slots[i] = first + i + 1;
		r = prepare(set, first, n, rows);
		r = r ? r : vector_file_append(set->file, n, slots, rows);
	}
	free(slots);
	free(rows);
	return r;
}

int row_set_mapped(const struct dataset *dataset, enum metric metric, struct row_set **ret)
{
	struct vector_file_spec spec = {.dim = dataset->dim, .metric = metric};
	char path[SCRATCH_PATH_SIZE];
	const char *why;
	struct row_set *set;
	int r = set_new("mapped", dataset, metric, DTYPE_F32, &set);

	if (r)
		return r;
	scratch_dir_init(&set->scratch);
	spec.stride_bytes = set->stride_bytes;
	r = vector_file_open(store_io_posix(), scratch_dir_path(&set->scratch, "rows", path), &spec,
	                     &set->file, &why);
	r = r ? r : fill_file(set);
	r = r ? r : set_extents(set, vector_file_extent_rows(set->file));
	for (size_t i = 0; i < set->n_extents && !r; i++)
		r = vector_file_extent(set->file, i, &set->extents[i]);
	if (r) {
		row_set_free(set);
		return r;
	}
	*ret = set;
	return 0;
}

struct row_set *row_set_free(struct row_set *set)
{
	if (!set)
		return NULL;
	record_table_release(&set->table);
	budget_free(set->budget);
	if (set->file)
		vector_file_free(set->file);
	if (set->scratch.path[0])
		scratch_dir_release(&set->scratch);
	free(set->block);
	free(set->extents);
	free(set);
	return NULL;
}

float row_set_read(const struct row_set *set)
{
	float sum = 0.0f;

	for (size_t i = 0; i < set->n_extents; i++)
		sum += read_pass(set->extents[i],
		                 rows_in(set, i) * set->stride_bytes / sizeof(float));
	return sum;
}

static const void *row_for_codes(void *ctx, uint64_t row)
{
	return row_set_row(ctx, row);
}

int row_set_encode(const struct row_set *set, struct codes *ret)
{
	size_t n = set->dataset->n_base;
	int r;

	codes_init(ret, set->metric, set->dataset->dim, set->dtype, set->budget);
	r = codes_set_mean(ret, n, row_for_codes, (void *)set);
	if (r == 0 && codes_reserve(ret, n) < n)
		r = -ENOMEM;
	for (size_t i = 0; i < set->n_extents && !r; i++)
		codes_encode(ret, i * set->extent_rows, rows_in(set, i), set->extents[i]);
	if (r)
		codes_release(ret);
	return r;
}

/* The next rows of [first, end) that the record table takes at once; returns how many. */
static uint32_t mask_rows(const struct row_set *set, size_t first, size_t end, uint64_t *ret_mask)
{
	const struct record_view view = {.seq = 1, .ns = RECORD_TABLE_ANY_NS, .now_s = 1};
	uint32_t n = end - first < RECORD_TABLE_CHUNK_ROWS ? (uint32_t)(end - first)
	                                                   : RECORD_TABLE_CHUNK_ROWS;

	record_table_visible(&set->table, &view, first, n, ret_mask);
	return n;
}

static void scan_by_codes(const struct row_set *set, const struct codes *codes,
                          struct exact_scan *scan)
{
	struct exact_codes by_codes = {
	        .scan = scan,
	        .codes = codes,
	        .queries = aligned_alloc(64, exact_codes_bytes(codes, scan->n_queries)),
	        .row_of = row_for_codes,
	        .ctx = (void *)set,
	};
	uint64_t mask[MASK_WORDS];

	if (!by_codes.queries)
		abort();
	exact_codes_prepare(&by_codes);
	for (size_t at = 0, n; at < set->dataset->n_base; at += n) {
		n = mask_rows(set, at, set->dataset->n_base, mask);
		if (exact_codes_scan(&by_codes, at, (uint32_t)n, mask))
			abort();
	}
	free(by_codes.queries);
}

static void scan_extent(const struct row_set *set, struct exact_scan *scan, size_t extent_idx)
{
	uint64_t mask[MASK_WORDS];
	size_t first = extent_idx * set->extent_rows;
	size_t end = first + rows_in(set, extent_idx);

	while (first < end) {
		struct exact_rows rows = {
		        .rows = row_set_row(set, first),
		        .first = first,
		        .n = mask_rows(set, first, end, mask),
		        .mask = mask,
		};

		exact_scan_rows(scan, &rows);
		first += rows.n;
	}
}

void row_set_hits(const struct row_set *set, const struct kernels *kernels,
                  const struct codes *codes, size_t query_idx, uint32_t n, uint32_t k,
                  struct hit *ret_hits)
{
	struct topk best[ROW_SET_MAX_QUERIES];
	uint32_t query_stride = vector_stride_bytes(set->dataset->dim, DTYPE_F32);
	char *queries = aligned_alloc(64, (size_t)n * query_stride);
	struct exact_scan scan = {
	        .kernels = kernels,
	        .metric = set->metric,
	        .dim = set->dataset->dim,
	        .n_queries = n,
	        .queries = queries,
	        .best = best,
	};

	if (!queries)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		vector_prepare(dataset_query(set->dataset, query_idx + i), 1, set->dataset->dim,
		               DTYPE_F32, set->metric, queries + (size_t)i * query_stride);
		topk_init(&best[i], ret_hits + (size_t)i * k, k);
	}
	if (codes)
		scan_by_codes(set, codes, &scan);
	for (size_t i = 0; i < set->n_extents && !codes; i++)
		scan_extent(set, &scan, i);
	for (uint32_t i = 0; i < n; i++)
		topk_sort(&best[i]);
	free(queries);
}

void row_set_search(const struct row_set *set, const struct kernels *kernels, size_t query_idx,
                    uint32_t n, uint32_t k, uint64_t *ret_rows)
{
	static _Thread_local struct hit hits[ROW_SET_MAX_QUERIES * ROW_SET_MAX_K];

	row_set_hits(set, kernels, NULL, query_idx, n, k, hits);
	for (size_t i = 0; i < (size_t)n * k; i++)
		ret_rows[i] = hits[i].row_idx;
}
