/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/corpus.h"

/*
 * Each source lists its files, those nearest to its root with the shortest names first: the plain
 * tools and headers before their many special cases. Reading then always goes on with the source
 * that is furthest behind its share, so that a missing one leaves its share to the others.
 *
 * A passage ends at the first blank line once it is long enough, or where it gets too long. Bytes
 * that are not UTF-8 (old Latin-1 documents) become question marks.
 */

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "tests/demo/roff.h"
#include "protocol/wire.h"

#define MAX_FILE_BYTES (1u << 20)
#define ENOUGH_BYTES 300
#define MAX_PASSAGE_BYTES 700
#define MIN_LETTERS 60
/* No file may crowd out the others. */
#define MAX_FROM_FILE 200

struct file_entry {
	char *path;
	int depth;
	size_t length;
};

struct source {
	const char *root;
	const char *folders; /* how names of the folders right below it begin */
	bool (*wants)(const char *name, size_t n);
	bool is_roff;
	unsigned share;
	struct file_entry *files;
	size_t n_files;
	size_t next;
	size_t n_passages; /* taken from here */
};

static bool ends_with(const char *name, size_t n, const char *suffix)
{
	size_t n_suffix = strlen(suffix);

	return n >= n_suffix && memcmp(name + n - n_suffix, suffix, n_suffix) == 0;
}

static bool wants_header(const char *name, size_t n)
{
	return ends_with(name, n, ".h");
}

static bool wants_any(const char *name, size_t n)
{
	return n > 0 && name[0] != '.';
}

static bool wants_document(const char *name, size_t n)
{
	static const char *const suffixes[] = {
	        ".txt",   ".txt.gz",   ".md",           ".md.gz",  ".rst", ".rst.gz",
	        "README", "README.gz", "README.Debian", "NEWS.gz", "FAQ",  "copyright",
	};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++)
		if (ends_with(name, n, suffixes[i]))
			return true;
	return false;
}

/* Folders of manual pages are man1 and so on; the others hold translations. */
static const struct source all_sources[] = {
        {.root = "/usr/include", .folders = "", .wants = wants_header, .share = 30},
        {.root = "/usr/share/man",
         .folders = "man",
         .wants = wants_any,
         .is_roff = true,
         .share = 40},
        {.root = "/usr/share/doc", .folders = "", .wants = wants_document, .share = 28},
        {.root = "/usr/share/common-licenses", .folders = "", .wants = wants_any, .share = 2},
};

#define N_SOURCES (sizeof(all_sources) / sizeof(*all_sources))

/* Listing. ------------------------------------------------------------------------------------ */

static int add_file(struct source *source, const FTSENT *entry)
{
	struct file_entry *file;

	if ((source->n_files & (source->n_files - 1)) == 0) {
		size_t room = source->n_files ? source->n_files * 2 : 1;
		struct file_entry *grown = realloc(source->files, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		source->files = grown;
	}
	file = &source->files[source->n_files];
	file->path = strdup(entry->fts_path);
	file->depth = entry->fts_level;
	file->length = entry->fts_pathlen;
	if (!file->path)
		return -ENOMEM;
	source->n_files++;
	return 0;
}

static int by_plainness(const void *a, const void *b)
{
	const struct file_entry *x = a;
	const struct file_entry *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return strcmp(x->path, y->path);
}

static int list_files(struct source *source, const volatile sig_atomic_t *stop)
{
	char *const roots[] = {(char *)source->root, NULL};
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *entry;
	int r = 0;

	if (!tree)
		return -errno;
	while (!r && !*stop && (entry = fts_read(tree))) {
		if (entry->fts_info == FTS_D && entry->fts_level == 1 &&
		    strncmp(entry->fts_name, source->folders, strlen(source->folders)) != 0)
			fts_set(tree, entry, FTS_SKIP);
		else if (entry->fts_info == FTS_F &&
		         source->wants(entry->fts_name, entry->fts_namelen))
			r = add_file(source, entry);
	}
	fts_close(tree);
	if (source->n_files > 0)
		qsort(source->files, source->n_files, sizeof(*source->files), by_plainness);
	return r;
}

/* Splitting. ---------------------------------------------------------------------------------- */

struct splitter {
	struct corpus *corpus;
	const char *file;
	uint32_t line;       /* the one at hand, from 1 */
	uint32_t first_line; /* of the passage at hand */
	uint32_t n_passages; /* of this file */
	uint32_t n;
	char text[MAX_PASSAGE_BYTES];
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_worth_keeping(const char *text, uint32_t n)
{
	uint32_t letters = 0;

	for (uint32_t i = 0; i < n; i++)
		letters += is_letter(text[i]);
	return letters >= MIN_LETTERS;
}

/* Ends the passage at hand and keeps it if there is something in it. */
static int end_passage(struct splitter *splitter)
{
	struct corpus *corpus = splitter->corpus;
	struct passage *passage = &corpus->passages[corpus->n];
	uint32_t n = splitter->n;

	splitter->n = 0;
	if (corpus->n == corpus->max || splitter->n_passages == MAX_FROM_FILE ||
	    !is_worth_keeping(splitter->text, n))
		return 0;
	passage->text = strndup(splitter->text, n);
	if (!passage->text)
		return -ENOMEM;
	passage->n = n;
	if (!wire_utf8_valid(passage->text, n))
		for (uint32_t i = 0; i < n; i++)
			if (passage->text[i] & 0x80)
				passage->text[i] = '?';
	passage->file = splitter->file;
	passage->number = ++splitter->n_passages;
	passage->line = splitter->first_line;
	corpus->n++;
	return 0;
}

static void add_line(struct splitter *splitter, const char *line, size_t n)
{
	size_t room = sizeof(splitter->text) - splitter->n - 1;

	if (splitter->n == 0)
		splitter->first_line = splitter->line;
	n = n < room ? n : room;
	for (size_t i = 0; i < n; i++) {
		char c = line[i];

		splitter->text[splitter->n++] = (unsigned char)c < ' ' || c == 0x7f ? ' ' : c;
	}
	splitter->text[splitter->n++] = '\n';
}

static int split_line(struct splitter *splitter, const char *line, size_t n)
{
	bool blank = strspn(line, " \t\r") >= n;
	int r = 0;

	if (splitter->n > 0 && splitter->n + n + 1 > sizeof(splitter->text))
		r = end_passage(splitter);
	if (!blank)
		add_line(splitter, line, n);
	else if (splitter->n >= ENOUGH_BYTES)
		r = end_passage(splitter);
	return r;
}

/* text is n bytes and a terminator; it is changed. */
static int split_text(struct splitter *splitter, char *text, size_t n, bool is_roff)
{
	char *end = text + n;
	int r = 0;

	for (char *line = text; line < end && !r; splitter->line++) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		char *next = newline ? newline + 1 : end;
		size_t n_line = (size_t)((newline ? newline : end) - line);

		line[n_line] = '\0';
		if (is_roff) {
			n_line = roff_plain_line(line, n_line);
			line[n_line] = '\0';
		}
		r = split_line(splitter, line, n_line);
		line = next;
	}
	return r ? r : end_passage(splitter);
}

/* Reading. ------------------------------------------------------------------------------------ */

/* The file's bytes, unpacked if packed, and a terminator; NULL when it is unreadable, binary or
 * too large to be prose. */
static char *read_text(const char *path, size_t *ret_n)
{
	gzFile file = gzopen(path, "rb");
	char *text = file ? malloc(MAX_FILE_BYTES + 1) : NULL;
	int n = text ? gzread(file, text, MAX_FILE_BYTES + 1) : -1;

	if (file)
		gzclose(file);
	if (n < 0 || (unsigned)n > MAX_FILE_BYTES || memchr(text, '\0', (size_t)n)) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	*ret_n = (size_t)n;
	return text;
}

static int read_file(struct corpus *corpus, struct source *source, struct file_entry *entry)
{
	struct splitter splitter = {.corpus = corpus, .file = entry->path, .line = 1};
	size_t n;
	char *text = read_text(entry->path, &n);
	int r;

	if (!text)
		return 0;
	r = split_text(&splitter, text, n, source->is_roff);
	free(text);
	if (splitter.n_passages == 0)
		return r;
	source->n_passages += splitter.n_passages;
	corpus->files[corpus->n_files++] = entry->path;
	entry->path = NULL;
	return r;
}

/* The source with files left that is furthest behind its share; NULL when all are used up. */
static struct source *choose_source(struct source *sources)
{
	struct source *chosen = NULL;

	for (struct source *source = sources; source < sources + N_SOURCES; source++) {
		if (source->next == source->n_files)
			continue;
		if (!chosen ||
		    source->n_passages * chosen->share < chosen->n_passages * source->share)
			chosen = source;
	}
	return chosen;
}

int corpus_gather(struct corpus *corpus, size_t max, const volatile sig_atomic_t *stop)
{
	struct source sources[N_SOURCES];
	struct source *source;
	size_t n_files = 0;
	int r = 0;

	memcpy(sources, all_sources, sizeof(sources));
	*corpus = (struct corpus){.max = max};
	for (size_t i = 0; i < N_SOURCES && !r; i++) {
		r = list_files(&sources[i], stop);
		n_files += sources[i].n_files;
	}
	corpus->passages = calloc(max + 1, sizeof(*corpus->passages));
	corpus->files = calloc(n_files + 1, sizeof(*corpus->files));
	if (!corpus->passages || !corpus->files)
		r = -ENOMEM;
	while (!r && !*stop && corpus->n < max && (source = choose_source(sources)))
		r = read_file(corpus, source, &source->files[source->next++]);
	for (size_t i = 0; i < N_SOURCES; i++) {
		for (size_t j = 0; j < sources[i].n_files; j++)
			free(sources[i].files[j].path);
		free(sources[i].files);
	}
	return r;
}

void corpus_release(struct corpus *corpus)
{
	for (size_t i = 0; i < corpus->n; i++)
		free(corpus->passages[i].text);
	for (size_t i = 0; i < corpus->n_files; i++)
		free(corpus->files[i]);
	free(corpus->passages);
	free(corpus->files);
	*corpus = (struct corpus){0};
}
