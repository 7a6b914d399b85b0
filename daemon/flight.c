/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/flight.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/log.h"

/* Subscribers are told no more often than this. */
#define TELL_NS UINT64_C(200000000)

void flight_join(struct flight *flight, struct request *request)
{
	list_append(&flight->waiters, &request->wait_link);
	flight->n_waiters++;
}

int flight_begin(struct index *index, enum flight_kind kind, const struct index_params *params,
                 struct list *waiters)
{
	static void (*const starts[])(struct flight * flight) = {
	        [FLIGHT_BUILD] = flight_build_start,
	        [FLIGHT_INSERT] = flight_insert_start,
	        [FLIGHT_LOAD] = flight_load_start,
	        [FLIGHT_SAVE] = flight_save_start,
	};
	static const enum wire_index_state states[] = {
	        [FLIGHT_BUILD] = WIRE_index_state_building,
	        [FLIGHT_INSERT] = WIRE_index_state_inserting,
	        [FLIGHT_LOAD] = WIRE_index_state_loading,
	        [FLIGHT_SAVE] = WIRE_index_state_saving,
	};
	struct daemon *daemon = index->collection->daemon;
	struct flight *flight = calloc(1, sizeof(*flight));
	struct list *link;

	if (!flight)
		return -ENOMEM;
	flight->number = ++daemon->flight_numbers;
	flight->kind = kind;
	flight->index = index;
	flight->collection = collection_ref(index->collection);
	flight->params = *params;
	flight->started_ns = clock_monotonic_ns(daemon->clock);
	list_init(&flight->waiters);
	list_init(&flight->task.link);
	while (waiters && (link = list_pop(waiters)))
		flight_join(flight, LIST_ELEMENT(link, struct request, wait_link));
	list_append(&daemon->flights, &flight->link);
	index->flight = flight;
	index_move(index, kind == FLIGHT_BUILD && index->serving ? WIRE_index_state_replacing
	                                                         : states[kind]);
	starts[kind](flight);
	return 0;
}

const char *flight_phase_name(const struct flight *flight)
{
	static const char *const names[PHASE_N] = {
	        [PHASE_DECLARE] = "declare", [PHASE_VECTORS] = "vectors",
	        [PHASE_COLLECT] = "collect", [PHASE_GRAPH] = "graph",
	        [PHASE_INSERT] = "insert",   [PHASE_MEASURE] = "measure",
	        [PHASE_OPEN] = "open",       [PHASE_READ] = "read",
	        [PHASE_CHECK] = "check",     [PHASE_SAVE] = "save",
	        [PHASE_DONE] = "done",       [PHASE_FAILED] = "failed",
	};

	return names[flight->phase];
}

void flight_enter(struct flight *flight, enum flight_phase phase, uint64_t total)
{
	flight->phase = phase;
	flight->total = total;
	flight->phase_ns = clock_monotonic_ns(flight->collection->daemon->clock);
	flight->told_ns = 0;
	flight_tell(flight);
}

void flight_submit(struct flight *flight, enum lane lane, const char *what,
                   void (*work)(struct job *job, uint32_t worker), void (*done)(struct job *job))
{
	flight->job.what = what;
	flight->job.work = work;
	flight->job.done = done;
	lanes_submit(flight->collection->daemon->lanes, lane, &flight->job);
}

uint64_t flight_done(const struct flight *flight)
{
	uint32_t done, total;

	if (!flight->build.hnsw || flight->phase == PHASE_MEASURE)
		return 0;
	hnsw_build_progress(&flight->build, &done, &total);
	return done;
}

double flight_eta_of(uint64_t spent_ns, uint64_t done, uint64_t total)
{
	if (done == 0 || total <= done)
		return 0.0;
	return (double)spent_ns * 1e-9 / (double)done * (double)(total - done);
}

double flight_eta_s(const struct flight *flight)
{
	uint64_t spent_ns =
	        clock_monotonic_ns(flight->collection->daemon->clock) - flight->phase_ns;

	return flight_eta_of(spent_ns, flight_done(flight), flight->total);
}

void flight_tell(struct flight *flight)
{
	uint64_t now_ns = clock_monotonic_ns(flight->collection->daemon->clock);

	if (flight->told_ns && now_ns - flight->told_ns < TELL_NS)
		return;
	flight->told_ns = now_ns;
	events_job(flight);
}

bool flight_cancel(struct flight *flight)
{
	if (flight->is_committing)
		return false;
	flight->cancelled = true;
	if (flight->build.hnsw)
		hnsw_build_cancel(&flight->build);
	if (flight->phase == PHASE_MEASURE)
		job_cancel(&flight->job);
	flight_resume(flight);
	/* A step that waits, and has no job, ends here. */
	if (!list_empty(&flight->task.link)) {
		list_remove(&flight->task.link);
		flight_end(flight, -ECANCELED, "cancelled");
	} else if (flight->kind == FLIGHT_BUILD && flight->phase == PHASE_VECTORS) {
		flight_end(flight, -ECANCELED, "cancelled");
	}
	return true;
}

static void answer_waiters(struct flight *flight)
{
	struct index *index = flight->index;
	struct ensure_index_result result = {
	        .job = flight->number,
	        .generation = index->serving ? index->serving->number : 0,
	        .coverage = index_coverage(index),
	};
	struct list *link;

	while ((link = list_pop(&flight->waiters))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		result.outcome = request->is_leader ? WIRE_ensured_built : WIRE_ensured_joined;
		if (flight->result == 0)
			request_finish_result(request, &result);
		else
			request_finish_refusal(request,
			                       flight->result == -ECANCELED
			                               ? WIRE_ERROR_CANCELLED
			                               : WIRE_ERROR_BUILD_FAILED,
			                       "index", "job %llu: %s",
			                       (unsigned long long)flight->number, flight->why);
	}
}

void flight_end(struct flight *flight, int result, const char *why)
{
	struct collection *collection = flight->collection;
	struct index *index = flight->index;

	flight->result = result;
	if (flight->result)
		snprintf(flight->why, sizeof(flight->why), "%s", why ? why : "cancelled");
	if (flight->pinned)
		collection_unpin(collection, &flight->pin);
	flight->pinned = false;
	flight->phase = flight->result ? PHASE_FAILED : PHASE_DONE;
	flight->told_ns = 0;
	flight_tell(flight);
	list_remove(&flight->link);
	index->flight = NULL;
	if (flight->has_scratch)
		scratch_return(collection->daemon, LANE_BACKGROUND);
	generation_unref(flight->generation);
	answer_waiters(flight);
	index_flight_ended(index, flight);
	free(flight);
	collection_unref(collection);
}
