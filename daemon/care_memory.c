/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is cared for: memory. Rows get the codes that searches go by, and what the database keeps is
 * given back when nobody needs it.
 */

#include "daemon/care.h"

#include <errno.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/vectors_cache.h"

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

const struct care_kind load_care = {
        .name = "load",
        .wanted = load_wanted,
        .prepare = load_prepare,
        .work = load_work,
        .ended = load_ended,
};

bool upkeep_has_codes(struct collection *collection, uint64_t n_rows)
{
	struct care_state *load = &collection->upkeep.care[CARE_LOAD];

	if (collection->resident.n_rows >= n_rows) {
		collection->upkeep.wants_codes = false;
		return true;
	}
	collection->upkeep.wants_codes = true;
	if (!load->active && load->retry.pause_ms == 0 && load_wanted(collection, false))
		care_begin(load);
	/* Those that failed are tried again, but a build does not wait for that. */
	collection->upkeep.wants_codes = load->active;
	return !load->active;
}

/* rest ---------------------------------------------------------------------------------------- */

static bool rest_wanted(struct collection *collection, bool paused)
{
	const struct upkeep *upkeep = &collection->upkeep;
	uint64_t now_ns = care_now_ns(collection);
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
	if (!care->n) {
		care_retry_soon(care);
		return;
	}
	collection->upkeep.rested_ns = care_now_ns(collection);
	care_let_reads_go(collection);
}

const struct care_kind rest_care = {
        .name = "rest",
        .takes_turn = true,
        .is_urgent = true,
        .wanted = rest_wanted,
        .prepare = rest_prepare,
        .work = rest_work,
        .ended = rest_ended,
};
