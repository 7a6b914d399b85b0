/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ensure_index: what is asked for is there, is on its way, or begins. The table in index.h says
 * which of it in each state.
 */

#include <errno.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/flight.h"
#include "daemon/index.h"
#include "daemon/log.h"

static void ensure(struct request *request);

static int params_of(const struct ensure_index_params *params, struct index_params *ret)
{
	struct uuid uuid;
	int r = uuid_new(&uuid);

	*ret = (struct index_params){
	        .m = params->m,
	        .ef_construction = params->ef_construction,
	        .ef_search = params->ef_search,
	        .quantization = params->quantization,
	};
	memcpy(&ret->identity, uuid.bytes, sizeof(ret->identity));
	return r;
}

static void answer_existing(struct request *request, const struct index *index)
{
	char title[256];

	log_info("index '%s': already exists, skipping creation", index_title(index, title));
	request_finish_result(request, &(struct ensure_index_result){
	                                       .outcome = WIRE_ensured_existing,
	                                       .generation = index_generation(index),
	                                       .coverage = index_coverage(index),
	                               });
}

static void answer_started(struct request *request, const struct index *index,
                           enum wire_ensured outcome)
{
	request_finish_result(request, &(struct ensure_index_result){
	                                       .outcome = outcome,
	                                       .job = index->flight ? index->flight->number : 0,
	                                       .generation = index_generation(index),
	                                       .coverage = index_coverage(index),
	                               });
}

/* Begins the build, now or, with a flight under way, after it. */
static void begin_build(struct request *request, struct index *index,
                        const struct index_params *params)
{
	bool wait = request_params(request, ensure_index)->wait;

	request->is_leader = true;
	if (index->flight || index->state == WIRE_index_state_evicted) {
		index->has_successor = true;
		index->successor = *params;
		/* An evicted one is loaded, to serve meanwhile. */
		if (!index->flight)
			index_look(index);
		if (wait)
			list_append(&index->successor_waiters, &request->wait_link);
		else
			answer_started(request, index, WIRE_ensured_started);
		return;
	}
	if (wait) {
		index_begin_build(index, params, request);
		return;
	}
	/* Answered first: the build may end at once, and the index with it. */
	index_begin_build(index, params, NULL);
	index = index_find(request->collection, request_params(request, ensure_index)->index);
	if (index)
		answer_started(request, index, WIRE_ensured_started);
	else
		request_finish_refusal(request, WIRE_ERROR_BUILD_FAILED, "index",
		                       "the build could not begin");
}

static void refuse_in_flight(struct request *request, const struct flight *flight)
{
	request_finish_refusal(request, WIRE_ERROR_BUILD_IN_FLIGHT, "index",
	                       "job %llu builds it with other parameters (m=%u, "
	                       "ef_construction=%u)",
	                       (unsigned long long)flight->number, flight->params.m,
	                       flight->params.ef_construction);
}

/* Behind an insert or a save. */
static void refuse_successor(struct request *request, const struct index *index)
{
	request_finish_refusal(request, WIRE_ERROR_BUILD_IN_FLIGHT, "index",
	                       "a build with other parameters (m=%u, ef_construction=%u) waits "
	                       "for job %llu",
	                       index->successor.m, index->successor.ef_construction,
	                       (unsigned long long)index->flight->number);
}

/* The build that comes after the flight is of the same. */
static void join_successor(struct request *request, struct index *index)
{
	if (request_params(request, ensure_index)->wait)
		list_append(&index->successor_waiters, &request->wait_link);
	else
		answer_started(request, index, WIRE_ensured_joined);
}

/* A build is under way: of the same, or of something else. */
static void ensure_beside_build(struct request *request, struct index *index,
                                const struct index_params *params)
{
	const struct ensure_index_params *asked = request_params(request, ensure_index);

	if (index_same_graph(&index->flight->params, params)) {
		if (asked->wait)
			flight_join(index->flight, request);
		else
			answer_started(request, index, WIRE_ensured_joined);
	} else if (asked->replace && !index->has_successor) {
		begin_build(request, index, params);
	} else if (asked->replace && index_same_graph(&index->successor, params)) {
		join_successor(request, index);
	} else {
		refuse_in_flight(request, index->flight);
	}
}

static void ensure_existing(struct request *request, struct index *index,
                            const struct index_params *params)
{
	const struct ensure_index_params *asked = request_params(request, ensure_index);

	/* What may be on the disk is looked at before anything is built. */
	if (index->may_have_snapshot)
		index_look_again(index);
	/* A snapshot that nobody has looked for yet is loaded next. */
	if (index->state == WIRE_index_state_loading || index->may_have_snapshot) {
		request->next = ensure;
		list_append(&index->waiting, &request->wait_link);
	} else if (index->flight && index->flight->kind == FLIGHT_BUILD &&
	           !index->flight->cancelled) {
		ensure_beside_build(request, index, params);
	} else if (index->has_successor && index_same_graph(&index->successor, params)) {
		join_successor(request, index);
	} else if (!index_same_graph(&index->params, params) && !asked->replace) {
		request_finish_refusal(request, WIRE_ERROR_INDEX_EXISTS, "index",
		                       "there is one with m=%u, ef_construction=%u; say replace "
		                       "to build another in its place",
		                       index->params.m, index->params.ef_construction);
	} else if (index_generation(index) && index_same_graph(&index->params, params)) {
		answer_existing(request, index);
	} else if (index_same_graph(&index->params, params)) {
		/* Declared, and not there: the last build failed or was cancelled. */
		struct index_params again = index->params;

		begin_build(request, index, &again);
	} else if (index->has_successor) {
		refuse_successor(request, index);
	} else {
		begin_build(request, index, params);
	}
}

static void ensure_new(struct request *request, const struct index_params *params)
{
	struct wire_str name = request_params(request, ensure_index)->index;
	struct collection *collection = request->collection;
	char text[RECORD_INDEX_NAME_SIZE] = INDEX_DEFAULT_NAME;
	struct index *index;

	if (index_count(collection) >= LIMIT_INDEXES) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "index",
		                       "the collection has %u indexes; the limit is %u",
		                       index_count(collection), (unsigned)LIMIT_INDEXES);
		return;
	}
	if (name.data) {
		memcpy(text, name.data, name.n);
		text[name.n] = '\0';
	}
	if (index_new(collection, text, params, false, &index) < 0) {
		request_refuse_errno(request, -ENOMEM, "making the index");
		request_finish(request);
		return;
	}
	begin_build(request, index, params);
}

static void ensure(struct request *request)
{
	struct collection *collection = request->collection;
	struct index_params params;
	struct index *index;
	int r;

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "waiting for the index");
		request_finish(request);
		return;
	}
	index = index_find(collection, request_params(request, ensure_index)->index);
	r = params_of(request_params(request, ensure_index), &params);
	if (r < 0) {
		request_refuse_errno(request, r, "making the index");
		request_finish(request);
	} else if (index) {
		ensure_existing(request, index, &params);
	} else {
		ensure_new(request, &params);
	}
}

void handle_ensure_index(struct request *request)
{
	collection_enter(request, request_params(request, ensure_index)->collection, ensure);
}
