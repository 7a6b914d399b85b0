/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/index.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

#define NS_PER_MS UINT64_C(1000000)
#define NO_VECTORS "the vector file in the cache directory cannot be written"
#define BIT(state) (1u << WIRE_index_state_##state)

/* The drawing in index.h: where each state may go. */
static const uint32_t moves[WIRE_N_index_state] = {
        [WIRE_index_state_declared] = BIT(loading) | BIT(building),
        [WIRE_index_state_evicted] = BIT(loading),
        [WIRE_index_state_loading] = BIT(declared) | BIT(evicted) | BIT(serving),
        [WIRE_index_state_building] = BIT(declared) | BIT(serving),
        [WIRE_index_state_serving] = BIT(declared) | BIT(evicted) | BIT(loading) | BIT(inserting) |
                                     BIT(saving) | BIT(replacing),
        [WIRE_index_state_inserting] = BIT(serving) | BIT(declared),
        [WIRE_index_state_saving] = BIT(serving),
        [WIRE_index_state_replacing] = BIT(serving),
};

void index_move(struct index *index, enum wire_index_state state)
{
	assert(moves[index->state] & (1u << state));
	index->state = state;
}

/* Life ----------------------------------------------------------------------------------------- */

int index_new(struct collection *collection, const char *name, const struct index_params *params,
              bool declared, struct index **ret)
{
	struct index *index = calloc(1, sizeof(*index));

	if (!index)
		return -ENOMEM;
	index->collection = collection;
	snprintf(index->name, sizeof(index->name), "%s", name);
	index->params = *params;
	index->state = WIRE_index_state_declared;
	index->declared = declared;
	index->may_have_snapshot = declared;
	list_init(&index->successor_waiters);
	list_init(&index->waiting);
	list_init(&index->optimizing);
	list_init(&index->evicting);
	list_append(&collection->indexes, &index->link);
	*ret = index;
	return 0;
}

static void index_free(struct index *index)
{
	index_unserve(index);
	snapshot_close(index->snapshot);
	free(index);
}

static void refuse(struct list *list, enum wire_error_code code, const char *message)
{
	struct list *link;

	while ((link = list_pop(list)))
		request_finish_refusal(LIST_ELEMENT(link, struct request, wait_link), code, "index",
		                       "%s", message);
}

void index_drop(struct index *index, enum wire_error_code code, const char *message)
{
	index->dropped = true;
	list_remove(&index->link);
	refuse(&index->successor_waiters, code, message);
	refuse(&index->waiting, code, message);
	refuse(&index->optimizing, code, message);
	refuse(&index->evicting, code, message);
	index_unserve(index);
	if (!index->flight) {
		index_free(index);
		return;
	}
	refuse(&index->flight->waiters, code, message);
	flight_cancel(index->flight); /* its end frees the index */
}

struct index *index_find(struct collection *collection, struct wire_str name)
{
	struct wire_str wanted =
	        name.data ? name
	                  : (struct wire_str){INDEX_DEFAULT_NAME, sizeof(INDEX_DEFAULT_NAME) - 1};

	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		struct index *index = LIST_ELEMENT(link, struct index, link);

		if (wire_str_equal(wanted,
		                   (struct wire_str){index->name, (uint32_t)strlen(index->name)}))
			return index;
	}
	return NULL;
}

void indexes_stop(struct collection *collection)
{
	struct list *link = collection->indexes.next;

	while (link != &collection->indexes) {
		struct index *index = LIST_ELEMENT(link, struct index, link);

		link = link->next;
		refuse(&index->successor_waiters, WIRE_ERROR_STOPPING, "the daemon is stopping");
		refuse(&index->waiting, WIRE_ERROR_STOPPING, "the daemon is stopping");
		refuse(&index->optimizing, WIRE_ERROR_STOPPING, "the daemon is stopping");
		refuse(&index->evicting, WIRE_ERROR_STOPPING, "the daemon is stopping");
		index->has_successor = false;
		if (index->flight) {
			refuse(&index->flight->waiters, WIRE_ERROR_STOPPING,
			       "the daemon is stopping");
			flight_cancel(index->flight);
		}
	}
}

void indexes_drop(struct collection *collection, enum wire_error_code code, const char *message)
{
	while (!list_empty(&collection->indexes))
		index_drop(LIST_ELEMENT(collection->indexes.next, struct index, link), code,
		           message);
}

uint32_t index_count(const struct collection *collection)
{
	uint32_t n = 0;

	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next)
		n++;
	return n;
}

/* Figures -------------------------------------------------------------------------------------- */

uint64_t index_n_pending(const struct index *index)
{
	const struct collection *collection = index->collection;
	struct record_view view = {.seq = collection->seq, .ns = RECORD_TABLE_ANY_NS};
	uint64_t mask[RECORD_TABLE_CHUNK_ROWS / 64];
	uint64_t count = 0;

	if (!index_generation(index))
		return collection->n_live;
	for (uint64_t at = index->serving ? index->serving->covered_rows : index->left.covered_rows;
	     at < collection->n_rows;) {
		uint64_t n = collection->n_rows - at;

		if (n > RECORD_TABLE_CHUNK_ROWS)
			n = RECORD_TABLE_CHUNK_ROWS;
		count += record_table_visible(&collection->table, &view, at, (uint32_t)n, mask);
		at += n;
	}
	return count;
}

double index_coverage(const struct index *index)
{
	uint64_t n_live = index->collection->n_live;

	if (n_live == 0)
		return index_generation(index) ? 1.0 : 0.0;
	return 1.0 - (double)index_n_pending(index) / (double)n_live;
}

uint32_t index_n_unsaved(const struct index *index)
{
	return index->serving ? hnsw_covered(index->serving->hnsw) - index->serving->saved_nodes
	                      : 0;
}

const char *index_title(const struct index *index, char title[static 256])
{
	snprintf(title, 256, "%s/%s", index->collection->entry.name, index->name);
	return title;
}

uint64_t index_generation(const struct index *index)
{
	if (index->serving)
		return index->serving->number;
	return index->state == WIRE_index_state_evicted || (index->flight && index->flight->reopens)
	               ? index->left.number
	               : 0;
}

/* Parameters ----------------------------------------------------------------------------------- */

bool index_will_serve(const struct index *index)
{
	return index->serving || index->flight || index->has_successor ||
	       index->may_have_snapshot || index->wants_build ||
	       index->state == WIRE_index_state_evicted;
}

bool index_same_graph(const struct index_params *a, const struct index_params *b)
{
	return a->m == b->m && a->ef_construction == b->ef_construction;
}

void index_file(const struct index_params *params, char name[static INDEX_FILE_SIZE])
{
	snprintf(name, INDEX_FILE_SIZE, INDEX_FILE_PREFIX "%016llx",
	         (unsigned long long)params->identity);
}

static uint8_t *put_le(uint8_t *at, uint64_t value, int n)
{
	for (int i = 0; i < n; i++)
		*at++ = (uint8_t)(value >> (8 * i));
	return at;
}

static uint64_t get_le(const uint8_t *at, int n)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* m, ef_construction, ef_search (4 bytes each), identity (8), little-endian. */
#define PARAMS_BYTES 20

void index_params_encode(const struct index_params *params, struct record_index *ret)
{
	uint8_t *at;

	*ret = (struct record_index){.kind = "hnsw", .n_params = PARAMS_BYTES};
	at = put_le(ret->params, params->m, 4);
	at = put_le(at, params->ef_construction, 4);
	at = put_le(at, params->ef_search, 4);
	put_le(at, params->identity, 8);
}

int index_params_decode(const struct record_index *record, struct index_params *ret)
{
	struct hnsw_params graph;

	if (strcmp(record->kind, "hnsw") != 0 || record->n_params != PARAMS_BYTES)
		return -EBADMSG;
	*ret = (struct index_params){
	        .m = (uint32_t)get_le(record->params, 4),
	        .ef_construction = (uint32_t)get_le(record->params + 4, 4),
	        .ef_search = (uint32_t)get_le(record->params + 8, 4),
	        .identity = get_le(record->params + 12, 8),
	};
	graph = (struct hnsw_params){.M = ret->m, .ef_construction = ret->ef_construction};
	return hnsw_params_are_valid(&graph) ? 0 : -EBADMSG;
}

/* Files ---------------------------------------------------------------------------------------- */

struct forgetting {
	struct job job;
	struct collection *collection; /* a reference */
	char path[COLLECTION_PATH_SIZE + INDEX_FILE_SIZE];
};

static void forget_work(struct job *job, uint32_t worker)
{
	struct forgetting *forgetting = LIST_ELEMENT(job, struct forgetting, job);

	(void)worker;
	/* One that was never saved is as good; one that stays goes at the next opening. */
	(void)store_unlink(forgetting->collection->daemon->io, forgetting->path);
}

static void forget_done(struct job *job)
{
	struct forgetting *forgetting = LIST_ELEMENT(job, struct forgetting, job);

	collection_unref(forgetting->collection);
	free(forgetting);
}

void index_forget_file(struct collection *collection, const struct index_params *params)
{
	struct forgetting *forgetting = calloc(1, sizeof(*forgetting));
	char name[INDEX_FILE_SIZE];

	if (!forgetting)
		return;
	index_file(params, name);
	snprintf(forgetting->path, sizeof(forgetting->path), "%s/%s", collection->cache_dir, name);
	forgetting->collection = collection_ref(collection);
	forgetting->job.what = "forget";
	forgetting->job.work = forget_work;
	forgetting->job.done = forget_done;
	lanes_submit(collection->daemon->lanes, LANE_BACKGROUND, &forgetting->job);
}

/* What comes next ------------------------------------------------------------------------------ */

static bool begin(struct index *index, enum flight_kind kind, const struct index_params *params,
                  struct list *waiters)
{
	if (flight_begin(index, kind, params, waiters) == 0)
		return true;
	if (waiters)
		refuse(waiters, WIRE_ERROR_OUT_OF_MEMORY, "no memory for the job");
	return false;
}

void index_begin_build(struct index *index, const struct index_params *params,
                       struct request *request)
{
	struct list waiters;

	list_init(&waiters);
	if (request)
		list_append(&waiters, &request->wait_link);
	index->wants_build = false;
	begin(index, FLIGHT_BUILD, params, &waiters);
}

/* What was published when the request came is in the graph, and saved; later rows are not its
 * affair, or it would never end beside somebody who writes. */
static bool is_optimized(const struct index *index, const struct request *request)
{
	return index->serving->covered_rows >= request->target_rows &&
	       (index_n_unsaved(index) == 0 || index->serving->saved_rows >= request->target_rows);
}

static void answer_optimized(struct index *index)
{
	struct list asking, *link;

	list_init(&asking);
	list_splice(&asking, &index->optimizing);
	while ((link = list_pop(&asking))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		if (!is_optimized(index, request)) {
			list_append(&index->optimizing, link);
			continue;
		}
		request_finish_result(request,
		                      &(struct optimize_result){
		                              .inserted = index->n_inserted - request->mark,
		                              .coverage = index_coverage(index),
		                              .saved = true,
		                      });
	}
}

/* Whether somebody asks for rows that the graph does not hold. */
static bool is_asked_to_insert(const struct index *index)
{
	for (struct list *link = index->optimizing.next; link != &index->optimizing;
	     link = link->next) {
		if (LIST_ELEMENT(link, struct request, wait_link)->target_rows >
		    index->serving->covered_rows)
			return true;
	}
	return false;
}

/* Keeps *since at when a condition began to hold; 0 while it does not. Returns how long. */
static uint64_t held_ms(uint64_t *since_ns, bool holds, uint64_t now_ns)
{
	if (!holds)
		*since_ns = 0;
	else if (*since_ns == 0)
		*since_ns = now_ns;
	return *since_ns ? (now_ns - *since_ns) / NS_PER_MS : 0;
}

/* Dead nodes are led through and cost time and memory: past a share a new generation pays. */
static bool is_mostly_dead(const struct index *index)
{
	uint32_t n_dead = hnsw_n_dead(index->serving->hnsw);

	return n_dead >= INDEX_DEAD_MIN && n_dead > index->collection->n_live;
}

/* A mapped graph is loaded first, since it cannot grow where it is. */
static void begin_insert(struct index *index)
{
	index->to_grow = generation_is_mapped(index->serving);
	begin(index, index->to_grow ? FLIGHT_LOAD : FLIGHT_INSERT, &index->params, NULL);
}

/* What a serving index does next: begin anew, fold in, save, move, or nothing. */
static void look_serving(struct index *index, uint64_t now_ns)
{
	struct collection *collection = index->collection;
	uint64_t n_rows = collection->n_rows - index->serving->covered_rows;
	uint32_t n_unsaved = index_n_unsaved(index);
	uint64_t pending_ms = held_ms(&index->pending_ns, n_rows > 0, now_ns);
	uint64_t unsaved_ms = held_ms(&index->unsaved_ns, n_unsaved > 0, now_ns);
	bool has_vectors = collection_has_vectors(collection);
	bool asked;

	answer_optimized(index);
	asked = !list_empty(&index->optimizing);
	if (now_ns < index->retry_ns && !asked && list_empty(&index->evicting))
		return;
	if (asked && is_asked_to_insert(index)) {
		if (has_vectors)
			begin_insert(index);
		else if (upkeep_vectors_error(collection))
			refuse(&index->optimizing, WIRE_ERROR_BUILD_FAILED, NO_VECTORS);
	} else if (asked || (!list_empty(&index->evicting) && n_unsaved > 0)) {
		begin(index, FLIGHT_SAVE, &index->params, NULL);
	} else if (is_mostly_dead(index) && has_vectors) {
		begin(index, FLIGHT_BUILD, &index->params, NULL);
	} else if (n_rows > 0 && has_vectors &&
	           (n_rows >= INDEX_INSERT_ROWS || pending_ms >= INDEX_INSERT_AGE_MS)) {
		begin_insert(index);
	} else if (n_unsaved > 0 && (n_unsaved == hnsw_covered(index->serving->hnsw) ||
	                             n_unsaved >= index->serving->saved_nodes / INDEX_SAVE_SHARE ||
	                             unsaved_ms >= INDEX_SAVE_AGE_MS)) {
		begin(index, FLIGHT_SAVE, &index->params, NULL);
	} else if (index_is_misplaced(index, now_ns)) {
		begin(index, FLIGHT_LOAD, &index->params, NULL);
	}
}

/* What a flight that is under way gets from the tick. A build may wait for the vector file: it goes
 * on when that is there, and fails when there is none to be had, so that its callers are told. */
static void look_flying(struct flight *flight)
{
	struct collection *collection = flight->collection;
	int error = upkeep_vectors_error(collection);

	if (flight->kind != FLIGHT_BUILD || strcmp(flight->phase, "vectors") != 0)
		flight_tell(flight);
	else if (collection_has_vectors(collection))
		flight_build_vectors(flight);
	else if (error)
		flight_end(flight, error, NO_VECTORS);
	else
		flight_tell(flight);
}

void index_look(struct index *index)
{
	struct collection *collection = index->collection;
	uint64_t now_ns = clock_monotonic_ns(collection->daemon->clock);

	if (index->dropped || collection->upkeep.stopped || collection->state != COLLECTION_OPEN)
		return;
	if (index->flight) {
		look_flying(index->flight);
		return;
	}
	index_look_evicting(index);
	if (index->state == WIRE_index_state_evicted) {
		index_look_evicted(index);
	} else if (index->has_successor) {
		index->has_successor = false;
		begin(index, FLIGHT_BUILD, &index->successor, &index->successor_waiters);
	} else if (index->may_have_snapshot) {
		begin(index, FLIGHT_LOAD, &index->params, NULL);
	} else if (index->wants_build && now_ns >= index->retry_ns) {
		struct index_params params = index->params;

		index_begin_build(index, &params, NULL);
	} else if (index->serving) {
		look_serving(index, now_ns);
	}
}

static void note_failure(struct index *index, const struct flight *flight)
{
	static const char *const doing[] = {
	        [FLIGHT_BUILD] = "build",
	        [FLIGHT_INSERT] = "insert",
	        [FLIGHT_LOAD] = "load",
	        [FLIGHT_SAVE] = "save",
	};
	char title[256];

	snprintf(index->error, sizeof(index->error), "%s: %s", doing[flight->kind], flight->why);
	if (flight->kind == FLIGHT_LOAD) {
		/* It has logged its own. One that may come to it again does not at once. */
		if (flight->reopens)
			index->retry_ns = clock_monotonic_ns(index->collection->daemon->clock) +
			                  INDEX_RETRY_MS * NS_PER_MS;
		return;
	}
	if (flight->result == -ECANCELED) {
		index->retry_ns = clock_monotonic_ns(index->collection->daemon->clock) +
		                  INDEX_RETRY_MS * NS_PER_MS;
		return; /* no failure, but whoever cancelled it does not want it at once */
	}
	index->retry_pause_ms = index->retry_pause_ms ? index->retry_pause_ms * 2 : INDEX_RETRY_MS;
	if (index->retry_pause_ms > INDEX_RETRY_MAX_MS)
		index->retry_pause_ms = INDEX_RETRY_MAX_MS;
	index->retry_ns = clock_monotonic_ns(index->collection->daemon->clock) +
	                  index->retry_pause_ms * NS_PER_MS;
	/* What the truth declares is built in the end, whoever asked. */
	if (index->declared && !index->serving)
		index->wants_build = true;
	log_error("index '%s': job %llu: %s failed: %s (%s)", index_title(index, title),
	          (unsigned long long)flight->number, doing[flight->kind], flight->why,
	          flight->result < 0 ? strerror(-flight->result) : "");
}

/* Those who asked to be told when it is in order are told that it is not. A snapshot that is of no
 * use is no reason: a build comes next. */
static void fail_optimizing(struct index *index, const struct flight *flight)
{
	if (flight->result && flight->kind != FLIGHT_LOAD)
		refuse(&index->optimizing,
		       flight->result == -ECANCELED ? WIRE_ERROR_CANCELLED
		                                    : WIRE_ERROR_BUILD_FAILED,
		       index->error);
	else if (!index_will_serve(index))
		refuse(&index->optimizing, WIRE_ERROR_CANCELLED, index->error);
	if (flight->result && flight->kind == FLIGHT_SAVE)
		refuse(&index->evicting, WIRE_ERROR_STORAGE_FAILED, index->error);
}

static void note_success(struct index *index, const struct flight *flight)
{
	uint64_t spent_ms =
	        (clock_monotonic_ns(index->collection->daemon->clock) - flight->started_ns) /
	        NS_PER_MS;
	char title[256];

	index->error[0] = '\0';
	index->retry_ns = index->retry_pause_ms = 0;
	if (flight->kind == FLIGHT_BUILD)
		log_info("index '%s' (hnsw, M=%u): built, %u nodes in %llu ms",
		         index_title(index, title), index->params.m,
		         hnsw_covered(index->serving->hnsw), (unsigned long long)spent_ms);
}

void index_flight_ended(struct index *index, struct flight *flight)
{
	struct list again, *link;

	if (index->dropped) {
		/* The drop removed what was saved before; this came behind it. */
		if (flight->kind == FLIGHT_SAVE)
			index_forget_file(flight->collection, &flight->params);
		index_free(index);
		return;
	}
	index_move(index, index->serving    ? WIRE_index_state_serving
	                  : flight->reopens ? WIRE_index_state_evicted
	                                    : WIRE_index_state_declared);
	if (flight->result)
		note_failure(index, flight);
	else
		note_success(index, flight);
	fail_optimizing(index, flight);
	/* An index that was never declared, and whose first build failed, is not there. */
	if (!index->declared && !index->has_successor) {
		index_drop(index, WIRE_ERROR_BUILD_FAILED, index->error);
		return;
	}
	list_init(&again);
	list_splice(&again, &index->waiting);
	/* At once, so that nobody asks in between. It may end the index. */
	index_look(index);
	while ((link = list_pop(&again))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		request->next(request);
	}
}
