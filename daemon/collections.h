/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The registry: all collections by name, kept in step with the catalog. What changes the catalog
 * (create, rename, bulk, drop) is queued and runs one at a time in the write lane; the registry
 * follows when it was committed. [loop]
 */

#include "daemon/request.h"
#include "storage/catalog.h"

struct collections;
struct collection;

/* Opens the catalog, removes what unfinished creations and drops left, and lists the rest.
 * Blocks: for the start only. The log has said why on failure. */
int collections_new(struct daemon *daemon, struct collections **ret);
/* After collections_stop() and when every collection has closed. NULL is fine; returns NULL. */
struct collections *collections_free(struct collections *collections);
/* Gives up the registry's references: each collection closes when nothing uses it any more. */
void collections_stop(struct collections *collections);
/* Refuses what waits for any collection; what runs ends. */
void collections_refuse_pending(struct collections *collections);
/* Whether no change of the catalog is queued or under way. */
bool collections_idle(const struct collections *collections);

struct collection *collections_find(struct collections *collections, struct wire_str name);
uint32_t collections_count(const struct collections *collections);
/* The next collection after `after` (NULL: the first) in the order of creation; NULL at the end. */
struct collection *collections_next(const struct collections *collections,
                                    const struct collection *after);

/* The changes; each answers the request when it is committed. */
void collections_create(struct collections *collections, struct request *request);
void collections_rename(struct collections *collections, struct request *request);
void collections_set_bulk(struct collections *collections, struct request *request);
void collections_drop(struct collections *collections, struct request *request);
/* Makes a collection of that entry, which keeps its uuid: fill() makes the files in its
 * data directory, in the background lane, as work [worker]; ended(ctx, result) tells on the loop
 * when it was committed: 0, what fill() returned, CATALOG_EXISTS (another was renamed to its name
 * meanwhile), -EBUSY (what was dropped under that uuid could not be removed) or -errno. It begins
 * when what is being removed under that uuid is gone. Other changes of the catalog wait for it.
 * -EEXIST, -ENOMEM: nothing was begun. */
int collections_restore(struct collections *collections, const struct catalog_entry *entry,
                        int (*fill)(void *ctx, struct collection *collection, struct job *work),
                        void (*ended)(void *ctx, int result), void *ctx);
/* A dropped collection has closed. When its files are removed the catalog may forget it, else the
 * next start tries. */
void collections_left(struct collections *collections, const struct uuid *uuid, bool is_removed);
