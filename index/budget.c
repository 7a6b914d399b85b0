/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Where a slab is, by what is free of it:
 *
 *      untouched ─┐
 *          clean ─┼─ begin_slab ─► partial ◄── a run comes back ── full
 *          dirty ─┘                 │   └────── the last is taken ──►│
 *            ▲                      │                                │
 *            └────── end_slab ◄─────┴── all have come back ──────────┘
 *
 *      dirty ─ budget_dirty ─► away ─ budget_purged ─► clean
 *
 * Structures share partial slabs run by run.
 * Spill slabs are partial and full in the same way, in a list of their own: they are mapped instead
 * of begun and unmapped instead of ended, and their metadata is malloced beside the mapping. All
 * other metadata is made once: what grants and takes back waits for no allocator.
 *
 * Every run of a slab of ours is used (charged to one grant), free, or away with its slab, and
 * that is all the runs there are, so the limit holds by construction. A free run of a partial slab
 * may keep its pages: they lie inside the block, hence under the ceiling.
 *
 * Why runs of one size and not blocks of any: a free run fits every small structure, so nothing
 * is lost between them, and a bitmap is all there is to keep. Runs in use can be spread so that
 * no slab is wholly free, which is why nothing may ask for a whole one.
 */

#include "index/budget.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define ALL_RUNS UINT32_MAX
static_assert(RUNS_PER_SLAB == 32, "the free runs of a slab are the bits of a uint32_t");

struct budget_run {
	struct budget_run *next; /* in its grant */
	struct budget_slab *slab;
};

struct budget_slab {
	struct budget_slab *next, **back; /* in the list that it is in */
	uint8_t *bytes;                   /* while any run is in use */
	uint32_t free_runs;
	bool spilled;
	struct budget_run runs[RUNS_PER_SLAB];
};

struct budget {
	struct slab_block *block;
	struct spill *spill;
	struct reclaim *reclaim;
	pthread_t loop;
	uint64_t admitted_runs; /* for what can be done without */

	struct budget_slab *partial;
	struct budget_slab *partial_spilled;
	struct budget_slab *dirty;
	struct budget_slab *clean;
	uint32_t n_begun; /* slabs from here on are untouched */
	uint32_t n_dirty;
	uint32_t n_away;

	uint64_t used_runs;
	uint64_t peak_runs;
	uint64_t spilled_runs;
	uint64_t used_runs_by_kind[BUDGET_N_KINDS];
	uint64_t spilled_runs_by_kind[BUDGET_N_KINDS];
	uint64_t refused;

	uint32_t n_slabs;
	struct budget_slab slabs[];
};

static void assert_on_loop(const struct budget *budget)
{
	assert(pthread_equal(budget->loop, pthread_self()));
	(void)budget;
}

/* Lists of slabs */

static void list_push(struct budget_slab **list, struct budget_slab *slab)
{
	slab->next = *list;
	slab->back = list;
	if (slab->next)
		slab->next->back = &slab->next;
	*list = slab;
}

static void list_remove(struct budget_slab *slab)
{
	*slab->back = slab->next;
	if (slab->next)
		slab->next->back = slab->back;
	slab->next = NULL;
	slab->back = NULL;
}

static struct budget_slab **partial_list(struct budget *budget, const struct budget_slab *slab)
{
	return slab->spilled ? &budget->partial_spilled : &budget->partial;
}

/* Slabs */

static uint32_t slab_idx(const struct budget *budget, const struct budget_slab *slab)
{
	return (uint32_t)(slab - budget->slabs);
}

/* Dirty ones first: their pages are there already. NULL when there is none. */
static struct budget_slab *next_free_slab(struct budget *budget)
{
	if (budget->dirty)
		return budget->dirty;
	if (budget->clean)
		return budget->clean;
	return budget->n_begun < budget->n_slabs ? &budget->slabs[budget->n_begun] : NULL;
}

/* A slab of which every run is free, in no list. */
static int begin_slab(struct budget *budget, struct budget_slab **ret)
{
	struct budget_slab *slab = next_free_slab(budget);
	if (!slab)
		return BUDGET_FULL;
	uint32_t idx = slab_idx(budget, slab);
	uint8_t *bytes = slab_take(budget->block, idx);
	if (!bytes)
		return -ENOMEM;

	if (slab == budget->dirty)
		budget->n_dirty--;
	if (idx == budget->n_begun)
		budget->n_begun++;
	else
		list_remove(slab);
	slab->bytes = bytes;
	slab->free_runs = ALL_RUNS;
	slab->spilled = false;
	*ret = slab;
	return 0;
}

static int begin_spilled_slab(struct budget *budget, struct budget_slab **ret)
{
	if (!budget->spill)
		return BUDGET_FULL;
	struct budget_slab *slab = calloc(1, sizeof(*slab));
	if (!slab)
		return -ENOMEM;
	slab->bytes = budget->spill->map(budget->spill);
	if (!slab->bytes) {
		free(slab);
		return BUDGET_FULL;
	}
	slab->free_runs = ALL_RUNS;
	slab->spilled = true;
	*ret = slab;
	return 0;
}

/* A slab of which every run came back, in no list. */
static void end_slab(struct budget *budget, struct budget_slab *slab)
{
	if (slab->spilled) {
		budget->spill->unmap(budget->spill, slab->bytes);
		free(slab);
		return;
	}
	slab_give(budget->block, slab_idx(budget, slab));
	slab->bytes = NULL;
	list_push(&budget->dirty, slab);
	budget->n_dirty++;
}

/* Runs */

static uint8_t *run_bytes(const struct budget_run *run)
{
	return run->slab->bytes + (size_t)(run - run->slab->runs) * RUN_BYTES;
}

/* Charges a run to whoever pays for it. */
static void charge(struct grant *grant, const struct budget_run *run)
{
	struct budget *budget = grant->budget;

	if (run->slab->spilled) {
		budget->spilled_runs++;
		budget->spilled_runs_by_kind[grant->kind]++;
		grant->spilled_bytes += RUN_BYTES;
		return;
	}
	budget->used_runs++;
	budget->used_runs_by_kind[grant->kind]++;
	grant->granted_bytes += RUN_BYTES;
}

static void discharge(struct grant *grant, const struct budget_run *run)
{
	struct budget *budget = grant->budget;

	if (run->slab->spilled) {
		assert(budget->spilled_runs_by_kind[grant->kind] > 0);
		budget->spilled_runs--;
		budget->spilled_runs_by_kind[grant->kind]--;
		grant->spilled_bytes -= RUN_BYTES;
		return;
	}
	assert(budget->used_runs_by_kind[grant->kind] > 0);
	budget->used_runs--;
	budget->used_runs_by_kind[grant->kind]--;
	grant->granted_bytes -= RUN_BYTES;
}

/* A slab that has a free run: a shared one before a new one, a spilled one only at the ceiling. */
static int find_partial(struct budget *budget, bool may_spill, struct budget_slab **ret)
{
	if (budget->partial) {
		*ret = budget->partial;
		return 0;
	}
	int r = begin_slab(budget, ret);
	if (r == BUDGET_FULL && may_spill) {
		if (budget->partial_spilled) {
			*ret = budget->partial_spilled;
			return 0;
		}
		r = begin_spilled_slab(budget, ret);
	}
	if (r == 0)
		list_push(partial_list(budget, *ret), *ret);
	return r;
}

static int take_run(struct grant *grant, bool may_spill, struct budget_run **ret)
{
	struct budget_slab *slab;
	int r = find_partial(grant->budget, may_spill, &slab);
	if (r != 0)
		return r;

	struct budget_run *run = &slab->runs[__builtin_ctz(slab->free_runs)];
	slab->free_runs &= slab->free_runs - 1;
	if (slab->free_runs == 0)
		list_remove(slab);
	run->slab = slab;
	run->next = NULL;
	charge(grant, run);
	*ret = run;
	return 0;
}

static void give_run(struct grant *grant, struct budget_run *run)
{
	struct budget *budget = grant->budget;
	struct budget_slab *slab = run->slab;
	uint32_t bit = 1u << (run - slab->runs);

	assert((slab->free_runs & bit) == 0);
	discharge(grant, run);
	if (slab->free_runs != 0)
		list_remove(slab);
	slab->free_runs |= bit;
	if (slab->free_runs == ALL_RUNS)
		end_slab(budget, slab);
	else
		list_push(partial_list(budget, slab), slab);
}

static void give_runs(struct grant *grant, struct budget_run *run)
{
	while (run) {
		struct budget_run *next = run->next;
		give_run(grant, run);
		run = next;
	}
}

/* The budget */

int budget_new(uint64_t limit_bytes, struct spill *spill, struct budget **ret)
{
	uint64_t n_slabs = limit_bytes / SLAB_BYTES;
	if (n_slabs > UINT32_MAX)
		return -ENOMEM; /* beyond any address space */
	/* Not cleared: the metadata of slabs that were never begun costs no pages either. */
	struct budget *budget = malloc(sizeof(*budget) + n_slabs * sizeof(budget->slabs[0]));
	if (!budget)
		return -ENOMEM;
	*budget = (struct budget){
	        .spill = spill,
	        .loop = pthread_self(),
	        .admitted_runs = UINT64_MAX,
	        .n_slabs = (uint32_t)n_slabs,
	};
	int r = slab_block_new(budget->n_slabs, &budget->block);
	if (r < 0) {
		free(budget);
		return r;
	}
	*ret = budget;
	return 0;
}

void budget_set_reclaim(struct budget *budget, struct reclaim *reclaim)
{
	assert_on_loop(budget);
	budget->reclaim = reclaim;
}

void budget_set_admission(struct budget *budget, uint64_t bytes)
{
	assert_on_loop(budget);
	budget->admitted_runs = bytes == UINT64_MAX ? UINT64_MAX : bytes / RUN_BYTES;
}

struct budget *budget_free(struct budget *budget)
{
	if (!budget)
		return NULL;
	assert_on_loop(budget);
	assert(budget->used_runs == 0 && budget->spilled_runs == 0 && budget->n_away == 0);
	slab_block_free(budget->block);
	free(budget);
	return NULL;
}

uint64_t budget_used_bytes(const struct budget *budget)
{
	assert_on_loop(budget);
	return budget->used_runs * RUN_BYTES;
}

void budget_figures(const struct budget *budget, struct budget_figures *ret)
{
	assert_on_loop(budget);
	*ret = (struct budget_figures){
	        .limit_bytes = (uint64_t)budget->n_slabs * SLAB_BYTES,
	        .used_bytes = budget_used_bytes(budget),
	        .peak_bytes = budget->peak_runs * RUN_BYTES,
	        .spilled_bytes = budget->spilled_runs * RUN_BYTES,
	        .dirty_bytes = ((uint64_t)budget->n_dirty + budget->n_away) * SLAB_BYTES,
	        .refused = budget->refused,
	};
	for (size_t kind = 0; kind < BUDGET_N_KINDS; kind++) {
		ret->used_by_kind[kind] = budget->used_runs_by_kind[kind] * RUN_BYTES;
		ret->spilled_by_kind[kind] = budget->spilled_runs_by_kind[kind] * RUN_BYTES;
	}
}

uint32_t budget_dirty(struct budget *budget, uint32_t *ret_slabs, uint32_t max)
{
	uint32_t n = 0;

	assert_on_loop(budget);
	while (n < max && budget->dirty) {
		struct budget_slab *slab = budget->dirty;
		list_remove(slab);
		ret_slabs[n++] = slab_idx(budget, slab);
	}
	budget->n_dirty -= n;
	budget->n_away += n;
	return n;
}

void budget_purge(struct budget *budget, const uint32_t *slabs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		slab_purge(budget->block, slabs[i]);
}

void budget_purged(struct budget *budget, const uint32_t *slabs, uint32_t n)
{
	assert_on_loop(budget);
	assert(budget->n_away >= n);
	budget->n_away -= n;
	for (uint32_t i = 0; i < n; i++)
		list_push(&budget->clean, &budget->slabs[slabs[i]]);
}

static uint64_t free_runs(const struct budget *budget)
{
	uint64_t n_slabs = (uint64_t)budget->n_slabs - budget->n_away;
	return n_slabs * RUNS_PER_SLAB - budget->used_runs;
}

/* Until n_runs are free, or nobody gives any. More than there can be is asked for in vain. */
static void reclaim_runs(struct budget *budget, uint64_t n_runs, bool is_needed)
{
	uint64_t n_can = ((uint64_t)budget->n_slabs - budget->n_away) * RUNS_PER_SLAB;
	uint64_t n_free;

	if (n_runs > n_can && !is_needed)
		return;
	if (n_runs > n_can)
		n_runs = n_can;
	while (budget->reclaim && (n_free = free_runs(budget)) < n_runs) {
		uint64_t bytes = (n_runs - n_free) * RUN_BYTES;

		if (!budget->reclaim->give_back(budget->reclaim, bytes, is_needed))
			return;
	}
}

/* What a call that asked for memory ends with. Who asks again and again is refused once. */
static int settle(struct grant *grant, int r)
{
	struct budget *budget = grant->budget;

	if (r == BUDGET_FULL)
		budget->refused += !grant->is_refused;
	else if (budget->used_runs > budget->peak_runs)
		budget->peak_runs = budget->used_runs;
	if (r >= 0)
		grant->is_refused = r == BUDGET_FULL;
	return r;
}

/* Grants */

struct chain {
	struct budget_run *first, *last;
};

void grant_init(struct grant *grant, struct budget *budget, enum budget_kind kind)
{
	*grant = (struct grant){.budget = budget, .kind = kind};
}

static bool is_admitted(const struct budget *budget, uint64_t n_runs)
{
	return budget->admitted_runs >= n_runs &&
	       budget->used_runs <= budget->admitted_runs - n_runs;
}

/* A chain of n_runs fresh runs, or none at all. */
static int take_runs(struct grant *grant, uint64_t n_runs, bool may_spill, struct chain *ret)
{
	struct chain chain = {0};

	if (!may_spill && !is_admitted(grant->budget, n_runs))
		return BUDGET_FULL;
	reclaim_runs(grant->budget, n_runs, may_spill);
	/* Known beforehand, so that a refusal leaves no slab begun. */
	if (!may_spill && n_runs > free_runs(grant->budget))
		return BUDGET_FULL;
	for (uint64_t i = 0; i < n_runs; i++) {
		struct budget_run *run;
		int r = take_run(grant, may_spill, &run);
		if (r != 0) {
			give_runs(grant, chain.first);
			return r;
		}
		if (chain.last)
			chain.last->next = run;
		else
			chain.first = run;
		chain.last = run;
	}
	*ret = chain;
	return 0;
}

int grant_reserve(struct grant *grant, uint64_t bytes, bool may_spill)
{
	struct chain fresh = {0};
	uint64_t have_bytes = grant->left_bytes + grant->reserved_bytes;

	assert_on_loop(grant->budget);
	if (bytes <= have_bytes)
		return 0;
	uint64_t n_runs = (bytes - have_bytes - 1) / RUN_BYTES + 1;
	int r = settle(grant, take_runs(grant, n_runs, may_spill, &fresh));
	if (r != 0)
		return r;

	if (grant->last)
		grant->last->next = fresh.first;
	else
		grant->first = fresh.first;
	grant->last = fresh.last;
	if (!grant->next)
		grant->next = fresh.first;
	grant->reserved_bytes += n_runs * RUN_BYTES;
	return 0;
}

static void begin_run(struct grant *grant)
{
	grant->at = run_bytes(grant->next);
	grant->left_bytes = RUN_BYTES;
	grant->reserved_bytes -= RUN_BYTES;
	grant->next = grant->next->next;
}

void *grant_alloc(struct grant *grant, size_t n, size_t align)
{
	assert(n > 0 && n <= RUN_BYTES && align <= 64 && (align & (align - 1)) == 0);
	size_t skip = -(uintptr_t)grant->at & (align - 1);

	if (skip + n > grant->left_bytes) {
		if (!grant->next)
			return NULL;
		begin_run(grant);
		skip = 0; /* runs are aligned to 64 bytes and more */
	}
	uint8_t *bytes = grant->at + skip;
	grant->at = bytes + n;
	grant->left_bytes -= skip + n;
	return bytes;
}

void grant_release(struct grant *grant)
{
	if (grant->first) {
		assert_on_loop(grant->budget);
		give_runs(grant, grant->first);
		assert(grant->granted_bytes == 0 && grant->spilled_bytes == 0);
	}
	grant_init(grant, grant->budget, grant->kind);
}
