/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening a saved generation: nothing is inserted and no distance is taken. The snapshot is opened,
 * its fingerprint compared and its place in the truth's history looked up; memory is granted; the
 * graph is read; each node finds its slot's row in the record table; the structure is checked. A
 * slot that has none any more, or whose row is retired, is a dead node. What is live and at or
 * below the snapshot's last slot must have a node, else the snapshot is of no use: then, as after
 * any other damage, the index is built from the truth in the background while exact search answers.
 * Later slots are pending.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/log.h"

/* A step found the snapshot missing or of no use; flight->why says so when it is worth a word. */
#define LOAD_USELESS 1
#define LOAD_MISSING 2

/* A node whose vector is gone (its record was replaced or deleted, and the vector file begun anew
 * since) cannot be led through. More than one in so many, and the graph finds less. */
#define LOST_SHARE 5

struct chunk_source {
	struct hnsw_source source;
	struct snapshot *snapshot;
};

static int read_chunk(struct hnsw_source *base, enum hnsw_chunk tag, uint32_t idx, void *bytes,
                      size_t n)
{
	struct chunk_source *source = (struct chunk_source *)base;

	return snapshot_read_chunk(source->snapshot, (uint32_t)tag, idx, bytes, n);
}

static struct chunk_source source_of(const struct flight *flight)
{
	return (struct chunk_source){{read_chunk}, flight->snapshot};
}

static void useless(struct flight *flight, const char *why)
{
	snprintf(flight->why, sizeof(flight->why), "%s", why);
	flight->result = LOAD_USELESS;
}

/* open ----------------------------------------------------------------------------------------- */

static void check_fingerprint(struct flight *flight)
{
	struct chunk_source source = source_of(flight);
	struct snapshot_fingerprint wanted;
	int r;

	snapshot_fingerprint_of(&flight->collection->entry.spec, &flight->params, &wanted);
	if (!snapshot_fingerprint_equal(&wanted, &snapshot_head(flight->snapshot)->fingerprint)) {
		useless(flight, "it is of another index or collection");
		return;
	}
	r = hnsw_load_head(&source.source, &flight->head);
	if (r == -EBADMSG ||
	    (r == 0 && (flight->head.params.M != flight->params.m ||
	                flight->head.params.ef_construction != flight->params.ef_construction)))
		useless(flight, "its head is damaged");
	else
		flight->result = r;
}

static void open_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct collection *collection = flight->collection;
	char name[INDEX_FILE_SIZE], path[COLLECTION_PATH_SIZE + INDEX_FILE_SIZE];
	const char *why = NULL;
	int r;

	(void)worker;
	index_file(&flight->params, name);
	snprintf(path, sizeof(path), "%s/%s", collection->cache_dir, name);
	r = snapshot_open(collection->daemon->io, path, &flight->snapshot, &why);
	if (r == SNAPSHOT_MISSING)
		flight->result = LOAD_MISSING;
	else if (r > 0)
		useless(flight, why);
	else if (r < 0)
		flight->result = r;
	else
		check_fingerprint(flight);
}

/* read ----------------------------------------------------------------------------------------- */

/* Gives each node its row, and counts the live ones, and those whose vector is gone. */
static uint64_t map_rows(struct flight *flight, uint32_t *ret_n_lost)
{
	const struct record_table *table = &flight->collection->table;
	struct hnsw *hnsw = flight->generation->hnsw;
	uint32_t n_nodes = hnsw_n_nodes(hnsw);
	uint64_t n_live = 0, at = 0;

	*ret_n_lost = 0;
	for (uint32_t node = 0; node < n_nodes; node++) {
		uint64_t slot = hnsw_slot(hnsw, node);
		struct record_table_row row = {.slot = 0};

		/* Both ascend: one walk over the table finds all. */
		for (; at < flight->pin.n_rows; at++) {
			record_table_get(table, at, &row);
			if (row.slot >= slot)
				break;
		}
		if (at < flight->pin.n_rows && row.slot == slot)
			hnsw_set_row(hnsw, node, (uint32_t)at);
		else
			++*ret_n_lost;
		/* A write that is not published yet may have retired it: plans still see it. */
		if (at < flight->pin.n_rows && row.slot == slot &&
		    row.retired_seq > flight->pin.seq)
			n_live++;
		else
			hnsw_retire(hnsw, node);
	}
	return n_live;
}

/* Rows at or below the last node's slot, and how many of them are live. */
static uint64_t count_covered(struct flight *flight)
{
	const struct record_table *table = &flight->collection->table;
	struct hnsw *hnsw = flight->generation->hnsw;
	uint32_t n_nodes = hnsw_n_nodes(hnsw);
	uint64_t last = n_nodes > 0 ? hnsw_slot(hnsw, n_nodes - 1) : 0;
	uint64_t n_live = 0, at = 0;

	for (; at < flight->pin.n_rows; at++) {
		struct record_table_row row;

		record_table_get(table, at, &row);
		if (row.slot > last)
			break;
		n_live += row.retired_seq > flight->pin.seq;
	}
	flight->covered_rows = at;
	return n_live;
}

static void read_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct chunk_source source = source_of(flight);
	uint32_t n_lost;
	int r = hnsw_load(flight->generation->hnsw, &flight->head, &source.source);

	(void)worker;
	flight->result = 0;
	if (r == -EBADMSG)
		useless(flight, "a chunk is damaged");
	else if (r)
		flight->result = r;
	else if (map_rows(flight, &n_lost) != count_covered(flight))
		useless(flight, "it lacks records that it should have");
	else if (n_lost > flight->head.n_nodes / LOST_SHARE)
		useless(flight, "too many of its nodes lead nowhere any more");
}

/* check ---------------------------------------------------------------------------------------- */

/* Bounds were checked when it was read; that the structure holds together is seen here. */
static void check_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct hnsw_check_report report;
	int r = hnsw_check(flight->generation->hnsw, &report);

	(void)worker;
	if (r == -EBADMSG)
		useless(flight, report.fault);
	else
		flight->result = r;
}

/* On the loop ---------------------------------------------------------------------------------- */

static void load_ended(struct flight *flight)
{
	struct index *index = flight->index;
	int result = flight->result;
	char title[256];

	flight->snapshot = flight->snapshot ? snapshot_close(flight->snapshot) : NULL;
	if (flight->cancelled || index->dropped) {
		flight_end(flight, -ECANCELED, "cancelled");
		return;
	}
	if (result < 0 && (result != -EIO || index->n_failed_loads + 1 < INDEX_READ_TRIES)) {
		index->n_failed_loads++;
		flight_end(flight, result, "the snapshot cannot be read at present");
		return;
	}
	index->n_failed_loads = 0;
	index->may_have_snapshot = false;
	if (result == 0) {
		struct generation *generation = flight->generation;

		generation->saved_rows = flight->covered_rows;
		/* One whose epoch will be forgotten is saved anew. */
		if (!record_epochs_is_old(flight->collection->epochs, &flight->epoch))
			generation->saved_nodes = hnsw_covered(generation->hnsw);
		generation->number = ++index->generations;
		index_serve(index, generation, flight->covered_rows);
		index->wants_build = false;
		log_info("index '%s' (hnsw, M=%u): opened, %u of %llu slots, %llu pending",
		         index_title(index, title), flight->params.m,
		         hnsw_covered(generation->hnsw),
		         (unsigned long long)flight->collection->n_live,
		         (unsigned long long)index_n_pending(index));
		flight_end(flight, 0, NULL);
		return;
	}
	index->wants_build = true;
	if (result == LOAD_MISSING)
		log_info("index '%s' (hnsw, M=%u): no snapshot; it is built",
		         index_title(index, title), flight->params.m);
	else if (result == LOAD_USELESS)
		log_error("index '%s': the snapshot is not used: %s; it is built again",
		          index_title(index, title), flight->why);
	else
		log_error("index '%s': cannot read the snapshot: %s; it is built again",
		          index_title(index, title), strerror(-result));
	flight_end(flight, result < 0 ? result : -EBADMSG, "the snapshot is of no use");
}

static void check_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);

	if (!job->ran)
		flight->result = -ECANCELED;
	load_ended(flight);
}

static void read_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);

	if (!job->ran)
		flight->result = -ECANCELED;
	if (flight->result) {
		load_ended(flight);
		return;
	}
	hnsw_load_end(flight->generation->hnsw);
	flight_enter(flight, PHASE_CHECK, 0);
	flight_submit(flight, LANE_INTERACTIVE, "check-index", check_work, check_done);
}

static void open_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct collection *collection = flight->collection;

	if (!job->ran)
		flight->result = -ECANCELED;
	if (flight->result == 0) {
		const struct snapshot_head *head = snapshot_head(flight->snapshot);

		if (!collection_has_been_at(collection, &head->epoch, head->seq))
			useless(flight, "it is of another history");
		flight->epoch = head->epoch;
	}
	if (flight->result || flight->cancelled || flight->index->dropped) {
		load_ended(flight);
		return;
	}
	flight->result = generation_new(collection->daemon->budget, &flight->params,
	                                flight->index->tally, &flight->generation);
	if (flight->result == 0)
		flight->result = hnsw_reserve(flight->generation->hnsw, flight->head.n_nodes, true);
	if (flight->result) {
		flight->result = -ENOMEM;
		load_ended(flight);
		return;
	}
	collection_pin(collection, &flight->pin);
	flight->pinned = true;
	flight_enter(flight, PHASE_READ, 0);
	flight_submit(flight, LANE_INTERACTIVE, "load-index", read_work, read_done);
}

void flight_load_start(struct flight *flight)
{
	flight_enter(flight, PHASE_OPEN, 0);
	/* Searches are slower until it is there: somebody waits. */
	flight_submit(flight, LANE_INTERACTIVE, "open-index", open_work, open_done);
}
