/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/upkeep.h"

#include <errno.h>
#include <string.h>

#include "daemon/care.h"
#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/index.h"
#include "daemon/log.h"

static const struct care_kind *const kinds[CARE_N] = {
        [CARE_REOPEN] = &reopen_care,   [CARE_RESTORE] = &restore_care,
        [CARE_RENEW] = &renew_care,     [CARE_LOAD] = &load_care,
        [CARE_SYNC] = &sync_care,       [CARE_REAP] = &reap_care,
        [CARE_COMPACT] = &compact_care, [CARE_CHECKPOINT] = &checkpoint_care,
        [CARE_RESTART] = &restart_care, [CARE_REST] = &rest_care,
};

static const struct care_kind *kind_of(const struct care_state *care)
{
	return kinds[care - care->collection->upkeep.care];
}

uint64_t care_now_ns(const struct collection *collection)
{
	return clock_monotonic_ns(collection->daemon->clock);
}

void care_let_reads_go(struct collection *collection)
{
	struct list held, *link;

	collection->upkeep.holds_reads = collection->upkeep.rests = false;
	list_init(&held);
	list_splice(&held, &collection->held_reads);
	while ((link = list_pop(&held)))
		reading_queue(LIST_ELEMENT(link, struct request, wait_link));
}

/* Trying again -------------------------------------------------------------------------------- */

void care_retry_soon(struct care_state *care)
{
	retry_put_off(&care->retry, care_now_ns(care->collection), UPKEEP_RETRY_MS);
}

void care_gave_up(struct care_state *care)
{
	retry_failed(&care->retry, care_now_ns(care->collection), UPKEEP_RETRY_MS,
	             UPKEEP_RETRY_MAX_MS);
}

bool care_met_copy(const struct care_state *care)
{
	return care->result == RECORD_STORE_BUSY && care->collection->upkeep.copied;
}

/* Sets when it may be tried again; a row of failures is logged at its begin only. */
static void note_result(struct care_state *care)
{
	struct collection *collection = care->collection;

	if (care_met_copy(care))
		return;
	if (care->result == 0) {
		retry_succeeded(&care->retry);
		care->told = false;
		return;
	}
	care_gave_up(care);
	if (care->result == -EAGAIN || care->told)
		return;
	care->told = true;
	log_error("collection '%s': %s: %s; it will be tried again", collection->entry.name,
	          kind_of(care)->name,
	          care->result < 0 ? strerror(-care->result) : "the database is in use");
}

/* One run ------------------------------------------------------------------------------------- */

static void care_work(struct job *job, uint32_t worker)
{
	struct care_state *care = LIST_ELEMENT(job, struct care_state, job);
	struct reserve *reserve = care->collection->daemon->reserve;
	const struct care_kind *kind = kind_of(care);

	if (kind->room == CARE_TAKES_ROOM && reserve_lacks_room(reserve)) {
		care->result = -ENOSPC;
		return;
	}
	care->result = kind->work(care->collection, care, worker);
	if (kind->room == CARE_GIVES_ROOM && reserve_helps(reserve, care->result))
		care->result = kind->work(care->collection, care, worker);
}

static void submit(struct care_state *care)
{
	struct collection *collection = care->collection;
	const struct care_kind *kind = kind_of(care);

	if (kind->prepare)
		kind->prepare(collection, care);
	care->started = true;
	care->job.what = kind->name;
	/* What makes writes wait does not run at low priority. */
	lanes_submit(collection->daemon->lanes, kind->is_urgent ? LANE_WRITE : LANE_BACKGROUND,
	             &care->job);
}

/* It has its turn, and waits for what is under way. */
static bool is_holding(const struct care_state *care)
{
	return care->active && !care->started && list_empty(&care->task.link);
}

/* What holds begins as soon as it can. */
static void try_held(struct collection *collection)
{
	for (int i = 0; i < CARE_N; i++) {
		struct care_state *care = &collection->upkeep.care[i];

		if (kinds[i]->is_ready && is_holding(care) && kinds[i]->is_ready(collection))
			submit(care);
	}
}

/* The turn is over. A group that waits goes first, so that care never starves writing. */
static void pass_turn(struct collection *collection)
{
	collection_turn_done(collection);
	collection_kick(collection);
}

static void care_done(struct job *job)
{
	struct care_state *care = LIST_ELEMENT(job, struct care_state, job);
	struct collection *collection = care->collection;
	const struct care_kind *kind = kind_of(care);

	care->active = care->started = false;
	note_result(care);
	if (kind->ended)
		kind->ended(collection, care);
	try_held(collection);
	if (kind->takes_turn)
		pass_turn(collection);
	upkeep_look(collection);
	collection_unref(collection);
}

static void care_turn(struct write_task *task)
{
	struct care_state *care = LIST_ELEMENT(task, struct care_state, task);
	struct collection *collection = care->collection;
	const struct care_kind *kind = kind_of(care);

	if (!kind->hold) {
		submit(care);
	} else if (kind->hold(collection)) {
		try_held(collection);
	} else {
		care->active = false;
		pass_turn(collection);
		collection_unref(collection);
	}
}

static void care_cancelled(struct write_task *task)
{
	struct care_state *care = LIST_ELEMENT(task, struct care_state, task);

	care->active = false;
	collection_unref(care->collection);
}

bool care_begin(struct care_state *care)
{
	struct collection *collection = collection_ref(care->collection);

	care->active = true;
	if (kind_of(care)->takes_turn) {
		write_queue_push_task(&collection->writes, &care->task);
		return true;
	}
	submit(care);
	return false;
}

/* All of it ----------------------------------------------------------------------------------- */

void upkeep_init(struct upkeep *upkeep, struct collection *collection)
{
	*upkeep = (struct upkeep){
	        .lost_row = UINT64_MAX,
	        .synced_ns = care_now_ns(collection),
	};
	list_init(&upkeep->checkpoints);
	for (int i = 0; i < CARE_N; i++) {
		struct care_state *care = &upkeep->care[i];

		care->collection = collection;
		care->job.work = care_work;
		care->job.done = care_done;
		care->task.start = care_turn;
		care->task.cancelled = care_cancelled;
		list_init(&care->task.link);
	}
}

static void look_at_indexes(struct collection *collection)
{
	struct list *link = collection->indexes.next;

	while (link != &collection->indexes) {
		struct index *index = LIST_ELEMENT(link, struct index, link);

		link = link->next; /* looking may end it */
		index_look(index);
	}
}

void upkeep_look(struct collection *collection)
{
	struct upkeep *upkeep = &collection->upkeep;
	uint64_t now_ns = care_now_ns(collection);
	/* On a full disk room comes before speed: nothing waits for a pause. */
	bool paused = reserve_is_short(collection->daemon->reserve) ||
	              now_ns - upkeep->written_ns >= UPKEEP_PAUSE_MS * NS_PER_MS;
	bool queued = false;

	try_held(collection);
	if (collection->state != COLLECTION_OPEN || upkeep->stopped || collection->dropped)
		return;
	for (int i = 0; i < CARE_N; i++) {
		struct care_state *care = &upkeep->care[i];

		if (care->active || !retry_is_due(&care->retry, now_ns) ||
		    !kinds[i]->wanted(collection, paused))
			continue;
		if (care_begin(care))
			queued = true;
	}
	if (queued)
		collection_kick(collection);
	look_at_indexes(collection);
}

void upkeep_read_ended(struct collection *collection)
{
	collection->upkeep.read_ns = care_now_ns(collection);
	try_held(collection);
}

void upkeep_stop(struct collection *collection)
{
	collection->upkeep.stopped = true;
	write_queue_stop(&collection->writes);
	/* What has its turn, but waits for reads, which will be refused. */
	for (int i = 0; i < CARE_N; i++) {
		struct care_state *care = &collection->upkeep.care[i];

		if (!kinds[i]->is_ready || !is_holding(care))
			continue;
		kinds[i]->let_go(collection);
		care_cancelled(&care->task);
	}
	if (!collection->upkeep.care[CARE_RESTART].active)
		care_answer_checkpoints(collection, -ECANCELED);
	if (collection->upkeep.holds_reads)
		care_let_reads_go(collection);
}
