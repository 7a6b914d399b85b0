/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What an index does next: at each tick, after each commit and at the end of each flight it is
 * looked at, and begins the one flight that there is most reason for. Failures that nobody waits
 * for are tried again with growing pauses.
 */

#include "daemon/index_cache.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/log.h"

#define NS_PER_MS UINT64_C(1000000)
#define NO_VECTORS "the vector file in the cache directory cannot be written"

static bool begin(struct index *index, enum flight_kind kind, const struct index_params *params,
                  struct list *waiters)
{
	if (flight_begin(index, kind, params, waiters) == 0)
		return true;
	if (waiters)
		index_refuse(waiters, WIRE_ERROR_OUT_OF_MEMORY, "no memory for the job");
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
static bool has_many_dead(const struct index *index)
{
	uint32_t n_dead = index_n_dead(index);

	return n_dead >= INDEX_DEAD_MIN &&
	       n_dead >= hnsw_covered(index->serving->hnsw) / INDEX_DEAD_SHARE;
}

/* A mapped graph is loaded first, since it cannot grow where it is. */
static void begin_insert(struct index *index)
{
	index->to_grow = generation_is_mapped(index->serving);
	begin(index, index->to_grow ? FLIGHT_LOAD : FLIGHT_INSERT, &index->params, NULL);
}

/* Whether a build is done sooner than an insert of what is pending. */
static bool is_build_cheaper(const struct index *index)
{
	const struct collection *collection = index->collection;

	return index_n_pending(index) * collection->daemon->build_workers >= collection->n_live;
}

/* What bulk writing left goes in. */
static void begin_after_bulk(struct index *index)
{
	index->ends_bulk = false;
	if (is_build_cheaper(index))
		begin(index, FLIGHT_BUILD, &index->params, NULL);
	else
		begin_insert(index);
}

/* Nobody has searched it for so long that it may leave the memory, once it is saved. */
static bool is_idle(const struct index *index, uint64_t now_ns)
{
	uint64_t idle_ns = index->collection->daemon->config.idle_unload_s * UINT64_C(1000000000);

	return idle_ns > 0 && now_ns - index->serving->entry.used_ns >= idle_ns;
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
	/* What nobody asked for waits. */
	bool rests = collection->entry.bulk || pressure_pauses(&collection->daemon->pressure);
	bool asked;

	if (n_rows == 0)
		index->ends_bulk = false;
	answer_optimized(index);
	asked = !list_empty(&index->optimizing);
	if (!retry_is_due(&index->retry, now_ns) && !asked && list_empty(&index->evicting))
		return;
	if (n_unsaved == hnsw_covered(index->serving->hnsw) && n_unsaved > 0 &&
	    index->retry.pause_ms == 0) {
		/* Never saved: a kill now would cost the whole build. */
		begin(index, FLIGHT_SAVE, &index->params, NULL);
	} else if (index->ends_bulk && !rests && has_vectors) {
		begin_after_bulk(index);
	} else if (asked && is_asked_to_insert(index)) {
		if (has_vectors)
			begin_insert(index);
		else if (upkeep_vectors_error(collection))
			index_refuse(&index->optimizing, WIRE_ERROR_BUILD_FAILED, NO_VECTORS);
	} else if (asked || (!list_empty(&index->evicting) && n_unsaved > 0)) {
		begin(index, FLIGHT_SAVE, &index->params, NULL);
	} else if (!rests && has_many_dead(index) && has_vectors) {
		begin(index, FLIGHT_BUILD, &index->params, NULL);
	} else if (!rests && n_rows > 0 && has_vectors &&
	           (n_rows >= INDEX_INSERT_ROWS || pending_ms >= INDEX_INSERT_AGE_MS)) {
		begin_insert(index);
	} else if (n_unsaved > 0 && (n_unsaved == hnsw_covered(index->serving->hnsw) ||
	                             n_unsaved >= index->serving->saved_nodes / INDEX_SAVE_SHARE ||
	                             unsaved_ms >= INDEX_SAVE_AGE_MS || is_idle(index, now_ns))) {
		begin(index, FLIGHT_SAVE, &index->params, NULL);
	} else if (!rests && index_is_misplaced(index, now_ns)) {
		begin(index, FLIGHT_LOAD, &index->params, NULL);
	}
}

/* What a flight that is under way gets from the tick. A build may wait for the vector file: it goes
 * on when that is there, and fails when there is none to be had, so that its callers are told. */
static void look_flying(struct flight *flight)
{
	struct collection *collection = flight->collection;
	int error = upkeep_vectors_error(collection);

	flight_resume(flight);
	if (flight->kind != FLIGHT_BUILD || flight->phase != PHASE_VECTORS)
		flight_tell(flight);
	else if (collection_has_vectors(collection))
		flight_build_vectors(flight);
	else if (error)
		flight_end(flight, error, NO_VECTORS);
	else
		flight_tell(flight);
}

/* Bulk writing is on, and nobody waits for the index. */
static bool is_held(const struct index *index)
{
	return index->collection->entry.bulk && list_empty(&index->waiting) &&
	       list_empty(&index->optimizing);
}

/* The collection waits until no flight is under way, and nobody waits for the index. */
static bool is_put_off(const struct index *index)
{
	return index->collection->upkeep.wants_renewal && !index->has_successor &&
	       list_empty(&index->waiting) && list_empty(&index->optimizing) &&
	       list_empty(&index->evicting);
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
	if (is_put_off(index))
		return;
	if (index->state == WIRE_index_state_evicted) {
		index_look_evicted(index);
	} else if (index->has_successor) {
		index->has_successor = false;
		begin(index, FLIGHT_BUILD, &index->successor, &index->successor_waiters);
	} else if (index->may_have_snapshot) {
		if ((index->n_failed_loads == 0 || retry_is_due(&index->retry, now_ns)) &&
		    !is_held(index))
			begin(index, FLIGHT_LOAD, &index->params, NULL);
	} else if (index->wants_build && retry_is_due(&index->retry, now_ns) && !is_held(index)) {
		struct index_params params = index->params;

		index_begin_build(index, &params, NULL);
	} else if (index->serving) {
		look_serving(index, now_ns);
	}
}

void index_look_again(struct index *index)
{
	if (index->may_have_snapshot)
		retry_at_once(&index->retry);
	index_look(index);
}

/* A load that says nothing about the snapshot: it is still there, and wanted. */
static bool is_failed_load(const struct index *index, const struct flight *flight)
{
	return flight->kind == FLIGHT_LOAD && flight->result && flight->result != -ECANCELED &&
	       index->may_have_snapshot;
}

static void note_failure(struct index *index, const struct flight *flight)
{
	static const char *const doing[] = {
	        [FLIGHT_BUILD] = "build",
	        [FLIGHT_INSERT] = "insert",
	        [FLIGHT_LOAD] = "load",
	        [FLIGHT_SAVE] = "save",
	};
	uint64_t now_ns = clock_monotonic_ns(index->collection->daemon->clock);
	char title[256];

	snprintf(index->error, sizeof(index->error), "%s: %s", doing[flight->kind], flight->why);
	if (flight->kind == FLIGHT_LOAD && !is_failed_load(index, flight)) {
		/* It was cancelled, or has logged its own: a build comes next, or it stays evicted
		 * and does not come to this again at once. */
		if (flight->reopens)
			retry_put_off(&index->retry, now_ns, INDEX_RETRY_MS);
		return;
	}
	if (flight->result == -ECANCELED) {
		retry_put_off(&index->retry, now_ns, INDEX_RETRY_MS);
		return; /* no failure, but whoever cancelled it does not want it at once */
	}
	retry_failed(&index->retry, now_ns, INDEX_RETRY_MS, INDEX_RETRY_MAX_MS);
	/* What the truth declares is built in the end, whoever asked. */
	if (index->declared && !index->serving && flight->kind != FLIGHT_LOAD)
		index->wants_build = true;
	log_error("index '%s': job %llu: %s failed: %s (%s)", index_title(index, title),
	          (unsigned long long)flight->number, doing[flight->kind], flight->why,
	          flight->result < 0 ? strerror(-flight->result) : "");
}

/* Those who asked to be told when it is in order are told that it is not. A snapshot that is of no
 * use is no reason: a build comes next. */
static void fail_optimizing(struct index *index, const struct flight *flight)
{
	if (flight->result && (flight->kind != FLIGHT_LOAD || is_failed_load(index, flight)))
		index_refuse(&index->optimizing,
		             flight->result == -ECANCELED ? WIRE_ERROR_CANCELLED
		                                          : WIRE_ERROR_BUILD_FAILED,
		             index->error);
	else if (!index_will_serve(index))
		index_refuse(&index->optimizing, WIRE_ERROR_CANCELLED, index->error);
	if (flight->result && flight->kind == FLIGHT_SAVE)
		index_refuse(&index->evicting, WIRE_ERROR_STORAGE_FAILED, index->error);
}

static void note_success(struct index *index, const struct flight *flight)
{
	uint64_t spent_ms =
	        (clock_monotonic_ns(index->collection->daemon->clock) - flight->started_ns) /
	        NS_PER_MS;
	char title[256];

	index->error[0] = '\0';
	retry_succeeded(&index->retry);
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
	if (is_failed_load(index, flight))
		index_refuse(&index->waiting, WIRE_ERROR_BUILD_FAILED, index->error);
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
