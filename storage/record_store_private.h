/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the connections of one record store share. Nothing but record_*.c includes this.
 */

#include <stdatomic.h>

#include <sqlite3.h>

#include "storage/record_store.h"

struct record_store {
	struct store_io *io;
	char *path; /* of records.db */
	char *wal_path;
	struct record_spec spec;
	size_t cache_bytes;
	uint32_t page_bytes;
	size_t vector_bytes;
	/* Checkpoints only. Open for the store's whole life, so that SQLite's checkpoint on the
	 * last close never falls on a writer's or reader's free. */
	sqlite3 *maintenance;
	/* Written by the writer's commits and by restart checkpoints, read by anyone. A lone number
	 * that guards nothing, so relaxed order is enough. */
	_Atomic uint64_t wal_bytes;
	_Atomic uint64_t wal_file_bytes;
	/* Written by who has the turn to write, read by anyone: the same. */
	_Atomic uint64_t used_bytes, free_bytes;
	bool is_compactable; /* it was made so that free pages can leave it */
};

/* A connection of its own for a reader or the writer. */
int record_store_connect(struct record_store *store, int flags, sqlite3 **ret);

/* A commit reached so far into the WAL. */
void record_store_note_frames(struct record_store *store, uint64_t bytes);
/* One that failed may have reached farther than any that did not. */
void record_store_look_at_wal(struct record_store *store);

/* Counts the database's pages anew, as the connection sees them. */
int record_store_count_pages(struct record_store *store, sqlite3 *db);

/* Makes the database's file as long as so many pages need, rounded up to chunk_bytes, so that the
 * disk has room for what a checkpoint will write. -ENOSPC. */
int record_store_take_room(struct record_store *store, sqlite3 *db, int64_t n_pages,
                           uint64_t chunk_bytes);

/* A reader's connection, for the files that hold more of its queries. */
sqlite3 *record_reader_db(struct record_reader *reader);
