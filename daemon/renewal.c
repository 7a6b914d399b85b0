/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/renewal.h"

#include <stdint.h>
#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/generation.h"
#include "daemon/index.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"
#include "daemon/vectors_cache.h"

/* An index, and what its numbers of rows become. */
struct renewed_index {
	struct index *index;
	struct generation *generation; /* a reference, or NULL */
	uint64_t old_covered, old_saved;
	uint64_t covered, saved;
	uint32_t n_lost; /* nodes that have no row any more */
};

struct renewal {
	struct collection *collection;
	struct record_table table;
	struct renewed_index indexes[LIMIT_INDEXES];
	uint32_t n_indexes;
};

bool renewal_is_due(const struct collection *collection, bool paused)
{
	uint64_t live = collection->n_live * collection_stride(collection);
	uint64_t dead = collection->n_rows * collection_stride(collection) - live;

	/* A file that was lost is restored first. */
	if (!collection_has_vectors(collection) || vector_file_is_lost(collection->vectors))
		return false;
	return dead > (paused ? live + RENEWAL_IDLE_DEAD_BYTES : 2 * live + RENEWAL_DEAD_BYTES);
}

bool renewal_is_possible(const struct collection *collection)
{
	if (collection->n_copies > 0 || collection->n_row_surveys > 0 ||
	    collection->upkeep.care[CARE_LOAD].active)
		return false;
	for (const struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		if (LIST_ELEMENT(link, const struct index, link)->flight)
			return false;
	}
	return true;
}

static void add_index(struct renewal *renewal, struct index *index)
{
	struct renewed_index *renewed = &renewal->indexes[renewal->n_indexes++];

	renewed->index = index;
	if (index->serving) {
		renewed->generation = generation_ref(index->serving);
		renewed->old_covered = index->serving->covered_rows;
		renewed->old_saved = index->serving->saved_rows;
	} else {
		renewed->old_covered = index->left.covered_rows;
	}
}

struct renewal *renewal_new(struct collection *collection)
{
	struct renewal *renewal = calloc(1, sizeof(*renewal));

	if (!renewal)
		return NULL;
	renewal->collection = collection;
	record_table_init(&renewal->table, collection->daemon->budget);
	if (record_table_reserve(&renewal->table, collection->n_live,
	                         collection->table.live_id_bytes) < 0)
		return renewal_end(renewal, false);
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next)
		add_index(renewal, LIST_ELEMENT(link, struct index, link));
	return renewal;
}

/* On the worker -------------------------------------------------------------------------------- */

/* Takes the live rows, and counts what is before each index's numbers. */
static int take_rows(struct renewal *renewal)
{
	const struct record_table *old = &renewal->collection->table;
	int r = 0;

	for (uint64_t at = 0; at < old->n_rows && r == 0; at++) {
		struct record_table_row row;

		record_table_get(old, at, &row);
		if (row.retired_seq != RECORD_TABLE_LIVE)
			continue;
		r = record_table_append(&renewal->table, &row);
		for (uint32_t i = 0; i < renewal->n_indexes; i++) {
			struct renewed_index *renewed = &renewal->indexes[i];

			renewed->covered += at < renewed->old_covered;
			renewed->saved += at < renewed->old_saved;
		}
	}
	return r;
}

int renewal_work(struct renewal *renewal)
{
	struct collection *collection = renewal->collection;
	int r = take_rows(renewal);

	if (r == 0)
		r = vector_file_reset(collection->vectors, 0);
	for (uint32_t i = 0; i < renewal->n_indexes && r == 0; i++) {
		struct renewed_index *renewed = &renewal->indexes[i];

		if (renewed->generation)
			generation_map_rows(renewed->generation, &renewal->table,
			                    renewal->table.n_rows, collection->seq,
			                    &renewed->n_lost);
	}
	return r;
}

/* On the loop ---------------------------------------------------------------------------------- */

/* Nodes that a cancelled insert left without links stand for their rows, which may be gone. */
static bool is_of_use(const struct renewed_index *renewed)
{
	const struct hnsw *hnsw = renewed->generation->hnsw;

	return renewed->n_lost <= hnsw_n_nodes(hnsw) / GENERATION_LOST_SHARE &&
	       hnsw_n_nodes(hnsw) == hnsw_covered(hnsw);
}

/* What an optimize waits for. */
static void renumber_targets(const struct renewed_index *renewed)
{
	struct index *index = renewed->index;

	for (struct list *link = index->optimizing.next; link != &index->optimizing;
	     link = link->next) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		if (request->target_rows <= renewed->old_saved)
			request->target_rows = renewed->saved;
		else if (request->target_rows <= renewed->old_covered)
			request->target_rows = renewed->covered;
		else
			request->target_rows = index->collection->n_rows;
	}
}

static void put_index(const struct renewed_index *renewed)
{
	struct index *index = renewed->index;
	struct generation *generation = renewed->generation;
	char title[256];

	renumber_targets(renewed);
	if (!generation) {
		index->left.covered_rows = renewed->covered;
		return;
	}
	generation->covered_rows = renewed->covered;
	generation->saved_rows = renewed->saved;
	if (is_of_use(renewed))
		return;
	log_info("index '%s': %u of %u nodes lead nowhere any more; it is built again",
	         index_title(index, title), renewed->n_lost, hnsw_n_nodes(generation->hnsw));
	index_unserve(index);
	index_keep_snapshot(index, NULL, NULL);
	index->wants_build = true;
	index_move(index, WIRE_index_state_declared);
}

static void put(struct renewal *renewal)
{
	struct collection *collection = renewal->collection;

	log_info("collection '%s': %llu of %llu rows were dead, and go; the vector file is written "
	         "again from the database",
	         collection->entry.name,
	         (unsigned long long)(collection->n_rows - renewal->table.n_rows),
	         (unsigned long long)collection->n_rows);
	record_table_release(&collection->table);
	collection->table = renewal->table;
	vectors_cache_forget(collection);
	resident_release(&collection->resident);
	collection->n_rows = collection->table.n_rows;
	collection->mapped_rows = 0;
	collection->upkeep.lost_row = UINT64_MAX;
	for (uint32_t i = 0; i < renewal->n_indexes; i++)
		put_index(&renewal->indexes[i]);
}

struct renewal *renewal_end(struct renewal *renewal, bool done)
{
	if (!renewal)
		return NULL;
	/* The indexes of one that was dropped are gone. */
	if (done && !renewal->collection->dropped)
		put(renewal);
	else
		record_table_release(&renewal->table);
	for (uint32_t i = 0; i < renewal->n_indexes; i++)
		generation_unref(renewal->indexes[i].generation);
	free(renewal);
	return NULL;
}
