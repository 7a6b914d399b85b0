/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/dtype.h"
#include "tests/lib/cli_fixture.h"

#define MAX_ROWS 64u
#define DIM 4u

/* What became of what arrived; the log has a line for each row: "id|text|meta scalars|first
 * float". Atomic, since the tests look, and set, while the daemon's thread runs. */
struct store {
	atomic_uint n_upserts, n_rows;
	atomic_uint refuse_upsert; /* the n-th, at its row 1 */
	atomic_uint signal_upsert; /* the n-th is answered after the client got this signal */
	atomic_int signal;
	atomic_bool signal_again; /* instead of setting bulk off */
	atomic_bool bulk;
	atomic_uint dtype;      /* of the collection */
	atomic_uint sent_dtype; /* of the last upsert's vectors */
	_Atomic(void *) sent;
};

/* The daemon's side. -------------------------------------------------------------------------- */

static struct store *store_of(struct fake_daemon *daemon)
{
	return ((struct cli_fixture *)daemon->ctx)->ctx;
}

static void log_row(struct fake_daemon *daemon, const struct upsert_params *params, uint32_t i)
{
	const struct wire_id *id = &params->ids.v[i];
	size_t row_bytes = params->vectors.n / params->ids.n;
	float first;

	dtype_convert((const char *)params->vectors.data + i * row_bytes, (enum dtype)params->dtype,
	              1, DTYPE_F32, &first);
	if (id->text)
		cli_log(daemon, "'%.*s'", (int)id->n, id->text);
	else
		cli_log(daemon, "%llu", (unsigned long long)id->number);
	if (params->texts.v && params->texts.v[i].data)
		cli_log(daemon, "|%.*s", (int)params->texts.v[i].n, params->texts.v[i].data);
	if (params->metas.v && params->metas.v[i].blob.data)
		cli_log(daemon, "|%u", params->metas.v[i].n_scalars);
	cli_log(daemon, "|%g\n", (double)first);
}

static void serve_upsert(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct store *store = store_of(daemon);
	const struct upsert_params *params = request->params;
	struct wire_error error;
	void *sent;

	store->n_upserts++;
	if (store->n_upserts == store->signal_upsert)
		fake_signal(daemon, store->signal);
	if (store->n_upserts == store->refuse_upsert) {
		wire_error_set_row(&error, WIRE_ERROR_BAD_VALUE, "vectors", 1,
		                   "the vector holds NaN");
		fake_refuse(daemon, request->id, &error);
		return;
	}
	free(store->sent);
	sent = malloc(params->vectors.n);
	FAKE_MUST(sent != NULL);
	memcpy(sent, params->vectors.data, params->vectors.n);
	store->sent = sent;
	store->sent_dtype = params->dtype;
	for (uint32_t i = 0; i < params->ids.n; i++)
		log_row(daemon, params, i);
	store->n_rows += params->ids.n;
	fake_answer(daemon, request,
	            &(struct upsert_result){.seq = store->n_upserts, .inserted = params->ids.n});
}

#define LIMIT_VALUE(F, X, NAME, name, value, why) .name = LIMIT_##NAME,
static const struct limits_result limits = {LIMITS(LIMIT_VALUE, , ).end = 0};

static void serve_search(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct search_params *params = request->params;
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
	        .mode = WIRE_mode_hnsw,
	        .coverage = 59999.0 / 60000,
	        .generation = 3,
	        .comparisons = 1234,
	        .scanned = 1,
	        .ef_search = 48,
	        .served_from = WIRE_source_resident,
	        .time_us = 1234,
	};

	cli_log(daemon, "search ef %u recall %g exact %d\n", params->ef_search,
	        params->target_recall, params->exact);
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

static void refuse_gone(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct wire_error error;

	wire_error_set(&error, WIRE_ERROR_NO_COLLECTION, "collection",
	               "there is no collection 'gone'");
	fake_refuse(daemon, request->id, &error);
}

static void serve_describe(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct describe_collection_params *params = request->params;
	const struct describe_collection_result result = {
	        .collection = {.dtype = store_of(daemon)->dtype}};

	if (params->collection.n == strlen("gone") &&
	    memcmp(params->collection.data, "gone", params->collection.n) == 0)
		refuse_gone(daemon, request);
	else
		fake_answer(daemon, request, &result);
}

static void serve(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct create_collection_params *create = request->params;
	const struct set_bulk_params *bulk = request->params;
	bool was_bulk;

	switch (request->method) {
	case WIRE_METHOD_ping:
		fake_answer(daemon, request, &(struct ping_result){0});
		break;
	case WIRE_METHOD_limits:
		fake_answer(daemon, request, &limits);
		break;
	case WIRE_METHOD_describe_collection:
		serve_describe(daemon, request);
		break;
	case WIRE_METHOD_create_collection:
		store_of(daemon)->dtype = create->dtype;
		cli_log(daemon, "create %u %u %u %d\n", create->dim, create->metric, create->dtype,
		        create->exist_ok);
		fake_answer(
		        daemon, request,
		        &(struct create_collection_result){.uuid = {"u-1", 3}, .created = true});
		break;
	case WIRE_METHOD_set_bulk:
		cli_log(daemon, "bulk %d\n", bulk->bulk);
		if (!bulk->bulk && store_of(daemon)->signal_again) {
			fake_signal(daemon, store_of(daemon)->signal);
			break;
		}
		was_bulk = store_of(daemon)->bulk;
		store_of(daemon)->bulk = bulk->bulk; /* who is answered may look at once */
		fake_answer(daemon, request,
		            &(struct set_bulk_result){.changed = bulk->bulk != was_bulk});
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
		refuse_gone(daemon, request);
		break;
	}
}

/* The command's side. ------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct store *store = calloc(1, sizeof(*store));

	assert_non_null(store);
	*state = cli_fixture_new(serve, store);
	return 0;
}

static int teardown(void **state)
{
	struct cli_fixture *fixture = *state;
	struct store *store = fixture->ctx;

	cli_fixture_free(fixture);
	free(store->sent);
	free(store);
	return 0;
}

static void save(struct cli_fixture *fixture, const char *name, const char *text)
{
	scratch_file_save(cli_path(fixture, name), text, strlen(text));
}

/* n rows of DIM floats; the first float of a row is its position. */
static void save_fvecs(struct cli_fixture *fixture, const char *name, uint32_t n)
{
	struct {
		uint32_t dim;
		float v[DIM];
	} rows[MAX_ROWS] = {0};

	for (uint32_t i = 0; i < n; i++) {
		rows[i].dim = DIM;
		rows[i].v[0] = (float)i;
	}
	scratch_file_save(cli_path(fixture, name), rows, n * sizeof(rows[0]));
}

/* Both files of an import. */
static int import(struct cli_fixture *fixture, const char *options)
{
	const char *dir = fixture->daemon.dir.path;

	return cli_run(fixture, "import notes %s/v.fvecs --jsonl %s/v.jsonl%s", dir, dir, options);
}

/* Import. ------------------------------------------------------------------------------------- */

static void import_sends_every_row_once_in_batches(void **state)
{
	struct cli_fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 5);
	save(fixture, "v.jsonl",
	     "{\"id\":\"a\",\"text\":\"one\",\"meta\":{\"x\":1,\"l\":[1,\"b\",true]}}\n"
	     "{\"id\":40,\"text\":null}\n"
	     "{}\n"
	     "{\"meta\":{}}\n"
	     "{\"text\":\"gr\\u00fcn\",\"meta\":{\"f\":0.5}}");
	assert_int_equal(import(fixture, " --batch 2 --first-id 100 --metric cosine --dtype f16"),
	                 0);
	fake_daemon_stop(&fixture->daemon);
	assert_string_equal(fixture->log, "create 4 2 1 1\n"
	                                  "'a'|one|4|0\n"
	                                  "40|1\n"
	                                  "102|2\n"
	                                  "103|0|3\n"
	                                  "104|gr\xc3\xbcn|1|4\n");
	assert_int_equal(store_of(&fixture->daemon)->n_upserts, 3);
	assert_string_equal(fixture->err, "");
	assert_non_null(strstr(fixture->out, "{\"rows\":5,\"inserted\":5,\"replaced\":0,"));
}

/* Values that round in every way: what an f16 can be, the middle between two, and just beside. */
#define N_HALVES 0x7c00u
#define NEAR_HALVES (N_HALVES * 4u)
#define HALVES_DIM 512u
#define HALVES_ROWS (NEAR_HALVES / HALVES_DIM)

static void near_halves(float *ret)
{
	for (uint32_t i = 0; i < N_HALVES; i++) {
		uint16_t around[] = {(uint16_t)i, (uint16_t)(i + 1)};
		float at[2], *to = ret + 4 * (size_t)i;

		dtype_convert(around, DTYPE_F16, 2, DTYPE_F32, at);
		if (i + 1 == N_HALVES)
			at[1] = 65519.0f; /* the last that is not rounded to infinity */
		to[0] = at[0];
		to[1] = at[0] + (at[1] - at[0]) / 2;
		to[2] = nextafterf(to[1], 0.0f);
		to[3] = -nextafterf(to[1], at[1]);
	}
}

static void import_into_f16_sends_f16(void **state)
{
	struct cli_fixture *fixture = *state;
	static float values[NEAR_HALVES];
	static uint16_t expected[NEAR_HALVES];
	static struct {
		uint32_t dim;
		float v[HALVES_DIM];
	} rows[HALVES_ROWS];

	static_assert(NEAR_HALVES % HALVES_DIM == 0, "whole rows");
	near_halves(values);
	dtype_convert(values, DTYPE_F32, NEAR_HALVES, DTYPE_F16, expected);
	for (uint32_t i = 0; i < HALVES_ROWS; i++) {
		rows[i].dim = HALVES_DIM;
		memcpy(rows[i].v, values + (size_t)i * HALVES_DIM, sizeof(rows[i].v));
	}
	scratch_file_save(cli_path(fixture, "v.fvecs"), rows, sizeof(rows));
	store_of(&fixture->daemon)->dtype = WIRE_dtype_f16;
	assert_int_equal(cli_run(fixture, "import notes %s", cli_path(fixture, "v.fvecs")), 0);
	fake_daemon_stop(&fixture->daemon);
	assert_int_equal(store_of(&fixture->daemon)->n_upserts, 1);
	assert_int_equal(store_of(&fixture->daemon)->sent_dtype, WIRE_dtype_f16);
	assert_memory_equal(store_of(&fixture->daemon)->sent, expected, sizeof(expected));
}

/* What has no f16 is sent as it is, so that the daemon says what is wrong with it. */
static void import_sends_what_no_f16_can_hold_as_it_is(void **state)
{
	static const float odd[][DIM] = {
	        {1, 65520, 0, 0}, {1, -65520, 0, 0}, {1e-8f, 0, 0, 0}, {NAN, 1, 0, 0}};
	struct cli_fixture *fixture = *state;
	struct store *store = store_of(&fixture->daemon);

	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		struct {
			uint32_t dim;
			float v[DIM];
		} row = {.dim = DIM};

		memcpy(row.v, odd[i], sizeof(row.v));
		scratch_file_save(cli_path(fixture, "v.fvecs"), &row, sizeof(row));
		store->dtype = WIRE_dtype_f16;
		assert_int_equal(cli_run(fixture, "import notes %s", cli_path(fixture, "v.fvecs")),
		                 0);
		assert_int_equal(store->sent_dtype, WIRE_dtype_f32);
		assert_memory_equal(store->sent, odd[i], sizeof(odd[i]));
	}
}

static void import_takes_vectors_alone(void **state)
{
	struct cli_fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 40);
	assert_int_equal(
	        cli_run(fixture, "import notes %s --batch 1", cli_path(fixture, "v.fvecs")), 0);
	fake_daemon_stop(&fixture->daemon);
	assert_int_equal(store_of(&fixture->daemon)->n_upserts, 40);
	assert_memory_equal(fixture->log, "0|0\n1|1\n2|2\n", 12);
}

/* A terminal sees how far it is, how fast it goes and how long it will take, until it is done. */
static void import_shows_its_progress_on_a_terminal(void **state)
{
	struct cli_fixture *fixture = *state;
	char *argv[] = {"kith", "import", "notes", NULL, "--batch", "1", NULL};
	const char *bar, *rate, *left, *end;

	save_fvecs(fixture, "v.fvecs", 5);
	argv[3] = cli_path(fixture, "v.fvecs");
	cli_run_on_terminal(fixture, 100, argv);
	assert_int_equal(fixture->status, 0);
	bar = strstr(fixture->out, "\r\033[K[####....................]  20%  1/5 rows  ");
	assert_non_null(bar);
	rate = strstr(bar, "/s  ");
	assert_non_null(rate);
	left = strstr(rate, " to go");
	assert_non_null(left);
	end = strstr(left, "\r\033[K5 rows stored in ");
	assert_non_null(end);
	/* Nobody looks: nothing is drawn. */
	assert_int_equal(
	        cli_run(fixture, "import notes %s --batch 1", cli_path(fixture, "v.fvecs")), 0);
	assert_string_equal(fixture->err, "");
	assert_null(strchr(fixture->out, '\r'));
}

static void bulk_is_on_for_the_import_and_off_however_it_ends(void **state)
{
	struct cli_fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 2);
	assert_int_equal(cli_run(fixture, "import notes %s --bulk", cli_path(fixture, "v.fvecs")),
	                 0);
	store_of(&fixture->daemon)->refuse_upsert = 2;
	assert_int_equal(cli_run(fixture, "import notes %s --bulk", cli_path(fixture, "v.fvecs")),
	                 1);
	/* What was on before is left on. */
	store_of(&fixture->daemon)->refuse_upsert = 0;
	assert_int_equal(cli_run(fixture, "bulk notes on"), 0);
	assert_string_equal(fixture->out, "{\"bulk\":true,\"changed\":true}\n");
	assert_int_equal(cli_run(fixture, "import notes %s --bulk", cli_path(fixture, "v.fvecs")),
	                 0);
	assert_int_equal(cli_run(fixture, "bulk notes on"), 0);
	assert_string_equal(fixture->out, "{\"bulk\":true,\"changed\":false}\n");
	assert_int_equal(cli_run(fixture, "bulk notes maybe"), 2);
	assert_string_equal(fixture->err, "kith bulk: it is on or off, not 'maybe'\n");
	fake_daemon_stop(&fixture->daemon);
	assert_string_equal(fixture->log, "bulk 1\n0|0\n1|1\nbulk 0\n"
	                                  "bulk 1\nbulk 0\n"
	                                  "bulk 1\n"
	                                  "bulk 1\n0|0\n1|1\n"
	                                  "bulk 1\n");
}

/* What was sent is stored and told, bulk goes off, and then the signal has its way. */
static void bulk_is_off_after_an_import_that_is_interrupted(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct cli_fixture *fixture = *state;
	struct store *store = store_of(&fixture->daemon);

	save_fvecs(fixture, "v.fvecs", 40);
	store->signal_upsert = 3;
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		store->signal = signals[i];
		store->n_upserts = store->n_rows = 0;
		assert_int_equal(cli_run(fixture, "import notes %s --bulk --batch 1",
		                         cli_path(fixture, "v.fvecs")),
		                 -signals[i]);
		assert_string_equal(fixture->err, "");
		/* Four at most were under way when the signal came, and one was read. */
		assert_in_range(store->n_rows, 3, 7);
		assert_int_equal(strtoul(fixture->out + strlen("{\"rows\":"), NULL, 10),
		                 store->n_rows);
		assert_false(store->bulk);
	}
	/* Without bulk there is nothing to put in order. */
	store->n_upserts = 0;
	assert_int_equal(
	        cli_run(fixture, "import notes %s --batch 1", cli_path(fixture, "v.fvecs")),
	        -SIGHUP);
}

/* Whatever it is that does not come to its end. */
static void the_second_signal_ends_an_import_at_once(void **state)
{
	struct cli_fixture *fixture = *state;
	struct store *store = store_of(&fixture->daemon);

	save_fvecs(fixture, "v.fvecs", 40);
	store->signal_upsert = 3;
	store->signal = SIGINT;
	store->signal_again = true;
	assert_int_equal(
	        cli_run(fixture, "import notes %s --bulk --batch 1", cli_path(fixture, "v.fvecs")),
	        -SIGINT);
	assert_string_equal(fixture->out, "");
	assert_true(store->bulk);
}

/* As after nohup. */
static void an_import_goes_on_when_the_signal_is_ignored(void **state)
{
	struct cli_fixture *fixture = *state;
	struct store *store = store_of(&fixture->daemon);
	void (*before)(int) = signal(SIGHUP, SIG_IGN);

	save_fvecs(fixture, "v.fvecs", 40);
	store->signal_upsert = 3;
	store->signal = SIGHUP;
	assert_int_equal(
	        cli_run(fixture, "import notes %s --bulk --batch 1", cli_path(fixture, "v.fvecs")),
	        0);
	signal(SIGHUP, before);
	assert_int_equal(store->n_rows, 40);
	assert_false(store->bulk);
}

static void a_refused_row_is_named_as_that_of_the_file(void **state)
{
	struct cli_fixture *fixture = *state;

	save_fvecs(fixture, "v.fvecs", 40);
	store_of(&fixture->daemon)->refuse_upsert = 3;
	assert_int_equal(
	        cli_run(fixture, "import notes %s --batch 2", cli_path(fixture, "v.fvecs")), 1);
	assert_non_null(strstr(fixture->err, "v.fvecs: row 5: the vector holds NaN\n"));
	fake_daemon_stop(&fixture->daemon);
	assert_true(store_of(&fixture->daemon)->n_upserts < 20);
	/* What was acknowledged, also after the refusal, is what is told. */
	assert_int_equal(strtoul(fixture->out + strlen("{\"rows\":"), NULL, 10),
	                 store_of(&fixture->daemon)->n_rows);
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
	struct cli_fixture *fixture = *state;

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
	struct cli_fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path = cli_path(fixture, "v.fvecs");

		scratch_file_save(path, cases[i].bytes, cases[i].n);
		assert_int_equal(cli_run(fixture, "import notes %s", path), 5);
		if (!strstr(fixture->err, cases[i].message))
			fail_msg("'%s' does not say '%s'", fixture->err, cases[i].message);
	}
	assert_int_equal(cli_run(fixture, "import notes /nonexistent/x.fvecs"), 5);
	assert_string_equal(fixture->err,
	                    "kith import: /nonexistent/x.fvecs: No such file or directory\n");
}

/* Printing. ----------------------------------------------------------------------------------- */

static void search_prints_json_where_there_is_no_terminal(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "search notes --vector 1,2e0,-3.5,4"), 0);
	assert_non_null(
	        strstr(fixture->out,
	               "{\"hits\":[{\"id\":\"first\",\"namespace\":\"home\",\"text\":\"a passage"));
	assert_non_null(strstr(fixture->out, "\"distance\":0.25},{\"id\":77,\"namespace\":\"\","));
	assert_non_null(strstr(fixture->out, "\"mode\":\"hnsw\",\"coverage\":0.99998"));
	assert_non_null(strstr(
	        fixture->out,
	        ",\"generation\":3,\"comparisons\":1234,\"scanned\":1,"
	        "\"ef_search\":48,\"cached\":false,\"bulk\":false,\"served_from\":\"resident\","));
	assert_int_equal(cli_run(fixture, "search notes --vector 1 --exact --ef 300"), 0);
	assert_int_equal(cli_run(fixture, "search notes --vector 1 --target-recall 0.95"), 0);
	assert_int_equal(cli_run(fixture, "search notes --vector 1 --target-recall 1"), 2);
	assert_non_null(strstr(fixture->err, "kith search: --target-recall is a number above 0 and "
	                                     "below 1, not '1'\n"));
	assert_int_equal(cli_run(fixture, "search notes --vector 1,2,x"), 2);
	assert_string_equal(fixture->err, "kith search: --vector: number 3 cannot be read: 'x'\n");
	fake_daemon_stop(&fixture->daemon);
	assert_string_equal(fixture->log, "search ef 0 recall 0 exact 0\n"
	                                  "search ef 300 recall 0 exact 1\n"
	                                  "search ef 0 recall 0.95 exact 0\n");
}

static void search_prints_a_table_that_cannot_drive_the_terminal(void **state)
{
	char *argv[] = {"kith", "search", "notes", "--vector", "1", NULL};
	struct cli_fixture *fixture = *state;

	cli_run_on_terminal(fixture, 72, argv);
	assert_int_equal(fixture->status, 0);
	assert_null(strchr(fixture->out, '\x1b'));
	assert_non_null(strstr(fixture->out, "#  ID     DISTANCE  NAMESPACE  TEXT\r\n"
	                                     "1  first      0.25  home       a passage of many "
	                                     "words ?[31m that doe...\r\n"
	                                     "2  77          0.5             short\r\n"
	                                     "hnsw, ef 48, coverage 99.99%, generation 3, 1,234 "
	                                     "comparisons, 1 scanned, vectors resident, 1.23 ms "
	                                     "("));
	for (unsigned short n_columns = 28; n_columns < 40; n_columns++) {
		cli_run_on_terminal(fixture, n_columns, argv);
		assert_int_equal(fixture->status, 0);
	}
	assert_non_null(strstr(fixture->out, "1  first      0.25  home       a pas...\r\n"));
}

static void get_says_what_is_missing(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "get notes 7 7a"), 4);
	assert_string_equal(fixture->out, "{\"id\":\"7a\",\"text\":\"there\"}\n");
	assert_string_equal(fixture->err, "kith get: there is no record 7\n");
	assert_int_equal(cli_run(fixture, "get notes 7 8"), 4);
	assert_string_equal(fixture->out, "{\"id\":8,\"text\":\"there\"}\n");
	assert_int_equal(cli_run(fixture, "get notes --text-ids 7 8"), 4);
	assert_string_equal(fixture->out, "{\"id\":\"8\",\"text\":\"there\"}\n");
}

/* Statuses. ----------------------------------------------------------------------------------- */

static void statuses_tell_failures_apart(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "ping"), 0);
	assert_non_null(strstr(fixture->out, "{\"version\":\"1.2.3\",\"pid\":4711,\"pings\":1,"));
	assert_int_equal(cli_run(fixture, "describe gone"), 4);
	assert_string_equal(fixture->err, "kith describe: there is no collection 'gone'\n");
	save_fvecs(fixture, "v.fvecs", 1);
	assert_int_equal(cli_run(fixture, "import gone %s", cli_path(fixture, "v.fvecs")), 4);
	assert_string_equal(fixture->err, "kith import: there is no collection 'gone'\n"
	                                  "kith import: give --metric to make the collection\n");
	assert_int_equal(cli_run(fixture, "count notes --timeout 0.01"), 6);
	assert_string_equal(fixture->err, "kith count: the daemon did not answer in time\n");
	assert_int_equal(cli_run(fixture, "ping --socket /nonexistent/kith.sock"), 3);
	assert_non_null(strstr(fixture->err, "(is kithd running? try: systemctl --user start"));
	assert_int_equal(cli_run(fixture, "--socket /nonexistent/kith.sock ping"), 3);
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
	        "create notes --dim 4 --metric l2 --dtype f64",
	        "import notes /dev/null --dtype f16",
	        "drop notes",
	        "ping --timeout soon",
	        "ensure",
	        "ensure notes --kind ivf",
	        "ensure notes --m 1",
	        "drop-index notes",
	        "jobs --cancel 0",
	};
	struct cli_fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (cli_run(fixture, "%s", lines[i]) != 2)
			fail_msg("'kith %s' ended with %d", lines[i], fixture->status);
		assert_string_equal(fixture->out, "");
		assert_string_not_equal(fixture->err, "");
	}
	assert_int_equal(fixture->daemon.n_connections, 0);
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
	char *argv[] = {"kith", "limits", NULL};
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run_into(fixture, "/dev/full", argv), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(import_sends_every_row_once_in_batches),
	        TEST(import_into_f16_sends_f16),
	        TEST(import_sends_what_no_f16_can_hold_as_it_is),
	        TEST(import_takes_vectors_alone),
	        TEST(import_shows_its_progress_on_a_terminal),
	        TEST(bulk_is_on_for_the_import_and_off_however_it_ends),
	        TEST(bulk_is_off_after_an_import_that_is_interrupted),
	        TEST(the_second_signal_ends_an_import_at_once),
	        TEST(an_import_goes_on_when_the_signal_is_ignored),
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
