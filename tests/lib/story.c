/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/story.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/index.h"
#include "daemon/upkeep.h"

#define WALL_MS INT64_C(1700000000000)
#define CACHE_MB 8
#define NOTES "notes"
#define MAIL "mail"
#define POST "post"
#define SAVED "saved" /* by a repair */
#define CHURN_REQUESTS 100u
#define CHURN_ROWS 140u
/* Before it is compacted the database is longer, by what they leave. */
#define COMPACT_BYTES (2 << 20)
#define N_PIPELINED 6u
#define PIPELINED_ROWS 8u

static uint64_t now(const struct story *story)
{
	return store_twin_n_ops(story->twin);
}

/* The request that the last step of the ledger stands for was answered with r. Refused, it must
 * not have happened, or have happened and only not been finished. */
static void settle(struct story *story, int r, const char *what, bool gives_room)
{
	struct ledger *ledger = &story->ledger;
	struct ledger_state found;

	if (r == 0) {
		ledger_acknowledge(ledger, now(story));
		return;
	}
	if (!story->faulty || r < 0)
		fail_msg("%s: %s: %s", what, kith_error_name(r), kith_error_message(story->conn));
	story->n_refused++;
	if (gives_room && store_twin_is_full(story->twin))
		fail_msg("%s: refused on a full disk: %s", what, kith_error_message(story->conn));
	ledger_read(story->conn, &found);
	if (ledger_same(&found, ledger_last(ledger))) {
		ledger_acknowledge(ledger, now(story));
		return;
	}
	ledger_take_back(ledger);
	if (!ledger_same(&found, ledger_last(ledger)))
		fail_msg("%s: refused (%s), and neither there nor not", what,
		         kith_error_message(story->conn));
}

static void settle_step(struct story *story, int r, const char *what)
{
	settle(story, r, what, false);
}

/* A collection is not there when the step that makes it was refused. */
static bool is_there(const struct story *story, const char *name)
{
	struct ledger_state state = *ledger_last(&story->ledger);

	return ledger_collection(&state, name) != NULL;
}

/* It is on as long as the step that ends it is refused. */
static bool is_bulk(const struct story *story, const char *name)
{
	struct ledger_state state = *ledger_last(&story->ledger);
	const struct ledger_collection *collection = ledger_collection(&state, name);

	return collection && collection->bulk;
}

/* The collection in the state that comes next, or NULL. */
static struct ledger_collection *next_of(struct story *story, const char *name)
{
	return ledger_collection(ledger_begin(&story->ledger, now(story)), name);
}

/* Steps ---------------------------------------------------------------------------------------- */

static void create(struct story *story, const char *name)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(name), .dim = RECORD_DIM, .metric = KITH_METRIC_L2};
	struct ledger_collection *made = next_of(story, "");

	strcpy(made->name, name);
	settle_step(story, kith_create_collection(story->conn, &params, NULL), "create");
}

static void put(struct story *story, const char *name, uint32_t first, uint32_t n, uint16_t version)
{
	struct ledger_collection *collection = next_of(story, name);

	if (collection)
		ledger_set(collection, first, n, version, version);
	settle_step(story, try_put_records(story->conn, name, first, n, version, NULL), "upsert");
}

static void erase(struct story *story, const char *name, uint32_t first, uint32_t n)
{
	struct ledger_collection *collection = next_of(story, name);

	if (collection)
		ledger_set(collection, first, n, 0, 0);
	settle(story, try_delete_records(story->conn, name, first, n), "delete",
	       collection != NULL);
}

/* New texts for records that are there, or for none. */
static void retell(struct story *story, const char *name, uint32_t first, uint32_t n,
                   uint16_t version)
{
	struct ledger_collection *collection = next_of(story, name);
	struct kith_id ids[LEDGER_NUMBERS];
	char text[LEDGER_NUMBERS][RECORD_TEXT_SIZE];
	struct kith_str texts[LEDGER_NUMBERS];
	struct kith_update_params params = {
	        .collection = kith_text(name), .ids = {ids, n}, .texts = {texts, n}};

	for (uint32_t i = 0; i < n; i++) {
		ids[i] = kith_id_number(first + i);
		texts[i] = kith_text(record_text(first + i, version, text[i]));
		if (collection && collection->records[first + i].vector != 0)
			collection->records[first + i].text = version;
	}
	settle_step(story, kith_update(story->conn, &params, NULL), "update");
}

/* Requests on their way at once: they meet in groups. Each may be answered differently. */
static void put_pipelined(struct story *story, const char *name, uint32_t first, uint16_t version)
{
	uint64_t tickets[N_PIPELINED];
	float vectors[PIPELINED_ROWS * RECORD_DIM];
	struct kith_id ids[PIPELINED_ROWS];
	char text[PIPELINED_ROWS][RECORD_TEXT_SIZE];
	struct kith_str texts[PIPELINED_ROWS];
	struct kith_upsert_params params = {
	        .collection = kith_text(name),
	        .ids = {ids, PIPELINED_ROWS},
	        .vectors = kith_vectors(vectors, PIPELINED_ROWS * RECORD_DIM),
	        .texts = {texts, PIPELINED_ROWS}};

	for (uint32_t i = 0; i < N_PIPELINED; i++) {
		struct ledger_collection *collection = next_of(story, name);

		for (uint32_t j = 0; j < PIPELINED_ROWS; j++) {
			uint32_t number = first + i * PIPELINED_ROWS + j;

			ids[j] = kith_id_number(number);
			record_vector(number, version, vectors + (size_t)j * RECORD_DIM);
			texts[j] = kith_text(record_text(number, version, text[j]));
		}
		ledger_set(collection, first + i * PIPELINED_ROWS, PIPELINED_ROWS, version,
		           version);
		DONE(story->conn, kith_submit_upsert(story->conn, &params, &tickets[i]));
	}
	DONE(story->conn, kith_flush(story->conn));
	for (uint32_t i = 0; i < N_PIPELINED; i++)
		DONE(story->conn, kith_collect_upsert(story->conn, tickets[i], KITH_USUAL, NULL));
	ledger_acknowledge(&story->ledger, now(story));
}

static void rename_to(struct story *story, const char *name, const char *other)
{
	struct kith_rename_collection_params params = {.collection = kith_text(name),
	                                               .name = kith_text(other)};
	struct ledger_collection *collection = next_of(story, name);

	if (collection)
		strcpy(collection->name, other);
	settle_step(story, kith_rename_collection(story->conn, &params), "rename");
}

static bool is_gone(void *ctx)
{
	return access(ctx, F_OK) != 0;
}

static void drop(struct story *story, const char *name)
{
	struct kith_drop_collection_params params = {.collection = kith_text(name)};
	char path[DAEMON_PROCESS_PATH_SIZE] = "";
	struct ledger_collection *collection;

	if (!story->faulty)
		collection_path(story->conn, name, daemon_thread_data_dir(story->daemon), path);
	collection = next_of(story, name);
	if (collection)
		memset(collection, 0, sizeof(*collection));
	settle(story, kith_drop_collection(story->conn, &params, NULL), "drop", collection != NULL);
	if (!story->faulty)
		await(is_gone, path, "the directory of a dropped collection is gone");
}

static void build(struct story *story, const char *name, struct ask ask)
{
	struct kith_ensure_index_params params = {
	        .collection = kith_text(name), .m = ask.m, .wait = true, .replace = ask.replace};
	struct ledger_collection *collection = next_of(story, name);

	if (collection)
		collection->indexed = true;
	settle_step(story, kith_ensure_index(story->conn, &params, NULL), "ensure");
	if (!story->faulty)
		await_settled(story->conn, name, NULL);
}

static void unindex(struct story *story, const char *name)
{
	struct ledger_collection *collection = next_of(story, name);
	bool was_indexed = collection && collection->indexed;

	if (collection)
		collection->indexed = false;
	settle(story, drop_index(story->conn, name, NULL), "drop_index", was_indexed);
}

static void set_bulk(struct story *story, const char *name, bool bulk)
{
	struct kith_set_bulk_params params = {.collection = kith_text(name), .bulk = bulk};
	struct ledger_collection *collection = next_of(story, name);

	if (collection)
		collection->bulk = bulk;
	settle_step(story, kith_set_bulk(story->conn, &params, NULL), "set_bulk");
}

struct pause {
	struct story *story;
	const char *name;
	uint64_t n_failed; /* when it began: it ends with a failure more */
};

static bool is_folded(void *ctx)
{
	struct pause *pause = ctx;
	struct index_view index;

	/* What failed is tried again after a while. */
	fake_clock_advance_ms(&pause->story->clock, INDEX_SAVE_AGE_MS);
	index = index_of(pause->story->conn, pause->name, NULL);
	return store_twin_n_failed(pause->story->twin) > pause->n_failed ||
	       (index.at.state == KITH_INDEX_STATE_SERVING && index.at.pending == 0 &&
	        index.at.saved_nodes == index.at.nodes);
}

/* What is pending goes into the graph and the graph into the snapshot: nothing of it is a promise.
 */
static void fold_in(struct story *story, const char *name)
{
	struct pause pause = {story, name, store_twin_n_failed(story->twin)};

	if (is_there(story, name) && !is_bulk(story, name) &&
	    find_index(story->conn, name, NULL, &(struct index_view){0}))
		await(is_folded, &pause, "all is in the graph and saved");
}

static bool is_rested(void *ctx)
{
	struct pause *pause = ctx;

	fake_clock_advance_ms(&pause->story->clock, UPKEEP_SYNC_MS);
	return store_twin_n_failed(pause->story->twin) > pause->n_failed ||
	       usage_of(pause->story->conn, pause->name).wal_bytes < UPKEEP_WAL_IDLE_BYTES / 2;
}

/* Enough for a checkpoint, then a pause, in which all care has its turn. */
static void rest(struct story *story, const char *name)
{
	struct pause pause = {story, name, store_twin_n_failed(story->twin)};

	if (!is_there(story, name))
		return;
	for (uint16_t i = 0; usage_of(story->conn, name).wal_bytes < UPKEEP_WAL_IDLE_BYTES; i++) {
		assert_true(i < 100);
		put(story, name, 0, 20, i % 2 + 3);
		if (store_twin_n_failed(story->twin) > pause.n_failed)
			return;
	}
	await(is_rested, &pause, "the write-ahead log began anew");
}

/* The story ------------------------------------------------------------------------------------ */

void story_init(struct story *story, struct store_twin *twin)
{
	*story = (struct story){.twin = twin};
	fake_clock_init(&story->clock, WALL_MS);
	ledger_init(&story->ledger);
	story->daemon =
	        daemon_thread_new_stopped(store_twin_io(twin), &story->clock.clock, CACHE_MB);
}

static void start(struct story *story)
{
	/* A start that fails leaves nothing in the way of the next. */
	if (daemon_thread_try_start(story->daemon) != 0) {
		assert_true(story->faulty);
		story->n_refused++;
		store_twin_heal(story->twin);
		daemon_thread_start(story->daemon);
	}
	story->conn = connect_to(story->daemon);
}

static void stop(struct story *story)
{
	kith_close(story->conn);
	story->conn = NULL;
	daemon_thread_stop(story->daemon);
}

void story_release(struct story *story)
{
	stop(story);
	daemon_thread_free(story->daemon);
	ledger_release(&story->ledger);
}

void story_tell(struct story *story)
{
	start(story);
	create(story, NOTES);
	create(story, MAIL);
	put(story, NOTES, 0, 40, 1);
	put(story, MAIL, 0, 20, 1);
	put(story, NOTES, 40, 24, 1);
	if (!story->faulty)
		put_pipelined(story, NOTES, 64, 1);
	put(story, NOTES, 0, 10, 2);
	retell(story, NOTES, 10, 10, 2);
	erase(story, NOTES, 30, 10);
	build(story, NOTES, (struct ask){.m = 8});
	put(story, NOTES, 112, 30, 1);
	set_bulk(story, NOTES, true);
	put(story, NOTES, 36, 8, 2);
	set_bulk(story, NOTES, false);
	fold_in(story, NOTES);
	build(story, NOTES, (struct ask){.m = 5, .replace = true});
	rest(story, NOTES);
	rename_to(story, MAIL, POST);
	put(story, POST, 10, 20, 2);
	erase(story, POST, 0, 5);
	drop(story, POST);
	create(story, POST);
	put(story, POST, 0, 5, 1);
	build(story, POST, (struct ask){.m = 8});
	unindex(story, POST);
	if (story->faulty)
		return;
	stop(story);
	start(story);
	put(story, NOTES, 50, 5, 5);
	fold_in(story, NOTES);
	stop(story);
}

static void erase_everywhere(struct story *story, uint32_t first, uint32_t n)
{
	struct ledger_state state = *ledger_last(&story->ledger);

	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		if (state.v[i].name[0] != '\0')
			erase(story, state.v[i].name, first, n);
	}
}

/* Upkeep --------------------------------------------------------------------------------------- */

/* Which of the states after the first n steps it holds goes on. */
static void settle_any(struct story *story, size_t n)
{
	struct ledger *ledger = &story->ledger;
	struct ledger_state found;

	ledger_read(story->conn, &found);
	while (ledger->n > n && !ledger_same(&found, ledger_last(ledger)))
		ledger_take_back(ledger);
	if (!ledger_same(&found, ledger_last(ledger)))
		fail_msg("writes that were refused are there in part");
	ledger_acknowledge(ledger, now(story));
}

/* Replaces the first rows again and again, in few groups. */
static void churn(struct story *story, const char *name)
{
	static uint64_t tickets[CHURN_REQUESTS];
	static float vectors[CHURN_ROWS * RECORD_DIM];
	static char text[CHURN_ROWS][RECORD_TEXT_SIZE];
	struct kith_id ids[CHURN_ROWS];
	struct kith_str texts[CHURN_ROWS];
	struct kith_upsert_params params = {.collection = kith_text(name),
	                                    .ids = {ids, CHURN_ROWS},
	                                    .vectors =
	                                            kith_vectors(vectors, CHURN_ROWS * RECORD_DIM),
	                                    .texts = {texts, CHURN_ROWS}};
	size_t n = story->ledger.n, n_done = n;

	if (!is_there(story, name))
		return;
	for (uint32_t i = 0; i < CHURN_REQUESTS; i++) {
		uint16_t version = i % 2 + 3;

		for (uint32_t number = 0; number < CHURN_ROWS; number++) {
			ids[number] = kith_id_number(number);
			record_vector(number, version, vectors + (size_t)number * RECORD_DIM);
			texts[number] = kith_text(record_text(number, version, text[number]));
		}
		ledger_set(next_of(story, name), 0, CHURN_ROWS, version, version);
		DONE(story->conn, kith_submit_upsert(story->conn, &params, &tickets[i]));
	}
	DONE(story->conn, kith_flush(story->conn));
	for (uint32_t i = 0; i < CHURN_REQUESTS; i++) {
		int r = kith_collect_upsert(story->conn, tickets[i], KITH_USUAL, NULL);

		if (r == 0)
			n_done = n + i + 1;
		else if (!story->faulty || r < 0)
			fail_msg("upsert: %s", kith_error_message(story->conn));
		story->n_refused += r != 0;
	}
	if (story->faulty)
		settle_any(story, n_done);
	else
		ledger_acknowledge(&story->ledger, now(story));
}

struct trimming {
	struct pause pause;
	char path[DAEMON_PROCESS_PATH_SIZE]; /* of records.db */
};

static bool is_trimmed(void *ctx)
{
	struct trimming *trimming = ctx;
	struct story *story = trimming->pause.story;
	struct kith_usage usage;
	struct stat st;

	fake_clock_advance_ms(&story->clock, UPKEEP_SYNC_MS);
	usage = usage_of(story->conn, trimming->pause.name);
	if (store_twin_n_failed(story->twin) > trimming->pause.n_failed)
		return true;
	return usage.rows == usage.records && usage.mapped_rows == usage.rows &&
	       usage.wal_bytes < UPKEEP_WAL_IDLE_BYTES / 2 && stat(trimming->path, &st) == 0 &&
	       st.st_size < COMPACT_BYTES;
}

/* What is dead goes from the database and the vector file. */
static void trim(struct story *story, const char *name)
{
	struct trimming trimming = {{story, name, store_twin_n_failed(story->twin)}, ""};
	char dir[DAEMON_PROCESS_PATH_SIZE];

	if (!is_there(story, name))
		return;
	collection_path(story->conn, name, daemon_thread_data_dir(story->daemon), dir);
	snprintf(trimming.path, sizeof(trimming.path), "%.480s/records.db", dir);
	await(is_trimmed, &trimming, "dead rows and free pages are gone");
}

static bool may_fail(struct story *story, int r, const char *what)
{
	if (r == 0)
		return false;
	if (!story->faulty || r < 0)
		fail_msg("%s: %s: %s", what, kith_error_name(r), kith_error_message(story->conn));
	story->n_refused++;
	return true;
}

static struct kith_str backup_dir(const struct story *story,
                                  char path[static DAEMON_PROCESS_PATH_SIZE])
{
	snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s/" STORY_BACKUP,
	         daemon_thread_root(story->daemon));
	return kith_text(path);
}

/* True: it is there. */
static bool back_up(struct story *story)
{
	char path[DAEMON_PROCESS_PATH_SIZE];
	struct kith_backup_params params = {.directory = backup_dir(story, path)};

	story->backed_up = *ledger_last(&story->ledger);
	story->backup_begun = now(story);
	if (may_fail(story, kith_backup(story->conn, &params, NULL), "backup"))
		return false;
	story->backup_acknowledged = now(story);
	return true;
}

static void take_back(struct story *story, const char *name)
{
	char path[DAEMON_PROCESS_PATH_SIZE];
	struct kith_restore_params params = {.directory = backup_dir(story, path),
	                                     .collection = kith_text(name)};
	struct ledger_collection *made = next_of(story, "");
	struct ledger_collection *was = ledger_collection(&story->backed_up, name);

	if (made && was)
		*made = *was;
	settle_step(story, kith_restore(story->conn, &params, NULL), "restore");
}

static void save(struct story *story, const char *name, const char *other)
{
	struct kith_repair_params params = {.collection = kith_text(name),
	                                    .name = kith_text(other)};
	struct ledger_state *next = ledger_begin(&story->ledger, now(story));
	struct ledger_collection *was = ledger_collection(next, name);
	struct ledger_collection *made = ledger_collection(next, "");

	if (made && was) {
		*made = *was;
		strcpy(made->name, other);
	}
	settle_step(story, kith_repair(story->conn, &params, NULL), "repair");
}

void story_tell_upkeep(struct story *story)
{
	bool has_backup;

	story->backup_begun = story->backup_acknowledged = UINT64_MAX;
	start(story);
	create(story, NOTES);
	put(story, NOTES, 0, CHURN_ROWS, 1);
	build(story, NOTES, (struct ask){.m = 8});
	churn(story, NOTES);
	trim(story, NOTES);
	create(story, MAIL);
	put(story, MAIL, 0, 20, 1);
	has_backup = back_up(story);
	put(story, NOTES, 0, 10, 2);
	if (has_backup) {
		if (is_there(story, MAIL))
			drop(story, MAIL);
		if (!is_there(story, MAIL))
			take_back(story, MAIL);
	}
	save(story, NOTES, SAVED);
	if (story->faulty)
		return;
	stop(story);
	start(story);
	put(story, NOTES, 50, 5, 5);
	stop(story);
}

static void expect_collection_alive(struct story *story, const char *name, bool indexed)
{
	if (is_bulk(story, name))
		set_bulk(story, name, false);
	put(story, name, 150, 10, 6);
	erase(story, name, 152, 2);
	if (!indexed)
		return;
	fold_in(story, name);
	rest(story, name);
}

static void expect_holds(struct story *story)
{
	struct ledger_state found;

	ledger_read(story->conn, &found);
	if (!ledger_same(&found, ledger_last(&story->ledger)))
		fail_msg("it does not hold what it said");
	ledger_expect_searches(&found, story->conn);
}

/* What adds may be refused; the other is done, though they meet in one group. */
static void erase_beside_a_put(struct story *story, const char *name)
{
	struct kith_id ids[2] = {kith_id_number(8), kith_id_number(9)};
	float vector[RECORD_DIM];
	char text[RECORD_TEXT_SIZE];
	struct kith_str texts = kith_text(record_text(8, 7, text));
	struct kith_upsert_params put = {
	        .collection = kith_text(name),
	        .ids = {&ids[0], 1},
	        .vectors = kith_vectors(record_vector(8, 7, vector), RECORD_DIM),
	        .texts = {&texts, 1}};
	struct kith_delete_params delete = {.collection = kith_text(name), .ids = {&ids[1], 1}};
	uint64_t put_ticket, delete_ticket;
	int r;

	DONE(story->conn, kith_submit_upsert(story->conn, &put, &put_ticket));
	DONE(story->conn, kith_submit_delete(story->conn, &delete, &delete_ticket));
	DONE(story->conn, kith_flush(story->conn));
	/* There may be room for it within the files. */
	r = kith_collect_upsert(story->conn, put_ticket, KITH_USUAL, NULL);
	if (r == 0)
		ledger_set(next_of(story, name), 8, 1, 7, 7);
	else
		assert_int_equal(r, KITH_ERROR_STORAGE_FULL);
	DONE(story->conn, kith_collect_delete(story->conn, delete_ticket, KITH_USUAL, NULL));
	ledger_set(next_of(story, name), 9, 1, 0, 0);
	ledger_acknowledge(&story->ledger, now(story));
}

void story_expect_deletes(struct story *story)
{
	expect_holds(story);
	if (is_there(story, NOTES))
		erase_beside_a_put(story, NOTES);
	erase_everywhere(story, 10, 20);
	stop(story);
	start(story);
	expect_holds(story);
	erase_everywhere(story, 30, 20);
	expect_holds(story);
}

void story_expect_alive(struct story *story)
{
	struct ledger_state state;

	story->faulty = false;
	expect_holds(story);
	/* A name that could not be given is not taken either. */
	if (!is_there(story, NOTES))
		create(story, NOTES);
	if (!is_there(story, POST))
		create(story, POST);
	state = *ledger_last(&story->ledger);
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		if (state.v[i].name[0] != '\0')
			expect_collection_alive(story, state.v[i].name, state.v[i].indexed);
	}
	expect_holds(story);
	stop(story);
	start(story);
	expect_holds(story);
	stop(story);
	expect_tidy(story->daemon, ledger_last(&story->ledger));
}

/* Tidiness ------------------------------------------------------------------------------------- */

static void expect_known(const char *path, bool is_known)
{
	if (!is_known)
		fail_msg("%s is left over", path);
}

static bool is_one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

/* Every entry of a collection's directory is one of its files. Returns how many of them are
 * snapshots. */
static uint32_t expect_files(const char *path)
{
	static const char *const truth[] = {"records.db", "records.db-wal", "records.db-shm",
	                                    "vectors", NULL};
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint32_t n_snapshots = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char below[3 * DAEMON_PROCESS_PATH_SIZE];
		bool is_snapshot =
		        strncmp(entry->d_name, INDEX_FILE_PREFIX, strlen(INDEX_FILE_PREFIX)) == 0 &&
		        !strstr(entry->d_name, ".tmp");

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		expect_known(below, is_snapshot || is_one_of(entry->d_name, truth));
		n_snapshots += is_snapshot;
	}
	closedir(dir);
	return n_snapshots;
}

/* Directories of collections, and what is in them. */
struct entries {
	uint32_t n_dirs, n_snapshots;
};

/* Every entry of the directory is one of the names, or a collection's. */
static struct entries expect_entries(const char *path, const char *const *names)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct entries found = {0};

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char below[2 * DAEMON_PROCESS_PATH_SIZE];

		if (entry->d_name[0] == '.' && strcmp(entry->d_name, ".lock") != 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		if (is_one_of(entry->d_name, names))
			continue;
		found.n_dirs++;
		found.n_snapshots += expect_files(below);
	}
	closedir(dir);
	return found;
}

void expect_tidy(const struct daemon_thread *daemon, const struct ledger_state *state)
{
	static const char *const top[] = {
	        ".lock",          "errors.log",     "errors.log.1", "catalog.db",
	        "catalog.db-wal", "catalog.db-shm", "reserve",      NULL};
	struct entries data = expect_entries(daemon_thread_data_dir(daemon), top);
	struct entries cache = expect_entries(daemon_thread_cache_dir(daemon), top);
	uint32_t n = 0, n_indexed = 0;

	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		n += state->v[i].name[0] != '\0';
		n_indexed += state->v[i].indexed;
	}
	assert_int_equal(data.n_dirs, n);
	assert_int_equal(data.n_snapshots, 0);
	assert_true(cache.n_dirs <= n);
	assert_true(cache.n_snapshots <= n_indexed);
}
