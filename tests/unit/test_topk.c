/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "index/topk.h"

static int nearer_first(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	if (x->distance != y->distance)
		return x->distance < y->distance ? -1 : 1;
	return (x->row_idx > y->row_idx) - (x->row_idx < y->row_idx);
}

static void check_hits(const struct topk *topk, const struct hit *sorted, size_t n)
{
	assert_int_equal(topk->n, n < topk->k ? n : topk->k);
	for (size_t i = 0; i < topk->n; i++) {
		assert_true(topk->hits[i].distance == sorted[i].distance);
		assert_int_equal(topk->hits[i].row_idx, sorted[i].row_idx);
	}
}

/* n hits with distances out of `spread` values, in a random order, against sorting them all. */
static void check_random(size_t n, size_t k, long spread)
{
	struct hit *all = calloc(n, sizeof(*all));
	struct hit *hits = calloc(k, sizeof(*hits));
	struct topk topk;

	topk_init(&topk, hits, k);
	for (size_t i = 0; i < n; i++)
		all[i] = (struct hit){(float)(lrand48() % spread) / 7, i};
	for (size_t i = n; i > 1; i--) {
		size_t j = (size_t)lrand48() % i;
		struct hit moved = all[i - 1];
		all[i - 1] = all[j];
		all[j] = moved;
	}
	for (size_t i = 0; i < n; i++)
		topk_push(&topk, all[i].distance, all[i].row_idx);
	topk_sort(&topk);
	qsort(all, n, sizeof(*all), nearer_first);
	check_hits(&topk, all, n);
	free(hits);
	free(all);
}

static void keeps_the_k_nearest_in_order(void **state)
{
	static const size_t ks[] = {1, 2, 3, 7, 10, 100, 1000};

	(void)state;
	srand48(1);
	for (size_t i = 0; i < sizeof(ks) / sizeof(ks[0]); i++) {
		for (size_t n = 0; n < 40; n++)
			check_random(n, ks[i], 1000000);
		check_random(3000, ks[i], 1000000);
	}
	check_random(50000, 10000, 1000000);
}

static void equal_distances_keep_the_lower_rows(void **state)
{
	(void)state;
	srand48(2);
	for (long spread = 1; spread < 6; spread++) {
		check_random(500, 10, spread);
		check_random(500, 499, spread);
		check_random(20000, 10000, spread);
	}
}

static void wants_says_what_push_keeps(void **state)
{
	struct hit hits[2];
	struct topk topk;

	(void)state;
	topk_init(&topk, hits, 2);
	assert_true(topk_wants(&topk, 1e30f, 9));
	topk_push(&topk, 1, 5);
	topk_push(&topk, 2, 6);
	assert_false(topk_wants(&topk, 3, 0));
	assert_false(topk_wants(&topk, 2, 6));
	assert_false(topk_wants(&topk, 2, 7));
	assert_true(topk_wants(&topk, 2, 4));
	topk_push(&topk, 2, 7);
	topk_push(&topk, 2, 4);
	topk_sort(&topk);
	assert_int_equal(topk.n, 2);
	assert_int_equal(topk.hits[0].row_idx, 5);
	assert_int_equal(topk.hits[1].row_idx, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(keeps_the_k_nearest_in_order),
	        cmocka_unit_test(equal_distances_keep_the_lower_rows),
	        cmocka_unit_test(wants_says_what_push_keeps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
