/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The story of a snapshot that others carry on: an index is saved, the truth goes on behind it, and
 * however the daemon comes back, all of that is there.
 *
 *	make_saved_index(service->conn, "notes");
 *	write_behind_the_snapshot(service->conn);
 *	service_kill_and_start(service);
 *	expect_all_of_it(service->conn);
 *
 * Threads: the test's own.
 */

#include "tests/lib/kith_calls.h"
#include "tests/lib/scale.h"

#define SAVED_INDEX_RECORDS SCALED(400u)
/* After what is written behind the snapshot. */
#define SAVED_INDEX_LEFT (SAVED_INDEX_RECORDS + 30 - 20 - 5 + 5)

/* What the snapshot holds: records 0 to SAVED_INDEX_RECORDS, version 1. */
void make_saved_index(struct kith_conn *conn, const char *collection);
/* What it does not hold: all of this is acknowledged. In 'notes'. */
void write_behind_the_snapshot(struct kith_conn *conn);
/* What both left is there, and what they removed is nowhere. */
void expect_all_of_it(struct kith_conn *conn);
/* Nothing was built since the daemon came up, and what it folds in is what the snapshot lacked. */
void expect_opened_not_built(struct kith_conn *conn, uint64_t nodes_saved, uint64_t lacking);

/* The one snapshot in the directory. */
char *snapshot_in(const char *dir, char path[static DAEMON_PROCESS_PATH_SIZE]);
/* The journal has a failure that says so. */
void expect_journaled(struct kith_conn *conn, const char *what);
/* How often the daemon has said text, over all its lives. */
uint32_t n_said(const struct daemon_process *daemon, const char *text);
