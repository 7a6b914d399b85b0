/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is cared for: the database. What nobody can see leaves it, its free pages leave the disk,
 * and its WAL is moved into it.
 */

#include "daemon/care.h"

#include <errno.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"

static bool is_disk_full(const struct collection *collection)
{
	return reserve_is_short(collection->daemon->reserve);
}

/* What makes room writes to the WAL first. On a full disk it does so in small steps, and the WAL
 * begins anew between them: what is left for it is left for deletes as well. */
static bool waits_for_wal(const struct collection *collection)
{
	return is_disk_full(collection) &&
	       record_store_wal_bytes(collection->store) >= UPKEEP_WAL_IDLE_BYTES;
}

/* reap ---------------------------------------------------------------------------------------- */

static bool reap_wanted(struct collection *collection, bool paused)
{
	uint64_t n = collection->upkeep.n_retired;

	return n > 0 && (paused || n >= UPKEEP_REAP_BACKLOG) && !waits_for_wal(collection);
}

uint32_t upkeep_reap_rows(uint64_t n_retired, uint64_t n_new)
{
	uint64_t n_rows = n_retired / 2;
	uint64_t max = n_new > UPKEEP_REAP_ROWS_MAX ? n_new : UPKEEP_REAP_ROWS_MAX;

	if (n_rows < UPKEEP_REAP_ROWS)
		n_rows = UPKEEP_REAP_ROWS;
	if (n_rows > max)
		n_rows = max;
	return n_rows < UINT32_MAX ? (uint32_t)n_rows : UINT32_MAX;
}

static void reap_prepare(struct collection *collection, struct care_state *care)
{
	struct upkeep *upkeep = &collection->upkeep;

	care->to = is_disk_full(collection)
	                   ? UPKEEP_REAP_ROWS
	                   : upkeep_reap_rows(upkeep->n_retired, upkeep->n_retired_new);
	upkeep->n_retired_new = 0;
	care->seq = collection_reap_seq(collection);
	care->n = 0;
}

static int reap_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	int r = collection_writer(collection);

	(void)worker;
	if (r == 0)
		r = record_writer_reap(collection->writer, care->seq, (uint32_t)care->to,
		                       UPKEEP_LOG_ROWS, &care->n);
	if (r)
		collection->writer = record_writer_free(collection->writer);
	return r;
}

static void reap_ended(struct collection *collection, struct care_state *care)
{
	struct upkeep *upkeep = &collection->upkeep;

	upkeep->n_retired -= care->n < upkeep->n_retired ? care->n : upkeep->n_retired;
	/* Nothing could go: a reading still sees what is left. */
	if (care->n == 0)
		care_retry_soon(care);
}

void upkeep_retired(struct collection *collection, uint64_t n_rows)
{
	collection->upkeep.n_retired += n_rows;
	collection->upkeep.n_retired_new += n_rows;
}

const struct care_kind reap_care = {
        .name = "reap",
        .takes_turn = true,
        .is_urgent = true,
        .room = CARE_GIVES_ROOM,
        .wanted = reap_wanted,
        .prepare = reap_prepare,
        .work = reap_work,
        .ended = reap_ended,
};

/* compact ------------------------------------------------------------------------------------- */

/* While the database is written free pages are soon used again; in a pause they would stay. */
static bool compact_wanted(struct collection *collection, bool paused)
{
	struct record_space space = record_store_space(collection->store);
	uint64_t bound = paused ? space.used_bytes / 4 + UPKEEP_IDLE_FREE_BYTES
	                        : space.used_bytes + UPKEEP_FREE_BYTES;

	return space.is_compactable && space.free_bytes > bound && !waits_for_wal(collection);
}

static int compact_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	int r = collection_writer(collection);

	(void)care;
	(void)worker;
	if (r == 0)
		r = record_writer_compact(collection->writer, is_disk_full(collection)
		                                                      ? UPKEEP_FULL_COMPACT_PAGES
		                                                      : UPKEEP_COMPACT_PAGES);
	if (r)
		collection->writer = record_writer_free(collection->writer);
	return r;
}

static void compact_ended(struct collection *collection, struct care_state *care)
{
	if (care->result == 0)
		collection->upkeep.shrinks = true;
}

const struct care_kind compact_care = {
        .name = "compact",
        .takes_turn = true,
        .is_urgent = true,
        .room = CARE_GIVES_ROOM,
        .wanted = compact_wanted,
        .work = compact_work,
        .ended = compact_ended,
};

/* checkpoint, restart ------------------------------------------------------------------------- */

/* On a full disk the WAL's file keeps room for frames to come that all others miss. */
static bool keeps_room(const struct collection *collection)
{
	return is_disk_full(collection) &&
	       record_store_wal_file_bytes(collection->store) > UPKEEP_WAL_IDLE_BYTES;
}

/* What a pause is not to begin with. What leaves the database is written to the WAL first: all of
 * that is worth one restart, when it has left. */
static bool leaves_too_much(const struct collection *collection, uint64_t wal)
{
	const struct care_state *care = collection->upkeep.care;

	if (!is_disk_full(collection) && (care[CARE_REAP].active || care[CARE_COMPACT].active))
		return false;
	return wal >= UPKEEP_WAL_IDLE_BYTES || (collection->upkeep.shrinks && wal > 0) ||
	       keeps_room(collection);
}

static bool checkpoint_wanted(struct collection *collection, bool paused)
{
	uint64_t wal = record_store_wal_bytes(collection->store);
	uint64_t last = collection->upkeep.checkpointed_at;

	if (collection->upkeep.holds_reads)
		return false;
	if (paused && wal != last && leaves_too_much(collection, wal))
		return true;
	return wal >= UPKEEP_WAL_PASSIVE_BYTES &&
	       (wal < last || wal - last >= UPKEEP_WAL_PASSIVE_BYTES);
}

static int checkpoint_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	int r = record_store_checkpoint(collection->store, false);

	(void)care;
	(void)worker;
	/* Somebody reads: what could move did, the rest goes the next time. */
	return r == RECORD_STORE_BUSY ? 0 : r;
}

static void checkpoint_ended(struct collection *collection, struct care_state *care)
{
	(void)care;
	collection->upkeep.checkpointed_at = record_store_wal_bytes(collection->store);
}

const struct care_kind checkpoint_care = {
        .name = "checkpoint",
        .is_urgent = true,
        .wanted = checkpoint_wanted,
        .work = checkpoint_work,
        .ended = checkpoint_ended,
};

static bool restart_wanted(struct collection *collection, bool paused)
{
	uint64_t wal = record_store_wal_bytes(collection->store);

	if (collection->n_copies > 0)
		return false;
	if (!list_empty(&collection->upkeep.checkpoints))
		return true;
	/* In a pause the checkpoint beside the writes goes first, and leaves little to wait for. */
	return wal >= UPKEEP_WAL_RESTART_BYTES ||
	       (paused && leaves_too_much(collection, wal) &&
	        (is_disk_full(collection) || wal == collection->upkeep.checkpointed_at));
}

static int restart_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	(void)care;
	(void)worker;
	if (keeps_room(collection))
		return record_store_cut_wal(collection->store, UPKEEP_WAL_IDLE_BYTES);
	return record_store_checkpoint(collection->store, true);
}

static bool restart_hold(struct collection *collection)
{
	collection->upkeep.holds_reads = true;
	collection->upkeep.copied = collection->n_copies > 0;
	return true;
}

static bool restart_is_ready(const struct collection *collection)
{
	return collection->n_sql_reads == 0 && !collection->upkeep.care[CARE_CHECKPOINT].active;
}

void care_answer_checkpoints(struct collection *collection, int result)
{
	struct list waiting, *link;

	list_init(&waiting);
	list_splice(&waiting, &collection->upkeep.checkpoints);
	while ((link = list_pop(&waiting))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		if (result == 0) {
			request_result(request, &(struct checkpoint_result){
			                                .wal_bytes = record_store_wal_bytes(
			                                        collection->store)});
		} else {
			request_refuse_errno(request, result < 0 ? result : -EBUSY, "checkpoint");
			request->failed = 0; /* the care logged it */
		}
		request_finish(request);
	}
}

static void restart_ended(struct collection *collection, struct care_state *care)
{
	if (care->result == 0) {
		collection->upkeep.checkpointed_at = record_store_wal_bytes(collection->store);
		collection->upkeep.shrinks = false;
	}
	if (!care_met_copy(care))
		care_answer_checkpoints(collection, care->result);
	care_let_reads_go(collection);
}

const struct care_kind restart_care = {
        .name = "restart",
        .takes_turn = true,
        .is_urgent = true,
        .wanted = restart_wanted,
        .hold = restart_hold,
        .is_ready = restart_is_ready,
        .let_go = care_let_reads_go,
        .work = restart_work,
        .ended = restart_ended,
};

void upkeep_checkpoint(struct request *request)
{
	struct collection *collection = request->collection;

	list_append(&collection->upkeep.checkpoints, &request->wait_link);
	retry_at_once(&collection->upkeep.care[CARE_RESTART].retry);
	upkeep_look(collection);
}
