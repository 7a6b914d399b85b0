/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening a saved generation: nothing is inserted and no distance is taken. The snapshot is opened,
 * its fingerprint compared and its place in the truth's history looked up; memory is granted; the
 * graph is read; each node finds its slot's row in the record table; the structure is checked. A
 * slot that has none any more, or whose row is retired, is a dead node. What is live and at or
 * below the snapshot's last slot must have a node, else the snapshot is of no use: then, as after
 * any other damage, the index is built from the truth in the background while exact search answers.
 * Later slots are pending.
 *
 * An index that was evicted is reopened: its snapshot is still open, with its table and head in
 * memory, and its structure was checked or made by us. So it is only read, and every chunk compared
 * with its checksum, since these bytes come from the disk anew.
 *
 * Where to: into the budget, when the cache's backend wants that and there is room that others do
 * not need as much; else it is mapped, so that only slots and rows take memory. Every chunk is then
 * compared with its checksum once for each time that the snapshot is opened. A mapped graph that is
 * to grow is loaded again, into memory or, when that is full, into the spill file.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

/* A step found the snapshot missing or of no use; flight->why says so when it is worth a word. */
#define LOAD_USELESS 1
#define LOAD_MISSING 2
#define LOAD_OUTLIVED 3 /* dead rows left the vector file, and took too many of its nodes along */

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

static int map_chunk(struct hnsw_source *base, enum hnsw_chunk tag, uint32_t idx, size_t n,
                     const void **ret)
{
	struct snapshot *snapshot = ((struct chunk_source *)base)->snapshot;
	uint64_t size_bytes;
	int r = snapshot_chunk_size(snapshot, (uint32_t)tag, idx, &size_bytes);

	if (r < 0 || size_bytes != n)
		return -EBADMSG;
	return snapshot_map_chunk(snapshot, (uint32_t)tag, idx, ret);
}

static struct chunk_source source_of(const struct flight *flight)
{
	return (struct chunk_source){{read_chunk, map_chunk}, flight->snapshot};
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

#define PATH_SIZE (COLLECTION_PATH_SIZE + INDEX_FILE_SIZE)

static const char *path_of(const struct flight *flight, char path[static PATH_SIZE])
{
	char name[INDEX_FILE_SIZE];

	index_file(&flight->params, name);
	snprintf(path, PATH_SIZE, "%s/%s", flight->collection->cache_dir, name);
	return path;
}

static int open_file(struct flight *flight, const char **ret_why)
{
	char path[PATH_SIZE];

	return snapshot_open(flight->collection->daemon->io, path_of(flight, path),
	                     &flight->snapshot, ret_why);
}

void flight_open_saved(struct flight *flight)
{
	struct chunk_source source;
	const char *why;

	if (open_file(flight, &why) != 0)
		return;
	source = source_of(flight);
	if (hnsw_load_head(&source.source, &flight->head) != 0)
		flight->snapshot = snapshot_close(flight->snapshot);
}

static void open_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	const char *why = NULL;
	int r = open_file(flight, &why);

	(void)worker;
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

/* None is none, and is measured when the graph grows next. */
static int read_curve(struct flight *flight)
{
	uint8_t bytes[RECALL_CURVE_BYTES_MAX];
	uint64_t n;
	int r = snapshot_chunk_size(flight->snapshot, RECALL_CURVE_CHUNK, 0, &n);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (n > sizeof(bytes))
		return -EBADMSG;
	r = snapshot_read_chunk(flight->snapshot, RECALL_CURVE_CHUNK, 0, bytes, n);
	return r < 0 ? r
	             : recall_curve_decode(bytes, n, flight->head.n_nodes,
	                                   &flight->generation->curve);
}

static void read_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct chunk_source source = source_of(flight);
	uint32_t n_lost;
	int r = hnsw_load(flight->generation->hnsw, &flight->head, &source.source);

	(void)worker;
	if (r == 0 && !flight->reopens)
		r = read_curve(flight);
	flight->result = 0;
	if (r == -EBADMSG)
		useless(flight, "a chunk is damaged");
	else if (r)
		flight->result = r;
	else if (generation_map_rows(flight->generation, &flight->collection->table,
	                             flight->pin.n_rows, flight->pin.seq,
	                             &n_lost) != count_covered(flight))
		useless(flight, "it lacks records that it should have");
	else if (n_lost > flight->head.n_nodes / GENERATION_LOST_SHARE) {
		snprintf(flight->why, sizeof(flight->why), "%u of %u nodes lead nowhere any more",
		         n_lost, flight->head.n_nodes);
		flight->result = LOAD_OUTLIVED;
	}
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
	else if (generation_is_lost(flight->generation))
		useless(flight, "it cannot be read");
	else if (r == 0 && report.n_reachable < report.n_nodes)
		useless(flight, "some of its nodes cannot be reached");
	else
		flight->result = r;
}

/* On the loop ---------------------------------------------------------------------------------- */

/* The flight's own snapshot is given up. */
static void close_snapshot(struct flight *flight)
{
	if (!flight->reopens)
		snapshot_close(flight->snapshot);
	flight->snapshot = NULL;
}

static void log_opened(const struct index *index, const struct generation *generation)
{
	uint64_t n_live = index->collection->n_live, n_pending = index_n_pending(index);
	char title[256];

	log_info("index '%s' (hnsw, M=%u): opened%s, %llu of %llu slots, %llu pending",
	         index_title(index, title), generation->params.m,
	         generation_is_mapped(generation) ? ", mapped" : "",
	         (unsigned long long)(n_live - n_pending), (unsigned long long)n_live,
	         (unsigned long long)n_pending);
}

#define NO_PLACE "the cache has no place for it"

/* An evicted index stays so. Each search tries again, and the next failure of that kind is no news.
 */
static void log_evicted_still(struct index *index, int error, const char *why)
{
	char title[256];

	if (error != index->load_error)
		log_error("index '%s': cannot be loaded: %s", index_title(index, title), why);
	index->load_error = error;
}

static void loaded(struct flight *flight)
{
	struct index *index = flight->index;
	struct generation *generation = flight->generation;
	uint64_t now_ns = clock_monotonic_ns(flight->collection->daemon->clock);
	int r;

	generation->saved_rows = flight->covered_rows;
	/* One whose epoch will be forgotten is saved anew. */
	if (!record_epochs_is_old(flight->collection->epochs, &flight->epoch))
		generation->saved_nodes = hnsw_covered(generation->hnsw);
	generation->entry.load_us = (now_ns - flight->started_ns) / 1000;
	if (index->serving)
		index_remember(index);
	if (flight->reopens) {
		generation->number = index->left.number;
		generation->curve = index->left.curve;
	} else {
		generation->number = ++index->generations;
		index_keep_snapshot(index, flight->snapshot, &flight->head);
	}
	flight->snapshot = NULL;
	index->n_loads++;
	index->wants_build = false;
	r = index_serve(index, generation, flight->covered_rows);
	if (r == 0) {
		index->load_error = 0;
		log_opened(index, generation);
	} else if (flight->reopens) {
		log_evicted_still(index, r, NO_PLACE);
	} else {
		/* It is opened again later. */
		index_keep_snapshot(index, NULL, NULL);
		index->may_have_snapshot = true;
		index->n_failed_loads++;
	}
	flight_end(flight, r, NO_PLACE);
}

static void load_ended(struct flight *flight)
{
	struct index *index = flight->index;
	int result = flight->result;
	char title[256];

	if (flight->cancelled || index->dropped) {
		close_snapshot(flight);
		index_load_failed(index, -ECANCELED);
		flight_end(flight, -ECANCELED, "cancelled");
		return;
	}
	if (result < 0 && index->may_have_snapshot &&
	    (result != -EIO || index->n_failed_loads + 1 < INDEX_READ_TRIES)) {
		index->n_failed_loads++;
		close_snapshot(flight);
		flight_end(flight, result, "the snapshot cannot be read at present");
		return;
	}
	index->n_failed_loads = 0;
	index->may_have_snapshot = false;
	if (result == 0) {
		loaded(flight);
		return;
	}
	close_snapshot(flight);
	if (flight->reopens && result < 0 && result != -EBADMSG) {
		/* Not the file's fault: it stays as it was. */
		log_evicted_still(index, result, strerror(-result));
		index_load_failed(index, result);
		flight_end(flight, result, "cannot be loaded");
		return;
	}
	if (flight->reopens)
		index_keep_snapshot(index, NULL, NULL);
	flight->reopens = false;
	if (index->serving && !generation_is_mapped(index->serving)) {
		/* It is in memory, and is saved again. */
		index->serving->saved_nodes = 0;
		index->serving->saved_rows = 0;
		flight_end(flight, -EBADMSG, "the snapshot is of no use");
		return;
	}
	index_unserve(index);
	index->wants_build = true;
	if (result == LOAD_MISSING)
		log_warning("index '%s' (hnsw, M=%u): no snapshot; it is built",
		            index_title(index, title), flight->params.m);
	else if (result == LOAD_OUTLIVED)
		log_info("index '%s': %s; it is built again", index_title(index, title),
		         flight->why);
	else if (result == LOAD_USELESS)
		log_error("index '%s': the snapshot is not used: %s; it is built again",
		          index_title(index, title), flight->why);
	else
		log_error("index '%s': cannot read the snapshot: %s; it is built again",
		          index_title(index, title), strerror(-result));
	index_load_failed(index, result < 0 ? result : -EBADMSG);
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
	if (flight->reopens) {
		load_ended(flight);
		return;
	}
	flight_enter(flight, PHASE_CHECK, 0);
	flight_submit(flight, LANE_INTERACTIVE, "check-index", check_work, check_done);
}

/* Makes the generation, in memory or mapped, with room for all nodes. BUDGET_FULL: there is none.
 */
static int make_generation(struct flight *flight, bool is_mapped, bool may_spill)
{
	struct daemon *daemon = flight->collection->daemon;
	int r = generation_new(flight->collection, &flight->params, flight->index->tally,
	                       is_mapped ? flight->snapshot : NULL, &flight->generation);

	/* The little that a mapped one takes is not worth another's graph. */
	daemon->spares_used = is_mapped;
	if (r == 0)
		r = hnsw_reserve(flight->generation->hnsw, flight->head.n_nodes, may_spill);
	daemon->spares_used = false;
	if (r)
		flight->generation = generation_unref(flight->generation);
	return r;
}

static void read_begin(struct flight *flight)
{
	struct collection *collection = flight->collection;
	int r = BUDGET_FULL;

	flight->epoch = snapshot_head(flight->snapshot)->epoch;

	if (flight->to_grow)
		r = make_generation(flight, false, true);
	else if (cache_is_resident(collection->daemon->cache))
		r = make_generation(flight, false, false);
	if (r == 0 && !flight->to_grow && !index_makes_share(flight->index, flight->generation)) {
		flight->generation = generation_unref(flight->generation);
		r = BUDGET_FULL;
	}
	if (r == BUDGET_FULL && !flight->to_grow)
		r = make_generation(flight, true, true);
	flight->result = r;
	if (flight->result) {
		flight->result = -ENOMEM;
		load_ended(flight);
		return;
	}
	collection_pin(collection, PIN_ROWS, &flight->pin);
	flight->pinned = true;
	flight_enter(flight, PHASE_READ, 0);
	flight_submit(flight, LANE_INTERACTIVE, "load-index", read_work, read_done);
}

static void open_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);

	if (!job->ran)
		flight->result = -ECANCELED;
	if (flight->result == 0) {
		const struct snapshot_head *head = snapshot_head(flight->snapshot);

		if (!collection_has_been_at(flight->collection, &head->epoch, head->seq))
			useless(flight, "it is of another history");
	}
	if (flight->result || flight->cancelled || flight->index->dropped)
		load_ended(flight);
	else
		read_begin(flight);
}

void flight_load_start(struct flight *flight)
{
	struct index *index = flight->index;

	flight->to_grow = index->to_grow;
	index->to_grow = false;
	if (index->snapshot) {
		flight->reopens = true;
		flight->snapshot = index->snapshot;
		flight->head = index->head;
		read_begin(flight);
		return;
	}
	flight_enter(flight, PHASE_OPEN, 0);
	/* Searches are slower until it is there: somebody waits. */
	flight_submit(flight, LANE_INTERACTIVE, "open-index", open_work, open_done);
}
