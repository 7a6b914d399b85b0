/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is cared for: the vector file. It is opened when it could not be, has all rows of the truth,
 * none that is long dead, and becomes durable.
 */

#include "daemon/care.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/events.h"
#include "daemon/index.h"
#include "daemon/log.h"
#include "daemon/renewal.h"
#include "index/vector.h"

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

const struct care_kind reopen_care = {
        .name = "reopen",
        .takes_turn = true,
        .is_urgent = true,
        .room = CARE_TAKES_ROOM,
        .wanted = reopen_wanted,
        .work = reopen_work,
        .ended = reopen_ended,
};

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

const struct care_kind restore_care = {
        .name = "restore",
        .takes_turn = true,
        .is_urgent = true,
        .room = CARE_TAKES_ROOM,
        .wanted = restore_wanted,
        .prepare = restore_prepare,
        .work = restore_work,
        .ended = restore_ended,
};

/* renew --------------------------------------------------------------------------------------- */

/* While a flight is under way, flights and loads of others wait with it, but not for ever. */
static bool renew_wanted(struct collection *collection, bool paused)
{
	struct upkeep *upkeep = &collection->upkeep;
	bool was_wanted = upkeep->wants_renewal;

	upkeep->wants_renewal = collection->n_copies == 0 && collection->n_row_surveys == 0 &&
	                        renewal_is_due(collection, paused);
	if (!upkeep->wants_renewal || renewal_is_possible(collection))
		return upkeep->wants_renewal;
	if (!was_wanted)
		upkeep->renew_ns = care_now_ns(collection);
	if (care_now_ns(collection) - upkeep->renew_ns >= UPKEEP_RENEW_FLIGHTS_MS * NS_PER_MS) {
		upkeep->wants_renewal = false;
		care_gave_up(&upkeep->care[CARE_RENEW]);
	}
	return false;
}

/* Who comes now waits as for an opening, and who reads already is waited for. A flight may have
 * begun before its turn came. */
static bool renew_hold(struct collection *collection)
{
	collection->upkeep.wants_renewal = false;
	if (!renewal_is_possible(collection))
		return false;
	collection->state = COLLECTION_RENEWING;
	collection->upkeep.rests = true;
	collection->upkeep.renew_ns = care_now_ns(collection);
	return true;
}

static bool renew_is_ready(const struct collection *collection)
{
	return list_empty(&collection->pins) ||
	       care_now_ns(collection) - collection->upkeep.renew_ns >= UPKEEP_RENEW_MS * NS_PER_MS;
}

static void renew_prepare(struct collection *collection, struct care_state *care)
{
	care->result = -EAGAIN;
	if (!list_empty(&collection->pins) || vector_file_is_lost(collection->vectors))
		return;
	care->renewal = renewal_new(collection);
	if (!care->renewal)
		care->result = -ENOMEM;
}

static int renew_work(struct collection *collection, struct care_state *care, uint32_t worker)
{
	(void)collection;
	(void)worker;
	return care->renewal ? renewal_work(care->renewal) : care->result;
}

static void renew_let_go(struct collection *collection)
{
	collection->state = COLLECTION_OPEN;
	care_let_reads_go(collection);
}

static void renew_ended(struct collection *collection, struct care_state *care)
{
	care->renewal = renewal_end(care->renewal, care->result == 0);
	renew_let_go(collection);
	collection_opened(collection, NULL);
}

const struct care_kind renew_care = {
        .name = "renew",
        .takes_turn = true,
        .is_urgent = true,
        .wanted = renew_wanted,
        .hold = renew_hold,
        .is_ready = renew_is_ready,
        .let_go = renew_let_go,
        .prepare = renew_prepare,
        .work = renew_work,
        .ended = renew_ended,
};

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
	uint64_t now_ns = care_now_ns(collection);
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
		collection->upkeep.synced_ns = care_now_ns(collection);
}

const struct care_kind sync_care = {
        .name = "sync",
        .takes_turn = true,
        .is_urgent = true,
        .wanted = sync_wanted,
        .work = sync_work,
        .ended = sync_ended,
};

/* What others find ----------------------------------------------------------------------------- */

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

int upkeep_vectors_error(const struct collection *collection)
{
	const struct care_state *care =
	        &collection->upkeep.care[collection->vectors ? CARE_RESTORE : CARE_REOPEN];

	if (collection_has_vectors(collection))
		return 0;
	/* The first try after a failure may be the one that succeeds: it is waited for. */
	return care->retry.pause_ms > 0 && !care->active ? care->result : 0;
}
