/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the groups `records` and `search`: what can be checked on the loop, then into
 * the queues. */

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"

/* A write or search that names another space is meant for another model's vectors. */
static bool space_fits(struct request *request, struct wire_str space)
{
	const char *own = request->collection->entry.spec.space;

	if (!space.data || wire_str_equal(space, wire_text(own)))
		return true;
	request_finish_refusal(request, WIRE_ERROR_WRONG_SPACE, "space",
	                       "'%s' holds vectors of the space '%s', not '%.*s'",
	                       request->collection->entry.name, own, (int)space.n, space.data);
	return false;
}

static const char *dtype_text(uint32_t dtype)
{
	return dtype == DTYPE_F16 ? "float16" : "float32";
}

/* n vectors of the collection's dimension. */
static bool vectors_fit(struct request *request, struct wire_bin vectors, uint32_t dtype,
                        uint32_t n)
{
	uint32_t dim = request->collection->entry.spec.dim;
	size_t n_bytes = (size_t)n * dim * dtype_bytes((enum dtype)dtype);

	if (vectors.n == n_bytes)
		return true;
	request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "vectors",
	                       "%zu bytes; %u vectors of %u %s are %zu", vectors.n, n, dim,
	                       dtype_text(dtype), n_bytes);
	return false;
}

/* Vectors are handed out as they are stored or wider, never rounded. */
static bool answer_fits(struct request *request, uint32_t include, uint32_t dtype)
{
	enum dtype stored = collection_dtype(request->collection);

	if (!(include & (1u << WIRE_include_vectors)) ||
	    dtype_bytes((enum dtype)dtype) >= dtype_bytes(stored))
		return true;
	request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "dtype",
	                       "'%s' holds vectors of %s, which are not handed out as %s",
	                       request->collection->entry.name, dtype_text(stored),
	                       dtype_text(dtype));
	return false;
}

static bool column_fits(struct request *request, const char *name, const void *column, uint32_t n,
                        uint32_t n_ids)
{
	if (!column || n == n_ids)
		return true;
	request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, name, "%u elements beside %u ids", n,
	                       n_ids);
	return false;
}

static void upsert_admitted(struct request *request)
{
	const struct upsert_params *params = request_params(request, upsert);
	uint32_t n = params->ids.n;

	if (space_fits(request, params->space) &&
	    vectors_fit(request, params->vectors, params->dtype, n) &&
	    column_fits(request, "texts", params->texts.v, params->texts.n, n) &&
	    column_fits(request, "metas", params->metas.v, params->metas.n, n))
		collection_queue_write(request);
}

void handle_upsert(struct request *request)
{
	collection_enter(request, request_params(request, upsert)->collection, upsert_admitted);
}

static void update_admitted(struct request *request)
{
	const struct update_params *params = request_params(request, update);
	uint32_t n = params->ids.n;

	if (column_fits(request, "texts", params->texts.v, params->texts.n, n) &&
	    column_fits(request, "metas", params->metas.v, params->metas.n, n))
		collection_queue_write(request);
}

void handle_update(struct request *request)
{
	collection_enter(request, request_params(request, update)->collection, update_admitted);
}

void handle_delete(struct request *request)
{
	collection_enter(request, request_params(request, delete)->collection,
	                 collection_queue_write);
}

static void get_admitted(struct request *request)
{
	const struct get_params *params = request_params(request, get);

	if (answer_fits(request, params->include, params->dtype))
		collection_queue_read(request);
}

void handle_get(struct request *request)
{
	collection_enter(request, request_params(request, get)->collection, get_admitted);
}

static void scan_admitted(struct request *request)
{
	const struct scan_params *params = request_params(request, scan);

	if (answer_fits(request, params->include, params->dtype))
		collection_queue_read(request);
}

void handle_scan(struct request *request)
{
	collection_enter(request, request_params(request, scan)->collection, scan_admitted);
}

void handle_count(struct request *request)
{
	collection_enter(request, request_params(request, count)->collection,
	                 collection_queue_read);
}

/* A recall to aim at is a share, and the only word on the effort. */
static bool effort_fits(struct request *request)
{
	const struct search_params *params = request_params(request, search);
	double target = params->target_recall;

	if (target == 0)
		return true;
	if (!(target > 0 && target < 1))
		request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "target_recall",
		                       "target_recall is %g; it is above 0 and below 1", target);
	else if (params->exact || params->ef_search)
		request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "target_recall",
		                       "target_recall and %s exclude each other",
		                       params->exact ? "exact" : "ef_search");
	else
		return true;
	return false;
}

static void search_admitted(struct request *request)
{
	const struct search_params *params = request_params(request, search);
	uint32_t dim = request->collection->entry.spec.dim;
	size_t vector_bytes = dim * (size_t)dtype_bytes((enum dtype)params->dtype);
	size_t n = params->vectors.n / vector_bytes;

	if (!space_fits(request, params->space) ||
	    !answer_fits(request, params->include, params->dtype))
		return;
	if (n == 0 || params->vectors.n % vector_bytes != 0) {
		request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "vectors",
		                       "%zu bytes; one vector of %u %s is %zu", params->vectors.n,
		                       dim, dtype_text(params->dtype), vector_bytes);
	} else if (n > LIMIT_QUERIES) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "vectors",
		                       "%zu query vectors; the limit is %u", n,
		                       (unsigned)LIMIT_QUERIES);
	} else if (!effort_fits(request)) {
		return;
	} else if (n * params->k > LIMIT_HITS) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "k",
		                       "%zu query vectors times k %u; the limit is %u hits", n,
		                       params->k, (unsigned)LIMIT_HITS);
	} else {
		collection_queue_read(request);
	}
}

void handle_search(struct request *request)
{
	collection_enter(request, request_params(request, search)->collection, search_admitted);
}
