/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every bad byte: a daemon's files are made, it stops, one of them is damaged, and a fresh daemon
 * starts on the result. Damage to what is derived must change nothing but time: all records are
 * there, searches are exact, the index serves again, nothing is left over. Damage to a collection's
 * truth must be answered for by that collection alone, with an error that says what to do, `verify`
 * names it, `repair` leaves it as it is, and the other one serves. A damaged catalog may refuse the
 * start; whatever came of it, the good one put back, all is there. Never a crash.
 *
 * What this cannot promise: SQLite keeps no checksum of a page, so a flipped bit in the middle of a
 * stored vector or text is that vector or text from then on.
 *
 * A bounded run flips one byte in so many; $KITH_FLIP_STRIDE says how many, $KITH_SEED where it
 * begins. Headers and tables get a smaller stride than bodies.
 */

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/snapshot_page.h"
#include "storage/vector_page.h"
#include "tests/lib/children.h"
#include "tests/lib/crash_disk.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/ledger.h"

#define CACHE_MB 8
#define NOTES "notes"
#define MAIL "mail"
#define N_NOTES 100u
#define N_MAIL 30u
#define PATH_SIZE (2 * DAEMON_PROCESS_PATH_SIZE)
/* Of bytes in pages whose every byte counts, and of the others. */
#define USUAL_STRIDE 211u
#define BODY_FACTOR 16u
/* The last byte of a number in SQLite's header. */
#define SQLITE_USER_VERSION_AT 63u

enum role {
	ROLE_CATALOG,
	ROLE_TRUTH,
	ROLE_DERIVED,
};

/* A file of the collection that is damaged, and where in it every byte counts. */
struct target {
	const char *name;
	enum role role;
	char path[PATH_SIZE]; /* below the root: "data/<uuid>/records.db" */
	size_t size;
	struct {
		size_t from, to;
	} dense[2];
};

enum damage_kind {
	DAMAGE_FLIP,
	DAMAGE_CUT,
	DAMAGE_FOREIGN,   /* the namesake of the other collection, or some text */
	DAMAGE_LINK,      /* a symbolic link to the good file elsewhere */
	DAMAGE_DIRECTORY, /* in its place */
	DAMAGE_NEWER,     /* the good file, but of a version to come */
	DAMAGE_DENIED,    /* the good file, which may not be opened */
};

struct world {
	struct daemon_thread *daemon; /* stopped: its directories are the good ones */
	struct store_twin *twin;
	struct ledger_state state;
	char other[PATH_SIZE]; /* data directory of the other collection, below the root */
	struct target targets[4];
	uint32_t n_targets;
};

struct damage {
	struct world *world;
	const struct target *target;
	enum damage_kind kind;
	size_t at;
};

/* The good files ------------------------------------------------------------------------------- */

static void fill(struct world *world, struct kith_conn *conn)
{
	struct ledger_collection *notes = ledger_collection(&world->state, "");
	struct ledger_collection *mail;

	strcpy(notes->name, NOTES);
	mail = ledger_collection(&world->state, "");
	strcpy(mail->name, MAIL);
	make_collection(conn, NOTES, KITH_METRIC_L2);
	make_collection(conn, MAIL, KITH_METRIC_L2);
	put_records(conn, NOTES, 0, N_NOTES, 1);
	put_records(conn, MAIL, 0, N_MAIL, 1);
	ensure(conn, (struct ask){.collection = NOTES, .m = 8, .wait = true});
	await_settled(conn, NOTES, NULL);
	put_records(conn, NOTES, 0, 10, 2);
	delete_records(conn, NOTES, 20, 5);
	ledger_set(notes, 0, N_NOTES, 1, 1);
	ledger_set(notes, 0, 10, 2, 2);
	ledger_set(notes, 20, 5, 0, 0);
	notes->indexed = true;
	ledger_set(mail, 0, N_MAIL, 1, 1);
}

static struct target *add_target(struct world *world, const char *name, enum role role,
                                 const char *path)
{
	struct target *target = &world->targets[world->n_targets++];
	char full[PATH_SIZE + SCRATCH_PATH_SIZE];
	struct stat st;

	target->name = name;
	target->role = role;
	snprintf(target->path, sizeof(target->path), "%s", path);
	snprintf(full, sizeof(full), "%s/%s", daemon_thread_root(world->daemon), path);
	assert_int_equal(stat(full, &st), 0);
	target->size = (size_t)st.st_size;
	return target;
}

static void find_snapshot(const struct world *world, const char *dir, char path[static PATH_SIZE])
{
	char full[PATH_SIZE + SCRATCH_PATH_SIZE];
	struct dirent *entry;
	DIR *entries;

	snprintf(full, sizeof(full), "%s/%s", daemon_thread_root(world->daemon), dir);
	entries = opendir(full);
	assert_non_null(entries);
	path[0] = '\0';
	while ((entry = readdir(entries))) {
		if (strncmp(entry->d_name, "hnsw-", 5) == 0)
			snprintf(path, PATH_SIZE, "%.200s/%.64s", dir, entry->d_name);
	}
	closedir(entries);
	assert_true(path[0] != '\0');
}

static void find_targets(struct world *world, const char *uuid)
{
	char dir[PATH_SIZE], path[PATH_SIZE];
	struct target *target;

	target = add_target(world, "the catalog", ROLE_CATALOG, "data/catalog.db");
	target->dense[0].to = 100; /* SQLite's header */
	snprintf(path, sizeof(path), "data/%s/records.db", uuid);
	target = add_target(world, "the records", ROLE_TRUTH, path);
	target->dense[0].to = 100;
	snprintf(path, sizeof(path), "cache/%s/vectors", uuid);
	target = add_target(world, "the vectors", ROLE_DERIVED, path);
	target->dense[0].to = 8192; /* header pages; then the head pages and slots of extent 0 */
	target->dense[1].from = 65536;
	target->dense[1].to = 65536 + 8192 + (N_NOTES + 10) * 8;
	snprintf(dir, sizeof(dir), "cache/%s", uuid);
	find_snapshot(world, dir, path);
	target = add_target(world, "the snapshot", ROLE_DERIVED, path);
	target->dense[0].to = 4096;
	target->dense[1].from = target->size - 512; /* the table is at the end */
	target->dense[1].to = target->size;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct kith_conn *conn;
	char path[DAEMON_PROCESS_PATH_SIZE];

	assert_non_null(world);
	world->twin = store_twin_new(store_io_posix());
	store_twin_keep_bytes(world->twin, true);
	world->daemon = daemon_thread_new_with(store_twin_io(world->twin), NULL, CACHE_MB);
	conn = connect_to(world->daemon);
	fill(world, conn);
	collection_path(conn, MAIL, "data", path);
	snprintf(world->other, sizeof(world->other), "%s", path);
	collection_path(conn, NOTES, "", path);
	kith_close(conn);
	daemon_thread_stop(world->daemon);
	find_targets(world, path + 1);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	daemon_thread_free(world->daemon);
	store_twin_free(world->twin);
	free(world);
	return 0;
}

/* Damage --------------------------------------------------------------------------------------- */

static void flip(const char *path, size_t at)
{
	FILE *file = fopen(path, "r+b");
	int byte;

	assert_non_null(file);
	assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
	byte = getc(file);
	assert_true(byte != EOF);
	assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
	/* Which bit depends on where, so that all are had. */
	assert_true(putc(byte ^ (1 << at % 8), file) != EOF);
	assert_int_equal(fclose(file), 0);
}

static void put_foreign(const struct damage *damage, const char *root, const char *path)
{
	static const char text[] = "This is somebody's diary, and none of your business.\n";
	char other[PATH_SIZE + SCRATCH_PATH_SIZE];
	unsigned char *bytes;
	size_t n;

	if (damage->target->role != ROLE_TRUTH || damage->at > 0) {
		scratch_file_save(path, text, sizeof(text));
		return;
	}
	snprintf(other, sizeof(other), "%s/%s/records.db", root, damage->world->other);
	bytes = scratch_file_load(other, &n);
	scratch_file_save(path, bytes, n);
	free(bytes);
}

/* As the next version of Kith would begin it. */
static void make_newer(const struct target *target, const char *path)
{
	const struct {
		size_t page, at;
		uint8_t version;
	} of_derived = {4096, 8, VECTOR_FILE_VERSION + 1};
	unsigned char *bytes;
	size_t n;

	_Static_assert(VECTOR_FILE_VERSION == SNAPSHOT_VERSION, "one number says both");
	bytes = scratch_file_load(path, &n);
	assert_true(n > 2 * of_derived.page);
	if (target->role != ROLE_DERIVED) {
		bytes[SQLITE_USER_VERSION_AT] = 99;
	} else if (strstr(path, "/hnsw-")) {
		bytes[of_derived.at] = of_derived.version;
		snapshot_page_seal((struct snapshot_page *)(void *)bytes);
	} else {
		for (size_t at = 0; at < 2 * of_derived.page; at += of_derived.page) {
			bytes[at + of_derived.at] = of_derived.version;
			vector_page_seal(bytes + at);
		}
	}
	scratch_file_save(path, bytes, n);
	free(bytes);
}

static void inflict(const struct damage *damage, const char *root)
{
	char path[PATH_SIZE + SCRATCH_PATH_SIZE], aside[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", root, damage->target->path);
	snprintf(aside, sizeof(aside), "%s/aside", root);
	switch (damage->kind) {
	case DAMAGE_FLIP:
		flip(path, damage->at);
		break;
	case DAMAGE_CUT:
		assert_int_equal(truncate(path, (off_t)damage->at), 0);
		break;
	case DAMAGE_FOREIGN:
		put_foreign(damage, root, path);
		break;
	case DAMAGE_LINK:
		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(symlink(aside, path), 0);
		break;
	case DAMAGE_DIRECTORY:
		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		break;
	case DAMAGE_NEWER:
		make_newer(damage->target, path);
		break;
	case DAMAGE_DENIED:
		break; /* deny() says so to the daemon */
	}
}

/* Root may open anything: the disk refuses, whoever asks. */
static void deny(struct store_twin *twin, const struct target *target)
{
	static const enum store_twin_kind kinds[] = {STORE_TWIN_OPEN, STORE_TWIN_ADOPT};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		store_twin_fail(twin, (struct store_twin_fault){.kind = kinds[i],
		                                                .path_part = target->path,
		                                                .nth = 1,
		                                                .err = EACCES,
		                                                .lasting = true});
}

/* Checks --------------------------------------------------------------------------------------- */

static void expect_all(struct kith_conn *conn, const struct ledger_state *state)
{
	struct ledger_state found;

	ledger_read(conn, &found);
	assert_true(ledger_same(&found, state));
	ledger_expect_searches(state, conn);
}

/* What to do about it. */
static bool is_helpful(const char *message)
{
	return strstr(message, "restore a backup") || strstr(message, "use that version") ||
	       strstr(message, "put the file itself there");
}

static void expect_named(struct kith_conn *conn, const struct damage *damage)
{
	struct kith_verify_params params = {.collection = kith_text(NOTES)};
	struct kith_verify_result *result;
	int r = kith_verify(conn, &params, &result);

	if (damage->kind == DAMAGE_DIRECTORY || damage->kind == DAMAGE_DENIED) {
		assert_int_equal(r, KITH_ERROR_STORAGE_FAILED); /* it cannot look */
		return;
	}
	assert_int_equal(r, 0);
	assert_true(result->findings.n > 0);
	assert_true(is_text(result->findings.v[0].file, "records.db"));
	assert_false(result->findings.v[0].derived);
	kith_free(result);
}

/* Whether anything could be saved or not. */
static void expect_left_alone(struct kith_conn *conn, const char *path)
{
	struct kith_repair_params params = {.collection = kith_text(NOTES),
	                                    .name = kith_text("saved")};
	unsigned char *before, *after;
	size_t n_before, n_after;
	int r;

	before = scratch_file_load(path, &n_before);
	r = kith_repair(conn, &params, NULL);
	if (r != 0 && r != KITH_ERROR_DAMAGED && r != KITH_ERROR_STORAGE_FAILED)
		fail_msg("repair: %s: %s", kith_error_name(r), kith_error_message(conn));
	after = scratch_file_load(path, &n_after);
	assert_int_equal(n_after, n_before);
	assert_memory_equal(after, before, n_before);
	free(before);
	free(after);
}

/* A collection whose truth is bad says so, or gives what SQLite reads; the other one is whole. */
static void expect_others_serve(struct kith_conn *conn, const struct damage *damage,
                                const char *path)
{
	struct ledger_state others = {0};
	struct ledger_collection found = {.name = MAIL};
	struct ledger_state copy = damage->world->state;
	struct kith_scan_params scan = {.collection = kith_text(NOTES),
	                                .include = KITH_INCLUDE_VECTORS | KITH_INCLUDE_TEXTS};
	int r;

	others.v[0] = *ledger_collection(&copy, MAIL);
	r = kith_scan(conn, &scan, NULL);
	if (r != 0 && r != KITH_ERROR_DAMAGED && r != KITH_ERROR_STORAGE_FAILED)
		fail_msg("%s: %s", kith_error_name(r), kith_error_message(conn));
	if (r == 0 && damage->kind != DAMAGE_FLIP && damage->kind != DAMAGE_CUT)
		fail_msg("it serves");
	if (r == KITH_ERROR_DAMAGED && !is_helpful(kith_error_message(conn)))
		fail_msg("it does not say what to do: %s", kith_error_message(conn));
	if (r != 0) {
		expect_named(conn, damage);
		if (damage->kind != DAMAGE_DIRECTORY)
			expect_left_alone(conn, path);
	}
	r = try_put_records(conn, NOTES, 120, 5, 1, NULL);
	assert_true(r == 0 || r == KITH_ERROR_DAMAGED || r == KITH_ERROR_STORAGE_FAILED);
	ledger_read_collection(conn, &found);
	assert_memory_equal(&found, &others.v[0], sizeof(found));
	ledger_expect_searches(&others, conn);
	put_records(conn, MAIL, 100, 5, 1);
}

static void restart(struct daemon_thread *daemon, struct kith_conn **conn)
{
	kith_close(*conn);
	daemon_thread_restart(daemon);
	*conn = connect_to(daemon);
}

/* A file that could not be opened is, at the latest, by the next daemon. */
static void expect_mended(struct daemon_thread *daemon, struct kith_conn **conn,
                          const struct damage *damage)
{
	if (damage->kind == DAMAGE_DENIED)
		restart(daemon, conn);
	await_state(*conn, NOTES, NULL, KITH_INDEX_STATE_SERVING);
	optimize(*conn, NOTES, NULL);
	expect_all(*conn, &damage->world->state);
	restart(daemon, conn);
	expect_all(*conn, &damage->world->state);
}

/* The good file is there again, and what SQLite made of the bad one is not. */
static void put_back(const struct world *world, const struct target *target, const char *root)
{
	char path[PATH_SIZE + SCRATCH_PATH_SIZE], good[PATH_SIZE + SCRATCH_PATH_SIZE];
	char beside[PATH_SIZE + SCRATCH_PATH_SIZE + 8];
	unsigned char *bytes;
	size_t n;

	snprintf(good, sizeof(good), "%s/%s", daemon_thread_root(world->daemon), target->path);
	snprintf(path, sizeof(path), "%s/%s", root, target->path);
	snprintf(beside, sizeof(beside), "%s-wal", path);
	unlink(beside);
	snprintf(beside, sizeof(beside), "%s-shm", path);
	unlink(beside);
	if (unlink(path) != 0)
		rmdir(path);
	bytes = scratch_file_load(good, &n);
	scratch_file_save(path, bytes, n);
	free(bytes);
}

/* [child] */
static void check_damage(void *ctx)
{
	const struct damage *damage = ctx;
	const struct world *world = damage->world;
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon =
	        daemon_thread_new_stopped(store_twin_io(twin), NULL, CACHE_MB);
	char path[PATH_SIZE + SCRATCH_PATH_SIZE];
	struct kith_conn *conn;

	crash_disk_save(world->twin, store_twin_n_ops(world->twin),
	                daemon_thread_root(world->daemon), daemon_thread_root(daemon),
	                (struct crash){CRASH_KILLED, 0});
	inflict(damage, daemon_thread_root(daemon));
	if (damage->kind == DAMAGE_DENIED)
		deny(twin, damage->target);
	snprintf(path, sizeof(path), "%s/%s", daemon_thread_root(daemon), damage->target->path);
	if (daemon_thread_try_start(daemon) == 0) {
		conn = connect_to(daemon);
		DONE(conn, kith_ping(conn));
		if (damage->target->role == ROLE_TRUTH)
			expect_others_serve(conn, damage, path);
		else if (damage->target->role == ROLE_DERIVED)
			expect_all(conn, &world->state);
		store_twin_heal(twin);
		if (damage->target->role == ROLE_DERIVED)
			expect_mended(daemon, &conn, damage);
		kith_close(conn);
		daemon_thread_stop(daemon);
	} else {
		assert_int_equal(damage->target->role, ROLE_CATALOG);
		store_twin_heal(twin);
	}
	if (damage->target->role == ROLE_CATALOG) {
		put_back(world, damage->target, daemon_thread_root(daemon));
		daemon_thread_start(daemon);
		conn = connect_to(daemon);
		expect_all(conn, &world->state);
		kith_close(conn);
	}
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

static void try_damage(struct children *children, struct damage damage)
{
	static const char *const kinds[] = {"a flip",
	                                    "a cut",
	                                    "a foreign file",
	                                    "a link",
	                                    "a directory",
	                                    "a newer file",
	                                    "a file that may not be opened"};
	char what[CHILD_WHAT_SIZE];

	snprintf(what, sizeof(what), "%s of %s at %zu of %zu", kinds[damage.kind],
	         damage.target->name, damage.at, damage.target->size);
	children_run(children, check_damage, &damage, what);
}

/* ---------------------------------------------------------------------------------------------- */

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *told = getenv(variable);

	return told ? strtoull(told, NULL, 10) : otherwise;
}

static bool is_dense(const struct target *target, size_t at)
{
	for (int i = 0; i < 2; i++) {
		if (at >= target->dense[i].from && at < target->dense[i].to)
			return true;
	}
	return false;
}

static void flipped_bytes_are_found_or_mean_nothing(void **state)
{
	struct world *world = *state;
	uint64_t stride = number_of("KITH_FLIP_STRIDE", USUAL_STRIDE * CHILDREN_STRIDE);
	struct children children;

	children_init(&children);
	for (uint32_t i = 0; i < world->n_targets; i++) {
		const struct target *target = &world->targets[i];
		unsigned before = children.n_run;
		/* A sparse file's end is far away and empty. */
		size_t size = target->size < 262144 ? target->size : 262144;

		for (size_t at = number_of("KITH_SEED", 1) % stride; at < size;
		     at += is_dense(target, at) ? stride : stride * BODY_FACTOR)
			try_damage(&children, (struct damage){world, target, DAMAGE_FLIP, at});
		print_message("%s: %u bytes flipped\n", target->name, children.n_run - before);
	}
	children_finish(&children);
}

static void cut_and_foreign_files_are_found(void **state)
{
	struct world *world = *state;
	struct children children;

	children_init(&children);
	for (uint32_t i = 0; i < world->n_targets; i++) {
		const struct target *target = &world->targets[i];
		const size_t cuts[] = {0,
		                       1,
		                       99,
		                       100,
		                       4095,
		                       4096,
		                       65536,
		                       69632,
		                       target->size / 2,
		                       target->size - 1};

		for (size_t j = 0; j < sizeof(cuts) / sizeof(cuts[0]); j++) {
			if (cuts[j] < target->size)
				try_damage(&children,
				           (struct damage){world, target, DAMAGE_CUT, cuts[j]});
		}
		try_damage(&children, (struct damage){world, target, DAMAGE_FOREIGN, 0});
		try_damage(&children, (struct damage){world, target, DAMAGE_FOREIGN, 1});
		try_damage(&children, (struct damage){world, target, DAMAGE_LINK, 0});
		try_damage(&children, (struct damage){world, target, DAMAGE_DIRECTORY, 0});
		try_damage(&children, (struct damage){world, target, DAMAGE_NEWER, 0});
		try_damage(&children, (struct damage){world, target, DAMAGE_DENIED, 0});
	}
	children_finish(&children);
	print_message("%u damaged files tried\n", children.n_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(flipped_bytes_are_found_or_mean_nothing, setup,
	                                        teardown),
	        cmocka_unit_test_setup_teardown(cut_and_foreign_files_are_found, setup, teardown),
	};

	/* The disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests_name("bad files", tests, NULL, NULL);
}
