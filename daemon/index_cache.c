/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/index_cache.h"

#include <errno.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/log.h"

/* What a load reads in a microsecond: the guess for a generation that was never loaded. */
#define LOAD_BYTES_PER_US 1024u
/* How often it is looked for room for a mapped one. */
#define PLACE_NS UINT64_C(5000000000)

static struct cache *cache_of(const struct index *index)
{
	return index->collection->daemon->cache;
}

static struct generation *generation_of(struct cache_entry *entry)
{
	return (struct generation *)entry;
}

/* Coming and going ----------------------------------------------------------------------------- */

int index_serve(struct index *index, struct generation *generation, uint64_t covered_rows)
{
	struct cache_load *load = index->load;
	int r;

	index_unserve(index);
	if (generation->entry.load_us == 0)
		generation->entry.load_us =
		        generation_type.size_bytes(&generation->entry) / LOAD_BYTES_PER_US;
	generation->index = index;
	index->serving = generation;
	index_cover(index, generation, covered_rows);
	index->load = NULL;
	r = load ? cache_load_end(load, 0, &generation->entry)
	         : cache_insert(cache_of(index), &generation->entry);
	if (r && index->serving == generation) {
		index->serving = NULL;
		generation->index = NULL;
	}
	return r;
}

void index_unserve(struct index *index)
{
	struct cache_prefix prefix;

	if (!index->serving)
		return;
	prefix = (struct cache_prefix){index->serving->entry.key.collection,
	                               index->serving->entry.key.index, NULL};
	cache_invalidate(cache_of(index), &prefix);
}

void index_load_failed(struct index *index, int error)
{
	struct cache_load *load = index->load;

	index->load = NULL;
	if (load)
		cache_load_end(load, error, NULL);
}

void index_keep_snapshot(struct index *index, struct snapshot *snapshot,
                         const struct hnsw_head *head)
{
	if (snapshot != index->snapshot)
		snapshot_close(index->snapshot);
	index->snapshot = snapshot;
	if (snapshot)
		index->head = *head;
}

bool index_can_do_without(const struct index *index)
{
	/* A collection that closes saves what serves, on a worker. */
	return index->state == WIRE_index_state_serving && !index->flight &&
	       index->serving->saved_nodes > 0 && index_n_unsaved(index) == 0 &&
	       list_empty(&index->optimizing) && index->collection->state == COLLECTION_OPEN;
}

void index_remember(struct index *index)
{
	const struct generation *generation = index->serving;

	index->left = (struct index_left){
	        .number = generation->number,
	        .covered_rows = generation->covered_rows,
	        .nodes = hnsw_covered(generation->hnsw),
	        .dead = index_n_dead(index),
	        .curve = generation->curve,
	};
}

void index_lost(struct index *index, enum cache_removal why)
{
	if (why != CACHE_EVICTED) {
		index->serving = NULL;
		return;
	}
	index_remember(index);
	index->serving = NULL;
	index->n_evictions++;
	index->pending_ns = index->unsaved_ns = 0;
	index_move(index, WIRE_index_state_evicted);
}

void index_graph_lost(struct generation *generation)
{
	struct index *index = generation->index;
	char title[256];

	/* A flight finds out by itself. */
	if (!index || index->flight)
		return;
	log_error("index '%s': the snapshot cannot be read any more; it is built again",
	          index_title(index, title));
	index_unserve(index);
	index_keep_snapshot(index, NULL, NULL);
	index->wants_build = true;
	index_move(index, WIRE_index_state_declared);
}

/* What a graph takes in memory, roughly. */
static uint64_t resident_bytes(const struct index *index)
{
	return (uint64_t)hnsw_n_nodes(index->serving->hnsw) * (index->params.m * 9u + 24u);
}

/* Whether so many bytes of the index fit beside the collection's others into what it may have. */
static bool fits_share(const struct index *index, uint64_t bytes, uint64_t *ret_over)
{
	const struct collection *collection = index->collection;
	uint64_t share = config_share_bytes(&collection->daemon->config, collection->entry.name);

	for (struct list *link = collection->indexes.next;
	     link != &collection->indexes && share != UINT64_MAX; link = link->next) {
		const struct index *other = LIST_ELEMENT(link, struct index, link);

		if (other != index && other->serving)
			bytes += generation_type.size_bytes(&other->serving->entry);
	}
	*ret_over = bytes > share ? bytes - share : 0;
	return *ret_over == 0;
}

bool index_makes_share(const struct index *index, const struct generation *generation)
{
	uint64_t bytes = generation_type.size_bytes(&generation->entry), over;
	struct cache_prefix ours = {index->collection->entry.spec.uuid, CACHE_ANY_INDEX, NULL};

	if (fits_share(index, bytes, &over))
		return true;
	cache_shed(cache_of(index), &ours, over, 0);
	return fits_share(index, bytes, &over);
}

bool index_is_misplaced(struct index *index, uint64_t now_ns)
{
	struct daemon *daemon = index->collection->daemon;
	const struct generation *generation = index->serving;
	struct budget_figures figures;
	uint64_t over;

	bool fits = fits_share(index, resident_bytes(index), &over);

	if (!generation_is_mapped(generation))
		return !(cache_is_resident(daemon->cache) && fits) && index_can_do_without(index);
	if (!cache_is_resident(daemon->cache) || !fits || daemon->pressure.on)
		return false;
	/* One that is searched gets the room that others do not need any more, now and then. */
	if (now_ns < index->place_ns || now_ns - generation->entry.used_ns > PLACE_NS)
		return false;
	index->place_ns = now_ns + PLACE_NS;
	cache_shed(daemon->cache, NULL, resident_bytes(index), DAEMON_COLD_NS);
	budget_figures(daemon->budget, &figures);
	return figures.limit_bytes - figures.used_bytes >= resident_bytes(index);
}

/* Coming back ---------------------------------------------------------------------------------- */

struct index_loader {
	struct cache_loader loader;
	struct index *index;
};

static int begin_load(struct cache_loader *base, struct cache_load *load)
{
	struct index *index = ((struct index_loader *)base)->index;
	int r;

	index->load = load;
	r = flight_begin(index, FLIGHT_LOAD, &index->params, NULL);
	if (r < 0)
		index->load = NULL;
	return r;
}

static void load_ended(struct cache_wait *wait, int result, struct cache_entry *entry)
{
	struct request *request = LIST_ELEMENT(wait, struct request, cache_wait);

	/* What it was loaded for finds it again by itself. */
	if (entry)
		cache_entry_unref(entry);
	request->load_result = result;
	request->next(request);
}

/* Finds what serves, or waits for it to be loaded: request->next is called then. */
static int get_or_load(struct index *index, struct request *request, struct cache_entry **ret)
{
	struct index_loader loader = {{begin_load}, index};
	struct cache_key key = generation_key(index->collection, &index->params);
	int r;

	request->has_loaded = request->has_loaded || !index->serving;
	request->cache_wait.done = load_ended;
	if (index->serving)
		index->n_hits++;
	else
		index->n_misses++;
	r = cache_get_or_load(cache_of(index), &key, &loader.loader, &request->cache_wait, ret);
	return r;
}

/* The same for one that has waited for it already. */
static int get(struct index *index, struct cache_entry **ret)
{
	struct cache_key key = generation_key(index->collection, &index->params);
	int r = cache_get(cache_of(index), &key, ret);

	if (r == 0)
		index->n_hits++;
	return r;
}

static bool is_readable(const struct index *index)
{
	const struct collection *collection = index->collection;
	uint64_t rows = index->serving ? index->serving->covered_rows : index->left.covered_rows;
	uint32_t nodes = index->serving ? hnsw_covered(index->serving->hnsw) : index->left.nodes;

	/* It must have nodes, and its rows be where they can be read: not those that are being
	 * restored. */
	return nodes > 0 && rows <= collection->mapped_rows;
}

int index_acquire(struct index *index, struct request *request, struct generation **ret)
{
	struct cache_entry *entry;
	int r;

	if (!index->serving && index->state != WIRE_index_state_evicted && !index->load)
		return CACHE_MISS;
	/* One that had to go again at once, or was not kept, is not waited for a second time. */
	if (!is_readable(index) || (!index->serving && request->has_loaded))
		return CACHE_MISS;
	r = request->has_loaded ? get(index, &entry) : get_or_load(index, request, &entry);
	if (r == 0)
		*ret = generation_of(entry);
	return r < 0 ? CACHE_MISS : r;
}

void index_look_evicted(struct index *index)
{
	uint64_t now_ns = clock_monotonic_ns(index->collection->daemon->clock);

	if ((index->has_successor || index->ends_bulk || !list_empty(&index->optimizing)) &&
	    retry_is_due(&index->retry, now_ns))
		(void)flight_begin(index, FLIGHT_LOAD, &index->params, NULL);
}

/* warm, evict ---------------------------------------------------------------------------------- */

static void answer_warm(struct request *request, const struct index *index)
{
	request_finish_result(
	        request, &(struct warm_result){
	                         .was_cached = !request->has_loaded,
	                         .size_bytes = generation_type.size_bytes(&index->serving->entry),
	                 });
}

static void warm_again(struct request *request);

void index_warm(struct index *index, struct request *request)
{
	struct cache_entry *entry;
	int r;

	request->next = warm_again;
	if (!index_will_serve(index)) {
		request_finish_refusal(request, WIRE_ERROR_NO_INDEX, "index",
		                       "the index has not been built: %s",
		                       index->error[0] ? index->error : "ensure it first");
		return;
	}
	if (!index->serving && index->state != WIRE_index_state_evicted) {
		/* A flight brings it, or will: the snapshot's first load, a build. */
		request->has_loaded = true;
		list_append(&index->waiting, &request->wait_link);
		index_look_again(index);
		return;
	}
	r = get_or_load(index, request, &entry);
	if (r < 0) {
		request_refuse_errno(request, r, "loading the index");
		request_finish(request);
	} else if (r == 0) {
		cache_entry_unref(entry);
		answer_warm(request, index);
	}
}

static void warm_again(struct request *request)
{
	const struct warm_params *params = request_params(request, warm);
	struct collection *collection = request->collection;
	struct index *index = index_find(collection, params->index);

	if (collection->dropped || !index)
		request_finish_refusal(request, WIRE_ERROR_DROPPED, "index",
		                       "the index was dropped");
	else if (request->daemon->stopping)
		request_finish_refusal(request, WIRE_ERROR_STOPPING, NULL,
		                       "the daemon is stopping");
	else if (index->serving)
		answer_warm(request, index);
	else if (request->load_result) {
		request_refuse_errno(request, request->load_result, "loading the index");
		request_finish(request);
	} else
		index_warm(index, request);
}

void index_look_evicting(struct index *index)
{
	struct cache_key key = generation_key(index->collection, &index->params);
	struct evict_result result = {0};
	struct list asking, *link;

	if (list_empty(&index->evicting) || (index->serving && !index_can_do_without(index)))
		return;
	if (index->serving) {
		result.freed_bytes = generation_type.size_bytes(&index->serving->entry);
		result.was_cached = cache_evict(cache_of(index), &key);
	}
	list_init(&asking);
	list_splice(&asking, &index->evicting);
	while ((link = list_pop(&asking)))
		request_finish_result(LIST_ELEMENT(link, struct request, wait_link), &result);
}

void index_evict(struct index *index, struct request *request)
{
	list_append(&index->evicting, &request->wait_link);
	index_look(index);
}
