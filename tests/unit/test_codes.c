/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/codes.h"

enum {
	DIM_MAX = 4096,
	N_SLABS = 8,
};

/* One for all tests: a process can make few. */
static struct budget *budget;

static uint64_t used_bytes(void)
{
	struct budget_figures figures;

	budget_figures(budget, &figures);
	return figures.used_by_kind[BUDGET_VECTORS];
}

/* n prepared rows of f32, or f16 with the same values. */
static void *make_rows(uint32_t n, uint32_t dim, enum dtype dtype)
{
	float *packed = calloc((size_t)n * dim + 1, sizeof(float));
	float *converted = calloc((size_t)n * dim + 1, sizeof(float));
	void *rows = aligned_alloc(64, (size_t)(n + 1) * vector_stride_bytes(dim, dtype));

	assert_non_null(packed);
	assert_non_null(converted);
	assert_non_null(rows);
	/* Eighths, which f16 holds. */
	for (size_t i = 0; i < (size_t)n * dim; i++)
		packed[i] = (float)(lrand48() % 160 - 60) / 8;
	dtype_convert(packed, DTYPE_F32, (size_t)n * dim, dtype, converted);
	vector_prepare(converted, n, dim, dtype, METRIC_L2, rows);
	free(packed);
	free(converted);
	return rows;
}

static const void *row_at(const void *rows, uint64_t i, uint32_t dim, enum dtype dtype)
{
	return (const uint8_t *)rows + i * vector_stride_bytes(dim, dtype);
}

/* Rows that lie one behind the other, and which of them were asked for. */
struct source {
	const struct codes *codes;
	const void *rows;
	uint64_t bad_row;
	uint64_t n_asked, last;
};

static const void *row_of(void *ctx, uint64_t row)
{
	struct source *source = ctx;

	source->n_asked++;
	source->last = row;
	if (row == source->bad_row)
		return NULL;
	return row_at(source->rows, row, source->codes->sq8.dim, source->codes->dtype);
}

static void set_mean(struct codes *codes, const void *rows, uint32_t n)
{
	struct source source = {.codes = codes, .rows = rows, .bad_row = UINT64_MAX};

	assert_int_equal(codes_set_mean(codes, n, row_of, &source), 0);
	assert_int_equal(source.n_asked, n);
}

/* Addresses */

static void a_product_finds_the_chunk_of_every_row(void **state)
{
	struct codes codes;
	uint32_t before = 0;

	(void)state;
	for (uint32_t dim = 1; dim <= DIM_MAX; dim++) {
		codes_init(&codes, METRIC_L2, dim, DTYPE_F32, budget);
		uint32_t chunk_rows = codes.chunk_rows;
		uint32_t code_bytes = sq8_coarse_bytes(dim) + sq8_fine_bytes(dim);

		assert_int_equal(chunk_rows, RUN_BYTES / code_bytes);
		assert_true(code_bytes >= dim && sq8_coarse_bytes(dim) % 64 == 0);
		if (chunk_rows == before)
			continue;
		before = chunk_rows;
		/* The quotient ascends, so it is right in between too. */
		for (uint64_t chunk = 0; chunk < CHUNK_DIR_MAX; chunk++) {
			uint64_t first = chunk * chunk_rows;
			uint64_t last = first + chunk_rows - 1;
			if (first * codes.reciprocal >> 40 != chunk ||
			    last * codes.reciprocal >> 40 != chunk)
				fail_msg("chunk %lu of %u rows", (unsigned long)chunk, chunk_rows);
		}
	}
}

static void mark(const uint8_t *part, uint32_t n_bytes, uint32_t row)
{
	memset((void *)(uintptr_t)part, (int)row, n_bytes);
}

static void assert_marked(const uint8_t *part, uint32_t n_bytes, uint32_t row)
{
	for (uint32_t i = 0; i < n_bytes; i++)
		assert_int_equal(part[i], (uint8_t)row);
}

/* Every row has a code of its own within what was reserved; coarse parts lie side by side. */
static void check_addresses(uint32_t dim, uint32_t n)
{
	struct codes codes;
	struct sq8_code before = {0};

	codes_init(&codes, METRIC_L2, dim, DTYPE_F32, budget);
	void *rows = make_rows(n, dim, DTYPE_F32);
	set_mean(&codes, rows, n);
	assert_int_equal(codes_reserve(&codes, n), n);
	for (uint32_t row = 0; row < n; row++) {
		struct sq8_code at = codes_at(&codes, row);
		assert_int_equal((uintptr_t)at.coarse % 64, 0);
		assert_int_equal((uintptr_t)at.fine % 32, 0);
		if (row % codes.chunk_rows != 0) {
			assert_ptr_equal(at.coarse, before.coarse + codes.sq8.coarse_bytes);
			assert_ptr_equal(at.fine, before.fine + codes.sq8.fine_bytes);
		}
		before = at;
		mark(at.coarse, codes.sq8.coarse_bytes, row);
		mark(at.fine, codes.sq8.fine_bytes, row + 100);
	}
	for (uint32_t row = 0; row < n; row++) {
		struct sq8_code at = codes_at(&codes, row);
		assert_marked(at.coarse, codes.sq8.coarse_bytes, row);
		assert_marked(at.fine, codes.sq8.fine_bytes, row + 100);
	}
	codes_release(&codes);
	free(rows);
}

static void assert_same_code(const struct codes *a, const struct codes *b, uint64_t row)
{
	assert_memory_equal(codes_at(a, row).coarse, codes_at(b, row).coarse, a->sq8.coarse_bytes);
	assert_memory_equal(codes_at(a, row).fine, codes_at(b, row).fine, a->sq8.fine_bytes);
}

static void codes_lie_side_by_side_and_on_their_own(void **state)
{
	(void)state;
	check_addresses(1, 2000);
	check_addresses(65, 1000);
	check_addresses(784, 300);
	check_addresses(4096, 50);
	assert_int_equal(used_bytes(), 0);
}

/* Growth */

static void codes_do_not_move_while_they_grow(void **state)
{
	const uint32_t dim = 100, n = 2000, step = 77;
	void *rows = make_rows(n, dim, DTYPE_F32);
	struct codes pieces, whole;
	const uint8_t *first;

	(void)state;
	codes_init(&pieces, METRIC_L2, dim, DTYPE_F32, budget);
	codes_init(&whole, METRIC_L2, dim, DTYPE_F32, budget);
	set_mean(&pieces, rows, 100);
	set_mean(&whole, rows, 100);
	assert_int_equal(codes_reserve(&whole, n), n);
	codes_encode(&whole, 0, n, rows);
	assert_int_equal(codes_reserve(&pieces, 1), 1);
	first = codes_at(&pieces, 0).coarse;
	for (uint32_t at = 0; at < n; at += step) {
		uint32_t end = at + step < n ? at + step : n;
		assert_int_equal(codes_reserve(&pieces, end), end);
		codes_encode(&pieces, at, end - at, row_at(rows, at, dim, DTYPE_F32));
	}
	assert_ptr_equal(codes_at(&pieces, 0).coarse, first);
	for (uint32_t row = 0; row < n; row++)
		assert_same_code(&pieces, &whole, row);
	codes_release(&pieces);
	codes_release(&whole);
	free(rows);
}

static void every_byte_is_charged_and_given_back(void **state)
{
	struct codes codes;

	(void)state;
	codes_init(&codes, METRIC_L2, 784, DTYPE_F32, budget);
	uint32_t chunk_rows = codes.chunk_rows;
	assert_int_equal(codes_reserve(&codes, 0), 0);
	assert_int_equal(codes_bytes(&codes), 0);
	for (uint64_t n_chunks = 1; n_chunks < 70; n_chunks++) {
		assert_int_equal(codes_reserve(&codes, (n_chunks - 1) * chunk_rows + 1),
		                 (n_chunks - 1) * chunk_rows + 1);
		assert_int_equal(codes_bytes(&codes), n_chunks * RUN_BYTES);
		assert_int_equal(used_bytes(), n_chunks * RUN_BYTES);
		/* There is room for the rest of the chunk. */
		assert_int_equal(codes_reserve(&codes, n_chunks * chunk_rows),
		                 n_chunks * chunk_rows);
		assert_int_equal(codes_bytes(&codes), n_chunks * RUN_BYTES);
		assert_int_equal(codes_rows_in(&codes, n_chunks * RUN_BYTES),
		                 n_chunks * chunk_rows);
		assert_int_equal(codes_rows_in(&codes, n_chunks * RUN_BYTES - 1),
		                 (n_chunks - 1) * chunk_rows);
	}
	/* Fewer than there is room for takes nothing and gives nothing back. */
	assert_int_equal(codes_reserve(&codes, 1), 1);
	assert_int_equal(codes_bytes(&codes), 69 * RUN_BYTES);
	codes_release(&codes);
	assert_int_equal(used_bytes(), 0);
	assert_int_equal(codes_bytes(&codes), 0);
	codes_release(&codes);
}

static void a_full_budget_grants_what_it_has(void **state)
{
	const uint32_t dim = 784, n = 1000;
	void *rows = make_rows(n, dim, DTYPE_F32);
	struct codes codes, other;

	(void)state;
	codes_init(&codes, METRIC_L2, dim, DTYPE_F32, budget);
	codes_init(&other, METRIC_L2, dim, DTYPE_F32, budget);
	uint64_t most = codes_rows_in(&codes, (uint64_t)N_SLABS * SLAB_BYTES);
	assert_int_equal(codes_reserve(&other, most - 500), most - 500);
	uint64_t room = codes_reserve(&codes, n);
	assert_in_range(room, 1, 500);
	assert_int_equal(room % codes.chunk_rows, 0);
	assert_int_equal(used_bytes(), (uint64_t)N_SLABS * SLAB_BYTES);
	/* What was granted is of use, and asking again changes nothing. */
	set_mean(&codes, rows, 10);
	codes_encode(&codes, 0, room, rows);
	assert_int_equal(codes_reserve(&codes, n), room);
	codes_release(&other);
	assert_int_equal(codes_reserve(&codes, n), n);
	codes_encode(&codes, room, n - room, row_at(rows, room, dim, DTYPE_F32));
	codes_release(&codes);
	assert_int_equal(used_bytes(), 0);
	free(rows);
}

static void released_codes_can_be_filled_anew(void **state)
{
	void *rows = make_rows(50, 30, DTYPE_F16);
	struct codes codes;

	(void)state;
	codes_init(&codes, METRIC_COSINE, 30, DTYPE_F16, budget);
	for (int round = 0; round < 3; round++) {
		assert_null(codes.mean);
		set_mean(&codes, rows, 50);
		assert_int_equal(codes_reserve(&codes, 50), 50);
		codes_encode(&codes, 0, 50, rows);
		assert_int_equal(codes.sq8.metric, METRIC_COSINE);
		assert_int_equal(codes.dtype, DTYPE_F16);
		codes_release(&codes);
	}
	free(rows);
}

/* Means and dtypes */

static void the_mean_is_that_of_the_rows(void **state)
{
	static const uint32_t dims[] = {1, 3, 16, 31, 33, 100};

	(void)state;
	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++) {
			uint32_t dim = dims[d], n = 64;
			void *rows = make_rows(n, dim, dtype);
			struct codes codes;

			codes_init(&codes, METRIC_L2, dim, dtype, budget);
			set_mean(&codes, rows, n);
			for (uint32_t j = 0; j < dim; j++) {
				float sum = 0; /* of eighths: exact */
				for (uint32_t i = 0; i < n; i++) {
					float x;
					dtype_convert((const uint8_t *)row_at(rows, i, dim, dtype) +
					                      j * dtype_bytes(dtype),
					              dtype, 1, DTYPE_F32, &x);
					sum += x;
				}
				assert_true(codes.mean[j] == sum / (float)n);
			}
			for (uint32_t j = dim; j < vector_stride_bytes(dim, DTYPE_F32) / 4; j++)
				assert_true(codes.mean[j] == 0);
			codes_release(&codes);
			free(rows);
		}
}

static void the_mean_of_no_rows_is_zero(void **state)
{
	struct codes codes;

	(void)state;
	codes_init(&codes, METRIC_L2, 20, DTYPE_F32, budget);
	set_mean(&codes, NULL, 0);
	for (uint32_t j = 0; j < 32; j++)
		assert_true(codes.mean[j] == 0);
	codes_release(&codes);
}

static const void *row_alone(void *ctx, uint64_t row)
{
	static float values[16] __attribute__((aligned(64)));

	assert_int_equal(row % 3, 0);
	++*(uint64_t *)ctx;
	values[0] = (float)row;
	return values;
}

static void the_mean_of_many_rows_is_that_of_a_sample_from_all_over_them(void **state)
{
	struct codes codes;
	uint64_t n_asked = 0;

	(void)state;
	codes_init(&codes, METRIC_L2, 1, DTYPE_F32, budget);
	assert_int_equal(codes_set_mean(&codes, 3 * CODES_MEAN_ROWS, row_alone, &n_asked), 0);
	assert_int_equal(n_asked, CODES_MEAN_ROWS);
	assert_true(codes.mean[0] == 1.5f * (CODES_MEAN_ROWS - 1));
	codes_release(&codes);
}

static void a_row_that_cannot_be_read_leaves_no_mean(void **state)
{
	struct codes codes;
	struct source source = {.codes = &codes, .bad_row = 7};

	(void)state;
	codes_init(&codes, METRIC_L2, 20, DTYPE_F32, budget);
	void *rows = make_rows(10, 20, DTYPE_F32);
	source.rows = rows;
	assert_int_equal(codes_set_mean(&codes, 10, row_of, &source), -EIO);
	assert_int_equal(source.last, 7);
	assert_null(codes.mean);
	set_mean(&codes, rows, 10);
	codes_release(&codes);
	free(rows);
}

static void rows_of_f16_have_the_codes_of_their_values(void **state)
{
	static const uint32_t dims[] = {1, 17, 64, 100};

	(void)state;
	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
		uint32_t dim = dims[d], n = 40;
		struct codes codes[N_DTYPES];

		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++) {
			srand48(5);
			void *rows = make_rows(n, dim, dtype);
			codes_init(&codes[dtype], METRIC_L2, dim, dtype, budget);
			set_mean(&codes[dtype], rows, n);
			assert_int_equal(codes_reserve(&codes[dtype], n), n);
			codes_encode(&codes[dtype], 0, n, rows);
			free(rows);
		}
		for (uint32_t row = 0; row < n; row++)
			assert_same_code(&codes[DTYPE_F16], &codes[DTYPE_F32], row);
		codes_release(&codes[DTYPE_F32]);
		codes_release(&codes[DTYPE_F16]);
	}
}

static int open_budget(void **state)
{
	(void)state;
	srand48(4);
	return budget_new((uint64_t)N_SLABS * SLAB_BYTES, NULL, &budget);
}

static int close_budget(void **state)
{
	(void)state;
	budget = budget_free(budget);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_product_finds_the_chunk_of_every_row),
	        cmocka_unit_test(codes_lie_side_by_side_and_on_their_own),
	        cmocka_unit_test(codes_do_not_move_while_they_grow),
	        cmocka_unit_test(every_byte_is_charged_and_given_back),
	        cmocka_unit_test(a_full_budget_grants_what_it_has),
	        cmocka_unit_test(released_codes_can_be_filled_anew),
	        cmocka_unit_test(the_mean_is_that_of_the_rows),
	        cmocka_unit_test(the_mean_of_no_rows_is_zero),
	        cmocka_unit_test(the_mean_of_many_rows_is_that_of_a_sample_from_all_over_them),
	        cmocka_unit_test(a_row_that_cannot_be_read_leaves_no_mean),
	        cmocka_unit_test(rows_of_f16_have_the_codes_of_their_values),
	};
	return cmocka_run_group_tests(tests, open_budget, close_budget);
}
