/* SPDX-License-Identifier: Apache-2.0 */
#include "index/hnsw_scratch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define QUERY_ALIGN 64u
/* Candidates that a queue holds: so many, or so many times ef. Those that may lead nearer than what
 * was found are 2 ef at most, which is what is left of a queue that is shortened, unless few nodes
 * may be returned: then they are as many as the way to those is long. */
#define CANDIDATES_MIN 8192u
#define CANDIDATES_EF 8u

static uint32_t n_room(const struct hnsw_marks *marks)
{
	/* Acquire: the runs are there. */
	return atomic_load_explicit(&marks->n_room, memory_order_acquire);
}

static void add_run(struct hnsw_marks *marks, uint8_t *run)
{
	uint32_t n = n_room(marks);

	marks->runs[n / RUN_BYTES] = run;
	atomic_store_explicit(&marks->n_room, n + RUN_BYTES, memory_order_release);
}

void hnsw_scratch_init(struct hnsw_scratch *scratch, struct budget *budget)
{
	*scratch = (struct hnsw_scratch){0};
	grant_init(&scratch->marks.grant, budget, BUDGET_MARKS);
}

int hnsw_scratch_lend(struct hnsw_scratch *scratch, uint32_t n_nodes)
{
	struct hnsw_marks *marks = &scratch->marks;
	uint32_t have = n_room(marks);
	int r;

	assert(n_nodes <= HNSW_NODES_MAX);
	if (n_nodes <= have)
		return 0;
	/* Whole runs, so that none is begun and not used up. */
	r = grant_reserve(&marks->grant, (n_nodes - have - 1) / RUN_BYTES * RUN_BYTES + RUN_BYTES,
	                  true);
	while (r == 0 && n_room(marks) < n_nodes)
		add_run(marks, grant_alloc(&marks->grant, RUN_BYTES, 64));
	return r;
}

void hnsw_scratch_take_back(struct hnsw_scratch *scratch)
{
	struct hnsw_marks *marks = &scratch->marks;

	atomic_store_explicit(&marks->n_room, 0, memory_order_relaxed);
	marks->n_clear = 0;
	grant_release(&marks->grant);
}

/* By itself, in plain memory. */
static int grow_marks(struct hnsw_marks *marks, uint32_t n_nodes)
{
	while (n_room(marks) < n_nodes) {
		uint8_t *run = malloc(RUN_BYTES);

		if (!run)
			return -ENOMEM;
		add_run(marks, run);
	}
	return 0;
}

static int size_marks(struct hnsw_marks *marks, uint32_t n_nodes)
{
	int r = marks->grant.budget ? 0 : grow_marks(marks, n_nodes);
	uint32_t end = n_room(marks);

	for (end = n_nodes < end ? n_nodes : end; marks->n_clear < end; marks->n_clear += RUN_BYTES)
		memset(marks->runs[marks->n_clear / RUN_BYTES], 0, RUN_BYTES);
	return r;
}

static int size_candidates(struct hnsw_scratch *scratch, uint32_t ef)
{
	uint32_t n = ef > CANDIDATES_MIN / CANDIDATES_EF ? ef * CANDIDATES_EF : CANDIDATES_MIN;

	if (n <= scratch->n_candidates)
		return 0;
	uint64_t *candidates = malloc(n * sizeof(*candidates));
	if (!candidates)
		return -ENOMEM;
	free(scratch->candidates);
	scratch->candidates = candidates;
	scratch->n_candidates = n;
	return 0;
}

static int size_found(struct hnsw_scratch *scratch, uint32_t ef)
{
	if (ef <= scratch->n_found)
		return 0;
	uint64_t *found = malloc(ef * sizeof(*found));
	if (!found)
		return -ENOMEM;
	free(scratch->found);
	scratch->found = found;
	scratch->n_found = ef;
	return 0;
}

static int size_queries(struct hnsw_scratch *scratch, size_t query_bytes)
{
	size_t bytes = (query_bytes + QUERY_ALIGN - 1) & ~(size_t)(QUERY_ALIGN - 1);

	if (bytes <= scratch->query_bytes)
		return 0;
	void *query = aligned_alloc(QUERY_ALIGN, 2 * bytes);
	if (!query)
		return -ENOMEM;
	free(scratch->query);
	scratch->query = query;
	scratch->query_bytes = bytes;
	return 0;
}

int hnsw_scratch_size(struct hnsw_scratch *scratch, uint32_t n_nodes, uint32_t ef,
                      size_t query_bytes)
{
	int r = size_marks(&scratch->marks, n_nodes);
	if (r == 0)
		r = size_candidates(scratch, ef);
	if (r == 0)
		r = size_found(scratch, ef);
	if (r == 0)
		r = size_queries(scratch, query_bytes);
	return r;
}

int hnsw_scratch_reserve(struct hnsw_scratch *scratch, const struct hnsw *hnsw,
                         const struct hnsw_space *space, uint32_t ef)
{
	return hnsw_scratch_size(scratch, hnsw_n_nodes(hnsw), hnsw_width(space, ef),
	                         space->query_bytes);
}

void hnsw_scratch_rest(struct hnsw_scratch *scratch)
{
	free(scratch->candidates);
	free(scratch->found);
	free(scratch->query);
	scratch->candidates = scratch->found = NULL;
	scratch->query = NULL;
	scratch->n_candidates = scratch->n_found = 0;
	scratch->query_bytes = 0;
}

void hnsw_scratch_release(struct hnsw_scratch *scratch)
{
	struct hnsw_marks *marks = &scratch->marks;

	hnsw_scratch_rest(scratch);
	for (uint32_t at = 0; !marks->grant.budget && at < n_room(marks); at += RUN_BYTES)
		free(marks->runs[at / RUN_BYTES]);
	hnsw_scratch_take_back(scratch);
}

/* Queues --------------------------------------------------------------------------------------- */

static uint32_t count_up_to(const uint64_t *queue, uint32_t n, uint64_t bound)
{
	uint32_t n_within = 0;

	for (uint32_t i = 0; i < n; i++)
		n_within += queue[i] <= bound;
	return n_within;
}

uint64_t hnsw_queue_shorten(uint64_t *queue, uint32_t *n)
{
	uint64_t low = queue[0], high = UINT64_MAX, nearest_gone = UINT64_MAX;
	uint32_t n_all = *n;

	/* The keys are distinct, so that some bound parts them so. */
	for (;;) {
		uint64_t bound = low + (high - low) / 2;
		uint32_t n_within = count_up_to(queue, n_all, bound);

		if (n_within > n_all / 2) {
			high = bound;
		} else if (n_within < n_all / 4) {
			low = bound;
		} else {
			high = bound;
			break;
		}
	}
	*n = 0;
	for (uint32_t i = 0; i < n_all; i++) {
		uint64_t key = queue[i];

		if (key <= high)
			hnsw_queue_push(queue, n, key);
		else if (key < nearest_gone)
			nearest_gone = key;
	}
	return nearest_gone;
}
