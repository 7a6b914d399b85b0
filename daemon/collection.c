/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/collection.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/index.h"
#include "daemon/log.h"

struct collection *collection_new(struct daemon *daemon, const struct catalog_entry *entry,
                                  enum collection_state state)
{
	struct collection *collection = calloc(1, sizeof(*collection));
	uint32_t n_workers = lanes_n_workers(daemon->lanes);

	if (!collection)
		return NULL;
	collection->readers = calloc(n_workers, sizeof(struct record_reader *));
	collection->tally = tally_new();
	if (!collection->readers || !collection->tally) {
		free(collection->readers);
		tally_unref(collection->tally);
		free(collection);
		return NULL;
	}
	collection->daemon = daemon;
	collection->n_refs = 1;
	collection->entry = *entry;
	collection->state = state;
	uuid_format(&entry->spec.uuid, collection->uuid_text);
	snprintf(collection->data_dir, COLLECTION_PATH_SIZE, "%s/%s", daemon->config.data_dir,
	         collection->uuid_text);
	snprintf(collection->cache_dir, COLLECTION_PATH_SIZE, "%s/%s", daemon->config.cache_dir,
	         collection->uuid_text);
	snprintf(collection->vectors_path, COLLECTION_PATH_SIZE, "%.*s/vectors",
	         COLLECTION_PATH_SIZE - 16, collection->cache_dir);
	list_init(&collection->link);
	list_init(&collection->waiting);
	list_init(&collection->pins);
	list_init(&collection->held_reads);
	list_init(&collection->indexes);
	list_init(&collection->gather_link);
	write_queue_init(&collection->writes);
	record_table_init(&collection->table, daemon->budget);
	resident_init(&collection->resident, (enum metric)entry->spec.metric, entry->spec.dim,
	              (enum dtype)entry->spec.dtype, daemon->budget);
	namespaces_init(&collection->namespaces);
	upkeep_init(&collection->upkeep, collection);
	daemon->n_handles++;
	return collection;
}

struct collection *collection_ref(struct collection *collection)
{
	collection->n_refs++;
	return collection;
}

void collection_unref(struct collection *collection)
{
	assert(collection->n_refs > 0);
	if (--collection->n_refs == 0)
		collection_close(collection);
}

/* Admission ----------------------------------------------------------------------------------- */

static void admit(struct request *request)
{
	struct collection *collection = request->collection;

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "waiting for the collection");
		request_finish(request);
	} else if (collection->dropped) {
		request_finish_refusal(request, WIRE_ERROR_DROPPED, "collection",
		                       "the collection '%s' was dropped", collection->entry.name);
	} else if (request->daemon->stopping) {
		request_finish_refusal(request, WIRE_ERROR_STOPPING, NULL,
		                       "the daemon is stopping");
	} else if (collection->state == COLLECTION_OPEN && !collection->dropping) {
		request->admitted(request);
	} else {
		request->next = admit;
		list_append(&collection->waiting, &request->wait_link);
		if (collection->state == COLLECTION_CLOSED)
			collection_open(collection);
	}
}

void collection_enter(struct request *request, struct wire_str name, request_step admitted)
{
	struct collection *collection = collections_find(request->daemon->collections, name);

	if (!collection) {
		request_finish_refusal(request, WIRE_ERROR_NO_COLLECTION, "collection",
		                       "there is no collection '%.*s'", (int)name.n, name.data);
		return;
	}
	request->collection = collection_ref(collection);
	request->admitted = admitted;
	admit(request);
}

void collection_queue_read(struct request *request)
{
	struct request *write =
	        write_queue_last(&request->collection->writes, request->session_number);

	if (!write) {
		reading_queue(request);
		return;
	}
	request->next = reading_queue;
	list_append(&write->followers, &request->wait_link);
}

void collection_queue_write(struct request *request)
{
	struct collection *collection = request->collection;

	if (write_queue_push(&collection->writes, request) < 0) {
		request_refuse_errno(request, -ENOMEM, "queueing the write");
		request_finish(request);
		return;
	}
	collection_kick(collection);
}

void collection_wake(struct collection *collection)
{
	struct list waiting, *link;

	list_init(&waiting);
	list_splice(&waiting, &collection->waiting);
	while ((link = list_pop(&waiting))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		request->next(request);
	}
}

void collection_opened(struct collection *collection, const struct wire_error *error)
{
	struct list *link;

	collection->state = error ? COLLECTION_CLOSED : COLLECTION_OPEN;
	/* Who waited for an opening that failed gets its error; the next use tries again. */
	while (error && (link = list_pop(&collection->waiting))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		if (request->unopened && !collection->daemon->stopping) {
			request->unopened(request);
			continue;
		}
		request_refuse_with(request, error);
		request_finish(request);
	}
	/* Before those that waited, so that an ensure finds the load of a snapshot under way. */
	if (!error)
		upkeep_look(collection);
	collection_wake(collection);
}

static void refuse_list(struct list *list, enum wire_error_code code, const char *message)
{
	struct list *link;

	while ((link = list_pop(list))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		request_finish_refusal(request, code, NULL, "%s", message);
	}
}

void collection_refuse_pending(struct collection *collection, enum wire_error_code code,
                               const char *message)
{
	struct list pending;

	list_init(&pending);
	write_queue_drain(&collection->writes, &pending);
	for (struct list *link = pending.next; link != &pending; link = link->next)
		write_queue_forget(&collection->writes,
		                   LIST_ELEMENT(link, struct request, wait_link));
	refuse_list(&pending, code, message);
	refuse_list(&collection->held_reads, code, message);
	collection_wake(collection);
}

void collection_kick(struct collection *collection)
{
	struct daemon *daemon = collection->daemon;
	struct request *requests[WRITE_GROUP_REQUESTS];
	struct write_task *task;
	uint32_t n;

	list_remove(&collection->gather_link);
	switch (write_queue_next(&collection->writes, clock_monotonic_ns(daemon->clock), &task,
	                         requests, &n)) {
	case WRITE_NOTHING:
		return;
	case WRITE_TASK:
		task->start(task);
		return;
	case WRITE_GROUP:
		collection_write(collection, requests, n);
		return;
	case WRITE_GATHERING:
		daemon_queue_gathering(daemon, collection);
		return;
	}
}

void collection_turn_done(struct collection *collection)
{
	write_queue_done(&collection->writes, clock_monotonic_ns(collection->daemon->clock));
}

bool collection_has_been_at(const struct collection *collection, const struct uuid *epoch,
                            uint64_t seq)
{
	struct record_epoch now = {.seq = collection->seq}, end;

	return record_epochs_end(collection->epochs, epoch, &now, &end) && seq <= end.seq;
}

void collection_set_bulk(struct collection *collection, bool bulk)
{
	struct cache_prefix ours = {collection->entry.spec.uuid, CACHE_ANY_INDEX, NULL};
	bool changed = collection->entry.bulk != bulk;

	collection->entry.bulk = bulk;
	if (!changed)
		return;
	if (bulk)
		cache_shed(collection->daemon->cache, &ours, UINT64_MAX, 0);
	else
		indexes_end_bulk(collection);
	upkeep_look(collection);
}

bool collection_has_vectors(const struct collection *collection)
{
	return collection->vectors && collection->mapped_rows == collection->n_rows;
}

/* Pins ---------------------------------------------------------------------------------------- */

void collection_pin(struct collection *collection, enum pin_kind kind, struct pin *pin)
{
	pin->kind = kind;
	pin->seq = collection->seq;
	pin->n_rows = collection->n_rows;
	pin->mapped_rows = collection->mapped_rows;
	/* Codes outlive a vector file that is being restored, but are of no use without it. */
	pin->resident_rows = collection->resident.n_rows < pin->mapped_rows
	                             ? collection->resident.n_rows
	                             : pin->mapped_rows;
	pin->n_live = collection->n_live;
	list_append(&collection->pins, &pin->link);
	collection_ref(collection);
}

void collection_unpin(struct collection *collection, struct pin *pin)
{
	list_remove(&pin->link);
	collection_unref(collection);
}

int collection_writer(struct collection *collection)
{
	if (collection->writer)
		return 0;
	return record_writer_new(collection->store, &collection->writer);
}

void collection_begin_copy(struct collection *collection)
{
	collection->n_copies++;
	collection->upkeep.copied = true;
}

void collection_end_copy(struct collection *collection)
{
	collection->n_copies--;
	upkeep_look(collection);
}

uint64_t collection_reap_seq(const struct collection *collection)
{
	for (const struct list *link = collection->pins.next; link != &collection->pins;
	     link = link->next) {
		const struct pin *pin = LIST_ELEMENT(link, const struct pin, link);

		if (pin->kind == PIN_RECORDS)
			return pin->seq;
	}
	return collection->seq;
}
