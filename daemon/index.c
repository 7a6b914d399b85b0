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
        [WIRE_index_state_replacing] = BIT(serving) | BIT(declared),
};

bool index_may_move(enum wire_index_state from, enum wire_index_state to)
{
	return (moves[from] & (1u << to)) != 0;
}

void index_move(struct index *index, enum wire_index_state state)
{
	assert(index_may_move(index->state, state));
	index->state = state;
}

/* Life ----------------------------------------------------------------------------------------- */

int index_new(struct collection *collection, const char *name, const struct index_params *params,
              bool declared, struct index **ret)
{
	struct index *index = calloc(1, sizeof(*index));

	if (!index)
		return -ENOMEM;
	index->tally = tally_new();
	if (!index->tally) {
		free(index);
		return -ENOMEM;
	}
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

void index_free(struct index *index)
{
	index_unserve(index);
	snapshot_close(index->snapshot);
	tally_unref(index->tally);
	free(index);
}

void index_refuse(struct list *list, enum wire_error_code code, const char *message)
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
	index_refuse(&index->successor_waiters, code, message);
	index_refuse(&index->waiting, code, message);
	index_refuse(&index->optimizing, code, message);
	index_refuse(&index->evicting, code, message);
	index_unserve(index);
	if (!index->flight) {
		index_free(index);
		return;
	}
	index_refuse(&index->flight->waiters, code, message);
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

		if (wire_str_equal(wanted, wire_text(index->name)))
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
		index_refuse(&index->successor_waiters, WIRE_ERROR_STOPPING,
		             "the daemon is stopping");
		index_refuse(&index->waiting, WIRE_ERROR_STOPPING, "the daemon is stopping");
		index_refuse(&index->optimizing, WIRE_ERROR_STOPPING, "the daemon is stopping");
		index_refuse(&index->evicting, WIRE_ERROR_STOPPING, "the daemon is stopping");
		index->has_successor = false;
		if (index->flight) {
			index_refuse(&index->flight->waiters, WIRE_ERROR_STOPPING,
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

uint64_t index_generation(const struct index *index)
{
	if (index->serving)
		return index->serving->number;
	return index->state == WIRE_index_state_evicted || (index->flight && index->flight->reopens)
	               ? index->left.number
	               : 0;
}

void index_cover(struct index *index, struct generation *generation, uint64_t covered_rows)
{
	const struct collection *collection = index->collection;
	struct record_view view = {.seq = collection->seq, .ns = RECORD_TABLE_ANY_NS};

	generation->covered_rows = covered_rows;
	/* Only what came since the flight began. */
	index->n_pending =
	        record_table_count(&collection->table, &view, covered_rows, collection->n_rows);
}

void indexes_note_new(struct collection *collection, uint64_t n_new)
{
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next)
		LIST_ELEMENT(link, struct index, link)->n_pending += n_new;
}

void indexes_note_retired(struct collection *collection, uint64_t row)
{
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		struct index *index = LIST_ELEMENT(link, struct index, link);
		uint64_t covered =
		        index->serving ? index->serving->covered_rows : index->left.covered_rows;

		if (index_generation(index) && row >= covered)
			index->n_pending--;
	}
}

void indexes_end_bulk(struct collection *collection)
{
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		struct index *index = LIST_ELEMENT(link, struct index, link);

		index->ends_bulk = index_n_pending(index) > 0;
	}
}

uint64_t index_n_pending(const struct index *index)
{
	return index_generation(index) ? index->n_pending : index->collection->n_live;
}

double index_coverage(const struct index *index)
{
	uint64_t n_live = index->collection->n_live;

	if (n_live == 0)
		return index_generation(index) ? 1.0 : 0.0;
	return 1.0 - (double)index_n_pending(index) / (double)n_live;
}

uint32_t index_n_dead(const struct index *index)
{
	uint64_t n_held = index->collection->n_live - index_n_pending(index);

	return hnsw_covered(index->serving->hnsw) - (uint32_t)n_held;
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

/* Parameters ----------------------------------------------------------------------------------- */

bool index_will_serve(const struct index *index)
{
	return index->serving || index->flight || index->has_successor ||
	       index->may_have_snapshot || index->wants_build ||
	       index->state == WIRE_index_state_evicted;
}

bool index_same_graph(const struct index_params *a, const struct index_params *b)
{
	return a->m == b->m && a->ef_construction == b->ef_construction &&
	       a->quantization == b->quantization;
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

/* m, ef_construction, ef_search, quantization (4 bytes each), identity (8), little-endian. */
#define PARAMS_BYTES 24

void index_params_encode(const struct index_params *params, struct record_index *ret)
{
	uint8_t *at;

	*ret = (struct record_index){.kind = "hnsw", .n_params = PARAMS_BYTES};
	at = put_le(ret->params, params->m, 4);
	at = put_le(at, params->ef_construction, 4);
	at = put_le(at, params->ef_search, 4);
	at = put_le(at, params->quantization, 4);
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
	        .quantization = (enum wire_quantization)get_le(record->params + 12, 4),
	        .identity = get_le(record->params + 16, 8),
	};
	graph = (struct hnsw_params){.M = ret->m, .ef_construction = ret->ef_construction};
	return hnsw_params_are_valid(&graph) && ret->quantization < WIRE_N_quantization ? 0
	                                                                                : -EBADMSG;
}

/* Files ---------------------------------------------------------------------------------------- */

struct forgetting {
	struct job job;
	struct collection *collection; /* a reference */
	char path[COLLECTION_PATH_SIZE + INDEX_FILE_SIZE];
	int error;
};

static void forget_work(struct job *job, uint32_t worker)
{
	struct forgetting *forgetting = LIST_ELEMENT(job, struct forgetting, job);

	(void)worker;
	forgetting->error = store_unlink(forgetting->collection->daemon->io, forgetting->path);
}

static void forget_done(struct job *job)
{
	struct forgetting *forgetting = LIST_ELEMENT(job, struct forgetting, job);

	/* One that was never saved is as good. */
	if (forgetting->error && forgetting->error != -ENOENT)
		log_warning("collection '%s': %s stays until the next opening: %s",
		            forgetting->collection->entry.name, forgetting->path,
		            strerror(-forgetting->error));
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
