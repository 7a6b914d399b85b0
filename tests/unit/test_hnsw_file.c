/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/hnsw_graph.h"
#include "tests/lib/hnsw_fixture.h"

enum {
	MAX_CHUNKS = 64
};

/* Chunks in memory. */
struct shelf {
	struct hnsw_sink sink;
	struct hnsw_source source;
	uint32_t n;
	uint32_t fail_at; /* which write or read fails; 0: none */
	uint32_t n_calls;
	struct {
		enum hnsw_chunk tag;
		uint32_t idx;
		size_t n;
		uint8_t *bytes;
	} chunks[MAX_CHUNKS];
};

static int shelf_write(struct hnsw_sink *sink, enum hnsw_chunk tag, uint32_t idx, const void *bytes,
                       size_t n)
{
	struct shelf *shelf = (struct shelf *)sink;

	if (++shelf->n_calls == shelf->fail_at)
		return -EIO;
	assert_true(shelf->n < MAX_CHUNKS);
	assert_true(n > 0 && n <= RUN_BYTES);
	shelf->chunks[shelf->n].tag = tag;
	shelf->chunks[shelf->n].idx = idx;
	shelf->chunks[shelf->n].n = n;
	shelf->chunks[shelf->n].bytes = malloc(n);
	assert_non_null(shelf->chunks[shelf->n].bytes);
	memcpy(shelf->chunks[shelf->n++].bytes, bytes, n);
	return 0;
}

static int shelf_read(struct hnsw_source *source, enum hnsw_chunk tag, uint32_t idx, void *bytes,
                      size_t n)
{
	struct shelf *shelf = (struct shelf *)((uint8_t *)source - offsetof(struct shelf, source));

	if (++shelf->n_calls == shelf->fail_at)
		return -EIO;
	for (uint32_t i = 0; i < shelf->n; i++) {
		if (shelf->chunks[i].tag != tag || shelf->chunks[i].idx != idx)
			continue;
		if (shelf->chunks[i].n != n)
			return -EBADMSG;
		memcpy(bytes, shelf->chunks[i].bytes, n);
		return 0;
	}
	return -EBADMSG;
}

static int shelf_map(struct hnsw_source *source, enum hnsw_chunk tag, uint32_t idx, size_t n,
                     const void **ret)
{
	struct shelf *shelf = (struct shelf *)((uint8_t *)source - offsetof(struct shelf, source));

	if (++shelf->n_calls == shelf->fail_at)
		return -EIO;
	for (uint32_t i = 0; i < shelf->n; i++) {
		if (shelf->chunks[i].tag != tag || shelf->chunks[i].idx != idx)
			continue;
		*ret = shelf->chunks[i].bytes;
		return shelf->chunks[i].n == n ? 0 : -EBADMSG;
	}
	return -EBADMSG;
}

static void shelf_open(struct shelf *shelf)
{
	*shelf = (struct shelf){.sink = {shelf_write}, .source = {shelf_read, shelf_map}};
}

static void shelf_close(struct shelf *shelf)
{
	for (uint32_t i = 0; i < shelf->n; i++)
		free(shelf->chunks[i].bytes);
}

/* Loads beside the fixture's graph; NULL in *ret on failure. */
static int load_as(struct hnsw_fixture *fixture, struct shelf *shelf, bool is_mapped,
                   struct hnsw **ret)
{
	struct hnsw_head head;
	struct hnsw *hnsw;

	*ret = NULL;
	int r = hnsw_load_head(&shelf->source, &head);
	if (r < 0)
		return r;
	assert_int_equal(
	        (is_mapped ? hnsw_new_mapped : hnsw_new)(&head.params, fixture->budget, &hnsw), 0);
	assert_int_equal(hnsw_is_mapped(hnsw), is_mapped);
	r = hnsw_reserve(hnsw, head.n_nodes, false);
	if (r == 0)
		r = hnsw_load(hnsw, &head, &shelf->source);
	if (r != 0) {
		hnsw_free(hnsw);
		return r;
	}
	for (uint32_t node = 0; node < head.n_nodes; node++) {
		assert_int_equal(hnsw_row(hnsw, node), HNSW_NO_ROW);
		hnsw_set_row(hnsw, node, node);
	}
	assert_int_equal(hnsw_load_end(hnsw), head.n_nodes);
	*ret = hnsw;
	return 0;
}

static int load(struct hnsw_fixture *fixture, struct shelf *shelf, struct hnsw **ret)
{
	return load_as(fixture, shelf, false, ret);
}

/* Searches a graph that was loaded, whatever its links; for the sanitizers to see. */
static void search_somewhere(struct hnsw_fixture *fixture, struct hnsw *hnsw)
{
	struct hnsw_search search = {
	        .space = fixture->space,
	        .k = 10,
	        .ef = 40,
	        .below = hnsw_covered(hnsw),
	};
	struct hnsw_search_stats stats;
	struct hit hits[10];

	assert_int_equal(hnsw_scratch_reserve(&fixture->scratch, hnsw, fixture->space, 40), 0);
	for (uint32_t q = 0; q < fixture->n_queries; q++) {
		search.query = hnsw_fixture_query(fixture, q);
		hnsw_search(hnsw, &search, &fixture->scratch, hits, &stats);
	}
}

static void open_saved(struct hnsw_fixture *fixture, struct shelf *shelf, uint32_t n_rows,
                       uint32_t M)
{
	struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_CLUSTERED,
	        .dim = 8,
	        .n_rows = n_rows + 20,
	        .n_queries = 10,
	        .params = {.M = M, .ef_construction = 40, .seed = 5},
	};

	hnsw_fixture_open(fixture, &spec);
	hnsw_fixture_append(fixture, 0, n_rows);
	hnsw_fixture_build(fixture, 1);
	shelf_open(shelf);
	assert_int_equal(hnsw_save(fixture->hnsw, &shelf->sink), 0);
}

static void assert_equal_graphs(const struct hnsw *a, const struct hnsw *b)
{
	assert_int_equal(hnsw_covered(a), hnsw_covered(b));
	assert_int_equal(hnsw_n_nodes(b), hnsw_covered(b));
	assert_int_equal(atomic_load(&a->entry), atomic_load(&b->entry));
	for (uint32_t node = 0; node < hnsw_covered(a); node++) {
		assert_int_equal(hnsw_slot(a, node), hnsw_slot(b, node));
		assert_false(hnsw_is_dead(b, node));
		for (uint32_t level = 0; level <= hnsw_level(a, node); level++)
			assert_memory_equal((const void *)hnsw_list(a, node, level),
			                    (const void *)hnsw_list(b, node, level),
			                    hnsw_capacity(a, level) * sizeof(uint32_t));
	}
}

static void a_saved_graph_is_loaded_equal_and_goes_on_growing(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 511, 512, 513, 3000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct hnsw_fixture fixture;
		struct shelf shelf;
		struct hnsw *loaded;
		struct hnsw_check_report report;

		open_saved(&fixture, &shelf, sizes[i], i % 2 ? 12 : 16);
		assert_int_equal(load(&fixture, &shelf, &loaded), 0);
		assert_equal_graphs(fixture.hnsw, loaded);
		assert_int_equal(hnsw_check(loaded, &report), 0);
		assert_int_equal(report.n_reachable, sizes[i]);

		/* The same nodes come to the same links in both. */
		struct hnsw_fixture twin = fixture;
		twin.hnsw = loaded;
		hnsw_fixture_append(&fixture, sizes[i], 20);
		hnsw_fixture_build(&fixture, 1);
		hnsw_fixture_append(&twin, sizes[i], 20);
		hnsw_fixture_build(&twin, 1);
		assert_equal_graphs(fixture.hnsw, loaded);
		assert_int_equal(hnsw_check(loaded, &report), 0);
		assert_int_equal(report.n_reachable, sizes[i] + 20);
		hnsw_free(loaded);
		shelf_close(&shelf);
		hnsw_fixture_close(&fixture);
	}
}

static void only_covered_nodes_are_saved(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf, again;
	struct hnsw *loaded;

	(void)state;
	open_saved(&fixture, &shelf, 600, 16);
	hnsw_fixture_append(&fixture, 600, 10);
	shelf_open(&again);
	assert_int_equal(hnsw_save(fixture.hnsw, &again.sink), 0);
	assert_int_equal(again.n, shelf.n);
	for (uint32_t i = 0; i < shelf.n; i++) {
		assert_int_equal(again.chunks[i].n, shelf.chunks[i].n);
		assert_memory_equal(again.chunks[i].bytes, shelf.chunks[i].bytes,
		                    shelf.chunks[i].n);
	}
	assert_int_equal(load(&fixture, &again, &loaded), 0);
	assert_int_equal(hnsw_n_nodes(loaded), 600);
	hnsw_free(loaded);
	shelf_close(&again);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void flipped_bytes_are_refused_or_harmless(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	uint32_t n_refused = 0, n_loaded = 0;

	(void)state;
	srand48(11);
	open_saved(&fixture, &shelf, 700, 5);
	for (uint32_t i = 0; i < shelf.n; i++) {
		size_t step = shelf.chunks[i].n > 4000 ? shelf.chunks[i].n / 150 : 1;
		for (size_t at = 0; at < shelf.chunks[i].n; at += step) {
			uint8_t *byte = &shelf.chunks[i].bytes[at];
			uint8_t was = *byte;
			struct hnsw *loaded;
			*byte ^= (uint8_t)(1 + lrand48() % 255);
			int r = load(&fixture, &shelf, &loaded);
			if (r == 0) {
				struct hnsw_check_report report;
				assert_int_equal(hnsw_check(loaded, &report), 0);
				search_somewhere(&fixture, loaded);
				n_loaded++;
			} else {
				assert_true(r == -EBADMSG || r == BUDGET_FULL);
				n_refused++;
			}
			hnsw_free(loaded);
			*byte = was;
		}
	}
	assert_true(n_refused > 100 && n_loaded > 100);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void hostile_links_are_refused(void **state)
{
	static const uint32_t links[] = {
	        0,   /* node 0 itself */
	        700, /* one too far */
	        0x3fffffff, 0x40000000 | 700, 0x80000000, 0xfffffffe,
	};
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *loaded;

	(void)state;
	open_saved(&fixture, &shelf, 700, 16);
	for (uint32_t i = 0; i < shelf.n; i++) {
		if (shelf.chunks[i].tag != HNSW_CHUNK_LINKS || shelf.chunks[i].idx != 0)
			continue;
		uint32_t *list = (uint32_t *)(void *)shelf.chunks[i].bytes;
		uint32_t was = list[0];
		for (size_t l = 0; l < sizeof(links) / sizeof(links[0]); l++) {
			list[0] = links[l];
			assert_int_equal(load(&fixture, &shelf, &loaded), -EBADMSG);
		}
		list[0] = HNSW_NO_LINK; /* a hole */
		assert_int_equal(load(&fixture, &shelf, &loaded), -EBADMSG);
		list[0] = list[1]; /* twice */
		assert_int_equal(load(&fixture, &shelf, &loaded), -EBADMSG);
		list[0] = was;
	}
	assert_int_equal(load(&fixture, &shelf, &loaded), 0);
	hnsw_free(loaded);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

/* All lists full of branches, in circles: nothing can be displaced and no parent be found. */
static void a_damaged_tree_still_takes_nodes(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *loaded;

	(void)state;
	open_saved(&fixture, &shelf, 200, 4);
	for (uint32_t i = 0; i < shelf.n; i++) {
		if (shelf.chunks[i].tag != HNSW_CHUNK_LINKS)
			continue;
		uint32_t *links = (uint32_t *)(void *)shelf.chunks[i].bytes;
		for (uint32_t l = 0; l < 200 * 8; l++)
			links[l] = (l / 8 + l % 8 + 1) % 200 | HNSW_LINK_CHILD;
	}
	assert_int_equal(load(&fixture, &shelf, &loaded), 0);
	struct hnsw_fixture twin = fixture;
	twin.hnsw = loaded;
	hnsw_fixture_append(&twin, 200, 20);
	hnsw_fixture_build(&twin, 2);
	search_somewhere(&fixture, loaded);
	hnsw_free(loaded);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void truncated_missing_and_failing_chunks_are_errors(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *loaded;

	(void)state;
	open_saved(&fixture, &shelf, 1300, 16);
	for (uint32_t i = 0; i < shelf.n; i++) {
		shelf.chunks[i].n--;
		assert_int_equal(load(&fixture, &shelf, &loaded), -EBADMSG);
		shelf.chunks[i].n++;
		shelf.chunks[i].idx += 1000;
		assert_int_equal(load(&fixture, &shelf, &loaded), -EBADMSG);
		shelf.chunks[i].idx -= 1000;
	}
	for (uint32_t at = 1; at <= shelf.n; at++) {
		struct shelf failing;
		shelf.fail_at = at;
		shelf.n_calls = 0;
		assert_int_equal(load(&fixture, &shelf, &loaded), -EIO);
		shelf_open(&failing);
		failing.fail_at = at;
		assert_int_equal(hnsw_save(fixture.hnsw, &failing.sink), -EIO);
		assert_int_equal(failing.n, at - 1);
		shelf_close(&failing);
	}
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void a_mapped_graph_answers_alike_with_little_memory_of_its_own(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *mapped, *own = NULL;
	uint64_t granted, spilled, all;

	(void)state;
	open_saved(&fixture, &shelf, 3000, 8);
	assert_int_equal(load_as(&fixture, &shelf, true, &mapped), 0);
	hnsw_bytes(fixture.hnsw, &all, &spilled);
	hnsw_bytes(mapped, &granted, &spilled);
	assert_true(granted < all / 2);
	for (uint32_t q = 0; q < fixture.n_queries; q++) {
		struct hit hits[10], mapped_hits[10];
		uint32_t n = hnsw_fixture_search(&fixture, q, 10, 40, hits);

		own = fixture.hnsw;
		fixture.hnsw = mapped;
		assert_int_equal(hnsw_fixture_search(&fixture, q, 10, 40, mapped_hits), n);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(hits[i].row_idx, mapped_hits[i].row_idx);
			assert_true(hits[i].distance == mapped_hits[i].distance);
		}
		fixture.hnsw = own;
	}
	hnsw_retire(mapped, 5);
	assert_true(hnsw_is_dead(mapped, 5));
	hnsw_free(mapped);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

/* Whatever the file says by the time that it is read. */
static void links_of_a_mapped_graph_are_checked_when_they_are_followed(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *mapped;

	(void)state;
	open_saved(&fixture, &shelf, 600, 8);
	assert_int_equal(load_as(&fixture, &shelf, true, &mapped), 0);
	for (int round = 0; round < 50; round++) {
		for (uint32_t i = 0; i < shelf.n; i++) {
			uint32_t *links = (uint32_t *)shelf.chunks[i].bytes;
			size_t n = shelf.chunks[i].n / sizeof(*links);

			if (shelf.chunks[i].tag != HNSW_CHUNK_LINKS &&
			    shelf.chunks[i].tag != HNSW_CHUNK_UPPER)
				continue;
			for (size_t at = 0; at < n; at += 1 + (size_t)lrand48() % 7)
				links[at] = (uint32_t)mrand48() >> (lrand48() % 32);
		}
		search_somewhere(&fixture, mapped);
	}
	hnsw_free(mapped);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void chunks_that_cannot_be_mapped_are_errors(void **state)
{
	struct hnsw_fixture fixture;
	struct shelf shelf;
	struct hnsw *mapped;
	int r = -EIO;

	(void)state;
	open_saved(&fixture, &shelf, 600, 8);
	for (shelf.fail_at = 1; r != 0; shelf.fail_at++) {
		shelf.n_calls = 0;
		r = load_as(&fixture, &shelf, true, &mapped);
		assert_true(r == -EIO || (r == 0 && shelf.n_calls < shelf.fail_at));
	}
	hnsw_free(mapped);
	shelf_close(&shelf);
	hnsw_fixture_close(&fixture);
}

static void a_check_names_what_is_wrong(void **state)
{
	struct hnsw_fixture fixture;
	struct hnsw_fixture_spec spec = {
	        .dim = 8, .n_rows = 300, .params = {.M = 8, .ef_construction = 40}};
	struct hnsw_check_report report;

	(void)state;
	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_fill(&fixture, 1);
	assert_int_equal(hnsw_check(fixture.hnsw, &report), 0);
	assert_true(report.n_links >= 300 && report.n_upper_links > 0 && report.top_level > 0);
	_Atomic uint32_t *list = hnsw_list(fixture.hnsw, 9, 0);
	uint32_t was = atomic_load(list);
	hnsw_link(list, 0, 9);
	assert_int_equal(hnsw_check(fixture.hnsw, &report), -EBADMSG);
	assert_string_equal(report.fault, "a link to the node itself");
	assert_int_equal(report.node, 9);
	hnsw_link(list, 0, was);
	uint64_t entry = atomic_load(&fixture.hnsw->entry);
	atomic_store(&fixture.hnsw->entry, HNSW_ENTRY_NONE);
	assert_int_equal(hnsw_check(fixture.hnsw, &report), -EBADMSG);
	assert_string_equal(report.fault, "no entry point");
	atomic_store(&fixture.hnsw->entry, entry);
	assert_int_equal(hnsw_check(fixture.hnsw, &report), 0);
	hnsw_fixture_close(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_saved_graph_is_loaded_equal_and_goes_on_growing),
	        cmocka_unit_test(only_covered_nodes_are_saved),
	        cmocka_unit_test(flipped_bytes_are_refused_or_harmless),
	        cmocka_unit_test(hostile_links_are_refused),
	        cmocka_unit_test(a_damaged_tree_still_takes_nodes),
	        cmocka_unit_test(truncated_missing_and_failing_chunks_are_errors),
	        cmocka_unit_test(a_mapped_graph_answers_alike_with_little_memory_of_its_own),
	        cmocka_unit_test(links_of_a_mapped_graph_are_checked_when_they_are_followed),
	        cmocka_unit_test(chunks_that_cannot_be_mapped_are_errors),
	        cmocka_unit_test(a_check_names_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
