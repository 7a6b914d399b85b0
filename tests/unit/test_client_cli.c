/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/fake_daemon.h"

#define MAX_ROWS 64u
#define DIM 4u

extern char **environ;

/* What arrived at the fake daemon, a line for each row: "id|text|meta scalars|first float". */
struct store {
	char log[8192];
	uint32_t n_upserts, n_rows;
	atomic_uint refuse_upsert; /* the n-th, at its row 1 */
};

struct fixture {
	struct fake_daemon daemon;
	struct store store;
	char out[65536], err[8192];
	int status;
};

/* The daemon's side. -------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void store_log(struct store *store, const char *format,
                                                            ...)
{
	size_t n = strlen(store->log);
	va_list args;

	va_start(args, format);
	vsnprintf(store->log + n, sizeof(store->log) - n, format, args);
	va_end(args);
}

static void log_row(struct store *store, const struct upsert_params *params, uint32_t i)
{
	const struct wire_id *id = &params->ids.v[i];
	size_t dim = params->vectors.n / sizeof(float) / params->ids.n;
	float first;

	memcpy(&first, (const char *)params->vectors.data + i * dim * sizeof(float), sizeof(first));
	if (id->text)
		store_log(store, "'%.*s'", (int)id->n, id->text);
	else
		store_log(store, "%llu", (unsigned long long)id->number);
	if (params->texts.v && params->texts.v[i].data)
		store_log(store, "|%.*s", (int)params->texts.v[i].n, params->texts.v[i].data);
	if (params->metas.v && params->metas.v[i].blob.data)
		store_log(store, "|%u", params->metas.v[i].n_scalars);
	store_log(store, "|%g\n", (double)first);
}

static void serve_upsert(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct store *store = daemon->ctx;
	const struct upsert_params *params = request->params;
	struct wire_error error;

	if (++store->n_upserts == store->refuse_upsert) {
		wire_error_set_row(&error, WIRE_ERROR_BAD_VALUE, "vectors", 1,
		                   "the vector holds NaN");
		fake_refuse(daemon, request->id, &error);
		return;
	}
	for (uint32_t i = 0; i < params->ids.n; i++)
		log_row(store, params, i);
	store->n_rows += params->ids.n;
	fake_answer(daemon, request,
	            &(struct upsert_result){.seq = store->n_upserts, .inserted = params->ids.n});
}

#define LIMIT_VALUE(F, X, NAME, name, value, why) .name = LIMIT_##NAME,
static const struct limits_result limits = {LIMITS(LIMIT_VALUE, , ).end = 0};

static void serve_search(struct fake_daemon *daemon, const struct wire_request *request)
{
	static const float distances[] = {0.25f, 0.5f};
	static const char words[] = "a passage of many words \x1b[31m that does not fit into the "
	                            "width of the terminal it is shown on";
	uint32_t counts[] = {2};
	struct wire_id ids[] = {{.text = "first", .n = 5}, {.number = 77}};
	struct wire_str texts[] = {{words, sizeof(words) - 1}, {"short", 5}};
	struct wire_str namespaces[] = {{"home", 4}, {"", 0}};
	const struct search_result result = {
	        .counts = {counts, 1},
	        .ids = {ids, 2},
	        .distances = {distances, sizeof(distances)},
	        .texts = {texts, 2},
	        .namespaces = {namespaces, 2},
	        .coverage = 1,
	        .comparisons = 60000,
	        .served_from = WIRE_source_resident,
	        .time_us = 1234,
	};

	fake_answer(daemon, request, &result);
}

/* Of two ids the second is there. */
static void serve_get(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct get_params *params = request->params;
	uint32_t positions[] = {1};
	struct wire_str texts[] = {{"there", 5}};
	const struct get_result result = {.positions = {positions, 1}, .texts = {texts, 1}};

	FAKE_MUST(params->ids.n == 2);
	fake_answer(daemon, request, &result);
}

static void serve(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct create_collection_params *create = request->params;
	struct wire_error error;

	switch (request->method) {
	case WIRE_METHOD_ping:
		fake_answer(daemon, request, &(struct ping_result){0});
		break;
	case WIRE_METHOD_limits:
		fake_answer(daemon, request, &limits);
		break;
	case WIRE_METHOD_create_collection:
		store_log(daemon->ctx, "create %u %u %d\n", create->dim, create->metric,
		          create->exist_ok);
		fake_answer(
		        daemon, request,
		        &(struct create_collection_result){.uuid = {"u-1", 3}, .created = true});
		break;
	case WIRE_METHOD_upsert:
		serve_upsert(daemon, request);
		break;
	case WIRE_METHOD_search:
		serve_search(daemon, request);
		break;
	case WIRE_METHOD_get:
		serve_get(daemon, request);
		break;
	case WIRE_METHOD_count:
		break; /* never answered */
	default:
		wire_error_set(&error, WIRE_ERROR_NO_COLLECTION, "collection",
		               "there is no collection 'gone'");
		fake_refuse(daemon, request->id, &error);
		break;
	}
}

/* The command's side. ------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fake_daemon_init(&fixture->daemon, serve, &fixture->store);
	fake_daemon_start(&fixture->daemon);
	setenv("KITH_SOCKET", fixture->daemon.socket, 1);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	fake_daemon_release(&fixture->daemon);
	free(fixture);
	return 0;
}

static char *path_of(struct fixture *fixture, const char *name)
{
	static char path[SCRATCH_PATH_SIZE];

	return scratch_dir_path(&fixture->daemon.dir, name, path);
}

static void load(struct fixture *fixture, const char *name, char *text, size_t size)
{
	size_t n;
	unsigned char *bytes = scratch_file_load(path_of(fixture, name), &n);

	assert_true(n < size);
	memcpy(text, bytes, n);
	text[n] = '\0';
	free(bytes);
}

static pid_t spawn(char **argv, posix_spawn_file_actions_t *actions)
{
	const char *program = getenv("KITH");
	pid_t pid;

	assert_non_null(program);
	assert_int_equal(posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0), 0);
	assert_int_equal(posix_spawn(&pid, program, actions, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(actions);
	return pid;
}

static void await(struct fixture *fixture, pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	fixture->status = WEXITSTATUS(status);
}

/* Runs `kith line` (words between single blanks) with its output in files; returns the status. */
static int kith(struct fixture *fixture, const char *format, ...)
{
	char line[2048], *argv[64] = {"kith"}, *rest = line;
	posix_spawn_file_actions_t actions;
	int flags = O_WRONLY | O_CREAT | O_TRUNC;
	size_t n = 1;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	while (n < 63 && (argv[n] = strsep(&rest, " ")))
		n++;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, path_of(fixture, "out"), flags, 0600);
	posix_spawn_file_actions_addopen(&actions, 2, path_of(fixture, "err"), flags, 0600);
	await(fixture, spawn(argv, &actions));
	load(fixture, "out", fixture->out, sizeof(fixture->out));
	load(fixture, "err", fixture->err, sizeof(fixture->err));
	return fixture->status;
}

static void save(struct fixture *fixture, const char *name, const char *text)
{
	scratch_file_save(path_of(fixture, name), text, strlen(text));
}

/* n rows of DIM floats; the first float of a row is its position. */
static void save_fvecs(struct fixture *fixture, const char *name, uint32_t n)
{
	struct {
		uint32_t dim;
		float v[DIM];
	} rows[MAX_ROWS] = {0};

	for (uint32_t i = 0; i < n; i++) {
		rows[i].dim = DIM;
		rows[i].v[0] = (float)i;
	}
	scratch_file_save(path_of(fixture, name), rows, n * sizeof(rows[0]));
}

/* Both files of an import. */
static int import(struct fixture *fixture, const char *options)
{
	const char *dir = fixture->daemon.dir.path;

	return kith(fixture, "import notes %s/v.fvecs --jsonl %s/v.jsonl%s", dir, dir, options);
}

/* Import. ------------------------------------------------------------------------------------- */

static void import_sends_every_row_once_in_batches(void **state)
{
	struct fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 5);
	save(fixture, "v.jsonl",
	     "{\"id\":\"a\",\"text\":\"one\",\"meta\":{\"x\":1,\"l\":[1,\"b\",true]}}\n"
	     "{\"id\":40,\"text\":null}\n"
	     "{}\n"
	     "{\"meta\":{}}\n"
	     "{\"text\":\"gr\\u00fcn\",\"meta\":{\"f\":0.5}}");
	assert_int_equal(import(fixture, " --batch 2 --first-id 100 --metric cosine"), 0);
	fake_daemon_stop(&fixture->daemon);
	assert_string_equal(fixture->store.log, "create 4 2 1\n"
	                                        "'a'|one|4|0\n"
	                                        "40|1\n"
	                                        "102|2\n"
	                                        "103|0|3\n"
	                                        "104|gr\xc3\xbcn|1|4\n");
	assert_int_equal(fixture->store.n_upserts, 3);
	assert_string_equal(fixture->err, "");
	assert_non_null(strstr(fixture->out, "{\"rows\":5,\"inserted\":5,\"replaced\":0,"));
}

static void import_takes_vectors_alone(void **state)
{
	struct fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 40);
	assert_int_equal(kith(fixture, "import notes %s --batch 1", path_of(fixture, "v.fvecs")),
	                 0);
	fake_daemon_stop(&fixture->daemon);
	assert_int_equal(fixture->store.n_upserts, 40);
	assert_memory_equal(fixture->store.log, "0|0\n1|1\n2|2\n", 12);
}

static void a_refused_row_is_named_as_that_of_the_file(void **state)
{
	struct fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 40);
	fixture->store.refuse_upsert = 3;
	assert_int_equal(kith(fixture, "import notes %s --batch 2", path_of(fixture, "v.fvecs")),
	                 1);
	assert_non_null(strstr(fixture->err, "v.fvecs: row 5: the vector holds NaN\n"));
	fake_daemon_stop(&fixture->daemon);
	assert_true(fixture->store.n_upserts < 20);
	/* What was acknowledged, also after the refusal, is what is told. */
	assert_int_equal(strtoul(fixture->out + strlen("{\"rows\":"), NULL, 10),
	                 fixture->store.n_rows);
}

static void malformed_lines_are_named_by_file_and_line(void **state)
{
	static const struct {
		const char *lines, *message;
	} cases[] = {
	        {"{}\n{\"id\":}\n", "v.jsonl:2: column "},
	        {"{}\n[1]\n", "v.jsonl:2: a line is an object, not a list"},
	        {"{}\n\n", "v.jsonl:2: column "},
	        {"{\"id\":-1}\n",
	         "v.jsonl:1: \"id\" is a string or an integer from 0 on, not a negative one"},
	        {"{\"id\":1.5}\n",
	         "v.jsonl:1: \"id\" is a string or an integer from 0 on, not a number"},
	        {"{\"id\":1,\"id\":2}\n", "v.jsonl:1: column "},
	        {"{\"text\":7}\n", "v.jsonl:1: \"text\" is a string, not a number"},
	        {"{\"text\":\"\xff\"}\n", "v.jsonl:1: column "},
	        {"{\"meta\":[]}\n", "v.jsonl:1: \"meta\" is an object, not a list"},
	        {"{\"meta\":{\"a\":null}}\n", "v.jsonl:1: \"meta\": \"a\" holds null"},
	        {"{\"meta\":{\"a\":[[1]]}}\n", "v.jsonl:1: \"meta\": the list \"a\" holds a list"},
	        {"{\"vector\":[1]}\n", "v.jsonl:1: there is no \"vector\""},
	        {"{}\n", "v.jsonl has 1 lines, "},
	        {"{}\n{}\n{}\n", "v.jsonl:3: "},
	};
	struct fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 2);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		save(fixture, "v.jsonl", cases[i].lines);
		assert_int_equal(import(fixture, ""), 5);
		if (!strstr(fixture->err, cases[i].message))
			fail_msg("'%s' does not say '%s'", fixture->err, cases[i].message);
	}
}

static void malformed_vectors_are_named_by_file_and_row(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *message;
	} cases[] = {
	        {"", 0, "v.fvecs is empty"},
	        {"\1\0\0", 3, "v.fvecs: row 0: the file ends inside the row's dimension"},
	        {"\0\0\0\0", 4, "v.fvecs: row 0: 0 is no dimension; is this an .fvecs file?"},
	        {"{\"id\":1}", 8, "is no dimension; is this an .fvecs file?"},
	        {"\2\0\0\0\0\0\0\0", 8, "v.fvecs: row 0: the file ends after 1 of 2 floats"},
	        {"\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0", 20,
	         "v.fvecs: row 1 has 2 dimensions, those before it 1"},
	        {"\1\0\0\0\0\0\0\0\1\0\0\0", 12,
	         "v.fvecs: row 1: the file ends after 0 of 1 floats"},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = path_of(fixture, "v.fvecs");

		scratch_file_save(path, cases[i].bytes, cases[i].n);
		assert_int_equal(kith(fixture, "import notes %s", path), 5);
		if (!strstr(fixture->err, cases[i].message))
			fail_msg("'%s' does not say '%s'", fixture->err, cases[i].message);
	}
	assert_int_equal(kith(fixture, "import notes /nonexistent/x.fvecs"), 5);
	assert_string_equal(fixture->err,
	                    "kith import: /nonexistent/x.fvecs: No such file or directory\n");
}

/* Printing. ----------------------------------------------------------------------------------- */

static void search_prints_json_where_there_is_no_terminal(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(kith(fixture, "search notes --vector 1,2e0,-3.5,4"), 0);
	assert_non_null(
	        strstr(fixture->out,
	               "{\"hits\":[{\"id\":\"first\",\"namespace\":\"home\",\"text\":\"a passage"));
	assert_non_null(strstr(fixture->out, "\"distance\":0.25},{\"id\":77,\"namespace\":\"\","));
	assert_non_null(strstr(fixture->out, "\"mode\":\"exact\",\"coverage\":1.0,"));
	assert_non_null(strstr(fixture->out, "\"served_from\":\"resident\""));
	assert_int_equal(kith(fixture, "search notes --vector 1,2,x"), 2);
	assert_string_equal(fixture->err, "kith search: --vector: number 3 cannot be read: 'x'\n");
}

/* Runs it with a terminal of so many columns for its output. */
static void run_on_terminal(struct fixture *fixture, unsigned short n_columns, char **argv)
{
	struct winsize size = {.ws_row = 24, .ws_col = n_columns};
	posix_spawn_file_actions_t actions;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;
	pid_t pid;
	int slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, slave, 1);
	pid = spawn(argv, &actions);
	close(slave);
	while ((got = read(master, fixture->out + n, sizeof(fixture->out) - 1 - n)) > 0)
		n += (size_t)got;
	fixture->out[n] = '\0';
	close(master);
	await(fixture, pid);
}

static void search_prints_a_table_that_cannot_drive_the_terminal(void **state)
{
	char *argv[] = {"kith", "search", "notes", "--vector", "1", NULL};
	struct fixture *fixture = *state;

	run_on_terminal(fixture, 72, argv);
	assert_int_equal(fixture->status, 0);
	assert_null(strchr(fixture->out, '\x1b'));
	assert_non_null(strstr(fixture->out, "#  ID     DISTANCE  NAMESPACE  TEXT\r\n"
	                                     "1  first      0.25  home       a passage of many "
	                                     "words ?[31m that doe...\r\n"
	                                     "2  77          0.5             short\r\n"
	                                     "exact, coverage 100%, 60,000 comparisons, vectors "
	                                     "resident, 1.23 ms ("));
	for (unsigned short n_columns = 28; n_columns < 40; n_columns++) {
		run_on_terminal(fixture, n_columns, argv);
		assert_int_equal(fixture->status, 0);
	}
	assert_non_null(strstr(fixture->out, "1  first      0.25  home       a pas...\r\n"));
}

static void get_says_what_is_missing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(kith(fixture, "get notes 7 7a"), 4);
	assert_string_equal(fixture->out, "{\"id\":\"7a\",\"text\":\"there\"}\n");
	assert_string_equal(fixture->err, "kith get: there is no record 7\n");
	assert_int_equal(kith(fixture, "get notes 7 8"), 4);
	assert_string_equal(fixture->out, "{\"id\":8,\"text\":\"there\"}\n");
	assert_int_equal(kith(fixture, "get notes --text-ids 7 8"), 4);
	assert_string_equal(fixture->out, "{\"id\":\"8\",\"text\":\"there\"}\n");
}

/* Statuses. ----------------------------------------------------------------------------------- */

static void statuses_tell_failures_apart(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(kith(fixture, "ping"), 0);
	assert_non_null(strstr(fixture->out, "{\"version\":\"1.2.3\",\"pid\":4711,\"pings\":1,"));
	assert_int_equal(kith(fixture, "describe gone"), 4);
	assert_string_equal(fixture->err, "kith describe: there is no collection 'gone'\n");
	assert_int_equal(kith(fixture, "count notes --timeout 0.01"), 6);
	assert_string_equal(fixture->err, "kith count: the daemon did not answer in time\n");
	assert_int_equal(kith(fixture, "ping --socket /nonexistent/kith.sock"), 3);
	assert_non_null(strstr(fixture->err, "(is kithd running? try: systemctl --user start"));
	assert_int_equal(kith(fixture, "--socket /nonexistent/kith.sock ping"), 3);
}

static void a_wrong_command_line_never_connects(void **state)
{
	static const char *const lines[] = {
	        "pong",
	        "ping --frequency",
	        "ping more",
	        "count",
	        "search notes",
	        "search notes --vector 1 --fvecs x",
	        "search notes --vector 1 --k 0",
	        "search notes --vector 1 --include text",
	        "create notes --dim 4",
	        "create notes --dim 4 --metric euclid",
	        "create notes --dim -4 --metric l2",
	        "drop notes",
	        "ping --timeout soon",
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (kith(fixture, "%s", lines[i]) != 2)
			fail_msg("'kith %s' ended with %d", lines[i], fixture->status);
		assert_string_equal(fixture->out, "");
		assert_string_not_equal(fixture->err, "");
	}
	assert_int_equal(fixture->daemon.n_connections, 0);
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
	char *argv[] = {"kith", "limits", NULL};
	struct fixture *fixture = *state;
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/full", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	await(fixture, spawn(argv, &actions));
	assert_int_equal(fixture->status, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(import_sends_every_row_once_in_batches),
	        TEST(import_takes_vectors_alone),
	        TEST(a_refused_row_is_named_as_that_of_the_file),
	        TEST(malformed_lines_are_named_by_file_and_line),
	        TEST(malformed_vectors_are_named_by_file_and_row),
	        TEST(search_prints_json_where_there_is_no_terminal),
	        TEST(search_prints_a_table_that_cannot_drive_the_terminal),
	        TEST(get_says_what_is_missing),
	        TEST(statuses_tell_failures_apart),
	        TEST(a_wrong_command_line_never_connects),
	        TEST(output_that_cannot_be_written_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
