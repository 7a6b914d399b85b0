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

#include "index/record_table.h"

#define CHUNK RECORD_TABLE_CHUNK_ROWS

struct fixture {
	struct budget *budget;
	struct record_table table;
};

static void open_table(struct fixture *fixture, uint64_t limit_bytes, struct spill *spill)
{
	assert_int_equal(budget_new(limit_bytes, spill, &fixture->budget), 0);
	record_table_init(&fixture->table, fixture->budget);
}

static void close_table(struct fixture *fixture)
{
	struct budget_figures figures;

	record_table_release(&fixture->table);
	record_table_release(&fixture->table);
	budget_figures(fixture->budget, &figures);
	assert_int_equal(figures.used_bytes, 0);
	budget_free(fixture->budget);
}

static struct record_table_row numbered_row(uint64_t slot)
{
	return (struct record_table_row){
	        .slot = slot,
	        .id.number = slot * 7,
	        .retired_seq = RECORD_TABLE_LIVE,
	};
}

static void append_numbered(struct fixture *fixture, uint64_t n)
{
	assert_int_equal(record_table_reserve(&fixture->table, n, 0), 0);
	for (uint64_t i = 0; i < n; i++) {
		struct record_table_row row = numbered_row(2 * fixture->table.n_rows);
		assert_int_equal(record_table_append(&fixture->table, &row), 0);
	}
}

static bool is_visible(const struct fixture *fixture, struct record_view view, uint64_t row_idx)
{
	uint64_t mask = UINT64_MAX;
	uint32_t n = record_table_visible(&fixture->table, &view, row_idx, 1, &mask);

	assert_int_equal(mask, n);
	return n == 1;
}

static const struct record_view everything = {.seq = 0, .ns = RECORD_TABLE_ANY_NS};

/* Rows */

static void rows_are_read_as_they_were_appended(void **state)
{
	struct fixture fixture;
	char text[RECORD_TABLE_ID_MAX];
	struct record_table_row row;

	(void)state;
	open_table(&fixture, 8 * SLAB_BYTES, NULL);
	memset(text, 'x', sizeof(text));
	assert_int_equal(record_table_reserve(&fixture.table, 5000, 5000 * sizeof(text)), 0);
	for (uint32_t i = 0; i < 5000; i++) {
		row = (struct record_table_row){
		        .slot = 10 + 3 * (uint64_t)i,
		        .id = {.number = UINT64_MAX - i},
		        .ns = i % 5 ? i : RECORD_TABLE_NS_MAX,
		        .expires_at = i % 3 ? i : 0,
		        .retired_seq = i % 4 ? RECORD_TABLE_LIVE : i,
		};
		if (i % 2)
			row.id =
			        (struct record_table_id){.text = text, .n = i % (sizeof(text) + 1)};
		assert_int_equal(record_table_append(&fixture.table, &row), 0);
	}
	assert_int_equal(fixture.table.n_rows, 5000);
	for (uint32_t i = 0; i < 5000; i++) {
		record_table_get(&fixture.table, i, &row);
		assert_int_equal(row.slot, 10 + 3 * (uint64_t)i);
		assert_int_equal(row.ns, i % 5 ? i : RECORD_TABLE_NS_MAX);
		assert_int_equal(row.expires_at, i % 3 ? i : 0);
		assert_true(row.retired_seq == (i % 4 ? RECORD_TABLE_LIVE : i));
		if (i % 2) {
			assert_int_equal(row.id.n, i % (sizeof(text) + 1));
			assert_memory_equal(row.id.text, text, row.id.n);
		} else {
			assert_null(row.id.text);
			assert_true(row.id.number == UINT64_MAX - i);
		}
	}
	close_table(&fixture);
}

static void ids_of_live_rows_are_counted(void **state)
{
	struct fixture fixture;
	struct record_table_row row = numbered_row(1);

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	assert_int_equal(record_table_reserve(&fixture.table, 3, 20), 0);
	assert_int_equal(record_table_append(&fixture.table, &row), 0);
	assert_int_equal(fixture.table.live_id_bytes, 0);
	row.slot = 2;
	row.id = (struct record_table_id){.text = "seven", .n = 5};
	assert_int_equal(record_table_append(&fixture.table, &row), 0);
	assert_int_equal(fixture.table.live_id_bytes, 5);
	row.slot = 3;
	row.retired_seq = 8;
	assert_int_equal(record_table_append(&fixture.table, &row), 0);
	assert_int_equal(fixture.table.live_id_bytes, 5);
	record_table_retire(&fixture.table, 0, 9);
	assert_int_equal(fixture.table.live_id_bytes, 5);
	record_table_retire(&fixture.table, 1, 9);
	assert_int_equal(fixture.table.live_id_bytes, 0);
	close_table(&fixture);
}

static void a_slot_is_found_among_the_published_rows_only(void **state)
{
	const uint64_t n = 2 * CHUNK + 3;
	struct fixture fixture;
	uint64_t row_idx = 77;

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	append_numbered(&fixture, n);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(record_table_find(&fixture.table, n, 2 * i, &row_idx), 0);
		assert_int_equal(row_idx, i);
		assert_int_equal(record_table_find(&fixture.table, n, 2 * i + 1, &row_idx),
		                 RECORD_TABLE_NO_ROW);
		assert_int_equal(row_idx, i);
	}
	assert_int_equal(record_table_find(&fixture.table, 5, 8, &row_idx), 0);
	assert_int_equal(record_table_find(&fixture.table, 5, 10, &row_idx), RECORD_TABLE_NO_ROW);
	assert_int_equal(record_table_find(&fixture.table, 0, 0, &row_idx), RECORD_TABLE_NO_ROW);
	close_table(&fixture);
}

static void growing_moves_no_row(void **state)
{
	struct fixture fixture;
	struct record_table_row before, after;
	const struct record_table_row row = {
	        .id = {.text = "stays", .n = 5},
	        .retired_seq = RECORD_TABLE_LIVE,
	};

	(void)state;
	open_table(&fixture, 2 * SLAB_BYTES, NULL);
	assert_int_equal(record_table_reserve(&fixture.table, 1, 5), 0);
	assert_int_equal(record_table_append(&fixture.table, &row), 0);
	record_table_get(&fixture.table, 0, &before);
	void *chunk = chunk_dir_get(&fixture.table.chunks, 0);
	append_numbered(&fixture, 10 * CHUNK);
	record_table_get(&fixture.table, 0, &after);
	assert_ptr_equal(after.id.text, before.id.text);
	assert_ptr_equal(chunk_dir_get(&fixture.table.chunks, 0), chunk);
	close_table(&fixture);
}

/* Memory */

static void what_was_reserved_can_be_appended(void **state)
{
	struct fixture fixture;
	char text[RECORD_TABLE_ID_MAX];

	(void)state;
	srand48(5);
	memset(text, 'y', sizeof(text));
	open_table(&fixture, 64 * SLAB_BYTES, NULL);
	for (int round = 0; round < 300; round++) {
		uint32_t sizes[300], n = (uint32_t)lrand48() % 300;
		uint64_t id_bytes = 0;
		for (uint32_t i = 0; i < n; i++) {
			long kind = lrand48() % 4;
			sizes[i] = kind == 0   ? RECORD_TABLE_ID_MAX
			           : kind == 1 ? 1
			                       : (uint32_t)lrand48() % (RECORD_TABLE_ID_MAX + 1);
			id_bytes += sizes[i];
		}
		assert_int_equal(record_table_reserve(&fixture.table, n, id_bytes), 0);
		for (uint32_t i = 0; i < n; i++) {
			struct record_table_row row = numbered_row(fixture.table.n_rows);
			row.id.text = sizes[i] ? text : NULL;
			row.id.n = sizes[i];
			assert_int_equal(record_table_append(&fixture.table, &row), 0);
		}
	}
	close_table(&fixture);
}

/* Ids of 511 bytes leave 258 bytes at the end of each run: in 65,536 rows more than three runs. */
static void ids_that_leave_large_ends_fit_too(void **state)
{
	const uint32_t n = 32 * CHUNK, size = RECORD_TABLE_ID_MAX - 1;
	struct fixture fixture;
	char text[RECORD_TABLE_ID_MAX] = {0};

	(void)state;
	open_table(&fixture, 32 * SLAB_BYTES, NULL);
	assert_int_equal(record_table_reserve(&fixture.table, n, (uint64_t)n * size), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct record_table_row row = numbered_row(i);
		row.id = (struct record_table_id){.text = text, .n = size};
		assert_int_equal(record_table_append(&fixture.table, &row), 0);
	}
	close_table(&fixture);
}

static void appending_beyond_the_reserve_is_refused(void **state)
{
	const struct record_table_row text_row = {.id = {.text = "t", .n = 1}};
	struct fixture fixture;
	struct record_table_row row = numbered_row(0);

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	assert_int_equal(record_table_append(&fixture.table, &row), -ENOSPC);
	assert_int_equal(record_table_append(&fixture.table, &text_row), -ENOSPC);
	append_numbered(&fixture, CHUNK);
	assert_int_equal(record_table_append(&fixture.table, &row), -ENOSPC);
	assert_int_equal(record_table_append(&fixture.table, &text_row), -ENOSPC);
	assert_int_equal(fixture.table.n_rows, CHUNK);
	append_numbered(&fixture, 1);
	assert_int_equal(fixture.table.n_rows, CHUNK + 1);
	close_table(&fixture);
}

static void memory_is_one_run_for_each_2048_rows(void **state)
{
	struct fixture fixture;

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	assert_int_equal(record_table_reserve(&fixture.table, 0, 0), 0);
	assert_int_equal(fixture.table.grant.granted_bytes, 0);
	append_numbered(&fixture, 1);
	assert_int_equal(fixture.table.grant.granted_bytes, RUN_BYTES);
	append_numbered(&fixture, CHUNK - 1);
	assert_int_equal(fixture.table.grant.granted_bytes, RUN_BYTES);
	append_numbered(&fixture, 2 * CHUNK);
	assert_int_equal(fixture.table.grant.granted_bytes, 3 * RUN_BYTES);
	/* What was reserved and not used serves the next job. */
	assert_int_equal(record_table_reserve(&fixture.table, CHUNK, 0), 0);
	assert_int_equal(record_table_reserve(&fixture.table, CHUNK, 0), 0);
	assert_int_equal(fixture.table.grant.granted_bytes, 4 * RUN_BYTES);
	close_table(&fixture);
}

static void *map_slab(struct spill *spill)
{
	(void)spill;
	return aligned_alloc(64, SLAB_BYTES);
}

static void unmap_slab(struct spill *spill, void *slab)
{
	(void)spill;
	free(slab);
}

static void a_full_budget_spills_and_is_read_all_the_same(void **state)
{
	const uint64_t n = 40 * CHUNK;
	struct spill spill = {map_slab, unmap_slab};
	struct fixture fixture;
	struct record_table_row row;

	(void)state;
	open_table(&fixture, SLAB_BYTES, &spill);
	append_numbered(&fixture, n);
	assert_int_equal(fixture.table.grant.granted_bytes, SLAB_BYTES);
	assert_int_equal(fixture.table.grant.spilled_bytes, 8 * RUN_BYTES);
	for (uint64_t i = 0; i < n; i++) {
		record_table_get(&fixture.table, i, &row);
		assert_int_equal(row.id.number, 14 * i);
	}
	close_table(&fixture);
}

static void without_budget_and_spill_reserving_fails_and_changes_nothing(void **state)
{
	struct fixture fixture;

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	append_numbered(&fixture, 10);
	assert_int_equal(record_table_reserve(&fixture.table, 40 * CHUNK, 0), -ENOMEM);
	assert_int_equal(record_table_reserve(&fixture.table, 1, SLAB_BYTES), -ENOMEM);
	assert_int_equal(record_table_reserve(&fixture.table, UINT64_MAX, 0), -ENOSPC);
	assert_int_equal(fixture.table.grant.granted_bytes, RUN_BYTES);
	append_numbered(&fixture, 10);
	close_table(&fixture);
}

/* Who is visible */

static void a_retired_row_is_seen_by_those_planned_before(void **state)
{
	struct fixture fixture;
	struct record_view view = everything;

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	append_numbered(&fixture, 3);
	record_table_retire(&fixture.table, 1, 100);
	view.seq = 99;
	assert_true(is_visible(&fixture, view, 1));
	view.seq = 100;
	assert_false(is_visible(&fixture, view, 1));
	assert_true(is_visible(&fixture, view, 2));
	view.seq = RECORD_TABLE_LIVE - 1;
	assert_false(is_visible(&fixture, view, 1));
	assert_true(is_visible(&fixture, view, 0));
	close_table(&fixture);
}

static void a_touched_row_changes_namespace_and_expiry_and_keeps_its_id(void **state)
{
	struct fixture fixture;
	struct record_view view = {.seq = 1, .ns = 0, .now_s = 50};
	struct record_table_row row = {.id = {.text = "t", .n = 1}};

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	row.retired_seq = RECORD_TABLE_LIVE;
	assert_int_equal(record_table_reserve(&fixture.table, 1, 1), 0);
	assert_int_equal(record_table_append(&fixture.table, &row), 0);
	assert_true(is_visible(&fixture, view, 0));
	record_table_touch(&fixture.table, 0, RECORD_TABLE_NS_MAX, 51);
	assert_false(is_visible(&fixture, view, 0));
	view.ns = RECORD_TABLE_NS_MAX;
	assert_true(is_visible(&fixture, view, 0));
	view.now_s = 51;
	assert_false(is_visible(&fixture, view, 0));
	record_table_touch(&fixture.table, 0, 0, 0);
	view.ns = 0;
	assert_true(is_visible(&fixture, view, 0));
	record_table_get(&fixture.table, 0, &row);
	assert_int_equal(row.id.n, 1);
	assert_memory_equal(row.id.text, "t", 1);
	close_table(&fixture);
}

static void expiry_is_kept_from_1970_to_2106(void **state)
{
	static const struct {
		int64_t expires_at, kept, last_seen;
	} cases[] = {
	        {1, 1, 0},
	        {INT64_C(1) << 31, INT64_C(1) << 31, (INT64_C(1) << 31) - 1},
	        {UINT32_MAX - 1, UINT32_MAX - 1, INT64_MAX},
	        {UINT32_MAX, UINT32_MAX - 1, INT64_MAX},
	        {INT64_MAX, UINT32_MAX - 1, INT64_MAX},
	        {0, 0, INT64_MAX},
	};
	struct fixture fixture;
	struct record_view view = everything;
	struct record_table_row row;

	(void)state;
	open_table(&fixture, SLAB_BYTES, NULL);
	append_numbered(&fixture, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		record_table_touch(&fixture.table, 0, 0, cases[i].expires_at);
		record_table_get(&fixture.table, 0, &row);
		assert_int_equal(row.expires_at, cases[i].kept);
		view.now_s = cases[i].last_seen;
		assert_true(is_visible(&fixture, view, 0));
		if (cases[i].last_seen < INT64_MAX) {
			view.now_s++;
			assert_false(is_visible(&fixture, view, 0));
		}
	}
	record_table_touch(&fixture.table, 0, 0, -5);
	view.now_s = -10;
	assert_false(is_visible(&fixture, view, 0));
	close_table(&fixture);
}

static void masks_agree_with_looking_at_each_row(void **state)
{
	const uint64_t n_rows = 3 * CHUNK + 100;
	struct fixture fixture;
	uint64_t mask[CHUNK / 64];

	(void)state;
	srand48(11);
	open_table(&fixture, SLAB_BYTES, NULL);
	append_numbered(&fixture, n_rows);
	for (int round = 0; round < 400; round++) {
		for (int i = 0; i < 20; i++) {
			uint64_t at = (uint64_t)lrand48() % n_rows;
			record_table_retire(&fixture.table, at, (uint64_t)lrand48() % 1000);
			if (round > 100) /* first without, then with namespaces and expiry */
				record_table_touch(&fixture.table, (uint64_t)lrand48() % n_rows,
				                   (uint32_t)lrand48() % 3,
				                   round > 200 ? lrand48() % 1000 : 0);
		}
		struct record_view view = {
		        .seq = (uint64_t)lrand48() % 1000,
		        .ns = lrand48() % 2 ? RECORD_TABLE_ANY_NS : (uint32_t)lrand48() % 4,
		        .now_s = lrand48() % 1000,
		};
		uint32_t n = (uint32_t)lrand48() % (CHUNK + 1), n_visible = 0;
		uint64_t first = (uint64_t)lrand48() % (n_rows - n + 1);
		memset(mask, 0xff, sizeof(mask));
		uint32_t got = record_table_visible(&fixture.table, &view, first, n, mask);

		for (uint32_t i = 0; i < n; i++) {
			struct record_table_row row;
			record_table_get(&fixture.table, first + i, &row);
			bool visible = row.retired_seq > view.seq &&
			               (view.ns == RECORD_TABLE_ANY_NS || row.ns == view.ns) &&
			               (row.expires_at == 0 || row.expires_at > view.now_s);
			n_visible += visible;
			assert_int_equal(mask[i / 64] >> (i % 64) & 1, visible);
		}
		assert_int_equal(got, n_visible);
		if (n % 64)
			assert_int_equal(mask[n / 64] >> (n % 64), 0);
	}
	close_table(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(rows_are_read_as_they_were_appended),
	        cmocka_unit_test(ids_of_live_rows_are_counted),
	        cmocka_unit_test(a_slot_is_found_among_the_published_rows_only),
	        cmocka_unit_test(growing_moves_no_row),
	        cmocka_unit_test(what_was_reserved_can_be_appended),
	        cmocka_unit_test(ids_that_leave_large_ends_fit_too),
	        cmocka_unit_test(appending_beyond_the_reserve_is_refused),
	        cmocka_unit_test(memory_is_one_run_for_each_2048_rows),
	        cmocka_unit_test(a_full_budget_spills_and_is_read_all_the_same),
	        cmocka_unit_test(without_budget_and_spill_reserving_fails_and_changes_nothing),
	        cmocka_unit_test(a_retired_row_is_seen_by_those_planned_before),
	        cmocka_unit_test(a_touched_row_changes_namespace_and_expiry_and_keeps_its_id),
	        cmocka_unit_test(expiry_is_kept_from_1970_to_2106),
	        cmocka_unit_test(masks_agree_with_looking_at_each_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
