/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opening and closing a collection.
 *
 * Opening is one job that may run several times: it opens the truth and the vector file, then
 * fills the record table. The table's rows are numbered as in the vector file: first all rows that
 * the file has (those whose slot is no longer live are dead from the start), then the live slots
 * that it lacks, which the restore care writes into it afterwards. Memory for the table is granted
 * on the loop, so the job stops when what it has is used up, says so, and goes on with more.
 *
 * When a search waits, a second job checks the vector file's extents meanwhile, from the last one
 * down: the scan would do so one after the other, and half of the first answer was that (60,000 x
 * 784: 25 ms of 50). It ends with the table at the latest, or when anybody else wants its worker.
 *
 * Where the file's rows are not those of the truth, or cannot be read, the table no longer follows
 * it. What is behind leaves the file in a last turn of the job, when nobody checks it any more.
 *
 * Nothing is inserted, rebuilt or synced here: opening costs a walk over slots and ids.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/index.h"
#include "daemon/log.h"
#include "daemon/vectors_cache.h"
#include "storage/snapshot.h"

/* First guess of what a string id takes; a wrong one costs another round. */
#define ID_BYTES_GUESS 24
/* Slots of the vector file that are read at once. */
#define SLOT_BATCH 4096
/* A vector file with more dead rows than live ones, and at least this many, is begun anew. */
#define DEAD_ROWS_MIN 4096

enum opening_outcome {
	OPENING_DONE,
	OPENING_MORE_MEMORY, /* the table needs a larger grant */
	OPENING_FORGETS,     /* the table is loaded; rows of the file are to leave it */
	OPENING_REFUSED,     /* the truth cannot be opened; error is filled */
};

/* An index that the truth declares; its parameters may be of no use. */
struct declared {
	char name[RECORD_INDEX_NAME_SIZE];
	struct index_params params;
	bool is_bad;
};

struct opening {
	struct job job;
	struct collection *collection;
	bool opened;  /* the files are open */
	bool loading; /* memory was granted once */
	int outcome;  /* enum opening_outcome, or -errno */
	struct wire_error error;
	const char *vectors_why; /* the vector file was begun anew, and why */
	int vectors_error;       /* it cannot even be made: -errno */
	int tidy_error;          /* what a crash left in the cache directory cannot be removed */
	struct record_store_state state;
	struct declared declared[LIMIT_INDEXES];
	uint32_t n_declared;
	uint64_t file_rows; /* of the vector file that the table follows */
	uint64_t file_at;   /* the next of them */
	uint64_t last_slot; /* of the live rows taken so far */
	uint64_t n_live;
	uint64_t round_rows;        /* of the table when this round of loading began */
	uint64_t slots[SLOT_BATCH]; /* of file rows [slots_first, slots_first + n_slots) */
	uint64_t slots_first, n_slots;
	struct job checking;
	bool is_checking;     /* until checking_done(): the file stays as it is */
	uint64_t n_to_check;  /* rows of the file; fixed before it begins, like */
	uint32_t extent_rows; /* of the file */
	bool has_ended; /* the table is loaded or never will be; only checking is waited for */
};

/* Opening: on the worker ---------------------------------------------------------------------- */

static void refuse(struct opening *opening, int r)
{
	const char *name = opening->collection->entry.name;

	switch (r) {
	case RECORD_STORE_NEWER:
		wire_error_set(&opening->error, WIRE_ERROR_DAMAGED, "collection",
		               "'%s' was written by a newer Kith: use that version", name);
		break;
	case RECORD_STORE_MISSING:
	case RECORD_STORE_FOREIGN:
		wire_error_set(&opening->error, WIRE_ERROR_DAMAGED, "collection",
		               "the database of '%s' is %s: put its own there, or drop it and "
		               "restore a backup",
		               name, r == RECORD_STORE_MISSING ? "missing" : "not its own");
		break;
	case -EBADMSG:
		wire_error_set(&opening->error, WIRE_ERROR_DAMAGED, "collection",
		               "the database of '%s' is damaged (%s): 'kith verify' tells more; "
		               "restore a backup, or 'kith repair'",
		               name, record_store_last_error());
		break;
	case -ELOOP:
		wire_error_set(&opening->error, WIRE_ERROR_DAMAGED, "collection",
		               "the database of '%s' is a symbolic link, and none is followed: put "
		               "the file itself there",
		               name);
		break;
	default:
		wire_error_set(&opening->error, WIRE_ERROR_STORAGE_FAILED, "collection",
		               "cannot open '%s': %s (%s)", name, strerror(r < 0 ? -r : EIO),
		               record_store_last_error());
	}
	opening->outcome = OPENING_REFUSED;
}

int collection_open_vectors(struct collection *collection, struct vector_file **ret,
                            const char **ret_why)
{
	const struct record_spec *spec = &collection->entry.spec;
	struct vector_file_spec vectors = {
	        .uuid = spec->uuid,
	        .dim = spec->dim,
	        .metric = spec->metric,
	        .dtype = spec->dtype,
	        .stride_bytes = collection_stride(collection),
	};
	struct store_io *io = collection->daemon->io;
	int r = store_make_dirs(io, collection->cache_dir);

	return r ? r : vector_file_open(io, collection->vectors_path, &vectors, ret, ret_why);
}

static void open_vectors(struct opening *opening)
{
	struct collection *collection = opening->collection;
	int r = collection_open_vectors(collection, &collection->vectors, &opening->vectors_why);

	opening->vectors_error = r;
	if (r == 0)
		opening->file_rows = vector_file_n_rows(collection->vectors);
}

static int take_declared(void *ctx, const struct record_index *record)
{
	struct opening *opening = ctx;
	struct declared *declared = &opening->declared[opening->n_declared];

	if (opening->n_declared == LIMIT_INDEXES)
		return 0;
	memcpy(declared->name, record->name, sizeof(declared->name));
	declared->is_bad = index_params_decode(record, &declared->params) != 0;
	opening->n_declared++;
	return 0;
}

/* Keeps the first failure; what is not there need not be tidied. */
static void note_tidying(struct opening *opening, int r)
{
	if (r < 0 && r != -ENOENT && opening->tidy_error == 0)
		opening->tidy_error = r;
}

/* Removes a snapshot that belongs to no declaration: what a crash left of a drop or a swap. */
static int forget_stray(void *ctx, const char *name)
{
	struct opening *opening = ctx;
	struct collection *collection = opening->collection;
	char path[COLLECTION_PATH_SIZE + INDEX_FILE_SIZE], own[INDEX_FILE_SIZE];

	if (strncmp(name, INDEX_FILE_PREFIX, strlen(INDEX_FILE_PREFIX)) != 0 ||
	    strlen(name) >= INDEX_FILE_SIZE)
		return 0;
	for (uint32_t i = 0; i < opening->n_declared; i++) {
		index_file(&opening->declared[i].params, own);
		if (strcmp(name, own) == 0)
			return 0;
	}
	snprintf(path, sizeof(path), "%s/%s", collection->cache_dir, name);
	note_tidying(opening, store_unlink(collection->daemon->io, path));
	return 0;
}

static int open_indexes(struct opening *opening, struct record_reader *reader)
{
	struct collection *collection = opening->collection;
	struct store_io *io = collection->daemon->io;
	int r = record_reader_indexes(reader, take_declared, opening);

	if (r)
		return r;
	/* What cannot be tidied now is tidied the next time. */
	note_tidying(opening, snapshot_collect_tmp(io, collection->cache_dir));
	note_tidying(opening, io->ops->list(io, collection->cache_dir, forget_stray, opening));
	return 0;
}

/* Whether the rows of the vector file are not those that the truth has under the same slots: the
 * truth, or the file, came back from a copy, and what was written since went another way. */
static bool is_of_another_history(const struct opening *opening)
{
	const struct collection *collection = opening->collection;
	const struct vector_file *file = collection->vectors;
	struct record_epoch now = {.next_slot = opening->state.next_slot}, end;

	return !record_epochs_end(collection->epochs, vector_file_epoch(file), &now, &end) ||
	       vector_file_last_slot(file) >= end.next_slot;
}

/* Begins the file anew when its rows are of no use. */
static void judge_vectors(struct opening *opening)
{
	struct collection *collection = opening->collection;
	bool is_wrong = opening->file_rows > 0 && is_of_another_history(opening);
	int r;

	if (!is_wrong && opening->file_rows <= 2 * opening->state.n_live + DEAD_ROWS_MIN)
		return;
	r = vector_file_reset(collection->vectors, 0);
	if (r == 0) {
		opening->file_rows = 0;
		opening->vectors_why =
		        is_wrong ? "it is of another history" : "more dead rows than live ones";
	} else if (is_wrong) {
		collection->vectors = vector_file_free(collection->vectors);
		opening->vectors_error = r;
		opening->file_rows = 0;
	}
}

static int open_files(struct opening *opening, uint32_t worker)
{
	struct collection *collection = opening->collection;
	struct daemon *daemon = collection->daemon;
	size_t cache_bytes = ((size_t)daemon->config.metadata_cache_mb << 20) / 16;
	int r;

	r = record_store_open(daemon->io, collection->data_dir, &collection->entry.spec.uuid,
	                      cache_bytes, &collection->store);
	if (r)
		return r;
	r = record_writer_new(collection->store, &collection->writer);
	if (r == 0)
		r = record_reader_new(collection->store, &collection->readers[worker]);
	if (r == 0)
		r = record_reader_begin(collection->readers[worker]);
	if (r)
		return r;
	r = record_reader_state(collection->readers[worker], &opening->state);
	if (r == 0)
		r = record_reader_epochs(collection->readers[worker], collection->epochs);
	if (r == 0)
		r = open_indexes(opening, collection->readers[worker]);
	record_reader_end(collection->readers[worker]);
	if (r)
		return r;
	open_vectors(opening);
	judge_vectors(opening);
	opening->opened = true;
	return 0;
}

static void close_files(struct collection *collection)
{
	uint32_t n_workers = lanes_n_workers(collection->daemon->lanes);

	for (uint32_t i = 0; i < n_workers; i++)
		collection->readers[i] = record_reader_free(collection->readers[i]);
	collection->writer = record_writer_free(collection->writer);
	collection->store = record_store_free(collection->store);
	collection->vectors = vector_file_free(collection->vectors);
}

/* The file's rows from file_at on are of no use: the truth has all of it. */
static void follow_no_more(struct opening *opening, const char *why)
{
	opening->vectors_why = why;
	opening->file_rows = opening->file_at;
}

/* The slot of the file's row `file_at`. False when there is no such row of use. */
static bool file_slot(struct opening *opening, uint64_t *ret_slot)
{
	uint64_t at = opening->file_at, n = opening->file_rows - at;

	if (n == 0)
		return false;
	if (at >= opening->slots_first + opening->n_slots) {
		if (n > SLOT_BATCH)
			n = SLOT_BATCH;
		if (vector_file_slots(opening->collection->vectors, at, n, opening->slots) < 0) {
			follow_no_more(opening, "its slots cannot be read");
			return false;
		}
		opening->slots_first = at;
		opening->n_slots = n;
	}
	*ret_slot = opening->slots[at - opening->slots_first];
	return true;
}

/* Takes the file's rows below `slot` as dead ones. */
static int take_dead_rows(struct opening *opening, uint64_t slot)
{
	struct record_table_row dead = {.retired_seq = 0};

	while (file_slot(opening, &dead.slot) && dead.slot < slot) {
		int r = record_table_append(&opening->collection->table, &dead);

		if (r < 0)
			return r;
		opening->file_at++;
	}
	return 0;
}

static int take_live_row(struct opening *opening, const struct record_row *row)
{
	struct collection *collection = opening->collection;
	uint64_t slot = 0; /* the file's */
	struct record_table_row live = {
	        .slot = row->slot,
	        .id = {row->record.id.text, row->record.id.n, row->record.id.number},
	        .ns = row->ns,
	        .expires_at = row->record.expires_at,
	        .retired_seq = RECORD_TABLE_LIVE,
	};
	int r = take_dead_rows(opening, row->slot);
	bool file_has = r == 0 && file_slot(opening, &slot);

	if (r == 0)
		r = record_table_append(&collection->table, &live);
	if (r < 0)
		return r;
	if (file_has && slot == row->slot)
		opening->file_at++;
	else if (file_has)
		follow_no_more(opening, "a slot is missing");
	opening->last_slot = row->slot;
	opening->n_live++;
	return 0;
}

static int add_namespace(void *ctx, uint32_t ns, const char *name, size_t n)
{
	return namespaces_add(ctx, name, n, ns);
}

static int load_table(struct opening *opening, struct record_reader *reader)
{
	struct collection *collection = opening->collection;
	struct record_row row;
	int r = record_reader_namespaces(reader, add_namespace, &collection->namespaces);

	if (r == 0)
		r = record_reader_scan(reader, opening->last_slot, -1, opening->state.seq, 0);
	while (r == 0 && (r = record_reader_next(reader, &row)) == 0)
		r = take_live_row(opening, &row);
	if (r == RECORD_STORE_END)
		r = take_dead_rows(opening, UINT64_MAX);
	return r;
}

static bool has_rows_to_forget(const struct opening *opening)
{
	const struct vector_file *file = opening->collection->vectors;

	return file && opening->file_rows < vector_file_n_rows(file);
}

/* A lost file would be sound again only with all rows that it had, and the table may have fewer. */
static int forget_from(struct vector_file *file, uint64_t row)
{
	return vector_file_is_lost(file) ? -EIO : vector_file_reset(file, row);
}

/* With the rows from file_rows on go those before in an extent that is damaged, and the whole file
 * when it cannot forget. */
static void forget_rows(struct opening *opening)
{
	struct collection *collection = opening->collection;
	struct vector_file *file = collection->vectors;
	int r = forget_from(file, opening->file_rows);

	if (r == -EBADMSG) {
		opening->file_rows -= opening->file_rows % vector_file_extent_rows(file);
		r = forget_from(file, opening->file_rows);
	}
	if (r < 0) {
		collection->vectors = vector_file_free(file);
		opening->vectors_error = r;
		opening->file_rows = 0;
	}
	opening->outcome = OPENING_DONE;
}

static void opening_work(struct job *job, uint32_t worker)
{
	struct opening *opening = LIST_ELEMENT(job, struct opening, job);
	struct collection *collection = opening->collection;
	int r;

	if (!opening->opened) {
		r = open_files(opening, worker);
		if (reserve_helps(collection->daemon->reserve, r)) {
			close_files(collection);
			opening->n_declared = 0;
			r = open_files(opening, worker);
		}
		if (r)
			refuse(opening, r);
		else
			opening->outcome = OPENING_MORE_MEMORY;
		return;
	}
	if (opening->outcome == OPENING_FORGETS) {
		forget_rows(opening);
		return;
	}
	if (!collection->readers[worker])
		r = record_reader_new(collection->store, &collection->readers[worker]);
	else
		r = 0;
	if (r == 0)
		r = record_reader_begin(collection->readers[worker]);
	if (r == 0) {
		r = load_table(opening, collection->readers[worker]);
		record_reader_end(collection->readers[worker]);
	}
	if (r == 0)
		opening->outcome = has_rows_to_forget(opening) ? OPENING_FORGETS : OPENING_DONE;
	else if (r == -ENOSPC)
		opening->outcome = OPENING_MORE_MEMORY;
	else
		refuse(opening, r);
}

static void checking_work(struct job *job, uint32_t worker)
{
	struct opening *opening = LIST_ELEMENT(job, struct opening, checking);
	uint64_t left = opening->n_to_check;
	const void *rows;

	(void)worker;
	while (left > 0 && !job_is_cancelled(job) && !job_is_waited_for(job)) {
		left -= (left - 1) % opening->extent_rows + 1;
		/* What is found bad stays so, and is dealt with by who needs its rows. */
		(void)vector_file_extent(opening->collection->vectors, left / opening->extent_rows,
		                         &rows);
	}
}

/* Closing ------------------------------------------------------------------------------------- */

static void release_memory(struct collection *collection)
{
	record_table_release(&collection->table);
	record_table_init(&collection->table, collection->daemon->budget);
	vectors_cache_forget(collection);
	resident_release(&collection->resident);
	namespaces_release(&collection->namespaces);
	free(collection->epochs);
	collection->epochs = NULL;
}

/* Opening: on the loop ------------------------------------------------------------------------ */

static int reserve_table(struct opening *opening)
{
	uint64_t live_left = opening->state.n_live - opening->n_live;
	uint64_t file_left = opening->file_rows - opening->file_at;
	uint64_t rows = live_left > file_left ? live_left : file_left;

	return record_table_reserve(&opening->collection->table, rows + 1,
	                            (live_left + 1) * ID_BYTES_GUESS + LIMIT_ID_BYTES);
}

static void add_indexes(struct opening *opening)
{
	struct collection *collection = opening->collection;

	for (uint32_t i = 0; i < opening->n_declared; i++) {
		const struct declared *declared = &opening->declared[i];
		struct index *index;

		if (declared->is_bad)
			log_error("index '%s/%s': its declaration is of another kind or damaged; "
			          "drop it and ensure it again",
			          collection->entry.name, declared->name);
		else if (index_new(collection, declared->name, &declared->params, true, &index) < 0)
			log_error("index '%s/%s': out of memory", collection->entry.name,
			          declared->name);
	}
}

static void opening_ended(struct opening *opening)
{
	struct collection *collection = opening->collection;

	if (opening->tidy_error)
		log_warning("collection '%s': cannot tidy its cache directory: %s; the next "
		            "opening tries again",
		            collection->entry.name, strerror(-opening->tidy_error));
	if (opening->vectors_error)
		upkeep_no_vectors(collection, opening->vectors_error);
	else if (opening->vectors_why && opening->n_live > 0)
		log_warning("collection '%s': the vector file is begun anew: %s",
		            collection->entry.name, opening->vectors_why);
	collection->seq = opening->state.seq;
	collection->n_rows = collection->table.n_rows;
	collection->n_live = opening->n_live;
	collection->mapped_rows = opening->file_rows;
	collection->upkeep.n_retired = opening->state.n_retired;
	collection->upkeep.read_ns = clock_monotonic_ns(collection->daemon->clock);
	add_indexes(opening);
	log_info("collection '%s': opened, %llu records, %llu of %llu rows in the vector file",
	         collection->entry.name, (unsigned long long)collection->n_live,
	         (unsigned long long)collection->mapped_rows,
	         (unsigned long long)collection->n_rows);
	collection_opened(collection, NULL);
}

static void finish(struct opening *opening)
{
	struct collection *collection = opening->collection;

	opening->has_ended = true;
	if (opening->is_checking) {
		job_cancel(&opening->checking);
		return;
	}
	if (opening->outcome == OPENING_FORGETS) {
		lanes_submit(collection->daemon->lanes, LANE_INTERACTIVE, &opening->job);
		return;
	}
	if (opening->outcome == OPENING_REFUSED) {
		log_error("%s", opening->error.message);
		close_files(collection);
		release_memory(collection);
		collection_opened(collection, &opening->error);
	} else {
		opening_ended(opening);
	}
	free(opening);
	collection_unref(collection);
}

static void checking_done(struct job *job)
{
	struct opening *opening = LIST_ELEMENT(job, struct opening, checking);

	opening->is_checking = false;
	if (opening->has_ended)
		finish(opening);
}

static bool is_search_waiting(const struct collection *collection)
{
	for (const struct list *link = collection->waiting.next; link != &collection->waiting;
	     link = link->next)
		if (LIST_ELEMENT(link, struct request, wait_link)->wire.method ==
		    WIRE_METHOD_search)
			return true;
	return false;
}

/* Before the table's job runs: it may find the file's rows to be fewer. */
static void note_what_to_check(struct opening *opening)
{
	const struct collection *collection = opening->collection;

	if (opening->file_rows == 0 || !is_search_waiting(collection))
		return;
	opening->n_to_check = opening->file_rows;
	opening->extent_rows = vector_file_extent_rows(collection->vectors);
}

/* Behind the table's job, which is not to wait for it. */
static void begin_checking(struct opening *opening)
{
	opening->checking.what = "check";
	opening->checking.work = checking_work;
	opening->checking.done = checking_done;
	opening->is_checking = true;
	lanes_submit(opening->collection->daemon->lanes, LANE_INTERACTIVE, &opening->checking);
}

static void opening_done(struct job *job)
{
	struct opening *opening = LIST_ELEMENT(job, struct opening, job);
	struct collection *collection = opening->collection;

	if (!opening->job.ran) {
		opening->outcome = OPENING_REFUSED;
		wire_error_set(&opening->error, WIRE_ERROR_STOPPING, NULL,
		               "the daemon is stopping");
	}
	if (opening->outcome == OPENING_MORE_MEMORY) {
		bool is_first = !opening->loading;
		bool got_on = is_first || collection->table.n_rows > opening->round_rows;

		if (got_on && reserve_table(opening) == 0) {
			opening->loading = true;
			opening->round_rows = collection->table.n_rows;
			if (is_first)
				note_what_to_check(opening);
			lanes_submit(collection->daemon->lanes, LANE_INTERACTIVE, job);
			if (is_first && opening->n_to_check > 0)
				begin_checking(opening);
			return;
		}
		opening->outcome = OPENING_REFUSED;
		wire_error_set(&opening->error, WIRE_ERROR_OUT_OF_MEMORY, "collection",
		               "no memory for the record table of '%s'", collection->entry.name);
	}
	finish(opening);
}

void collection_open(struct collection *collection)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	struct wire_error error;

	collection->epochs = calloc(1, sizeof(*collection->epochs));
	if (!opening || !collection->epochs) {
		free(opening);
		release_memory(collection);
		wire_error_set(&error, WIRE_ERROR_OUT_OF_MEMORY, "collection", "out of memory");
		collection_opened(collection, &error);
		return;
	}
	collection->state = COLLECTION_OPENING;
	opening->collection = collection_ref(collection);
	opening->job.what = "open";
	opening->job.work = opening_work;
	opening->job.done = opening_done;
	lanes_submit(collection->daemon->lanes, LANE_INTERACTIVE, &opening->job);
}

/* Closing: what nobody refers to any more ----------------------------------------------------- */

/* At a clean stop, so that the next start has nothing to fold in. Nobody else uses them now. */
static void save_indexes(struct collection *collection)
{
	struct reserve *reserve = collection->daemon->reserve;

	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		struct index *index = LIST_ELEMENT(link, struct index, link);

		if (index_n_unsaved(index) == 0)
			continue;
		index->close_error =
		        reserve_lacks_room(reserve)
		                ? -ENOSPC
		                : snapshot_save(collection->daemon->io, reserve,
		                                collection->cache_dir, &collection->entry.spec,
		                                index->serving, collection_epoch(collection),
		                                collection->seq);
	}
}

/* What cannot be moved for want of room stays where it is: SQLite would try that at the close. */
static int checkpoint_before_close(struct collection *collection)
{
	int r = record_store_checkpoint(collection->store, false);

	if (r == -ENOSPC)
		record_store_keep_wal(collection->store);
	return r;
}

static void closing_work(struct job *job, uint32_t worker)
{
	struct collection *collection = LIST_ELEMENT(job, struct collection, close_job);
	struct store_io *io = collection->daemon->io;

	(void)worker;
	if (!collection->dropped)
		save_indexes(collection);
	if (!collection->dropped && collection->vectors)
		collection->close_error =
		        vector_file_sync(collection->vectors, collection_epoch(collection));
	if (!collection->dropped && collection->store)
		collection->checkpoint_error = checkpoint_before_close(collection);
	close_files(collection);
	if (collection_leaves_files(collection)) {
		collection->close_error = store_remove_tree(io, collection->cache_dir);
		if (collection->close_error == 0)
			collection->close_error = store_remove_tree(io, collection->data_dir);
	}
}

static void note_closing(const struct collection *collection)
{
	const char *name = collection->entry.name;

	for (const struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		const struct index *index = LIST_ELEMENT(link, const struct index, link);

		if (index->close_error)
			log_error("index '%s/%s': cannot save the snapshot: %s", name, index->name,
			          strerror(-index->close_error));
	}
	if (collection->checkpoint_error < 0)
		log_error("collection '%s': closing: checkpoint: %s", name,
		          strerror(-collection->checkpoint_error));
	if (collection->close_error)
		log_error("collection '%s': closing: %s", name, strerror(-collection->close_error));
}

static void closing_done(struct job *job)
{
	struct collection *collection = LIST_ELEMENT(job, struct collection, close_job);
	struct daemon *daemon = collection->daemon;

	note_closing(collection);
	if (collection_leaves_files(collection))
		collections_left(daemon->collections, &collection->entry.spec.uuid,
		                 collection->close_error == 0);
	indexes_drop(collection, WIRE_ERROR_STOPPING, "the daemon is stopping");
	release_memory(collection);
	free(collection->readers);
	tally_unref(collection->tally);
	free(collection);
	daemon->n_handles--;
	daemon_closed_one(daemon);
}

void collection_close(struct collection *collection)
{
	collection->state = COLLECTION_CLOSING;
	list_remove(&collection->gather_link);
	collection->close_job.what = "close";
	collection->close_job.work = closing_work;
	collection->close_job.done = closing_done;
	lanes_submit(collection->daemon->lanes, LANE_WRITE, &collection->close_job);
}
