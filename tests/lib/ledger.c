/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/ledger.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

/* Versions that a record may be of. */
#define VERSIONS_MAX 9u
#define K 10u
#define N_QUERIES 6u
/* More than there are records, so that a graph leaves none of its own out. */
#define EF_SEARCH (2 * LEDGER_NUMBERS)

/* Steps ---------------------------------------------------------------------------------------- */

void ledger_init(struct ledger *ledger)
{
	*ledger = (struct ledger){0};
	ledger_begin(ledger, 0);
	ledger_acknowledge(ledger, 0);
}

void ledger_release(struct ledger *ledger)
{
	free(ledger->steps);
}

struct ledger_state *ledger_begin(struct ledger *ledger, uint64_t now)
{
	struct ledger_step *step;

	if (ledger->n == ledger->max) {
		ledger->max = ledger->max ? 2 * ledger->max : 32;
		ledger->steps = realloc(ledger->steps, ledger->max * sizeof(*ledger->steps));
		assert_non_null(ledger->steps);
	}
	step = &ledger->steps[ledger->n];
	if (ledger->n > 0)
		step->after = ledger->steps[ledger->n - 1].after;
	else
		memset(&step->after, 0, sizeof(step->after));
	step->begun = now;
	step->acknowledged = UINT64_MAX;
	ledger->n++;
	return &step->after;
}

void ledger_acknowledge(struct ledger *ledger, uint64_t now)
{
	for (size_t i = ledger->n; i > 0 && ledger->steps[i - 1].acknowledged == UINT64_MAX; i--)
		ledger->steps[i - 1].acknowledged = now;
}

void ledger_take_back(struct ledger *ledger)
{
	assert_true(ledger->n > 1 && ledger->steps[ledger->n - 1].acknowledged == UINT64_MAX);
	ledger->n--;
}

const struct ledger_state *ledger_last(const struct ledger *ledger)
{
	return &ledger->steps[ledger->n - 1].after;
}

struct ledger_collection *ledger_collection(struct ledger_state *state, const char *name)
{
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		if (strcmp(state->v[i].name, name) == 0)
			return &state->v[i];
	}
	return NULL;
}

void ledger_set(struct ledger_collection *collection, uint32_t first, uint32_t n, uint16_t vector,
                uint16_t text)
{
	assert_true(first + n <= LEDGER_NUMBERS);
	for (uint32_t i = first; i < first + n; i++)
		collection->records[i] = (struct ledger_record){vector, text};
}

/* Reading -------------------------------------------------------------------------------------- */

/* The version whose vector it is, bit by bit. */
static uint16_t vector_version(uint64_t number, const float *vector)
{
	float drawn[RECORD_DIM];

	for (uint16_t version = 1; version <= VERSIONS_MAX; version++) {
		if (memcmp(record_vector(number, version, drawn), vector, sizeof(drawn)) == 0)
			return version;
	}
	fail_msg("record %llu has a vector that was never written", (unsigned long long)number);
	return 0;
}

static uint16_t text_version(uint64_t number, struct kith_str text)
{
	char drawn[RECORD_TEXT_SIZE];

	for (uint16_t version = 1; version <= VERSIONS_MAX; version++) {
		if (is_text(text, record_text(number, version, drawn)))
			return version;
	}
	fail_msg("record %llu has a text that was never written", (unsigned long long)number);
	return 0;
}

static void take_page(struct ledger_collection *collection, const struct kith_scan_result *page)
{
	assert_int_equal(page->texts.n, page->ids.n);
	assert_int_equal(page->vectors.size_bytes, page->ids.n * RECORD_DIM * sizeof(float));
	for (uint32_t i = 0; i < page->ids.n; i++) {
		uint64_t number = page->ids.v[i].number;
		struct ledger_record *record = &collection->records[number];

		assert_null(page->ids.v[i].text);
		assert_true(number < LEDGER_NUMBERS);
		assert_int_equal(record->vector, 0); /* not twice */
		record->vector = vector_version(number, page->vectors.v + (size_t)i * RECORD_DIM);
		record->text = text_version(number, page->texts.v[i]);
	}
}

void ledger_read_collection(struct kith_conn *conn, struct ledger_collection *collection)
{
	struct kith_scan_params scan = {
	        .collection = kith_text(collection->name),
	        .include = KITH_INCLUDE_VECTORS | KITH_INCLUDE_TEXTS,
	};
	struct kith_list_indexes_params which = {.collection = kith_text(collection->name)};
	struct kith_list_indexes_result *indexes;
	bool done;

	do {
		struct kith_scan_result *page;

		DONE(conn, kith_scan(conn, &scan, &page));
		take_page(collection, page);
		scan.cursor = page->cursor;
		done = page->done;
		kith_free(page);
	} while (!done);
	DONE(conn, kith_list_indexes(conn, &which, &indexes));
	collection->indexed = indexes->indexes.n > 0;
	kith_free(indexes);
}

void ledger_read(struct kith_conn *conn, struct ledger_state *ret)
{
	struct kith_list_collections_result *list;

	memset(ret, 0, sizeof(*ret));
	DONE(conn, kith_list_collections(conn, &list));
	assert_true(list->collections.n <= LEDGER_COLLECTIONS);
	for (uint32_t i = 0; i < list->collections.n; i++) {
		struct kith_str name = list->collections.v[i].name;

		assert_true(name.n < LEDGER_NAME_SIZE);
		memcpy(ret->v[i].name, name.data, name.n);
		ret->v[i].bulk = list->collections.v[i].bulk;
		ledger_read_collection(conn, &ret->v[i]);
	}
	kith_free(list);
}

bool ledger_same(const struct ledger_state *a, const struct ledger_state *b)
{
	struct ledger_state copy = *b;
	bool same = true;

	for (uint32_t i = 0; i < LEDGER_COLLECTIONS && same; i++) {
		const struct ledger_collection *one = &a->v[i];
		struct ledger_collection *other = ledger_collection(&copy, one->name);

		same = other && one->indexed == other->indexed && one->bulk == other->bulk &&
		       memcmp(one->records, other->records, sizeof(one->records)) == 0;
		if (other)
			strcpy(other->name, "?"); /* each is somebody's once */
	}
	return same;
}

static void print_difference(const struct ledger_state *wanted, const struct ledger_state *found)
{
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		const struct ledger_collection *have = &found->v[i];
		struct ledger_state copy = *wanted;
		const struct ledger_collection *want = ledger_collection(&copy, have->name);

		print_error("found '%s'%s%s%s\n", have->name, have->indexed ? ", indexed" : "",
		            have->bulk ? ", bulk" : "", want ? "" : ", which is not wanted");
		for (uint32_t j = 0; want && j < LEDGER_NUMBERS; j++) {
			if (memcmp(&have->records[j], &want->records[j], sizeof(want->records[j])))
				print_error("  %u: vector %u, text %u; wanted %u, %u\n", j,
				            have->records[j].vector, have->records[j].text,
				            want->records[j].vector, want->records[j].text);
		}
	}
}

void ledger_expect_possible(const struct ledger *ledger, uint64_t moment, struct kith_conn *conn,
                            struct ledger_state *ret)
{
	size_t first = 0, last = 0;

	for (size_t i = 0; i < ledger->n; i++) {
		if (ledger->steps[i].acknowledged <= moment)
			first = i;
		if (ledger->steps[i].begun <= moment)
			last = i;
	}
	ledger_read(conn, ret);
	for (size_t i = first; i <= last; i++) {
		if (ledger_same(&ledger->steps[i].after, ret))
			return;
	}
	print_difference(&ledger->steps[last].after, ret);
	fail_msg("none of the states from step %zu to %zu", first, last);
}

/* Searching ------------------------------------------------------------------------------------ */

static double distance(const float *a, const float *b)
{
	double sum = 0;

	for (uint32_t i = 0; i < RECORD_DIM; i++)
		sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sum;
}

/* The K nearest by squared L2, with nothing but the ledger. */
static uint32_t nearest(const struct ledger_collection *collection, const float *query,
                        uint64_t ids[static K])
{
	double distances[K];
	uint32_t n = 0;

	for (uint32_t number = 0; number < LEDGER_NUMBERS; number++) {
		float vector[RECORD_DIM];
		uint32_t at = n;
		double d;

		if (collection->records[number].vector == 0)
			continue;
		d = distance(query,
		             record_vector(number, collection->records[number].vector, vector));
		while (at > 0 && distances[at - 1] > d)
			at--;
		if (at == K)
			continue;
		n += n < K;
		memmove(distances + at + 1, distances + at, (n - at - 1) * sizeof(*distances));
		memmove(ids + at + 1, ids + at, (n - at - 1) * sizeof(*ids));
		distances[at] = d;
		ids[at] = number;
	}
	return n;
}

static void expect_search(const struct ledger_collection *collection, struct kith_conn *conn,
                          const float *query, bool exact)
{
	struct kith_search_params params = {
	        .collection = kith_text(collection->name),
	        .vectors = kith_vectors(query, RECORD_DIM),
	        .k = K,
	        .ef_search = exact ? 0 : EF_SEARCH,
	        .exact = exact,
	        .include = KITH_INCLUDE_TEXTS,
	};
	struct kith_search_result *result;
	uint64_t ids[K];
	uint32_t n = nearest(collection, query, ids);

	DONE(conn, kith_search(conn, &params, &result));
	assert_int_equal(result->ids.n, n);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = result->ids.v[i].number;
		char text[RECORD_TEXT_SIZE];

		assert_int_equal(number, ids[i]);
		assert_true(is_text(result->texts.v[i],
		                    record_text(number, collection->records[number].text, text)));
	}
	kith_free(result);
}

void ledger_expect_searches(const struct ledger_state *state, struct kith_conn *conn)
{
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		if (state->v[i].name[0] == '\0')
			continue;
		for (uint32_t query = 0; query < N_QUERIES; query++) {
			float vector[RECORD_DIM];

			draw_vector(query * 977 + 1, RECORD_DIM, vector);
			expect_search(&state->v[i], conn, vector, true);
			expect_search(&state->v[i], conn, vector, false);
		}
	}
}
