/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The budget over a slab twin of the test's own: it defines the functions of index/slab.h, so the
 * linker takes these and not the library's. The twin knows which slab is taken, given or purged,
 * stops on any call out of order, and fails when told to.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/budget.h"

/* The twin */

enum slab_state {
	SLAB_FRESH,
	SLAB_TAKEN,
	SLAB_GIVEN,
	SLAB_PURGED
};

struct slab_block {
	uint32_t n_slabs;
	uint32_t n_taken;
	struct {
		enum slab_state state;
		void *bytes;
	} slabs[];
};

static struct slab_block *the_block;
static uint32_t takes_until_failure = UINT32_MAX;

int slab_block_new(uint32_t n_slabs, struct slab_block **ret)
{
	struct slab_block *block = calloc(1, sizeof(*block) + n_slabs * sizeof(block->slabs[0]));
	assert_non_null(block);
	block->n_slabs = n_slabs;
	the_block = block;
	*ret = block;
	return 0;
}

struct slab_block *slab_block_free(struct slab_block *block)
{
	if (block)
		assert_int_equal(block->n_taken, 0);
	free(block);
	the_block = NULL;
	return NULL;
}

void *slab_take(struct slab_block *block, uint32_t idx)
{
	assert_true(idx < block->n_slabs);
	assert_int_not_equal(block->slabs[idx].state, SLAB_TAKEN);
	if (takes_until_failure == 0)
		return NULL;
	takes_until_failure--;
	block->slabs[idx].state = SLAB_TAKEN;
	block->slabs[idx].bytes = aligned_alloc(64, SLAB_BYTES);
	block->n_taken++;
	return block->slabs[idx].bytes;
}

void slab_give(struct slab_block *block, uint32_t idx)
{
	assert_int_equal(block->slabs[idx].state, SLAB_TAKEN);
	block->slabs[idx].state = SLAB_GIVEN;
	free(block->slabs[idx].bytes);
	block->n_taken--;
}

void slab_purge(struct slab_block *block, uint32_t idx)
{
	assert_int_equal(block->slabs[idx].state, SLAB_GIVEN);
	block->slabs[idx].state = SLAB_PURGED;
}

static uint32_t count_slabs(enum slab_state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < the_block->n_slabs; i++)
		n += the_block->slabs[i].state == state;
	return n;
}

/* A spill that counts */

struct counted_spill {
	struct spill spill;
	uint32_t n_mapped;
	uint32_t maps_until_failure;
};

static void *spill_map(struct spill *spill)
{
	struct counted_spill *counted = (struct counted_spill *)spill;

	if (counted->maps_until_failure == 0)
		return NULL;
	counted->maps_until_failure--;
	counted->n_mapped++;
	return aligned_alloc(64, SLAB_BYTES);
}

static void spill_unmap(struct spill *spill, void *slab)
{
	((struct counted_spill *)spill)->n_mapped--;
	free(slab);
}

static struct counted_spill counted_spill(uint32_t maps)
{
	return (struct counted_spill){{spill_map, spill_unmap}, 0, maps};
}

static struct budget_figures figures_of(const struct budget *budget)
{
	struct budget_figures figures;

	budget_figures(budget, &figures);
	return figures;
}

static void purge_all(struct budget *budget)
{
	uint32_t slabs[4], n;

	while ((n = budget_dirty(budget, slabs, 4)) > 0) {
		budget_purge(budget, slabs, n);
		budget_purged(budget, slabs, n);
	}
}

/* Grants */

static void bytes_are_handed_out_aligned_until_the_reserve_is_used_up(void **state)
{
	struct budget *budget;
	struct grant grant;

	(void)state;
	assert_int_equal(budget_new(SLAB_BYTES, NULL, &budget), 0);
	grant_init(&grant, budget, BUDGET_RECORD_TABLE);
	assert_null(grant_alloc(&grant, 1, 1));

	assert_int_equal(grant_reserve(&grant, 1, false), 0);
	assert_int_equal(grant.granted_bytes, RUN_BYTES);
	uint8_t *a = grant_alloc(&grant, 1, 1);
	uint8_t *b = grant_alloc(&grant, 10, 64);
	uint8_t *c = grant_alloc(&grant, RUN_BYTES - 74, 2);
	assert_int_equal((uintptr_t)a % 64, 0);
	assert_ptr_equal(b, a + 64);
	assert_ptr_equal(c, b + 10);
	assert_null(grant_alloc(&grant, 1, 1));

	/* What is left over counts: this needs one run more, then no other. */
	assert_int_equal(grant_reserve(&grant, RUN_BYTES, false), 0);
	assert_int_equal(grant_reserve(&grant, RUN_BYTES, false), 0);
	assert_int_equal(grant.granted_bytes, 2 * RUN_BYTES);
	assert_non_null(grant_alloc(&grant, RUN_BYTES, 64));
	assert_null(grant_alloc(&grant, 1, 1));

	grant_release(&grant);
	grant_release(&grant);
	assert_int_equal(figures_of(budget).used_bytes, 0);
	assert_null(budget_free(budget));
	assert_null(budget_free(NULL));
}

static void pieces_that_do_not_fit_go_to_the_next_run(void **state)
{
	struct budget *budget;
	struct grant grant;

	(void)state;
	assert_int_equal(budget_new(SLAB_BYTES, NULL, &budget), 0);
	grant_init(&grant, budget, BUDGET_VECTORS);
	assert_int_equal(grant_reserve(&grant, 2 * RUN_BYTES, false), 0);
	uint8_t *a = grant_alloc(&grant, RUN_BYTES / 2 + 1, 1);
	uint8_t *b = grant_alloc(&grant, RUN_BYTES / 2 + 1, 1);
	assert_non_null(a);
	assert_ptr_equal(b, a + RUN_BYTES);
	assert_null(grant_alloc(&grant, RUN_BYTES / 2, 1));
	grant_release(&grant);
	budget_free(budget);
}

static void small_structures_share_a_slab(void **state)
{
	struct budget *budget;
	struct grant grants[RUNS_PER_SLAB + 1];

	(void)state;
	assert_int_equal(budget_new(2 * SLAB_BYTES, NULL, &budget), 0);
	for (uint32_t i = 0; i <= RUNS_PER_SLAB; i++) {
		grant_init(&grants[i], budget, BUDGET_RECORD_TABLE);
		assert_int_equal(grant_reserve(&grants[i], 1, false), 0);
		assert_int_equal(the_block->n_taken, i < RUNS_PER_SLAB ? 1 : 2);
	}
	/* A run that came back is used again before another slab is begun. */
	grant_release(&grants[3]);
	grant_release(&grants[RUNS_PER_SLAB]);
	assert_int_equal(the_block->n_taken, 1);
	assert_int_equal(grant_reserve(&grants[3], 1, false), 0);
	assert_int_equal(the_block->n_taken, 1);
	for (uint32_t i = 0; i <= RUNS_PER_SLAB; i++)
		grant_release(&grants[i]);
	assert_int_equal(the_block->n_taken, 0);
	budget_free(budget);
}

/* The ceiling */

static void a_refusal_reserves_nothing_and_is_counted(void **state)
{
	struct budget *budget;
	struct grant grant;

	(void)state;
	assert_int_equal(budget_new(2 * SLAB_BYTES + SLAB_BYTES / 2, NULL, &budget), 0);
	grant_init(&grant, budget, BUDGET_RECORD_TABLE);
	assert_int_equal(figures_of(budget).limit_bytes, 2 * SLAB_BYTES);
	assert_int_equal(grant_reserve(&grant, 2 * SLAB_BYTES + 1, false), BUDGET_FULL);
	assert_int_equal(grant_reserve(&grant, UINT64_MAX, false), BUDGET_FULL);
	assert_int_equal(grant_reserve(&grant, UINT64_MAX, true), BUDGET_FULL);
	assert_int_equal(grant.granted_bytes, 0);
	struct budget_figures figures = figures_of(budget);
	assert_int_equal(figures.used_bytes, 0);
	assert_int_equal(figures.peak_bytes, 0);
	assert_int_equal(figures.refused, 1); /* who asks again is refused once */

	assert_int_equal(grant_reserve(&grant, 2 * SLAB_BYTES, false), 0);
	assert_int_equal(grant_reserve(&grant, 2 * SLAB_BYTES + 1, false), BUDGET_FULL);
	/* It has had some since, so that this is another time. */
	figures = figures_of(budget);
	assert_int_equal(figures.refused, 2);
	assert_int_equal(figures.used_bytes, figures.limit_bytes);
	assert_int_equal(figures.used_by_kind[BUDGET_RECORD_TABLE], figures.limit_bytes);
	assert_int_equal(figures.used_by_kind[BUDGET_VECTORS], 0);
	grant_release(&grant);
	assert_int_equal(grant_reserve(&grant, UINT64_MAX, false), BUDGET_FULL);
	figures = figures_of(budget);
	assert_int_equal(figures.refused, 3); /* nor is it the same when it was given up */
	assert_int_equal(figures.used_bytes, 0);
	assert_int_equal(figures.peak_bytes, figures.limit_bytes);
	budget_free(budget);
}

static void a_budget_of_nothing_refuses_everything_but_spilling(void **state)
{
	struct counted_spill spill = counted_spill(UINT32_MAX);
	struct budget *budget;
	struct grant grant;

	(void)state;
	assert_int_equal(budget_new(SLAB_BYTES - 1, &spill.spill, &budget), 0);
	grant_init(&grant, budget, BUDGET_RECORD_TABLE);
	assert_int_equal(figures_of(budget).limit_bytes, 0);
	assert_int_equal(grant_reserve(&grant, 0, false), 0);
	assert_int_equal(grant_reserve(&grant, 1, false), BUDGET_FULL);
	assert_int_equal(grant_reserve(&grant, 1, true), 0);
	assert_int_equal(grant.spilled_bytes, RUN_BYTES);
	assert_int_equal(grant.granted_bytes, 0);
	grant_release(&grant);
	assert_int_equal(spill.n_mapped, 0);
	budget_free(budget);
}

static void what_can_be_done_without_is_admitted_up_to_a_bound_of_its_own(void **state)
{
	struct budget *budget;
	struct grant needed, spare;

	(void)state;
	assert_int_equal(budget_new(4 * SLAB_BYTES, NULL, &budget), 0);
	grant_init(&needed, budget, BUDGET_RECORD_TABLE);
	grant_init(&spare, budget, BUDGET_HNSW);
	budget_set_admission(budget, 3 * RUN_BYTES);
	assert_int_equal(grant_reserve(&spare, 3 * RUN_BYTES, false), 0);
	assert_int_equal(grant_reserve(&spare, 4 * RUN_BYTES, false), BUDGET_FULL);
	/* What is needed is granted all the same, and counts. */
	assert_int_equal(grant_reserve(&needed, 2 * RUN_BYTES, true), 0);
	grant_release(&spare);
	assert_int_equal(grant_reserve(&spare, 2 * RUN_BYTES, false), BUDGET_FULL);
	assert_int_equal(grant_reserve(&spare, RUN_BYTES, false), 0);
	budget_set_admission(budget, UINT64_MAX);
	assert_int_equal(grant_reserve(&spare, 2 * RUN_BYTES, false), 0);
	grant_release(&spare);
	grant_release(&needed);
	budget_free(budget);
}

static void what_does_not_fit_is_spilled_and_counted_apart(void **state)
{
	struct counted_spill spill = counted_spill(2);
	struct budget *budget;
	struct grant first, second;

	(void)state;
	assert_int_equal(budget_new(SLAB_BYTES, &spill.spill, &budget), 0);
	grant_init(&first, budget, BUDGET_RECORD_TABLE);
	grant_init(&second, budget, BUDGET_RECORD_TABLE);
	assert_int_equal(grant_reserve(&first, SLAB_BYTES + 3 * RUN_BYTES, true), 0);
	assert_int_equal(grant_reserve(&second, 5 * RUN_BYTES, true), 0);
	assert_int_equal(spill.n_mapped, 1); /* shared, as slabs of the budget are */
	struct budget_figures figures = figures_of(budget);
	assert_int_equal(figures.used_bytes, SLAB_BYTES);
	assert_int_equal(figures.spilled_bytes, 8 * RUN_BYTES);
	assert_int_equal(figures.refused, 0);
	assert_int_equal(first.spilled_bytes, 3 * RUN_BYTES);
	for (int i = 0; i < 5; i++)
		memset(grant_alloc(&second, RUN_BYTES, 64), i, RUN_BYTES);

	/* Two mappings are all there is: nothing stays of what was begun. */
	assert_int_equal(grant_reserve(&second, 3 * SLAB_BYTES, true), BUDGET_FULL);
	assert_int_equal(spill.n_mapped, 1);
	assert_int_equal(second.spilled_bytes, 5 * RUN_BYTES);

	grant_release(&first);
	assert_int_equal(spill.n_mapped, 1);
	grant_release(&second);
	assert_int_equal(spill.n_mapped, 0);
	assert_int_equal(figures_of(budget).spilled_bytes, 0);
	budget_free(budget);
}

/* Purging */

/* Gives back one of its grants each time that it is asked. */
struct giver {
	struct reclaim reclaim;
	struct grant grants[2];
	uint32_t n_left, n_asked;
	uint64_t asked_bytes; /* the last time */
	bool was_needed;
};

static bool give_one(struct reclaim *reclaim, uint64_t bytes, bool is_needed)
{
	struct giver *giver = (struct giver *)reclaim;

	giver->n_asked++;
	giver->asked_bytes = bytes;
	giver->was_needed = is_needed;
	if (giver->n_left == 0)
		return false;
	grant_release(&giver->grants[--giver->n_left]);
	return true;
}

static void a_full_budget_asks_for_memory_back_before_it_refuses_or_spills(void **state)
{
	struct counted_spill spill = counted_spill(UINT32_MAX);
	struct giver giver = {.reclaim = {give_one}, .n_left = 2};
	struct budget *budget;
	struct grant grant;

	(void)state;
	assert_int_equal(budget_new(SLAB_BYTES, &spill.spill, &budget), 0);
	budget_set_reclaim(budget, &giver.reclaim);
	grant_init(&grant, budget, BUDGET_HNSW);
	for (int i = 0; i < 2; i++) {
		grant_init(&giver.grants[i], budget, BUDGET_HNSW);
		assert_int_equal(grant_reserve(&giver.grants[i], 12 * RUN_BYTES, false), 0);
	}
	/* What is free is nobody else's affair. */
	assert_int_equal(grant_reserve(&grant, 8 * RUN_BYTES, false), 0);
	assert_int_equal(giver.n_asked, 0);
	/* One gives enough. */
	assert_int_equal(grant_reserve(&grant, 10 * RUN_BYTES, false), 0);
	assert_int_equal(giver.n_asked, 1);
	assert_int_equal(giver.asked_bytes, 2 * RUN_BYTES);
	assert_false(giver.was_needed);
	/* More than there can ever be is not asked for, unless it must be had. */
	assert_int_equal(grant_reserve(&grant, 50 * RUN_BYTES, false), BUDGET_FULL);
	assert_int_equal(giver.n_asked, 1);
	assert_int_equal(grant_reserve(&grant, 50 * RUN_BYTES, true), 0);
	assert_int_equal(giver.n_asked, 3);
	assert_true(giver.was_needed);
	assert_int_equal(grant.granted_bytes, SLAB_BYTES);
	assert_int_equal(grant.granted_bytes + grant.spilled_bytes, 50 * RUN_BYTES);
	grant_release(&grant);
	budget_free(budget);
}

static void dirty_slabs_serve_again_first_and_purged_ones_later(void **state)
{
	struct budget *budget;
	struct grant grant;
	uint32_t away[8];

	(void)state;
	assert_int_equal(budget_new(4 * SLAB_BYTES, NULL, &budget), 0);
	grant_init(&grant, budget, BUDGET_VECTORS);
	assert_int_equal(grant_reserve(&grant, 3 * SLAB_BYTES, false), 0);
	grant_release(&grant);
	assert_int_equal(figures_of(budget).dirty_bytes, 3 * SLAB_BYTES);

	assert_int_equal(grant_reserve(&grant, SLAB_BYTES, false), 0);
	assert_int_equal(count_slabs(SLAB_FRESH), 1);
	assert_int_equal(figures_of(budget).dirty_bytes, 2 * SLAB_BYTES);

	/* Two are away: one untouched slab is all that can be granted. */
	assert_int_equal(budget_dirty(budget, away, 1), 1);
	assert_int_equal(budget_dirty(budget, away + 1, 7), 1);
	assert_int_equal(budget_dirty(budget, away + 2, 6), 0);
	assert_int_equal(figures_of(budget).dirty_bytes, 2 * SLAB_BYTES);
	assert_int_equal(grant_reserve(&grant, 2 * SLAB_BYTES + 1, false), BUDGET_FULL);
	assert_int_equal(count_slabs(SLAB_FRESH), 1); /* a refusal begins no slab */
	assert_int_equal(grant_reserve(&grant, 2 * SLAB_BYTES, false), 0);
	assert_int_equal(grant_reserve(&grant, 3 * SLAB_BYTES, false), BUDGET_FULL);

	budget_purge(budget, away, 2);
	assert_int_equal(count_slabs(SLAB_PURGED), 2);
	budget_purged(budget, away, 2);
	assert_int_equal(figures_of(budget).dirty_bytes, 0);
	assert_int_equal(grant_reserve(&grant, 4 * SLAB_BYTES, false), 0);
	grant_release(&grant);
	purge_all(budget);
	assert_int_equal(count_slabs(SLAB_PURGED), 4);
	budget_free(budget);
}

/* Failing */

static void a_slab_that_cannot_be_taken_undoes_the_reserve(void **state)
{
	const uint64_t bytes = 4 * SLAB_BYTES + 5;
	struct budget *budget;
	struct grant grant;
	int r = -ENOMEM;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(budget_new(8 * SLAB_BYTES, NULL, &budget), 0);
	grant_init(&grant, budget, BUDGET_RECORD_TABLE);
	for (; r != 0; n++) {
		takes_until_failure = n;
		r = grant_reserve(&grant, bytes, false);
		takes_until_failure = UINT32_MAX;
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(grant.granted_bytes, 0);
		assert_null(grant_alloc(&grant, 1, 1));
		assert_int_equal(figures_of(budget).used_bytes, 0);
		assert_int_equal(figures_of(budget).refused, 0);
		assert_int_equal(the_block->n_taken, 0);
	}
	assert_int_equal(n, 5);
	grant_release(&grant);
	budget_free(budget);
}

/* Anything in any order, against sums that are kept beside. */

enum {
	N_GRANTS = 24,
	N_SLABS = 12,
	MAX_PIECES = 4096,
	MAX_AWAY = 6
};

struct piece {
	uint8_t *bytes;
	uint32_t n;
	uint32_t tag;
};

struct play {
	struct budget *budget;
	struct counted_spill spill;
	struct grant grants[N_GRANTS];
	struct piece pieces[N_GRANTS][MAX_PIECES];
	uint32_t n_pieces[N_GRANTS];
	uint32_t away[MAX_AWAY];
	uint32_t n_away;
	uint32_t next_tag;
	uint64_t peak_bytes;
};

static void put_piece(struct play *play, size_t g, uint8_t *bytes, uint32_t n)
{
	if (play->n_pieces[g] == MAX_PIECES)
		return;
	uint32_t tag = ++play->next_tag;
	play->pieces[g][play->n_pieces[g]++] = (struct piece){bytes, n, tag};
	/* Ends and middle are enough to see any overlap with whole pieces. */
	for (uint32_t at = 0; at + sizeof(tag) <= n; at += 256)
		memcpy(bytes + at, &tag, sizeof(tag));
}

static void check_pieces(const struct play *play, size_t g)
{
	for (uint32_t p = 0; p < play->n_pieces[g]; p++) {
		const struct piece *piece = &play->pieces[g][p];
		for (uint32_t at = 0; at + sizeof(piece->tag) <= piece->n; at += 256)
			assert_memory_equal(piece->bytes + at, &piece->tag, sizeof(piece->tag));
	}
}

static uint64_t free_bytes(const struct play *play)
{
	return N_SLABS * (uint64_t)SLAB_BYTES - figures_of(play->budget).used_bytes -
	       play->n_away * (uint64_t)SLAB_BYTES;
}

static void play_reserve(struct play *play, size_t g)
{
	struct grant *grant = &play->grants[g];
	bool may_spill = lrand48() % 3 == 0;
	uint64_t bytes = (uint64_t)lrand48() % (lrand48() % 4 ? 6 * RUN_BYTES : 3 * SLAB_BYTES);
	uint64_t have = grant->left_bytes + grant->reserved_bytes;
	uint64_t runs = bytes > have ? (bytes - have + RUN_BYTES - 1) / RUN_BYTES : 0;
	uint64_t space = free_bytes(play);
	uint64_t charged = grant->granted_bytes, spilled = grant->spilled_bytes;
	int r = grant_reserve(grant, bytes, may_spill);

	if (!may_spill) {
		assert_int_equal(r, runs * RUN_BYTES <= space ? 0 : BUDGET_FULL);
		assert_int_equal(grant->spilled_bytes, spilled);
	} else {
		/* It spills what is beyond the ceiling and not a run more. */
		uint64_t over = runs * RUN_BYTES > space ? runs * RUN_BYTES - space : 0;
		assert_int_equal(r, 0);
		assert_int_equal(grant->spilled_bytes - spilled, over);
	}
	if (r == 0)
		assert_int_equal(grant->granted_bytes + grant->spilled_bytes - charged - spilled,
		                 runs * RUN_BYTES);
	else
		assert_int_equal(grant->granted_bytes, charged);
}

static void play_alloc(struct play *play, size_t g)
{
	struct grant *grant = &play->grants[g];

	for (int i = 0; i < 40; i++) {
		uint32_t n = 1 + (uint32_t)lrand48() % (lrand48() % 8 ? 600 : RUN_BYTES);
		size_t align = (size_t)1 << (lrand48() % 7);
		uint64_t have = grant->left_bytes + grant->reserved_bytes;
		uint8_t *bytes = grant_alloc(grant, n, align);
		if (!bytes) {
			assert_int_equal(grant->reserved_bytes, 0);
			return;
		}
		assert_int_equal((uintptr_t)bytes % align, 0);
		assert_true(grant->left_bytes + grant->reserved_bytes + n <= have);
		put_piece(play, g, bytes, n);
	}
}

static void play_release(struct play *play, size_t g)
{
	check_pieces(play, g);
	grant_release(&play->grants[g]);
	play->n_pieces[g] = 0;
}

static void play_purge(struct play *play)
{
	if (play->n_away > 0) {
		budget_purge(play->budget, play->away, play->n_away);
		budget_purged(play->budget, play->away, play->n_away);
		play->n_away = 0;
		return;
	}
	uint32_t given = count_slabs(SLAB_GIVEN);
	play->n_away = budget_dirty(play->budget, play->away, MAX_AWAY);
	assert_int_equal(play->n_away, given < MAX_AWAY ? given : MAX_AWAY);
}

static void check_figures(struct play *play)
{
	struct budget_figures figures = figures_of(play->budget);
	uint64_t used[BUDGET_N_KINDS] = {0}, all = 0;
	uint64_t spilled_by_kind[BUDGET_N_KINDS] = {0}, spilled = 0;

	for (size_t g = 0; g < N_GRANTS; g++) {
		used[play->grants[g].kind] += play->grants[g].granted_bytes;
		all += play->grants[g].granted_bytes;
		spilled_by_kind[play->grants[g].kind] += play->grants[g].spilled_bytes;
		spilled += play->grants[g].spilled_bytes;
	}
	if (all > play->peak_bytes)
		play->peak_bytes = all;
	assert_true(all <= figures.limit_bytes);
	assert_int_equal(figures.used_bytes, all);
	assert_int_equal(figures.peak_bytes, play->peak_bytes);
	assert_int_equal(figures.spilled_bytes, spilled);
	assert_memory_equal(figures.used_by_kind, used, sizeof(used));
	assert_memory_equal(figures.spilled_by_kind, spilled_by_kind, sizeof(spilled_by_kind));
	assert_int_equal(figures.dirty_bytes, count_slabs(SLAB_GIVEN) * (uint64_t)SLAB_BYTES);
	assert_true(play->spill.n_mapped * (uint64_t)SLAB_BYTES >= spilled);
}

static void any_order_of_grants_keeps_the_ceiling_and_gives_all_back(void **state)
{
	struct play *play = calloc(1, sizeof(*play));

	(void)state;
	srand48(7);
	play->spill = counted_spill(UINT32_MAX);
	assert_int_equal(budget_new(N_SLABS * SLAB_BYTES, &play->spill.spill, &play->budget), 0);
	for (size_t g = 0; g < N_GRANTS; g++)
		grant_init(&play->grants[g], play->budget, g % BUDGET_N_KINDS);

	for (int step = 0; step < 20000; step++) {
		size_t g = (size_t)lrand48() % N_GRANTS;
		long action = lrand48() % 14;
		if (action < 5)
			play_reserve(play, g);
		else if (action < 10)
			play_alloc(play, g);
		else if (action < 13)
			play_release(play, g);
		else
			play_purge(play);
		check_figures(play);
	}

	for (size_t g = 0; g < N_GRANTS; g++)
		play_release(play, g);
	check_figures(play);
	assert_int_equal(figures_of(play->budget).used_bytes, 0);
	assert_int_equal(figures_of(play->budget).spilled_bytes, 0);
	assert_int_equal(play->spill.n_mapped, 0);
	assert_int_equal(the_block->n_taken, 0);
	if (play->n_away > 0)
		play_purge(play);
	budget_free(play->budget);
	free(play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(bytes_are_handed_out_aligned_until_the_reserve_is_used_up),
	        cmocka_unit_test(pieces_that_do_not_fit_go_to_the_next_run),
	        cmocka_unit_test(small_structures_share_a_slab),
	        cmocka_unit_test(a_refusal_reserves_nothing_and_is_counted),
	        cmocka_unit_test(a_budget_of_nothing_refuses_everything_but_spilling),
	        cmocka_unit_test(what_can_be_done_without_is_admitted_up_to_a_bound_of_its_own),
	        cmocka_unit_test(what_does_not_fit_is_spilled_and_counted_apart),
	        cmocka_unit_test(a_full_budget_asks_for_memory_back_before_it_refuses_or_spills),
	        cmocka_unit_test(dirty_slabs_serve_again_first_and_purged_ones_later),
	        cmocka_unit_test(a_slab_that_cannot_be_taken_undoes_the_reserve),
	        cmocka_unit_test(any_order_of_grants_keeps_the_ceiling_and_gives_all_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
