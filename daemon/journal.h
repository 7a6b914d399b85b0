/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The journal: every failure of the daemon's own, each once with how often it happened, so that
 * anyone can ask afterwards what went wrong (`errors`, `kith errors`). What log_error() and
 * log_warning() say is what it holds; nobody writes to it otherwise.
 *
 * In memory: the last JOURNAL_ENTRIES different failures. On disk: a line in errors.log of the data
 * directory for each that is new, and again when it has become twice as frequent; at
 * JOURNAL_FILE_BYTES the file becomes errors.log.1 and a new one begins. What cannot be written is
 * kept in memory and tried again later: a disk that fails must not stop the telling of it.
 *
 * Threads: all [loop], but the job that writes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "daemon/lanes.h"
#include "storage/clock.h"
#include "storage/store_io.h"

#define JOURNAL_ENTRIES 256u
#define JOURNAL_TEXT_SIZE 512u /* longer ones are cut */
#define JOURNAL_FILE_BYTES (256u << 10)

struct journal;

struct journal_entry {
	int64_t first_ms, last_ms; /* since 1970 */
	uint64_t count;
	bool is_warning;
	char text[JOURNAL_TEXT_SIZE]; /* UTF-8, one line */
};

/* Reads what the last daemon left in dir, which is there; bad lines are passed over. Blocks: before
 * the loop serves. From now on it hears the log. Borrows io and clock. -ENOMEM. */
int journal_new(struct store_io *io, struct clock *clock, const char *dir, struct journal **ret);
/* Writes what is new, blocking, and stops hearing. NULL is fine; returns NULL. */
struct journal *journal_free(struct journal *journal);

/* Begins a job that writes what is new, if there is anything. ended(ctx) comes on the loop. */
void journal_look(struct journal *journal, struct lanes *lanes, void (*ended)(void *ctx),
                  void *ctx);
bool journal_is_writing(const struct journal *journal);

uint32_t journal_count(const struct journal *journal);
/* The one after `after`, NULL: the first, which is the one that happened longest ago. NULL: none.
 */
const struct journal_entry *journal_next(const struct journal *journal,
                                         const struct journal_entry *after);
/* How many bytes of an entry's text say where: the rest says what, behind ": ". 0: the daemon. */
uint32_t journal_where(const struct journal_entry *entry);
