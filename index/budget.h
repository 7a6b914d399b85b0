/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one ceiling for index memory. Memory is granted before it is used, in runs of 64 KiB; 32
 * runs make a slab. What holds memory embeds a `struct grant`; releasing the grant gives every
 * byte back, so accounting cannot leak. The budget cannot change without a restart.
 *
 *      budget ──cuts──► slabs (2 MiB) ──cut──► runs (64 KiB) ──chained──► grant ──bumps──► bytes
 *
 * A grant reserves on the loop and hands out bytes on the one worker that fills the structure:
 * it never copies what it handed out, so a structure grows while it is read.
 *
 * Returned slabs wait as dirty: the next grant takes them first (they are warm), and a background
 * job purges the rest (budget_dirty, budget_purge, budget_purged).
 *
 * When the budget is full, who holds what can be had again is asked to give some of it back (struct
 * reclaim). Is there none, a grant may spill: its runs then come from a file mapping that the
 * daemon provides (struct spill), so that a full budget never refuses a write. Spilled bytes are
 * counted apart and are not anonymous memory.
 *
 * Threads: everything [loop], which is the thread that called budget_new(), but budget_purge()
 * [worker] and grant_alloc() [owner]: the one job that fills the structure. The loop reserves
 * and releases between such jobs, never beside one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/slab.h"

#define RUN_BYTES (64u << 10)
#define RUNS_PER_SLAB (SLAB_BYTES / RUN_BYTES)

/* Outcomes. */
enum {
	BUDGET_FULL = 1, /* no grant: the ceiling is reached */
};

/* What the bytes are for; the figures are shown by kind. */
enum budget_kind {
	BUDGET_RECORD_TABLE,
	BUDGET_VECTORS,
	BUDGET_HNSW,
	BUDGET_MARKS, /* of who walks a graph */
	BUDGET_N_KINDS,
};

/* Mapped memory for when the budget is full: slabs of SLAB_BYTES, 64-byte aligned. */
struct spill {
	void *(*map)(struct spill *spill); /* NULL: none to be had */
	void (*unmap)(struct spill *spill, void *slab);
};

/* Who gives memory back, by releasing grants, for one that finds none. */
struct reclaim {
	/* Some of `bytes` at least, if it can; false: it has nothing to give. is_needed: else the
	 * grant spills; if not, its owner can do without it. */
	bool (*give_back)(struct reclaim *reclaim, uint64_t bytes, bool is_needed);
};

struct budget_figures {
	uint64_t limit_bytes;
	uint64_t used_bytes;
	uint64_t peak_bytes;
	uint64_t spilled_bytes;
	uint64_t dirty_bytes; /* given back, not purged yet */
	uint64_t refused; /* grants that got BUDGET_FULL, until they got some or were released */
	uint64_t used_by_kind[BUDGET_N_KINDS];
	uint64_t spilled_by_kind[BUDGET_N_KINDS];
};

struct budget;
struct budget_run;

/* limit_bytes is rounded down to whole slabs; 0 is legal. spill (borrowed) may be NULL. */
int budget_new(uint64_t limit_bytes, struct spill *spill, struct budget **ret);
/* From now on (borrowed; NULL: nobody). It is called from within grant_reserve(), so that grants
 * may be released there, but for the one that asks. */
void budget_set_reclaim(struct budget *budget, struct reclaim *reclaim);
/* What can be done without (see may_spill) is granted only while no more than so many bytes are
 * used then; UINT64_MAX, at first: up to the limit. */
void budget_set_admission(struct budget *budget, uint64_t bytes);
/* Every grant must have been released, every slab that was taken for purging told as purged.
 * NULL is fine; returns NULL. */
struct budget *budget_free(struct budget *budget);
void budget_figures(const struct budget *budget, struct budget_figures *ret);
/* Of the figures the one that every request asks for. */
uint64_t budget_used_bytes(const struct budget *budget);

/* Moves up to max dirty slabs out for purging; returns how many. They cannot be granted until
 * the caller purged them with budget_purge() on a worker and said so with budget_purged(). */
uint32_t budget_dirty(struct budget *budget, uint32_t *ret_slabs, uint32_t max);
void budget_purge(struct budget *budget, const uint32_t *slabs, uint32_t n); /* [worker] */
void budget_purged(struct budget *budget, const uint32_t *slabs, uint32_t n);

struct grant {
	struct budget *budget;
	enum budget_kind kind;
	struct budget_run *first; /* all runs of the grant */
	struct budget_run *last;
	struct budget_run *next; /* the first that was reserved and not begun */
	uint64_t reserved_bytes; /* in runs not begun yet */
	uint8_t *at;             /* where bytes are handed out now */
	size_t left_bytes;       /* behind it, in the same run */
	uint64_t granted_bytes;  /* charged to the budget */
	uint64_t spilled_bytes;  /* beside it */
	bool is_refused;         /* asked in vain last: that is counted once */
};

void grant_init(struct grant *grant, struct budget *budget, enum budget_kind kind);
/* Makes sure that `bytes` more can be handed out, counting as handed out what is lost at the ends
 * of runs: less than the largest piece for each run, nothing when pieces fill runs evenly.
 * BUDGET_FULL when the ceiling (without may_spill: or the admission) forbids and may_spill is not
 * set or there is nothing to spill to, -ENOMEM when the system has none; then nothing was reserved.
 */
int grant_reserve(struct grant *grant, uint64_t bytes, bool may_spill);
/* n bytes (at most RUN_BYTES) aligned to align (a power of two up to 64) out of what was reserved;
 * NULL when that is used up. [owner] */
void *grant_alloc(struct grant *grant, size_t n, size_t align);
/* Gives everything back; the grant is then as after grant_init(). Fine to call twice. */
void grant_release(struct grant *grant);
