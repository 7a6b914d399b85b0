/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Entries stand in a list by when they happened last. A job takes the lines of those that are dirty
 * and appends them; the entries may change meanwhile, so what a line said is noted when it is
 * taken, and taken back when the job failed.
 */

#include "daemon/journal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/list.h"
#include "daemon/log.h"
#include "protocol/wire.h"

#define FILE_NAME "errors.log"
#define PATH_SIZE (CONFIG_PATH_SIZE + sizeof(FILE_NAME) + 8)
/* Of a line beside the text: three numbers and a letter. */
#define LINE_SIZE (JOURNAL_TEXT_SIZE + 72)
/* A file that cannot be written is tried again so much later. */
#define RETRY_NS (UINT64_C(60) * 1000000000)

struct entry {
	struct journal_entry public; /* first */
	struct list link;
	uint64_t written; /* its count in the last line of it */
};

struct journal {
	struct store_io *io;
	struct clock *clock;
	char path[PATH_SIZE], old_path[PATH_SIZE];
	struct entry entries[JOURNAL_ENTRIES];
	uint32_t n;
	struct list order; /* struct entry.link, the latest last */
	uint64_t retry_ns;
	/* The job; what it writes is its own while it is under way. */
	struct job job;
	bool writing;
	void (*ended)(void *ctx);
	void *ctx;
	char *lines; /* owned */
	size_t n_bytes;
	int result;
};

static struct entry *entry_of(struct list *link)
{
	return LIST_ELEMENT(link, struct entry, link);
}

/* Entries -------------------------------------------------------------------------------------- */

static struct entry *find(struct journal *journal, const char *text)
{
	for (struct list *link = journal->order.prev; link != &journal->order; link = link->prev) {
		if (strcmp(entry_of(link)->public.text, text) == 0)
			return entry_of(link);
	}
	return NULL;
}

/* The entry of that text as the latest: the one there is, or a new one with count 0. */
static struct entry *touch(struct journal *journal, const char *text)
{
	struct entry *entry = find(journal, text);

	if (entry) {
		list_remove(&entry->link);
	} else {
		entry = journal->n < JOURNAL_ENTRIES ? &journal->entries[journal->n++]
		                                     : entry_of(list_pop(&journal->order));
		*entry = (struct entry){.written = 0};
		list_init(&entry->link);
		strcpy(entry->public.text, text);
	}
	list_append(&journal->order, &entry->link);
	return entry;
}

/* Cuts at a whole character. */
static void take_text(char text[static JOURNAL_TEXT_SIZE], const char *from)
{
	size_t n = strnlen(from, JOURNAL_TEXT_SIZE);

	if (n == JOURNAL_TEXT_SIZE) {
		n--;
		while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(text, from, n);
	text[n] = '\0';
}

/* One line of UTF-8: a path may be none, and who knows what a disk made of a line. */
static void clean(char *text)
{
	bool is_utf8 = wire_utf8_valid(text, strlen(text));

	for (char *c = text; *c != '\0'; c++) {
		unsigned char byte = (unsigned char)*c;

		if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
			*c = '?';
	}
}

static void hear(void *ctx, bool is_warning, const char *said)
{
	struct journal *journal = ctx;
	char text[JOURNAL_TEXT_SIZE];
	struct entry *entry;

	take_text(text, said);
	clean(text);
	entry = touch(journal, text);
	entry->public.last_ms = clock_wall_ms(journal->clock);
	if (entry->public.count++ == 0)
		entry->public.first_ms = entry->public.last_ms;
	entry->public.is_warning = is_warning;
}

/* The file ------------------------------------------------------------------------------------- */

/* A line that makes no sense, or only half of it, is no reason to lose the others. */
static void read_line(struct journal *journal, char *line)
{
	struct journal_entry read;
	struct entry *entry;
	char letter;
	int n = 0;

	if (sscanf(line, "%" SCNd64 " %" SCNd64 " %" SCNu64 " %c %n", &read.first_ms, &read.last_ms,
	           &read.count, &letter, &n) != 4 ||
	    n == 0 || line[n] == '\0' || read.count == 0 || (letter != 'E' && letter != 'W'))
		return;
	take_text(read.text, line + n);
	clean(read.text);
	entry = touch(journal, read.text);
	if (entry->public.count == 0)
		entry->public.first_ms = read.first_ms;
	entry->public.last_ms = read.last_ms;
	entry->public.count = read.count;
	entry->public.is_warning = letter == 'W';
	entry->written = read.count;
}

static void read_file(struct journal *journal, const char *path)
{
	struct store_file *file;
	char *text, *rest, *line;
	ssize_t n = -1;

	if (store_open(journal->io, path, STORE_READ, &file) < 0)
		return;
	text = malloc(JOURNAL_FILE_BYTES + 1);
	if (text)
		n = store_read(file, text, JOURNAL_FILE_BYTES, 0);
	store_close(file);
	if (n > 0) {
		text[n] = '\0';
		rest = text;
		while ((line = strsep(&rest, "\n")))
			read_line(journal, line);
	}
	free(text);
}

static int append(struct journal *journal, const char *lines, size_t n_bytes)
{
	struct store_file *file;
	uint64_t size = 0;
	int r = store_open(journal->io, journal->path, STORE_READ | STORE_WRITE | STORE_CREATE,
	                   &file);

	if (r < 0)
		return r;
	r = store_size(file, &size);
	if (r == 0 && size + n_bytes > JOURNAL_FILE_BYTES) {
		store_close(file);
		r = store_rename(journal->io, journal->path, journal->old_path);
		if (r < 0)
			return r;
		r = store_open(journal->io, journal->path,
		               STORE_READ | STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &file);
		if (r < 0)
			return r;
		size = 0;
	}
	if (r == 0)
		r = store_write(file, lines, n_bytes, size);
	store_close(file);
	return r;
}

/* Writing -------------------------------------------------------------------------------------- */

static bool is_dirty(const struct entry *entry)
{
	return entry->public.count >= 2 * entry->written && entry->public.count > entry->written;
}

/* Takes the lines of what is dirty; all: of whatever has changed. False: there are none. */
static bool take_lines(struct journal *journal, bool all)
{
	journal->lines = NULL;
	journal->n_bytes = 0;
	for (struct list *link = journal->order.next; link != &journal->order; link = link->next) {
		struct entry *entry = entry_of(link);
		const struct journal_entry *at = &entry->public;

		if (!is_dirty(entry) && !(all && at->count > entry->written))
			continue;
		if (!journal->lines)
			journal->lines = malloc(JOURNAL_ENTRIES * LINE_SIZE);
		if (!journal->lines)
			return false;
		journal->n_bytes += (size_t)snprintf(journal->lines + journal->n_bytes, LINE_SIZE,
		                                     "%" PRId64 " %" PRId64 " %" PRIu64 " %c %s\n",
		                                     at->first_ms, at->last_ms, at->count,
		                                     at->is_warning ? 'W' : 'E', at->text);
		entry->written = at->count;
	}
	return journal->n_bytes > 0;
}

static void lines_written(struct journal *journal)
{
	free(journal->lines);
	journal->lines = NULL;
	if (journal->result == 0)
		return;
	/* All that is newer than the file goes with the next try. */
	for (uint32_t i = 0; i < journal->n; i++)
		journal->entries[i].written = 0;
	journal->retry_ns = clock_monotonic_ns(journal->clock) + RETRY_NS;
}

static void write_work(struct job *job, uint32_t worker)
{
	struct journal *journal = LIST_ELEMENT(job, struct journal, job);

	(void)worker;
	journal->result = append(journal, journal->lines, journal->n_bytes);
}

static void write_done(struct job *job)
{
	struct journal *journal = LIST_ELEMENT(job, struct journal, job);

	lines_written(journal);
	journal->writing = false;
	journal->ended(journal->ctx);
}

void journal_look(struct journal *journal, struct lanes *lanes, void (*ended)(void *ctx), void *ctx)
{
	if (journal->writing || clock_monotonic_ns(journal->clock) < journal->retry_ns ||
	    !take_lines(journal, false))
		return;
	journal->writing = true;
	journal->ended = ended;
	journal->ctx = ctx;
	journal->job = (struct job){.what = "journal", .work = write_work, .done = write_done};
	lanes_submit(lanes, LANE_BACKGROUND, &journal->job);
}

bool journal_is_writing(const struct journal *journal)
{
	return journal->writing;
}

/* ---------------------------------------------------------------------------------------------- */

int journal_new(struct store_io *io, struct clock *clock, const char *dir, struct journal **ret)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal)
		return -ENOMEM;
	journal->io = io;
	journal->clock = clock;
	list_init(&journal->order);
	snprintf(journal->path, sizeof(journal->path), "%s/" FILE_NAME, dir);
	snprintf(journal->old_path, sizeof(journal->old_path), "%s/" FILE_NAME ".1", dir);
	read_file(journal, journal->old_path);
	read_file(journal, journal->path);
	log_tell(hear, journal);
	*ret = journal;
	return 0;
}

struct journal *journal_free(struct journal *journal)
{
	if (!journal)
		return NULL;
	log_tell(NULL, NULL);
	if (take_lines(journal, true))
		(void)append(journal, journal->lines, journal->n_bytes);
	free(journal->lines);
	free(journal);
	return NULL;
}

uint32_t journal_count(const struct journal *journal)
{
	return journal->n;
}

const struct journal_entry *journal_next(const struct journal *journal,
                                         const struct journal_entry *after)
{
	const struct list *link =
	        after ? ((const struct entry *)after)->link.next : journal->order.next;

	return link == &journal->order ? NULL : &LIST_ELEMENT(link, struct entry, link)->public;
}

uint32_t journal_where(const struct journal_entry *entry)
{
	static const char *const kinds[] = {"collection '", "index '", "client '"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *end = strstr(entry->text, "': ");

		if (end && strncmp(entry->text, kinds[i], strlen(kinds[i])) == 0)
			return (uint32_t)(end + 1 - entry->text);
	}
	return 0;
}
