/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/upkeep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/index.h"
#include "daemon/log.h"
#include "daemon/renewal.h"
#include "daemon/vectors_cache.h"
#include "index/vector.h"

#define NS_PER_MS UINT64_C(1000000)

/* What a care does to a full disk. */
enum care_room {
	CARE_KEEPS_ROOM, /* or sees to it itself */
	CARE_TAKES_ROOM, /* waits while what is reserved for deletes is given up */
	CARE_GIVES_ROOM, /* may have that */
};

/* A care: when there is reason for it, and what it does. */
struct care_kind {
	const char *name;
	bool takes_turn; /* with the groups of writes */
	bool is_urgent;  /* writes wait for it, so it does not wait for builds */
	enum care_room room;
	bool (*wanted)(struct collection *collection, bool paused);
	void (*prepare)(struct collection *collection, struct care_state *care); /* [loop] */
	int (*work)(struct collection *collection, struct care_state *care, uint32_t worker);
	void (*ended)(struct collection *collection, struct care_state *care); /* [loop] */
};

/* reopen -------------------------------------------------------------------------------------- */

static bool reopen_wanted(struct collection *collection, bool paused)
{
	(void)paused;
	return !collection->vectors;
}

/* The record table was filled without the file: what rows that has are not numbered like it. */
static int reopen_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	const char *why = NULL;
	int r = collection_open_vectors(collection, &care->vectors, &why);

	(void)worker;
	if (r == 0 && vector_file_n_rows(care->vectors) > 0)
		r = vector_file_reset(care->vectors, 0);
	if (r < 0)
		care->vectors = vector_file_free(care->vectors);
	return r;
}

static void reopen_ended(struct collection *collection, struct care_state *care)
{
	if (care->result == 0)
		collection->vectors = care->vectors;
	care->vectors = NULL;
}

/* restore ------------------------------------------------------------------------------------- */

/* Whether a job still reads rows of the vector file that are to be written again: they would change
 * under it, and what it knows to be damaged would look sound before it is. Those that come now pin
 * fewer rows. */
static bool has_older_readers(const struct collection *collection)
{
	for (const struct list *link = collection->pins.next; link != &collection->pins;
	     link = link->next) {
		if (LIST_ELEMENT(link, const struct pin, link)->mapped_rows >
		    collection->mapped_rows)
			return true;
	}
	return collection->upkeep.care[CARE_LOAD].active;
}

static bool restore_wanted(struct collection *collection, bool paused)
{
	(void)paused;
	return collection->vectors && collection->mapped_rows < collection->n_rows &&
	       !collection->upkeep.holds_reads && !has_older_readers(collection);
}

static void restore_prepare(struct collection *collection, struct care_state *care)
{
	uint64_t batch = UPKEEP_RESTORE_BYTES / collection_stride(collection);

	care->from = care->to = collection->mapped_rows;
	/* More was lost since it was wanted: it is wanted again when they have ended. */
	if (has_older_readers(collection))
		return;
	collection->upkeep.lost_row = UINT64_MAX;
	care->to = collection->n_rows;
	/* Whole extents, since one of a lost file can be read when it is complete again. */
	if (care->to - care->from > batch) {
		care->to = care->from + batch;
		care->to -= care->to % vector_file_extent_rows(collection->vectors);
	}
}

/* Fills rows from the truth; a slot that was reaped leaves zeros, which nobody sees. */
static int read_rows(struct collection *collection, struct record_reader *reader, uint64_t n,
                     const uint64_t *slots, uint8_t *rows)
{
	const struct record_spec *spec = &collection->entry.spec;
	uint32_t stride = collection_stride(collection);
	struct record_row row;
	uint64_t at = 0;
	int r = record_reader_begin(reader);

	if (r == 0)
		r = record_reader_vectors(reader, slots[0], slots[n - 1]);
	while (r == 0 && (r = record_reader_next(reader, &row)) == 0) {
		while (at < n && slots[at] < row.slot)
			at++;
		if (at < n && slots[at] == row.slot)
			vector_prepare(row.record.vector, 1, spec->dim, (enum dtype)spec->dtype,
			               (enum metric)spec->metric, rows + at * stride);
	}
	record_reader_end(reader);
	return r == RECORD_STORE_END ? 0 : r;
}

static int restore_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	uint64_t n = care->to - care->from;
	size_t size = (size_t)n * collection_stride(collection);
	struct record_reader **reader = &collection->readers[worker];
	uint64_t *slots;
	uint8_t *rows;
	int r;

	if (n == 0)
		return 0;
	slots = malloc(n * sizeof(*slots));
	rows = aligned_alloc(64, size);
	r = slots && rows ? 0 : -ENOMEM;
	if (r == 0 && vector_file_n_rows(collection->vectors) != care->from)
		r = vector_file_reset(collection->vectors, care->from);
	if (r == 0 && !*reader)
		r = record_reader_new(collection->store, reader);
	for (uint64_t i = 0; r == 0 && i < n; i++) {
		struct record_table_row row;

		record_table_get(&collection->table, care->from + i, &row);
		slots[i] = row.slot;
	}
	if (r == 0) {
		memset(rows, 0, size);
		r = read_rows(collection, *reader, n, slots, rows);
	}
	if (r == 0)
		r = vector_file_append(collection->vectors, n, slots, rows);
	free(rows);
	free(slots);
	return r;
}

static void restore_ended(struct collection *collection, struct care_state *care)
{
	if (care->result == 0) {
		uint64_t lost_row = collection->upkeep.lost_row;

		/* Earlier ones may have been lost meanwhile. */
		collection->mapped_rows = lost_row < care->to ? lost_row : care->to;
		if (care->to == collection->n_rows)
			log_info("collection '%s': the vector file has all %llu rows again",
			         collection->entry.name, (unsigned long long)care->to);
		events_restore(collection, care->to, collection->n_rows);
	} else if (care->result == -EBADMSG) {
		/* The extent's beginning is damaged too: it is written again from there. */
		upkeep_lost_vectors(
		        collection,
		        care->from - care->from % vector_file_extent_rows(collection->vectors));
	}
}

/* renew --------------------------------------------------------------------------------------- */

static void let_reads_go(struct collection *collection);

static bool renew_wanted(struct collection *collection, bool paused)
{
	collection->upkeep.wants_renewal =
	        collection->n_copies == 0 && renewal_is_due(collection, paused);
	return collection->upkeep.wants_renewal && renewal_is_possible(collection);
}

/* It has the turn: who comes now waits as for an opening, and who reads already is waited for. */
static void renew_hold(struct collection *collection)
{
	if (!renewal_is_possible(collection))
		return;
	collection->state = COLLECTION_OPENING;
	collection->upkeep.rests = true;
	collection->upkeep.renew_ns = clock_monotonic_ns(collection->daemon->clock);
}

/* Without one there is nothing to do: readings were under way for too long, or there is no memory,
 * or a flight began before its turn came. */
static void renew_prepare(struct collection *collection, struct care_state *care)
{
	if (collection->state == COLLECTION_OPENING && list_empty(&collection->pins) &&
	    !vector_file_is_lost(collection->vectors))
		care->renewal = renewal_new(collection);
}

static int renew_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	(void)collection;
	(void)worker;
	return care->renewal ? renewal_work(care->renewal) : 0;
}

static void renew_release(struct collection *collection)
{
	collection->state = COLLECTION_OPEN;
	let_reads_go(collection);
}

static void renew_ended(struct collection *collection, struct care_state *care)
{
	bool was_held = collection->state == COLLECTION_OPENING;

	if (was_held && !care->renewal)
		care->retry_ns =
		        clock_monotonic_ns(collection->daemon->clock) + UPKEEP_RETRY_MS * NS_PER_MS;
	collection->upkeep.wants_renewal = false;
	care->renewal = renewal_end(care->renewal, care->result == 0);
	if (!was_held)
		return;
	renew_release(collection);
	collection_opened(collection, NULL);
}

/* load ---------------------------------------------------------------------------------------- */

/* Codes with a mean of few rows make way, when nobody reads them. */
static bool is_outgrown(const struct collection *collection)
{
	return resident_is_outgrown(&collection->resident) && list_empty(&collection->pins);
}

static bool load_wanted(struct collection *collection, bool paused)
{
	uint64_t have = collection->resident.n_rows;
	uint64_t missing;

	(void)paused;
	if (!collection->vectors ||
	    (collection->upkeep.searched == 0 && !collection->upkeep.wants_codes) ||
	    ((collection->entry.bulk || collection->upkeep.wants_renewal) &&
	     !collection->upkeep.wants_codes) ||
	    collection->upkeep.care[CARE_RESTORE].active)
		return false;
	if (is_outgrown(collection))
		return true;
	if (collection->mapped_rows <= have)
		return false;
	missing = collection->mapped_rows - have;
	if (have > 0 && missing * collection_stride(collection) < UPKEEP_LOAD_BYTES &&
	    !collection->upkeep.wants_codes)
		return false;
	return vectors_cache_reserve(collection, collection->mapped_rows) > have;
}

static void load_prepare(struct collection *collection, struct care_state *care)
{
	if (is_outgrown(collection))
		resident_release(&collection->resident);
	care->from = collection->resident.n_rows;
	care->n_rows = collection->mapped_rows;
	care->to = vectors_cache_reserve(collection, care->n_rows);
	care->bad_extent = UINT64_MAX;
}

/* A damaged extent is no failure of the load: it comes again as soon as that is restored. */
static int load_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	uint64_t n_faults = vector_file_n_faults(collection->vectors);
	uint64_t extent = 0;
	int r = resident_encode(&collection->resident, collection->vectors, care->from, care->to,
	                        care->n_rows, &extent);

	(void)worker;
	if (r == -EBADMSG)
		care->bad_extent = extent;
	else if (r == 0 && vector_file_n_faults(collection->vectors) != n_faults)
		care->bad_extent = 0;
	return r == -EBADMSG ? 0 : r;
}

static void load_ended(struct collection *collection, struct care_state *care)
{
	/* A build that still waits says so again. */
	collection->upkeep.wants_codes = false;
	/* Also what a failed load leaves: it can be had back. */
	vectors_cache_keep(collection);
	if (care->bad_extent != UINT64_MAX) {
		upkeep_lost_vectors(collection, care->bad_extent * vector_file_extent_rows(
		                                                           collection->vectors));
	} else if (care->result == 0) {
		collection->resident.n_rows = care->to;
	}
}

/* sync ---------------------------------------------------------------------------------------- */

/* A snapshot stands on rows that a crash would take: without them it may be of no use. */
static bool a_snapshot_needs_it(const struct collection *collection)
{
	uint64_t synced_rows = vector_file_synced_rows(collection->vectors);

	for (const struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		const struct index *index = LIST_ELEMENT(link, const struct index, link);

		if (index->serving && index->serving->saved_rows > synced_rows)
			return true;
	}
	return false;
}

static bool sync_wanted(struct collection *collection, bool paused)
{
	struct upkeep *upkeep = &collection->upkeep;
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);
	uint64_t unsynced;
	bool is_synced;

	/* Who has the turn may be appending: then its end looks again. */
	if (!collection->vectors || collection->mapped_rows < collection->n_rows ||
	    collection->writes.busy)
		return false;
	unsynced = vector_file_n_rows(collection->vectors) -
	           vector_file_synced_rows(collection->vectors);
	is_synced = vector_file_is_synced(collection->vectors, collection_epoch(collection));
	if (is_synced)
		upkeep->synced_ns = now_ns;
	return !is_synced && (paused || a_snapshot_needs_it(collection) ||
	                      unsynced * collection_stride(collection) >= UPKEEP_SYNC_BYTES ||
	                      now_ns - upkeep->synced_ns >= UPKEEP_SYNC_MS * NS_PER_MS);
}

/* It has the turn, so nobody publishes another epoch meanwhile. */
static int sync_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	(void)care;
	(void)worker;
	return vector_file_sync(collection->vectors, collection_epoch(collection));
}

/* What a failed sync left on the disk is not known: the rows are written again. */
static void sync_ended(struct collection *collection, struct care_state *care)
{
	if (care->result < 0)
		upkeep_lost_vectors(collection, vector_file_synced_rows(collection->vectors));
	else /* the next group may append before anybody looks */
		collection->upkeep.synced_ns = clock_monotonic_ns(collection->daemon->clock);
}

/* reap ---------------------------------------------------------------------------------------- */

static bool reap_wanted(struct collection *collection, bool paused)
{
	uint64_t n = collection->upkeep.n_retired;

	return n > 0 && (paused || n >= UPKEEP_REAP_BACKLOG);
}

static void reap_prepare(struct collection *collection, struct care_state *care)
{
	uint64_t n_rows = collection->upkeep.n_retired / 2;

	if (n_rows < UPKEEP_REAP_ROWS)
		n_rows = UPKEEP_REAP_ROWS;
	if (n_rows > UPKEEP_REAP_ROWS_MAX)
		n_rows = UPKEEP_REAP_ROWS_MAX;
	care->to = n_rows;
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
		care->retry_ns =
		        clock_monotonic_ns(collection->daemon->clock) + UPKEEP_RETRY_MS * NS_PER_MS;
}

/* compact ------------------------------------------------------------------------------------- */

/* While the database is written free pages are soon used again; in a pause they would stay. */
static bool compact_wanted(struct collection *collection, bool paused)
{
	struct record_space space = record_store_space(collection->store);
	uint64_t bound = paused ? space.used_bytes / 4 + UPKEEP_IDLE_FREE_BYTES
	                        : space.used_bytes + UPKEEP_FREE_BYTES;

	return space.is_compactable && space.free_bytes > bound;
}

static int compact_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	int r = collection_writer(collection);

	(void)care;
	(void)worker;
	if (r == 0)
		r = record_writer_compact(collection->writer, UPKEEP_COMPACT_PAGES);
	if (r)
		collection->writer = record_writer_free(collection->writer);
	return r;
}

static void compact_ended(struct collection *collection, struct care_state *care)
{
	if (care->result == 0)
		collection->upkeep.shrinks = true;
}

/* checkpoint, restart ------------------------------------------------------------------------- */

/* What a pause is not to begin with. */
static bool leaves_too_much(const struct collection *collection, uint64_t wal)
{
	return wal >= UPKEEP_WAL_IDLE_BYTES || (collection->upkeep.shrinks && wal > 0);
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

static void restart_try(struct collection *collection);

static void checkpoint_ended(struct collection *collection, struct care_state *care)
{
	(void)care;
	collection->upkeep.checkpointed_at = record_store_wal_bytes(collection->store);
}

static bool restart_wanted(struct collection *collection, bool paused)
{
	uint64_t wal = record_store_wal_bytes(collection->store);

	if (collection->n_copies > 0)
		return false;
	if (!list_empty(&collection->upkeep.checkpoints))
		return true;
	/* In a pause the checkpoint beside the writes goes first, and leaves little to wait for. */
	return wal >= UPKEEP_WAL_RESTART_BYTES ||
	       (paused && wal == collection->upkeep.checkpointed_at &&
	        leaves_too_much(collection, wal));
}

static int restart_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	(void)care;
	(void)worker;
	return record_store_checkpoint(collection->store, true);
}

static void let_reads_go(struct collection *collection)
{
	struct list held, *link;

	collection->upkeep.holds_reads = collection->upkeep.rests = false;
	list_init(&held);
	list_splice(&held, &collection->held_reads);
	while ((link = list_pop(&held)))
		reading_queue(LIST_ELEMENT(link, struct request, wait_link));
}

static void answer_checkpoints(struct collection *collection, int result)
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
	answer_checkpoints(collection, care->result);
	let_reads_go(collection);
}

/* rest ---------------------------------------------------------------------------------------- */

static bool rest_wanted(struct collection *collection, bool paused)
{
	const struct upkeep *upkeep = &collection->upkeep;
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);
	uint64_t used_ns =
	        upkeep->read_ns > upkeep->written_ns ? upkeep->read_ns : upkeep->written_ns;

	if (used_ns <= upkeep->rested_ns || !list_empty(&collection->pins))
		return false;
	/* Memory is short: a rest between two requests will do, but not between any two. */
	if (collection->daemon->pressure.on)
		return now_ns - upkeep->rested_ns >= UPKEEP_REST_MS * NS_PER_MS;
	return paused && now_ns - used_ns >= UPKEEP_REST_MS * NS_PER_MS;
}

/* Any reading may come to need its worker's connection, so none is under way. */
static void rest_prepare(struct collection *collection, struct care_state *care)
{
	care->n = list_empty(&collection->pins);
	collection->upkeep.rests = care->n;
}

static int rest_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	uint32_t n_workers = lanes_n_workers(collection->daemon->lanes);

	(void)worker;
	for (uint32_t i = 0; i < n_workers && care->n; i++)
		if (collection->readers[i])
			record_reader_release_memory(collection->readers[i]);
	if (care->n && collection->writer)
		record_writer_release_memory(collection->writer);
	return 0;
}

static void rest_ended(struct collection *collection, struct care_state *care)
{
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);

	if (!care->n) {
		care->retry_ns = now_ns + UPKEEP_RETRY_MS * NS_PER_MS;
		return;
	}
	collection->upkeep.rested_ns = now_ns;
	let_reads_go(collection);
}

/* The machinery ------------------------------------------------------------------------------- */

static const struct care_kind kinds[CARE_N] = {
        [CARE_REOPEN] = {"reopen", true, true, CARE_TAKES_ROOM, reopen_wanted, NULL, reopen_work,
                         reopen_ended},
        [CARE_RESTORE] = {"restore", true, true, CARE_TAKES_ROOM, restore_wanted, restore_prepare,
                          restore_work, restore_ended},
        [CARE_RENEW] = {"renew", true, true, CARE_KEEPS_ROOM, renew_wanted, renew_prepare,
                        renew_work, renew_ended},
        [CARE_LOAD] = {"load", false, false, CARE_KEEPS_ROOM, load_wanted, load_prepare, load_work,
                       load_ended},
        [CARE_SYNC] = {"sync", true, true, CARE_KEEPS_ROOM, sync_wanted, NULL, sync_work,
                       sync_ended},
        [CARE_REAP] = {"reap", true, true, CARE_GIVES_ROOM, reap_wanted, reap_prepare, reap_work,
                       reap_ended},
        [CARE_COMPACT] = {"compact", true, true, CARE_GIVES_ROOM, compact_wanted, NULL,
                          compact_work, compact_ended},
        [CARE_CHECKPOINT] = {"checkpoint", false, true, CARE_KEEPS_ROOM, checkpoint_wanted, NULL,
                             checkpoint_work, checkpoint_ended},
        [CARE_RESTART] = {"restart", true, true, CARE_KEEPS_ROOM, restart_wanted, NULL,
                          restart_work, restart_ended},
        [CARE_REST] = {"rest", true, true, CARE_KEEPS_ROOM, rest_wanted, rest_prepare, rest_work,
                       rest_ended},
};

static const struct care_kind *kind_of(const struct care_state *care)
{
	return &kinds[care - care->collection->upkeep.care];
}

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

static void care_put_off(struct care_state *care)
{
	care->retry_pause_ms = care->retry_pause_ms ? care->retry_pause_ms * 2 : UPKEEP_RETRY_MS;
	if (care->retry_pause_ms > UPKEEP_RETRY_MAX_MS)
		care->retry_pause_ms = UPKEEP_RETRY_MAX_MS;
	care->retry_ns = clock_monotonic_ns(care->collection->daemon->clock) +
	                 care->retry_pause_ms * NS_PER_MS;
}

/* Sets when it may be tried again; a row of failures is logged at its begin only. */
static void care_note_result(struct care_state *care)
{
	struct collection *collection = care->collection;

	/* A copy that began meanwhile holds the WAL: it is wanted again afterwards. */
	if (care->result == RECORD_STORE_BUSY && collection->n_copies > 0)
		care->result = 0;
	if (care->result == 0) {
		care->retry_pause_ms = 0;
		care->retry_ns = 0;
		return;
	}
	if (care->retry_pause_ms == 0)
		log_error("collection '%s': %s: %s; it will be tried again", collection->entry.name,
		          kind_of(care)->name,
		          care->result < 0 ? strerror(-care->result) : "the database is in use");
	care_put_off(care);
}

static void care_done(struct job *job)
{
	struct care_state *care = LIST_ELEMENT(job, struct care_state, job);
	struct collection *collection = care->collection;
	const struct care_kind *kind = kind_of(care);

	care->active = care->started = false;
	care_note_result(care);
	if (kind->ended)
		kind->ended(collection, care);
	restart_try(collection);
	if (kind->takes_turn) {
		/* A group that waits goes first, so that care never starves writing. */
		collection_turn_done(collection);
		collection_kick(collection);
	}
	upkeep_look(collection);
	collection_unref(collection);
}

static void care_submit(struct care_state *care)
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

/* The restart holds the queue; it needs that nobody reads and no other checkpoint runs. */
static void restart_try(struct collection *collection)
{
	struct care_state *care = &collection->upkeep.care[CARE_RESTART];

	if (care->active && !care->started && list_empty(&care->task.link) &&
	    collection->n_sql_reads == 0 && !collection->upkeep.care[CARE_CHECKPOINT].active)
		care_submit(care);
}

/* The renewal holds everything; it needs that nobody reads any more. */
static void renew_try(struct collection *collection)
{
	struct care_state *care = &collection->upkeep.care[CARE_RENEW];
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);

	if (care->active && !care->started && list_empty(&care->task.link) &&
	    (list_empty(&collection->pins) ||
	     now_ns - collection->upkeep.renew_ns >= UPKEEP_RENEW_MS * NS_PER_MS))
		care_submit(care);
}

static void care_turn(struct write_task *task)
{
	struct care_state *care = LIST_ELEMENT(task, struct care_state, task);

	if (care == &care->collection->upkeep.care[CARE_RESTART]) {
		care->collection->upkeep.holds_reads = true;
		restart_try(care->collection);
	} else if (care == &care->collection->upkeep.care[CARE_RENEW]) {
		renew_hold(care->collection);
		if (care->collection->state == COLLECTION_OPENING)
			renew_try(care->collection);
		else
			care_submit(care);
	} else {
		care_submit(care);
	}
}

static void care_cancelled(struct write_task *task)
{
	struct care_state *care = LIST_ELEMENT(task, struct care_state, task);

	care->active = false;
	collection_unref(care->collection);
}

void upkeep_init(struct upkeep *upkeep, struct collection *collection)
{
	*upkeep = (struct upkeep){
	        .lost_row = UINT64_MAX,
	        .synced_ns = clock_monotonic_ns(collection->daemon->clock),
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

/* True: it waits in the queue of the collection's turns. */
static bool care_begin(struct collection *collection, struct care_state *care)
{
	care->active = true;
	collection_ref(collection);
	if (kind_of(care)->takes_turn) {
		write_queue_push_task(&collection->writes, &care->task);
		return true;
	}
	care_submit(care);
	return false;
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
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);
	/* On a full disk room comes before speed: nothing waits for a pause. */
	bool paused = reserve_is_given_up(collection->daemon->reserve) ||
	              now_ns - upkeep->written_ns >= UPKEEP_PAUSE_MS * NS_PER_MS;
	bool queued = false;

	renew_try(collection);
	if (collection->state != COLLECTION_OPEN || upkeep->stopped || collection->dropped)
		return;
	for (int i = 0; i < CARE_N; i++) {
		struct care_state *care = &upkeep->care[i];

		if (care->active || now_ns < care->retry_ns || !kinds[i].wanted(collection, paused))
			continue;
		if (care_begin(collection, care))
			queued = true;
	}
	if (queued)
		collection_kick(collection);
	look_at_indexes(collection);
}

void upkeep_lost_vectors(struct collection *collection, uint64_t row)
{
	struct upkeep *upkeep = &collection->upkeep;

	if (collection->vectors && vector_file_is_lost(collection->vectors))
		row = 0;
	if (row >= collection->n_rows)
		return;
	if (row < upkeep->lost_row) {
		log_error("collection '%s': the vector file cannot be used from row %llu on; it "
		          "is written again from the database",
		          collection->entry.name, (unsigned long long)row);
		upkeep->lost_row = row;
	}
	if (row < collection->mapped_rows)
		collection->mapped_rows = row;
}

void upkeep_no_vectors(struct collection *collection, int error)
{
	/* The next look tries again at once: what failed once need not fail twice. */
	log_error("collection '%s': cannot use the vector file %s: %s; searching the database "
	          "instead, until it can be made",
	          collection->entry.name, collection->vectors_path, strerror(-error));
}

bool upkeep_has_codes(struct collection *collection, uint64_t n_rows)
{
	struct care_state *load = &collection->upkeep.care[CARE_LOAD];

	if (collection->resident.n_rows >= n_rows) {
		collection->upkeep.wants_codes = false;
		return true;
	}
	collection->upkeep.wants_codes = true;
	if (!load->active && load->retry_pause_ms == 0 && load_wanted(collection, false))
		care_begin(collection, load);
	/* Those that failed are tried again, but a build does not wait for that. */
	collection->upkeep.wants_codes = load->active;
	return !load->active;
}

int upkeep_vectors_error(const struct collection *collection)
{
	const struct care_state *care =
	        &collection->upkeep.care[collection->vectors ? CARE_RESTORE : CARE_REOPEN];

	if (collection_has_vectors(collection))
		return 0;
	/* The first try after a failure may be the one that succeeds: it is waited for. */
	return care->retry_pause_ms > 0 && !care->active ? care->result : 0;
}

void upkeep_read_ended(struct collection *collection)
{
	collection->upkeep.read_ns = clock_monotonic_ns(collection->daemon->clock);
	restart_try(collection);
}

void upkeep_stop(struct collection *collection)
{
	struct care_state *restart = &collection->upkeep.care[CARE_RESTART];
	struct care_state *renew = &collection->upkeep.care[CARE_RENEW];

	collection->upkeep.stopped = true;
	write_queue_stop(&collection->writes);
	/* It has its turn, but waits for reads that will be refused. */
	if (restart->active && !restart->started)
		care_cancelled(&restart->task);
	if (renew->active && !renew->started) {
		renew_release(collection);
		care_cancelled(&renew->task);
	}
	if (!restart->active)
		answer_checkpoints(collection, -ECANCELED);
	if (collection->upkeep.holds_reads)
		let_reads_go(collection);
}

void upkeep_checkpoint(struct request *request)
{
	struct collection *collection = request->collection;

	list_append(&collection->upkeep.checkpoints, &request->wait_link);
	collection->upkeep.care[CARE_RESTART].retry_ns = 0;
	upkeep_look(collection);
}
