/* SPDX-License-Identifier: Apache-2.0 */

/* What kithd checks before it serves: that nobody else does, that nobody else can come in, and
 * that what it finds is its own. */

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "protocol/limits.h"
#include "tests/lib/saved_index.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/service_fixture.h"

#define PATH_SIZE (2 * DAEMON_PROCESS_PATH_SIZE)

/* The start fails, with exit status 1, and the log says so. */
static void expect_no_start(struct daemon_process *daemon, const char *said)
{
	int status;

	if (access(daemon->log, F_OK) == 0)
		assert_int_equal(truncate(daemon->log, 0), 0);
	assert_int_equal(daemon_process_spawn(daemon), 0);
	assert_int_equal(daemon_process_wait(daemon, &status), DAEMON_PROCESS_FAILED);
	assert_int_equal(status, 1 << 8);
	if (!daemon_process_said(daemon, said))
		fail_msg("the log of a start that failed does not say '%s'", said);
}

/* One at a time -------------------------------------------------------------------------------- */

static void a_second_daemon_on_a_directory_is_told_who_has_it(void **state)
{
	struct service_fixture *service = *state;
	const struct {
		const char *option, *dir;
	} shared[] = {
	        {"--data-dir", service->daemon->data_dir},
	        {"--cache-dir", service->daemon->cache_dir},
	};
	char holder[64];

	snprintf(holder, sizeof(holder), "is in use by process %d", (int)service->daemon->pid);
	for (size_t i = 0; i < 2; i++) {
		struct daemon_process *second;

		assert_int_equal(daemon_process_new(&second), 0);
		assert_int_equal(daemon_process_option(second, shared[i].option, shared[i].dir), 0);
		expect_no_start(second, holder);
		daemon_process_free(second);
	}
	DONE(service->conn, kith_ping(service->conn));
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 10, 1);
	expect_records(service->conn, "notes", 0, 10, 1);
}

static void a_socket_that_is_served_is_left_alone(void **state)
{
	struct service_fixture *service = *state;
	struct daemon_process *second;
	struct kith_conn *conn;

	assert_int_equal(daemon_process_new(&second), 0);
	assert_int_equal(daemon_process_option(second, "--socket", service->daemon->socket), 0);
	expect_no_start(second, "another daemon listens on");
	daemon_process_free(second);
	conn = service_client(service);
	assert_int_equal(kith_server_pid(conn), service->daemon->pid);
	kith_close(conn);
}

static void a_directory_is_free_again_when_its_daemon_was_killed(void **state)
{
	struct service_fixture *service = *state;

	for (int i = 0; i < 5; i++)
		service_kill_and_start(service);
	service_stop_and_start(service);
}

/* The socket ----------------------------------------------------------------------------------- */

static char *run_dir(const struct daemon_process *daemon, char dir[static PATH_SIZE])
{
	strcpy(dir, daemon->socket);
	*strrchr(dir, '/') = '\0';
	return dir;
}

static void a_socket_directory_that_is_open_to_others_is_refused(void **state)
{
	struct service_fixture *service = *state;
	static const mode_t modes[] = {0755, 0750, 0701, 0777, 01777};
	char dir[PATH_SIZE], elsewhere[PATH_SIZE];

	assert_int_equal(mkdir(run_dir(service->daemon, dir), 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		assert_int_equal(chmod(dir, modes[i]), 0);
		expect_no_start(service->daemon, "must be a directory of this user with mode 0700");
		assert_int_equal(access(service->daemon->socket, F_OK), -1);
	}
	/* Nor may a link lead somewhere else. */
	assert_int_equal(rmdir(dir), 0);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", service->daemon->root);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(symlink(elsewhere, dir), 0);
	expect_no_start(service->daemon, "must be a directory of this user with mode 0700");
	assert_int_equal(unlink(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	service_start(service);
}

/* How many connections a process of that user can have at once. Only root can ask. */
static int n_let_in(const struct daemon_process *daemon, uid_t uid)
{
	const struct kith_options options = {.socket_path = daemon->socket};
	struct kith_conn *conn;
	int status, n = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		while (n < 255 && (n > 0 || setuid(uid) == 0) &&
		       kith_connect(&options, &conn) == 0 && kith_ping(conn) == 0)
			n++;
		_exit(n);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* What a process of that user gets when it asks for a backup. */
static int backup_by(const struct daemon_process *daemon, uid_t uid)
{
	const struct kith_options options = {.socket_path = daemon->socket};
	const struct kith_backup_params params = {.directory = kith_text("/tmp/not-for-guests")};
	struct kith_conn *conn;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setuid(uid) || kith_connect(&options, &conn))
			_exit(0);
		_exit(kith_backup(conn, &params, NULL));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static mode_t mode_of(const char *path)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	return status.st_mode & 07777;
}

static void guests_find_a_way_in_and_nobody_else(void **state)
{
	struct service_fixture *service = *state;
	char dir[PATH_SIZE];

	run_dir(service->daemon, dir);
	assert_int_equal(mkdir(dir, 0777), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(daemon_process_option(service->daemon, "--allow-uids", "54321 54322"), 0);
	expect_no_start(service->daemon, "must be a directory of this user with mode 0711");
	assert_int_equal(chmod(dir, 0700), 0);
	service_start(service);
	assert_int_equal(mode_of(dir), 0711);
	assert_int_equal(mode_of(service->daemon->socket), 0666);
	assert_int_equal(mode_of(service->daemon->data_dir) & 077, 0);
	assert_int_equal(mode_of(service->daemon->cache_dir) & 077, 0);
	if (geteuid() == 0) {
		assert_int_equal(chmod(service->daemon->root, 0711), 0);
		assert_int_equal(n_let_in(service->daemon, 54321), LIMIT_GUEST_CONNECTIONS);
		await_said(service->daemon, "it has 128, which is the limit");
		assert_int_equal(backup_by(service->daemon, 54321), KITH_ERROR_OWNER_ONLY);
		assert_int_equal(n_let_in(service->daemon, 54323), 0);
		await_said(service->daemon, "refused a connection of uid 54323");
	}
	DONE(service->conn, kith_ping(service->conn));
	/* When they are guests no more, the way is closed. */
	service_stop(service);
	assert_int_equal(daemon_process_option(service->daemon, "--allow-uids", ""), 0);
	service_start(service);
	assert_int_equal(mode_of(dir), 0700);
	assert_int_equal(mode_of(service->daemon->socket), 0600);
}

/* Neither is followed, whoever put it there. */
static void a_link_in_the_sockets_place_is_refused_and_left(void **state)
{
	struct service_fixture *service = *state;
	char dir[PATH_SIZE], target[PATH_SIZE];

	assert_int_equal(mkdir(run_dir(service->daemon, dir), 0700), 0);
	snprintf(target, sizeof(target), "%s/target", service->daemon->root);
	assert_int_equal(symlink(target, service->daemon->socket), 0);
	expect_no_start(service->daemon, "cannot listen on");
	assert_int_equal(access(target, F_OK), -1);
	scratch_file_save(target, "precious", 8);
	expect_no_start(service->daemon, "cannot listen on");
	assert_int_equal(access(target, F_OK), 0);
	assert_int_equal(unlink(service->daemon->socket), 0);
	service_start(service);
}

static void a_socket_that_a_dead_daemon_left_is_replaced(void **state)
{
	struct service_fixture *service = *state;

	service_start(service);
	kith_close(service->conn);
	service->conn = NULL;
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	assert_int_equal(access(service->daemon->socket, F_OK), 0);
	service_start(service);
	DONE(service->conn, kith_ping(service->conn));
	service_stop(service);
	assert_int_equal(access(service->daemon->socket, F_OK), -1);
}

static void what_is_no_socket_is_not_removed(void **state)
{
	struct service_fixture *service = *state;
	char dir[PATH_SIZE];
	unsigned char *bytes;
	size_t n;

	assert_int_equal(mkdir(run_dir(service->daemon, dir), 0700), 0);
	scratch_file_save(service->daemon->socket, "precious", 8);
	expect_no_start(service->daemon, "cannot listen on");
	bytes = scratch_file_load(service->daemon->socket, &n);
	assert_int_equal(n, 8);
	assert_memory_equal(bytes, "precious", 8);
	free(bytes);
}

static int check_mode(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	if (status->st_mode & 077) {
		print_error("%s has mode %o\n", path, (unsigned)status->st_mode);
		return 1;
	}
	return 0;
}

static void nothing_of_it_is_for_others(void **state)
{
	struct service_fixture *service = *state;
	mode_t mask = umask(0);
	struct stat status;

	service_start(service);
	umask(mask);
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 10, 1);
	assert_int_equal(stat(service->daemon->socket, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(nftw(service->daemon->data_dir, check_mode, 16, FTW_PHYS), 0);
	assert_int_equal(nftw(service->daemon->cache_dir, check_mode, 16, FTW_PHYS), 0);
}

/* The truth ------------------------------------------------------------------------------------ */

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *database;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

/* Two collections of ten records each; stopped. */
static void prepare(struct service_fixture *service, char catalog[static PATH_SIZE])
{
	service_start(service);
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	make_collection(service->conn, "others", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 10, 1);
	put_records(service->conn, "others", 0, 10, 1);
	snprintf(catalog, PATH_SIZE, "%s/catalog.db", service->daemon->data_dir);
}

static void a_catalog_of_a_newer_version_is_refused_and_left_as_it_is(void **state)
{
	struct service_fixture *service = *state;
	char catalog[PATH_SIZE];

	prepare(service, catalog);
	service_stop(service);
	run_sql(catalog, "PRAGMA user_version = 99");
	expect_no_start(service->daemon, "it was written by a newer Kith");
	run_sql(catalog, "PRAGMA user_version = 2");
	service_start(service);
	expect_records(service->conn, "notes", 0, 10, 1);
}

static void a_catalog_that_is_none_is_refused_and_left_as_it_is(void **state)
{
	struct service_fixture *service = *state;
	char catalog[PATH_SIZE];
	unsigned char *good, *found;
	size_t n, n_found;

	prepare(service, catalog);
	service_stop(service);
	good = scratch_file_load(catalog, &n);
	run_sql(catalog, "PRAGMA application_id = 7");
	expect_no_start(service->daemon, "it is not a catalog");
	scratch_file_save(catalog, "This is not a database. It is a letter.", 39);
	expect_no_start(service->daemon, "cannot open the catalog");
	found = scratch_file_load(catalog, &n_found);
	assert_int_equal(n_found, 39);
	assert_memory_equal(found, "This is", 7);
	free(found);
	scratch_file_save(catalog, good, n);
	free(good);
	service_start(service);
	expect_records(service->conn, "notes", 0, 10, 1);
}

/* What somebody did to the database of the collection "notes". */
static void make_newer(const char *path, const char *other)
{
	(void)other;
	run_sql(path, "PRAGMA user_version = 99");
}

static void make_foreign(const char *path, const char *other)
{
	unsigned char *bytes;
	size_t n;

	bytes = scratch_file_load(other, &n);
	scratch_file_save(path, bytes, n);
	free(bytes);
}

static void make_missing(const char *path, const char *other)
{
	(void)other;
	assert_int_equal(unlink(path), 0);
}

static void make_empty(const char *path, const char *other)
{
	(void)other;
	scratch_file_save(path, "", 0);
}

static void make_noise(const char *path, const char *other)
{
	unsigned char *bytes;
	size_t n;

	(void)other;
	bytes = scratch_file_load(path, &n);
	for (size_t i = 4096; i < n; i++)
		bytes[i] = (unsigned char)((i * 2654435761u) >> 13);
	scratch_file_save(path, bytes, n);
	free(bytes);
}

static void make_short(const char *path, const char *other)
{
	(void)other;
	assert_int_equal(truncate(path, 4096), 0);
}

static char *database_of(struct service_fixture *service, const char *collection,
                         char path[static PATH_SIZE])
{
	struct kith_describe_collection_params params = {kith_text(collection)};
	struct kith_describe_collection_result *about;

	DONE(service->conn, kith_describe_collection(service->conn, &params, &about));
	snprintf(path, PATH_SIZE, "%s/%.*s/records.db", service->daemon->data_dir,
	         (int)about->collection.uuid.n, about->collection.uuid.data);
	kith_free(about);
	return path;
}

/* What is refused says what to do, and what is wrong is told by who looks. */
static void expect_way_out(struct kith_conn *conn)
{
	struct kith_verify_params params = {.collection = kith_text("notes")};
	const char *message = kith_error_message(conn);
	struct kith_verify_result *result;

	if (!strstr(message, "restore a backup") && !strstr(message, "use that version"))
		fail_msg("it does not say what to do: %s", message);
	DONE(conn, kith_verify(conn, &params, &result));
	assert_true(result->findings.n > 0);
	assert_true(is_text(result->findings.v[0].file, "records.db"));
	assert_false(result->findings.v[0].derived);
	kith_free(result);
}

static void a_damaged_database_costs_its_own_collection_only(void **state)
{
	struct service_fixture *service = *state;
	static void (*const ways[])(const char *path, const char *other) = {
	        make_newer, make_foreign, make_missing, make_empty, make_noise, make_short,
	};
	struct kith_count_params count = {.collection = kith_text("notes")};
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	char catalog[PATH_SIZE], path[PATH_SIZE], other[PATH_SIZE];

	prepare(service, catalog);
	database_of(service, "others", other);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		database_of(service, "notes", path);
		service_stop(service);
		ways[i](path, other);
		service_start(service);
		for (int again = 0; again < 2; again++) {
			REFUSED(service->conn, KITH_ERROR_DAMAGED, "collection",
			        kith_count(service->conn, &count, NULL));
			expect_way_out(service->conn);
			if (try_put_records(service->conn, "notes", 5, 1, 2, NULL) !=
			    KITH_ERROR_DAMAGED)
				fail_msg("way %zu: a write was not refused", i);
			expect_records(service->conn, "others", 0, 10, 1);
			put_records(service->conn, "others", 20 + i, 1, 1);
		}
		/* It can go, and a new one come. */
		DONE(service->conn, kith_drop_collection(service->conn, &drop, NULL));
		make_collection(service->conn, "notes", KITH_METRIC_L2);
		put_records(service->conn, "notes", 0, 10, 1);
		expect_records(service->conn, "notes", 0, 10, 1);
		expect_count(service->conn, "notes", 10);
	}
}

/* And no more about it: it is not looked for again. */
static void that_memory_pressure_cannot_be_watched_is_said_once(void **state)
{
	struct service_fixture *service = *state;

	assert_int_equal(daemon_process_setenv(service->daemon, "MEMORY_PRESSURE_WATCH",
	                                       "/nonexistent/pressure"),
	                 0);
	service_start(service);
	make_collection(service->conn, "notes", KITH_METRIC_L2);
	put_records(service->conn, "notes", 0, 10, 1);
	service_stop(service);
	assert_int_equal(n_said(service->daemon, "memory pressure cannot be watched: No such file"),
	                 1);
	assert_int_equal(n_said(service->daemon, "memory pressure"), 1);
}

/* Else its files would have these numbers, and its log would go into one of them. */
static void standard_streams_that_are_closed_do_no_harm(void **state)
{
	struct service_fixture *service = *state;
	struct daemon_process *daemon = service->daemon;

	daemon->pid = fork();
	assert_true(daemon->pid >= 0);
	if (daemon->pid == 0) {
		for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
			close(fd);
		execl(daemon->program, daemon->program, "--socket", daemon->socket, "--data-dir",
		      daemon->data_dir, "--cache-dir", daemon->cache_dir, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(daemon_process_await(daemon), 0);
	assert_int_equal(daemon_process_stop(daemon), 0);
}

int main(void)
{
#define RUNNING(test) cmocka_unit_test_setup_teardown(test, service_setup, service_teardown)
#define STOPPED(test) cmocka_unit_test_setup_teardown(test, service_setup_stopped, service_teardown)
	const struct CMUnitTest tests[] = {
	        RUNNING(a_second_daemon_on_a_directory_is_told_who_has_it),
	        RUNNING(a_socket_that_is_served_is_left_alone),
	        RUNNING(a_directory_is_free_again_when_its_daemon_was_killed),
	        STOPPED(a_socket_directory_that_is_open_to_others_is_refused),
	        STOPPED(guests_find_a_way_in_and_nobody_else),
	        STOPPED(a_link_in_the_sockets_place_is_refused_and_left),
	        STOPPED(a_socket_that_a_dead_daemon_left_is_replaced),
	        STOPPED(what_is_no_socket_is_not_removed),
	        STOPPED(nothing_of_it_is_for_others),
	        STOPPED(a_catalog_of_a_newer_version_is_refused_and_left_as_it_is),
	        STOPPED(a_catalog_that_is_none_is_refused_and_left_as_it_is),
	        STOPPED(a_damaged_database_costs_its_own_collection_only),
	        STOPPED(that_memory_pressure_cannot_be_watched_is_said_once),
	        STOPPED(standard_streams_that_are_closed_do_no_harm),
	};

	return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
