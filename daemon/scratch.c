/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/scratch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/daemon.h"

int scratches_init(struct daemon *daemon, const uint32_t n_threads[LANE_N])
{
	struct scratches *scratches = &daemon->scratches;

	for (int i = 0; i < LANE_N; i++) {
		scratches->lanes[i] = (struct scratch_lane){
		        .first = scratches->n,
		        .n = n_threads[i],
		};
		scratches->n += n_threads[i];
	}
	scratches->of_worker = calloc(scratches->n, sizeof(*scratches->of_worker));
	if (!scratches->of_worker) {
		scratches->n = 0;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < scratches->n; i++)
		hnsw_scratch_init(&scratches->of_worker[i], daemon->budget);
	return 0;
}

void scratches_release(struct daemon *daemon)
{
	struct scratches *scratches = &daemon->scratches;

	for (uint32_t i = 0; i < scratches->n; i++)
		hnsw_scratch_release(&scratches->of_worker[i]);
	free(scratches->of_worker);
	*scratches = (struct scratches){0};
}

static void take_back(struct daemon *daemon, struct scratch_lane *lane)
{
	for (uint32_t i = 0; i < lane->n; i++)
		hnsw_scratch_take_back(&daemon->scratches.of_worker[lane->first + i]);
	lane->n_nodes = 0;
}

static int lend(struct daemon *daemon, struct scratch_lane *lane, uint32_t n_nodes)
{
	uint64_t now_ns = clock_monotonic_ns(daemon->clock);
	int r = 0;

	/* Who waits for a build asks at once, and has pauses of its own. */
	if (lane == &daemon->scratches.lanes[LANE_INTERACTIVE] &&
	    !retry_is_due(&lane->retry, now_ns))
		return BUDGET_FULL;
	/* Marks are not worth an index that somebody uses. */
	daemon->spares_used = true;
	for (uint32_t i = 0; i < lane->n && r == 0; i++)
		r = hnsw_scratch_lend(&daemon->scratches.of_worker[lane->first + i], n_nodes);
	daemon->spares_used = false;
	if (r == 0) {
		lane->n_nodes = n_nodes;
		retry_succeeded(&lane->retry);
		return 0;
	}
	retry_failed(&lane->retry, now_ns, SCRATCH_PAUSE_MS, SCRATCH_PAUSE_MS);
	if (lane->n_nodes == 0 && lane->n_users == 0)
		take_back(daemon, lane); /* some have them in vain */
	return r;
}

int scratch_lend(struct daemon *daemon, enum lane lane_idx, const struct hnsw *hnsw)
{
	struct scratch_lane *lane = &daemon->scratches.lanes[lane_idx];
	uint32_t n_nodes = hnsw_room(hnsw);
	int r = n_nodes > lane->n_nodes ? lend(daemon, lane, n_nodes) : 0;

	if (r == 0)
		lane->n_users++;
	return r;
}

void scratch_return(struct daemon *daemon, enum lane lane_idx)
{
	struct scratch_lane *lane = &daemon->scratches.lanes[lane_idx];

	assert(lane->n_users > 0);
	lane->n_users--;
	lane->used_ns = clock_monotonic_ns(daemon->clock);
}

void scratch_graph_came(struct daemon *daemon)
{
	daemon->scratches.n_graphs++;
}

void scratch_graph_went(struct daemon *daemon)
{
	struct scratches *scratches = &daemon->scratches;

	if (--scratches->n_graphs > 0)
		return;
	for (int i = 0; i < LANE_N; i++)
		take_back(daemon, &scratches->lanes[i]);
}

void scratches_look(struct daemon *daemon, uint64_t now_ns)
{
	struct scratch_lane *lane = &daemon->scratches.lanes[LANE_BACKGROUND];

	if (lane->n_nodes > 0 && lane->n_users == 0 && now_ns - lane->used_ns >= SCRATCH_IDLE_NS)
		take_back(daemon, lane);
}
