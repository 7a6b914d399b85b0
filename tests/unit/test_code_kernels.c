/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/code_kernels.h"

enum {
	MAX_N = 4096,
	BLOCK = 64,
	N_QUERIES = 4
};

/* The sets that are compared: those that this CPU runs, and twins of those that it does not
 * (vnni_twin.h). */
#define SETS_MAX (2 * CODE_KERNELS_MAX)

#ifdef __x86_64__
extern const struct code_kernels code_kernels_avxvnni_twin, code_kernels_avx512vnni_twin;
#endif

static size_t all_sets(const struct code_kernels *ret_sets[SETS_MAX])
{
	size_t n = code_kernels_all(ret_sets);

#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		ret_sets[n++] = &code_kernels_avxvnni_twin;
		ret_sets[n++] = &code_kernels_avx512vnni_twin;
	}
#endif
	return n;
}

/* What the two sides hold. */
enum shape {
	SHAPE_RANDOM,
	SHAPE_EXTREME, /* each of the largest magnitude, of either sign */
	SHAPE_MOST,    /* the largest sum that there can be */
	SHAPE_LEAST,   /* and the smallest */
	SHAPE_ZERO,    /* nibbles of 0 */
	N_SHAPES,
};

struct sides {
	int8_t queries[N_QUERIES][MAX_N] __attribute__((aligned(32)));
	uint8_t nibbles[MAX_N];
	uint8_t plane[MAX_N / 2] __attribute__((aligned(32)));
};

static int8_t query_element(enum shape shape)
{
	switch (shape) {
	case SHAPE_EXTREME:
		return lrand48() & 1 ? 127 : -127;
	case SHAPE_MOST:
		return 127;
	case SHAPE_LEAST:
		return -127;
	case SHAPE_RANDOM:
	case SHAPE_ZERO:
	default:
		return (int8_t)(lrand48() % 255 - 127);
	}
}

static uint8_t nibble(enum shape shape)
{
	switch (shape) {
	case SHAPE_EXTREME:
		return lrand48() & 1 ? 15 : 0;
	case SHAPE_MOST:
	case SHAPE_LEAST:
		return 15;
	case SHAPE_ZERO:
		return 0;
	case SHAPE_RANDOM:
	default:
		return (uint8_t)(lrand48() & 15);
	}
}

/* Packs as the header says. */
static void fill(struct sides *sides, enum shape shape)
{
	memset(sides->plane, 0, sizeof(sides->plane));
	for (uint32_t i = 0; i < MAX_N; i++) {
		uint32_t in_block = i % BLOCK;
		uint8_t *byte = &sides->plane[i / BLOCK * BLOCK / 2 + in_block % 32];

		for (uint32_t q = 0; q < N_QUERIES; q++)
			sides->queries[q][i] = query_element(shape);
		sides->nibbles[i] = nibble(shape);
		*byte |= (uint8_t)(in_block < 32 ? sides->nibbles[i] : sides->nibbles[i] << 4);
	}
}

/* The query from one block on with the plane from another. */
static int32_t plain(const struct sides *sides, uint32_t query, uint32_t query_first,
                     uint32_t first, uint32_t n)
{
	int32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += sides->queries[query][query_first * BLOCK + i] *
		       sides->nibbles[first * BLOCK + i];
	return sum;
}

static void check(const struct code_kernels *kernels, const struct sides *sides, uint32_t first,
                  uint32_t n)
{
	const uint8_t *plane = sides->plane + (size_t)first * BLOCK / 2;
	const int8_t *queries[N_QUERIES];
	int32_t four[N_QUERIES], one;

	for (uint32_t q = 0; q < N_QUERIES; q++)
		queries[q] = sides->queries[q] + (size_t)first * BLOCK;
	kernels->dot_x4(queries, plane, n, four);
	for (uint32_t q = 0; q < N_QUERIES; q++) {
		assert_int_equal(four[q], plain(sides, q, first, first, n));
		kernels->dots(queries[q], &plane, 1, n, &one);
		assert_int_equal(one, four[q]);
	}
}

static void every_set_gives_the_integer_of_a_plain_loop(void **state)
{
	static struct sides sides;
	const struct code_kernels *sets[SETS_MAX];
	size_t n_sets = all_sets(sets);

	(void)state;
	srand48(1);
	for (enum shape shape = 0; shape < N_SHAPES; shape++) {
		fill(&sides, shape);
		for (size_t set = 0; set < n_sets; set++) {
			for (uint32_t n = BLOCK; n <= MAX_N; n += BLOCK) {
				check(sets[set], &sides, 0, n);
				/* A plane that ends where memory does, at an odd block. */
				check(sets[set], &sides, (MAX_N - n) / BLOCK, n);
			}
		}
	}
}

/* One side is zero but in one place: each nibble meets its own element of the query. */
static void every_nibble_meets_its_own_element(void **state)
{
	static struct sides sides;
	const struct code_kernels *sets[SETS_MAX];
	size_t n_sets = all_sets(sets);

	(void)state;
	srand48(2);
	fill(&sides, SHAPE_RANDOM);
	for (uint32_t i = 0; i < 8 * BLOCK; i++) {
		uint32_t in_block = i % BLOCK;

		memset(sides.plane, 0, 4 * BLOCK);
		sides.plane[i / BLOCK * BLOCK / 2 + in_block % 32] = in_block < 32 ? 1 : 16;
		for (size_t set = 0; set < n_sets; set++) {
			const uint8_t *plane = sides.plane;
			int32_t found;

			sets[set]->dots(sides.queries[0], &plane, 1, 8 * BLOCK, &found);
			assert_int_equal(found, sides.queries[0][i]);
		}
	}
}

/* In any order, some of them twice, and nothing is written behind the last. */
static void many_planes_give_what_each_gives(void **state)
{
	static struct sides sides;
	const struct code_kernels *sets[SETS_MAX];
	size_t n_sets = all_sets(sets);
	const uint8_t *planes[70];
	uint32_t firsts[70];
	int32_t found[71];

	(void)state;
	srand48(3);
	fill(&sides, SHAPE_RANDOM);
	for (uint32_t n = BLOCK; n <= MAX_N / 2; n += 5 * BLOCK) {
		for (uint32_t n_planes = 0; n_planes <= 70; n_planes += 7) {
			for (uint32_t i = 0; i < n_planes; i++) {
				firsts[i] = (uint32_t)lrand48() % ((MAX_N - n) / BLOCK + 1);
				planes[i] = sides.plane + (size_t)firsts[i] * BLOCK / 2;
			}
			for (size_t set = 0; set < n_sets; set++) {
				found[n_planes] = -7;
				sets[set]->dots(sides.queries[0], planes, n_planes, n, found);
				assert_int_equal(found[n_planes], -7);
				for (uint32_t i = 0; i < n_planes; i++)
					assert_int_equal(found[i],
					                 plain(&sides, 0, 0, firsts[i], n));
			}
		}
	}
}

static void the_sets_begin_with_scalar_and_end_with_the_best(void **state)
{
	const struct code_kernels *sets[SETS_MAX];
	size_t n = code_kernels_all(sets);

	(void)state;
	assert_in_range(n, 1, CODE_KERNELS_MAX);
	assert_string_equal(sets[0]->name, "scalar");
	assert_ptr_equal(sets[n - 1], code_kernels_best());
	for (size_t i = 1; i < n; i++)
		assert_string_not_equal(sets[i]->name, sets[i - 1]->name);
	for (size_t i = 0; i < n; i++)
		print_message("compared: %s\n", sets[i]->name);
	n = all_sets(sets) - n;
	print_message("compared by way of AVX2: %s\n", n ? "avxvnni, avx512vnni" : "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_set_gives_the_integer_of_a_plain_loop),
	        cmocka_unit_test(every_nibble_meets_its_own_element),
	        cmocka_unit_test(many_planes_give_what_each_gives),
	        cmocka_unit_test(the_sets_begin_with_scalar_and_end_with_the_best),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
