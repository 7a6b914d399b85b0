/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * catalog.db: which collections there are. Maps names to uuids; each collection's own directory
 * holds the rest. A collection is made in two commits (creating, then live) and dropped in two
 * (dropped, then gone), so that after a crash the catalog alone says which directories are
 * trash; a directory that it does not know is left alone.
 *
 * Threads: one caller at a time. [worker]
 */

#include <stdbool.h>
#include <stdint.h>

#include "storage/record.h"
#include "storage/store_io.h"

#define CATALOG_NAME_BYTES_MAX 128

enum {
	CATALOG_NEWER = 1,   /* open: written by a newer Kith */
	CATALOG_FOREIGN = 2, /* open: not a catalog */
	CATALOG_EXISTS = 3,  /* the name is taken */
	CATALOG_MISSING = 4,
};

enum catalog_state {
	CATALOG_CREATING = 0,
	CATALOG_LIVE = 1,
	CATALOG_DROPPED = 2,
};

struct catalog_entry {
	struct record_spec spec;
	char name[CATALOG_NAME_BYTES_MAX + 1];
	int64_t created_ms;
	enum catalog_state state;
	bool bulk; /* it is being filled: its indexes wait (daemon/collection.h) */
};

struct catalog;

/* Opens dir/catalog.db, making it when missing; runs the migrations its version lacks. */
int catalog_open(struct store_io *io, const char *dir, struct catalog **ret);
struct catalog *catalog_close(struct catalog *catalog);

/* Calls each(ctx, entry) for every entry, oldest first, until a result that is not 0, which is
 * returned. each() must not call the catalog. */
int catalog_each(struct catalog *catalog, int (*each)(void *ctx, const struct catalog_entry *entry),
                 void *ctx);
/* Adds the entry in state CATALOG_CREATING, whatever its own. CATALOG_EXISTS. One entry is made at
 * a time: another one of that name that is still in that state is moved to CATALOG_DROPPED. */
int catalog_add(struct catalog *catalog, const struct catalog_entry *entry);
/* Moves it on, never back; CATALOG_DROPPED frees the name. CATALOG_MISSING when it is not there or
 * is that far already. */
int catalog_set_state(struct catalog *catalog, const struct uuid *uuid, enum catalog_state state);
/* Of one that is not dropped: CATALOG_MISSING, CATALOG_EXISTS. The name is taken as by add(). */
int catalog_rename(struct catalog *catalog, const struct uuid *uuid, const char *name);
/* Of one that is not dropped: CATALOG_MISSING. */
int catalog_set_bulk(struct catalog *catalog, const struct uuid *uuid, bool bulk);
/* Forgets it, after its directories are gone. CATALOG_MISSING. */
int catalog_remove(struct catalog *catalog, const struct uuid *uuid);
/* What went wrong last on the calling thread, for the log. Valid until the next call on it. */
const char *catalog_last_error(void);
