/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "index/slab.h"

static void a_block_of_no_slabs_is_legal(void **state)
{
	struct slab_block *block;

	(void)state;
	assert_int_equal(slab_block_new(0, &block), 0);
	assert_null(slab_block_free(block));
	assert_null(slab_block_free(NULL));
}

static void slabs_are_aligned_and_do_not_overlap(void **state)
{
	enum {
		N = 5
	};
	struct slab_block *block;
	uint8_t *slabs[N];

	(void)state;
	assert_int_equal(slab_block_new(N, &block), 0);
	for (uint32_t i = 0; i < N; i++) {
		slabs[i] = slab_take(block, i);
		assert_non_null(slabs[i]);
#ifdef KITH_SLAB_TWIN
		assert_int_equal((uintptr_t)slabs[i] % 64, 0);
#else
		assert_int_equal((uintptr_t)slabs[i] % SLAB_BYTES, 0);
#endif
		memset(slabs[i], (int)i + 1, SLAB_BYTES);
	}
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(slabs[i][0], i + 1);
		assert_memory_equal(slabs[i], slabs[i] + 1, SLAB_BYTES - 1);
	}
	for (uint32_t i = 0; i < N; i++) {
		slab_give(block, i);
		slab_purge(block, i);
	}
	slab_block_free(block);
}

/* Alone and with what mimalloc needs around them some of these fill its arenas to the byte. */
static void a_block_may_have_any_number_of_slabs(void **state)
{
	static const uint32_t sizes[] = {1, 13, 14, 15, 16, 29, 30, 31, 32, 46, 78, 127, 128, 510};
	struct slab_block *block;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(slab_block_new(sizes[i], &block), 0);
		slab_block_free(block);
	}
}

static void a_slab_serves_again_after_give_and_after_purge(void **state)
{
	struct slab_block *block;

	(void)state;
	assert_int_equal(slab_block_new(2, &block), 0);
	for (int round = 0; round < 4; round++) {
		uint8_t *slab = slab_take(block, 1);
		assert_non_null(slab);
		memset(slab, round, SLAB_BYTES);
		assert_int_equal(slab[SLAB_BYTES - 1], round);
		slab_give(block, 1);
		if (round % 2)
			slab_purge(block, 1);
	}
	slab_block_free(block);
}

#if defined(__linux__) && !defined(KITH_SLAB_TWIN)

/* Anonymous memory that is resident in this process. */
static long resident_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *status = fopen("/proc/self/status", "r");

	assert_non_null(status);
	while (kib < 0 && fgets(line, sizeof(line), status))
		(void)sscanf(line, "RssAnon: %ld", &kib);
	fclose(status);
	assert_true(kib >= 0);
	return kib;
}

static void pages_come_with_use_and_go_with_purge(void **state)
{
	enum {
		N = 128,
		N_USED = 8,
		SLAB_KIB = SLAB_BYTES / 1024
	};
	struct slab_block *block;
	long before = resident_kib();

	(void)state;
	assert_int_equal(slab_block_new(N, &block), 0);
	assert_true(resident_kib() - before < 1024);

	for (uint32_t i = 0; i < N_USED; i++)
		memset(slab_take(block, i), 1, SLAB_BYTES);
	assert_true(resident_kib() - before >= N_USED * SLAB_KIB);

	for (uint32_t i = 0; i < N_USED; i++)
		slab_give(block, i);
	assert_true(resident_kib() - before >= N_USED * SLAB_KIB);
	for (uint32_t i = 0; i < N_USED; i++)
		slab_purge(block, i);
	assert_true(resident_kib() - before < 1024);

	memset(slab_take(block, 0), 1, SLAB_BYTES);
	slab_give(block, 0);
	slab_block_free(block);
	assert_true(resident_kib() - before < 1024);
}

static void more_than_there_is_address_space_for_is_refused(void **state)
{
	struct slab_block *untouched = NULL;

	(void)state;
	assert_int_equal(slab_block_new(UINT32_MAX, &untouched), -ENOMEM);
	assert_null(untouched);
}

/* The last test: what it takes of mimalloc's arenas it cannot give back. */
static void blocks_beyond_the_last_arena_are_refused(void **state)
{
	struct slab_block *block;
	int n = 0, r;

	(void)state;
	while ((r = slab_block_new(1, &block)) == 0 && n < 200) {
		slab_block_free(block);
		n++;
	}
	assert_int_equal(r, -ENOMEM);
	assert_true(n > 32);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_of_no_slabs_is_legal),
		cmocka_unit_test(slabs_are_aligned_and_do_not_overlap),
		cmocka_unit_test(a_block_may_have_any_number_of_slabs),
		cmocka_unit_test(a_slab_serves_again_after_give_and_after_purge),
#if defined(__linux__) && !defined(KITH_SLAB_TWIN)
		cmocka_unit_test(pages_come_with_use_and_go_with_purge),
		cmocka_unit_test(more_than_there_is_address_space_for_is_refused),
		cmocka_unit_test(blocks_beyond_the_last_arena_are_refused),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
