/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the group `collections`: create, list, describe, rename, bulk, drop. */

#include <errno.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"

static bool is_same_spec(const struct catalog_entry *entry,
                         const struct create_collection_params *params)
{
	struct wire_str space = wire_text(entry->spec.space);
	struct wire_str asked = params->space.data ? params->space : wire_text("");

	return entry->spec.dim == params->dim && entry->spec.metric == params->metric &&
	       entry->spec.dtype == params->dtype && wire_str_equal(space, asked);
}

/* There is one of that name: fine when the caller said so and it is what was asked for. */
static void answer_existing(struct request *request, struct collection *collection)
{
	const struct create_collection_params *params = request_params(request, create_collection);

	if (!params->exist_ok)
		request_finish_refusal(request, WIRE_ERROR_COLLECTION_EXISTS, "name",
		                       "there is a collection '%s' already",
		                       collection->entry.name);
	else if (!is_same_spec(&collection->entry, params))
		request_finish_refusal(request, WIRE_ERROR_COLLECTION_EXISTS, "name",
		                       "there is a collection '%s' already, with another "
		                       "dimension, metric, dtype or space",
		                       collection->entry.name);
	else
		request_finish_result(request, &(struct create_collection_result){
		                                       .uuid = wire_text(collection->uuid_text)});
}

void handle_create_collection(struct request *request)
{
	struct collections *collections = request->daemon->collections;
	struct collection *collection =
	        collections_find(collections, request_params(request, create_collection)->name);

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "creating the collection");
		request_finish(request);
	} else if (collection &&
	           (collection->state == COLLECTION_CREATING || collection->dropping)) {
		/* Its fate is being committed: ask again then. */
		request->next = handle_create_collection;
		list_append(&collection->waiting, &request->wait_link);
	} else if (collection) {
		answer_existing(request, collection);
	} else if (collections_count(collections) >= LIMIT_COLLECTIONS) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "name",
		                       "there are %u collections; the limit is %u",
		                       collections_count(collections), (unsigned)LIMIT_COLLECTIONS);
	} else {
		request->next = handle_create_collection;
		collections_create(collections, request);
	}
}

static struct collection_row row_of(const struct collection *collection)
{
	const struct catalog_entry *entry = &collection->entry;

	return (struct collection_row){
	        .name = wire_text(entry->name),
	        .uuid = wire_text(collection->uuid_text),
	        .dim = entry->spec.dim,
	        .metric = entry->spec.metric,
	        .dtype = entry->spec.dtype,
	        .space = wire_text(entry->spec.space),
	        .created_ms = (uint64_t)entry->created_ms,
	        .bulk = entry->bulk,
	};
}

void handle_list_collections(struct request *request)
{
	struct collections *collections = request->daemon->collections;
	struct collection *collection = NULL;
	struct collection_row *rows = wire_arena_alloc(
	        &request->arena, (collections_count(collections) + 1) * sizeof(*rows));
	struct list_collections_result result = {.collections = {.v = rows}};

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "listing the collections");
		request_finish(request);
		return;
	}
	while ((collection = collections_next(collections, collection))) {
		if (collection->state != COLLECTION_CREATING)
			rows[result.collections.n++] = row_of(collection);
	}
	request_finish_result(request, &result);
}

static void describe(struct request *request)
{
	const struct collection *collection = request->collection;
	enum wire_source source = WIRE_source_resident;

	if (collection->resident.n_rows < collection->n_rows)
		source = collection->mapped_rows < collection->n_rows ? WIRE_source_truth
		                                                      : WIRE_source_mapped;
	request_finish_result(request, &(struct describe_collection_result){
	                                       .collection = row_of(collection),
	                                       .records = collection->n_live,
	                                       .rows = collection->n_rows,
	                                       .seq = collection->seq,
	                                       .namespaces = collection->namespaces.n,
	                                       .vectors = source,
	                               });
}

void handle_describe_collection(struct request *request)
{
	collection_enter(request, request_params(request, describe_collection)->collection,
	                 describe);
}

static void rename_admitted(struct request *request)
{
	collections_rename(request->daemon->collections, request);
}

/* Also one that cannot be opened can be renamed. */
void handle_rename_collection(struct request *request)
{
	request->unopened = rename_admitted;
	collection_enter(request, request_params(request, rename_collection)->collection,
	                 rename_admitted);
}

static void set_bulk_admitted(struct request *request)
{
	collections_set_bulk(request->daemon->collections, request);
}

void handle_set_bulk(struct request *request)
{
	collection_enter(request, request_params(request, set_bulk)->collection, set_bulk_admitted);
}

void handle_drop_collection(struct request *request)
{
	const struct drop_collection_params *params = request_params(request, drop_collection);
	struct collections *collections = request->daemon->collections;
	struct collection *collection = collections_find(collections, params->collection);

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "dropping the collection");
		request_finish(request);
	} else if (!collection && params->missing_ok) {
		request_finish_result(request, &(struct drop_collection_result){0});
	} else if (!collection) {
		request_finish_refusal(request, WIRE_ERROR_NO_COLLECTION, "collection",
		                       "there is no collection '%.*s'", (int)params->collection.n,
		                       params->collection.data);
	} else if (collection->state == COLLECTION_CREATING || collection->dropping ||
	           collection->state == COLLECTION_OPENING ||
	           collection->state == COLLECTION_RENEWING) {
		request->next = handle_drop_collection;
		list_append(&collection->waiting, &request->wait_link);
	} else {
		/* Also one that cannot be opened can be dropped. */
		request->collection = collection_ref(collection);
		collections_drop(collections, request);
	}
}
