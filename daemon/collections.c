/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/collections.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/index.h"
#include "daemon/log.h"

/* The wire's numbers go into the truth and come to the kernels as they are. */
static_assert((int)WIRE_dtype_f32 == (int)RECORD_DTYPE_F32 &&
                      (int)WIRE_dtype_f16 == (int)RECORD_DTYPE_F16 && (int)WIRE_N_dtype == N_DTYPES,
              "dtypes differ between wire and truth");
static_assert((int)RECORD_DTYPE_F32 == (int)DTYPE_F32 && (int)RECORD_DTYPE_F16 == (int)DTYPE_F16,
              "dtypes differ between truth and kernels");

struct change;

struct collections {
	struct daemon *daemon;
	struct catalog *catalog;
	struct list all; /* struct collection.link, in the order of creation */
	uint32_t n;
	struct list changes; /* struct change.link: queued */
	struct change *running;
	uint32_t n_leaving;  /* dropped; their files, or the catalog's entries, are still there */
	struct list waiting; /* struct change.link: until one of these is gone */
};

/* A change of the catalog under way. */
struct change {
	struct job job;
	struct list link;
	struct collections *collections;
	int (*commit)(struct change *change);     /* [worker] */
	void (*committed)(struct change *change); /* [loop]; change->result tells */
	struct request *request;                  /* NULL: nobody asked for it */
	struct collection *collection;            /* a reference, or NULL */
	struct uuid uuid;                         /* to forget */
	char name[CATALOG_NAME_BYTES_MAX + 1];    /* to rename to */
	/* To restore: what fills its directory, and who is told. */
	int (*fill)(void *ctx, struct collection *collection, struct job *work);
	void (*ended)(void *ctx, int result);
	void *ctx;
	enum lane lane;
	bool bulk; /* to set */
	int result;
	bool is_unmade; /* a creation of which the catalog has nothing */
	int undo_error; /* of one that failed later: the catalog has it as it was then */
};

/* The queue ----------------------------------------------------------------------------------- */

static void changes_kick(struct collections *collections);

static void change_work(struct job *job, uint32_t worker)
{
	struct change *change = LIST_ELEMENT(job, struct change, job);

	(void)worker;
	change->result = change->commit(change);
}

static void change_done(struct job *job)
{
	struct change *change = LIST_ELEMENT(job, struct change, job);
	struct collections *collections = change->collections;
	struct collection *collection = change->collection;

	collections->running = NULL;
	/* What was dropped under its uuid is still being removed. */
	if (change->fill && change->result == -EBUSY && collections->n_leaving > 0) {
		list_append(&collections->waiting, &change->link);
		changes_kick(collections);
		daemon_closed_one(collections->daemon);
		return;
	}
	change->committed(change);
	free(change);
	changes_kick(collections);
	if (collection)
		collection_unref(collection);
	daemon_closed_one(collections->daemon);
}

static void changes_kick(struct collections *collections)
{
	struct list *link;

	if (collections->running)
		return;
	link = list_pop(&collections->changes);
	if (!link)
		return;
	collections->running = LIST_ELEMENT(link, struct change, link);
	lanes_submit(collections->daemon->lanes, collections->running->lane,
	             &collections->running->job);
}

/* Queues a change; NULL when there is no memory (the request was refused then). */
static struct change *change_queue(struct collections *collections, struct request *request,
                                   struct collection *collection,
                                   int (*commit)(struct change *change),
                                   void (*committed)(struct change *change))
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change) {
		if (request) {
			request_refuse_errno(request, -ENOMEM, "changing the catalog");
			request_finish(request);
		}
		return NULL;
	}
	change->job.what = "catalog";
	change->job.work = change_work;
	change->job.done = change_done;
	change->lane = LANE_WRITE;
	change->collections = collections;
	change->commit = commit;
	change->committed = committed;
	change->request = request;
	change->collection = collection ? collection_ref(collection) : NULL;
	list_append(&collections->changes, &change->link);
	return change;
}

/* create -------------------------------------------------------------------------------------- */

static int create_commit(struct change *change)
{
	struct collection *collection = change->collection;
	struct catalog *catalog = change->collections->catalog;
	struct store_io *io = collection->daemon->io;
	const struct uuid *uuid = &collection->entry.spec.uuid;
	int r = reserve_lacks_room(collection->daemon->reserve)
	                ? -ENOSPC
	                : catalog_add(catalog, &collection->entry);

	change->is_unmade = r != 0;
	if (r) /* an entry of the same uuid is not gone yet */
		return r == -EBADMSG && change->fill ? -EBUSY : r;
	r = io->ops->make_dir(io, collection->data_dir);
	if (r == 0)
		r = change->fill ? change->fill(change->ctx, collection, &change->job)
		                 : record_store_create(io, collection->data_dir,
		                                       &collection->entry.spec);
	if (r == 0)
		r = store_sync_dir(io, collection->daemon->config.data_dir);
	if (r == 0)
		r = catalog_set_state(catalog, uuid, CATALOG_LIVE);
	/* The files go when the handle closes, and the entry behind them: until then a restore
	 * under the same uuid waits. A commit that made it live, and failed, may be on the disk. */
	if (r)
		change->undo_error = catalog_set_state(catalog, uuid, CATALOG_DROPPED);
	reserve_added(collection->daemon->reserve, r);
	return r;
}

static void note_undo(const struct change *change)
{
	if (change->undo_error)
		log_warning("cannot note that collection '%s' was not made: %s",
		            change->collection->entry.name,
		            change->undo_error < 0 ? strerror(-change->undo_error)
		                                   : catalog_last_error());
}

/* What was not made is like what was dropped, but there is nothing of it that could be removed:
 * what stands under its uuid is another one's. */
static void note_unmade(const struct change *change)
{
	change->collection->dropped = true;
	change->collection->is_unmade = change->is_unmade;
}

static void registry_remove(struct collections *collections, struct collection *collection)
{
	list_remove(&collection->link);
	collections->n--;
	collections->n_leaving += collection_leaves_files(collection);
	collection_unref(collection);
}

/* Another one was given the name before it was this one's turn: the request finds that one. */
static void name_was_taken(struct change *change)
{
	struct collection *collection = change->collection;
	struct request *request = change->request;

	note_unmade(change);
	registry_remove(change->collections, collection);
	if (collections_find(change->collections, wire_text(collection->entry.name)))
		request->next(request);
	else
		request_finish_refusal(request, WIRE_ERROR_COLLECTION_EXISTS, "name",
		                       "there is a collection '%s' already",
		                       collection->entry.name);
}

static void create_committed(struct change *change)
{
	struct collection *collection = change->collection;
	struct request *request = change->request;

	collection->state = COLLECTION_CLOSED;
	note_undo(change);
	if (change->result == CATALOG_EXISTS) {
		name_was_taken(change);
		collection_wake(collection);
		return;
	}
	if (change->result) {
		log_error("cannot create collection '%s': %s", collection->entry.name,
		          change->result < 0 ? strerror(-change->result) : catalog_last_error());
		request_refuse_errno(request, change->result < 0 ? change->result : -EIO,
		                     "creating the collection");
		request->failed = 0; /* logged above */
		note_unmade(change);
		registry_remove(change->collections, collection);
	} else {
		log_info("collection '%s': created, %u dimensions", collection->entry.name,
		         collection->entry.spec.dim);
		events_change(collection, WIRE_change_created);
		request_result(request, &(struct create_collection_result){
		                                .uuid = {collection->uuid_text, UUID_TEXT_SIZE - 1},
		                                .created = true,
		                        });
	}
	request_finish(request);
	collection_wake(collection);
}

static int new_entry(struct daemon *daemon, const struct create_collection_params *params,
                     struct catalog_entry *entry)
{
	*entry = (struct catalog_entry){
	        .spec = {.dim = params->dim, .metric = params->metric, .dtype = params->dtype},
	        .created_ms = clock_wall_ms(daemon->clock),
	        .state = CATALOG_CREATING,
	        .bulk = params->bulk,
	};
	memcpy(entry->name, params->name.data, params->name.n);
	if (params->space.data)
		memcpy(entry->spec.space, params->space.data, params->space.n);
	return uuid_new(&entry->spec.uuid);
}

void collections_create(struct collections *collections, struct request *request)
{
	const struct create_collection_params *params = request_params(request, create_collection);
	struct collection *collection = NULL;
	struct catalog_entry entry;
	int r = new_entry(request->daemon, params, &entry);

	if (r == 0) {
		collection = collection_new(request->daemon, &entry, COLLECTION_CREATING);
		r = collection ? 0 : -ENOMEM;
	}
	if (r) {
		request_refuse_errno(request, r, "creating the collection");
		request_finish(request);
		return;
	}
	list_append(&collections->all, &collection->link);
	collections->n++;
	if (!change_queue(collections, request, collection, create_commit, create_committed)) {
		collection->state = COLLECTION_CLOSED;
		registry_remove(collections, collection);
		return;
	}
	changes_kick(collections);
}

/* restore ------------------------------------------------------------------------------------- */

static void restore_committed(struct change *change)
{
	struct collection *collection = change->collection;

	note_undo(change);
	collection->state = COLLECTION_CLOSED;
	if (change->result) {
		note_unmade(change);
		registry_remove(change->collections, collection);
	} else {
		log_info("collection '%s': restored", collection->entry.name);
		events_change(collection, WIRE_change_created);
	}
	change->ended(change->ctx, change->result);
	collection_wake(collection);
}

int collections_restore(struct collections *collections, const struct catalog_entry *entry,
                        int (*fill)(void *ctx, struct collection *collection, struct job *work),
                        void (*ended)(void *ctx, int result), void *ctx)
{
	struct collection *collection;
	struct change *change;

	if (collections_find(collections, wire_text(entry->name)))
		return -EEXIST;
	collection = collection_new(collections->daemon, entry, COLLECTION_CREATING);
	if (!collection)
		return -ENOMEM;
	list_append(&collections->all, &collection->link);
	collections->n++;
	change = change_queue(collections, NULL, collection, create_commit, restore_committed);
	if (!change) {
		collection->state = COLLECTION_CLOSED;
		registry_remove(collections, collection);
		return -ENOMEM;
	}
	change->fill = fill;
	change->ended = ended;
	change->ctx = ctx;
	change->lane = LANE_BACKGROUND;
	changes_kick(collections);
	return 0;
}

/* rename -------------------------------------------------------------------------------------- */

static int rename_commit(struct change *change)
{
	return catalog_rename(change->collections->catalog, &change->collection->entry.spec.uuid,
	                      change->name);
}

static void rename_committed(struct change *change)
{
	struct collection *collection = change->collection;
	struct request *request = change->request;

	if (change->result == CATALOG_EXISTS || change->result == CATALOG_MISSING) {
		request_refuse(request,
		               change->result == CATALOG_EXISTS ? WIRE_ERROR_COLLECTION_EXISTS
		                                                : WIRE_ERROR_DROPPED,
		               change->result == CATALOG_EXISTS ? "name" : "collection",
		               change->result == CATALOG_EXISTS
		                       ? "there is a collection '%s' already"
		                       : "the collection was dropped before it could be named '%s'",
		               change->name);
	} else if (change->result) {
		request_refuse_errno(request, change->result, "renaming the collection");
	} else {
		log_info("collection '%s': renamed to '%s'", collection->entry.name, change->name);
		strcpy(collection->entry.name, change->name);
		events_change(collection, WIRE_change_renamed);
		request_result(request, &(struct rename_collection_result){0});
	}
	request_finish(request);
}

void collections_rename(struct collections *collections, struct request *request)
{
	struct wire_str name = request_params(request, rename_collection)->name;
	struct change *change = change_queue(collections, request, request->collection,
	                                     rename_commit, rename_committed);

	if (!change)
		return;
	memcpy(change->name, name.data, name.n);
	changes_kick(collections);
}

/* bulk ---------------------------------------------------------------------------------------- */

static int bulk_commit(struct change *change)
{
	return catalog_set_bulk(change->collections->catalog, &change->collection->entry.spec.uuid,
	                        change->bulk);
}

static void bulk_committed(struct change *change)
{
	struct collection *collection = change->collection;
	struct request *request = change->request;
	struct set_bulk_result result = {.changed = collection->entry.bulk != change->bulk};

	if (change->result == CATALOG_MISSING) {
		request_refuse(request, WIRE_ERROR_DROPPED, "collection",
		               "the collection was dropped");
	} else if (change->result) {
		request_refuse_errno(request, change->result, "setting bulk");
	} else {
		if (result.changed)
			log_info("collection '%s': bulk writing is %s", collection->entry.name,
			         change->bulk ? "on" : "off");
		collection_set_bulk(collection, change->bulk);
		request_result(request, &result);
	}
	request_finish(request);
}

void collections_set_bulk(struct collections *collections, struct request *request)
{
	struct change *change = change_queue(collections, request, request->collection, bulk_commit,
	                                     bulk_committed);

	if (!change)
		return;
	change->bulk = request_params(request, set_bulk)->bulk;
	changes_kick(collections);
}

/* drop ---------------------------------------------------------------------------------------- */

static int drop_commit(struct change *change)
{
	struct collections *collections = change->collections;
	const struct uuid *uuid = &change->collection->entry.spec.uuid;
	int r = catalog_set_state(collections->catalog, uuid, CATALOG_DROPPED);

	if (reserve_helps(collections->daemon->reserve, r))
		r = catalog_set_state(collections->catalog, uuid, CATALOG_DROPPED);
	return r;
}

static void drop_committed(struct change *change)
{
	struct collection *collection = change->collection;
	struct request *request = change->request;

	collection->dropping = false;
	if (change->result) {
		request_refuse_errno(request, change->result < 0 ? change->result : -EIO,
		                     "dropping the collection");
		request_finish(request);
		collection_wake(collection);
		return;
	}
	collection->dropped = true;
	log_info("collection '%s': dropped", collection->entry.name);
	events_change(collection, WIRE_change_dropped);
	/* Nothing begins any more; then who waits is told why, before tasks are only cancelled. */
	collection->upkeep.stopped = true;
	indexes_drop(collection, WIRE_ERROR_DROPPED, "the collection was dropped");
	upkeep_stop(collection);
	registry_remove(change->collections, collection);
	collection_refuse_pending(collection, WIRE_ERROR_DROPPED, "the collection was dropped");
	request_finish_result(request, &(struct drop_collection_result){.dropped = true});
}

void collections_drop(struct collections *collections, struct request *request)
{
	struct collection *collection = request->collection;

	if (!change_queue(collections, request, collection, drop_commit, drop_committed))
		return;
	collection->dropping = true;
	changes_kick(collections);
}

static void left(struct collections *collections)
{
	collections->n_leaving--;
	list_splice(&collections->changes, &collections->waiting);
	changes_kick(collections);
}

static int forget_commit(struct change *change)
{
	struct collections *collections = change->collections;
	int r = catalog_remove(collections->catalog, &change->uuid);

	if (reserve_helps(collections->daemon->reserve, r))
		r = catalog_remove(collections->catalog, &change->uuid);
	return r;
}

static void forget_committed(struct change *change)
{
	if (change->result && change->result != CATALOG_MISSING)
		log_error("cannot forget a dropped collection: %s; the next start does",
		          catalog_last_error());
	left(change->collections);
}

void collections_left(struct collections *collections, const struct uuid *uuid, bool is_removed)
{
	struct change *change =
	        is_removed ? change_queue(collections, NULL, NULL, forget_commit, forget_committed)
	                   : NULL;

	if (!change) {
		left(collections);
		return;
	}
	change->uuid = *uuid;
	changes_kick(collections);
}

/* The registry -------------------------------------------------------------------------------- */

struct collection *collections_next(const struct collections *collections,
                                    const struct collection *after)
{
	const struct list *link = after ? after->link.next : collections->all.next;

	return link == &collections->all ? NULL : LIST_ELEMENT(link, struct collection, link);
}

struct collection *collections_find(struct collections *collections, struct wire_str name)
{
	struct collection *collection = NULL;

	while ((collection = collections_next(collections, collection))) {
		if (strlen(collection->entry.name) == name.n &&
		    memcmp(collection->entry.name, name.data, name.n) == 0)
			return collection;
	}
	return NULL;
}

uint32_t collections_count(const struct collections *collections)
{
	return collections->n;
}

bool collections_idle(const struct collections *collections)
{
	return !collections->running && list_empty(&collections->changes) &&
	       list_empty(&collections->waiting);
}

void collections_refuse_pending(struct collections *collections)
{
	struct collection *collection = NULL;

	while ((collection = collections_next(collections, collection))) {
		upkeep_stop(collection);
		indexes_stop(collection);
		collection_refuse_pending(collection, WIRE_ERROR_STOPPING,
		                          "the daemon is stopping");
	}
}

void collections_stop(struct collections *collections)
{
	while (!list_empty(&collections->all))
		registry_remove(collections,
		                LIST_ELEMENT(collections->all.next, struct collection, link));
}

/* Start --------------------------------------------------------------------------------------- */

struct loading {
	struct collections *collections;
	struct uuid trash[LIMIT_COLLECTIONS];
	uint32_t n_trash;
};

static int load_entry(void *ctx, const struct catalog_entry *entry)
{
	struct loading *loading = ctx;
	struct collections *collections = loading->collections;
	struct collection *collection;

	if (entry->state != CATALOG_LIVE) {
		if (loading->n_trash < LIMIT_COLLECTIONS)
			loading->trash[loading->n_trash++] = entry->spec.uuid;
		return 0;
	}
	collection = collection_new(collections->daemon, entry, COLLECTION_CLOSED);
	if (!collection)
		return -ENOMEM;
	list_append(&collections->all, &collection->link);
	collections->n++;
	return 0;
}

/* What a crash left of collections that were being made or dropped. */
static void remove_trash(struct collections *collections, const struct uuid *uuid)
{
	struct daemon *daemon = collections->daemon;
	char text[UUID_TEXT_SIZE], path[COLLECTION_PATH_SIZE];
	int r;

	uuid_format(uuid, text);
	snprintf(path, sizeof(path), "%s/%s", daemon->config.cache_dir, text);
	r = store_remove_tree(daemon->io, path);
	snprintf(path, sizeof(path), "%s/%s", daemon->config.data_dir, text);
	if (r == 0)
		r = store_remove_tree(daemon->io, path);
	if (r == 0)
		r = catalog_remove(collections->catalog, uuid);
	if (r)
		log_warning("cannot remove the unfinished collection %s: %s", path,
		            r < 0 ? strerror(-r) : catalog_last_error());
}

static int load_all(struct collections *collections)
{
	struct loading *loading = calloc(1, sizeof(*loading));
	int r;

	if (!loading)
		return -ENOMEM;
	loading->collections = collections;
	r = catalog_each(collections->catalog, load_entry, loading);
	for (uint32_t i = 0; r == 0 && i < loading->n_trash; i++)
		remove_trash(collections, &loading->trash[i]);
	free(loading);
	return r;
}

int collections_new(struct daemon *daemon, struct collections **ret)
{
	struct collections *collections = calloc(1, sizeof(*collections));
	int r;

	if (!collections)
		return -ENOMEM;
	collections->daemon = daemon;
	list_init(&collections->all);
	list_init(&collections->changes);
	list_init(&collections->waiting);
	*ret = collections; /* collections find the registry through the daemon */
	r = catalog_open(daemon->io, daemon->config.data_dir, &collections->catalog);
	if (reserve_helps(daemon->reserve, r))
		r = catalog_open(daemon->io, daemon->config.data_dir, &collections->catalog);
	if (r == 0)
		r = load_all(collections);
	if (r == 0)
		return 0;
	log_error("cannot open the catalog in %s: %s", daemon->config.data_dir,
	          r == CATALOG_NEWER     ? "it was written by a newer Kith"
	          : r == CATALOG_FOREIGN ? "it is not a catalog"
	          : r == -EBADMSG        ? "it is damaged"
	                                 : strerror(-r));
	return r < 0 ? r : -EBADMSG;
}

struct collections *collections_free(struct collections *collections)
{
	if (!collections)
		return NULL;
	assert(list_empty(&collections->all));
	catalog_close(collections->catalog);
	free(collections);
	return NULL;
}
