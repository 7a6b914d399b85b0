/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "storage/crc32c.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"
#include "tests/lib/vector_fixture.h"

static struct scratch_dir scratch;
static char path[SCRATCH_PATH_SIZE];

static int setup(void **state)
{
	(void)state;
	scratch_dir_init(&scratch);
	scratch_dir_path(&scratch, "vectors", path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_dir_release(&scratch);
	return 0;
}

static struct vector_file *open_file(struct store_io *io, const struct vector_file_spec *spec,
                                     const char **ret_why)
{
	struct vector_file *file;

	assert_int_equal(vector_file_open(io, path, spec, &file, ret_why), 0);
	assert_int_equal(vector_file_synced_rows(file), vector_file_n_rows(file));
	return file;
}

static struct vector_file *open_sound(const struct vector_file_spec *spec, uint64_t n_rows)
{
	const char *why = "untouched";
	struct vector_file *file = open_file(store_io_posix(), spec, &why);

	assert_null(why);
	assert_int_equal(vector_file_n_rows(file), n_rows);
	return file;
}

static struct vector_file *open_empty(const struct vector_file_spec *spec)
{
	const char *why = NULL;
	struct vector_file *file = open_file(store_io_posix(), spec, &why);

	assert_non_null(why);
	assert_int_equal(vector_file_n_rows(file), 0);
	return file;
}

static void a_new_file_is_empty_and_says_why(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(3136);

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_file_extent_rows(file), 668);
	vector_file_free(file);
	vector_file_free(open_sound(&spec, 0));
	assert_null(vector_file_free(NULL));
}

static void a_stride_that_is_none_is_refused(void **state)
{
	static const uint32_t wrong[] = {0, 1, 63, 65, 100, VECTOR_FILE_STRIDE_MAX + 64};
	struct vector_file *file = NULL;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct vector_file_spec spec = vector_fixture_spec(64);

		spec.stride_bytes = wrong[i];
		assert_int_equal(vector_file_open(store_io_posix(), path, &spec, &file, &why),
		                 -EINVAL);
		assert_null(file);
	}
	struct vector_file_spec spec = vector_fixture_spec(VECTOR_FILE_STRIDE_MAX);
	file = open_empty(&spec);
	assert_int_equal(vector_file_extent_rows(file), 32);
	vector_file_free(file);
}

static void rows_come_back_over_many_extents(void **state)
{
	static const uint64_t batches[] = {1, 300, 668, 1000, 3000};
	struct vector_file_spec spec = vector_fixture_spec(3136);
	uint64_t n = 0;

	(void)state;
	struct vector_file *file = open_empty(&spec);
	for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
		uint64_t k = batches[i] == 1 ? 100 : batches[i];

		assert_int_equal(vector_fixture_append(file, &spec, k, batches[i], 1), 0);
		n += k;
		assert_int_equal(vector_file_n_rows(file), n);
		vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		assert_int_equal(vector_file_synced_rows(file), n);
		vector_file_free(file);
		file = open_sound(&spec, n);
		vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	}
	vector_file_free(file);
}

static uint64_t number_at(const unsigned char *bytes, size_t offset, size_t n)
{
	uint64_t value = 0;

	for (size_t i = n; i-- > 0;)
		value = value << 8 | bytes[offset + i];
	return value;
}

static void bytes_stand_where_the_format_says(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	struct vector_fixture_where where = vector_fixture_where(16384);
	size_t second = FIXTURE_EXTENTS_AT + where.extent_bytes;
	size_t n;

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_fixture_append(file, &spec, 130, 130, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	unsigned char *bytes = scratch_file_load(path, &n);
	assert_int_equal(n, second + where.extent_bytes);

	const unsigned char *header = bytes + FIXTURE_PAGE_BYTES;
	assert_memory_equal(header, "KITHVEC\n", 8);
	assert_int_equal(number_at(header, 8, 4), 2);
	assert_int_equal(number_at(header, 12, 4), spec.dim);
	assert_memory_equal(header + 16, &spec.uuid, 16);
	assert_int_equal(number_at(header, 32, 4), spec.metric);
	assert_int_equal(number_at(header, 36, 4), spec.dtype);
	assert_int_equal(number_at(header, 40, 4), 16384);
	assert_int_equal(number_at(header, 44, 4), 128);
	assert_int_equal(number_at(header, 48, 8), 130);
	assert_int_equal(number_at(header, 56, 8), 2);
	assert_memory_equal(header + 64, &vector_fixture_epoch, 16);
	assert_int_equal(number_at(header, 4092, 4), crc32c(0, header, 4092));

	const unsigned char *extent = bytes + second;
	assert_memory_equal(extent, "KITHEXT\n", 8);
	assert_memory_equal(extent + 8, &spec.uuid, 16);
	assert_int_equal(number_at(extent, 24, 8), 1);
	assert_int_equal(number_at(extent, 32, 8), 2);
	assert_int_equal(number_at(extent, 40, 4), 2);
	assert_int_equal(number_at(extent, 44, 4), crc32c(0, extent + FIXTURE_SLOTS_AT, 16));
	assert_int_equal(number_at(extent, 48, 4), crc32c(0, extent + where.rows_at, 2 * 16384));
	assert_int_equal(number_at(extent, 4092, 4), crc32c(0, extent, 4092));
	assert_int_equal(number_at(extent, FIXTURE_SLOTS_AT + 8, 8), vector_fixture_slot(129));
	assert_true(vector_fixture_row_is(&spec, extent + where.rows_at + 16384, 129, 1));
	free(bytes);
}

static void slots_are_copied_from_any_row_on(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	uint64_t slots[256];

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_fixture_append(file, &spec, 300, 300, 1), 0);
	for (uint64_t first = 0; first <= 300; first += 50) {
		for (uint64_t n = 0; n <= 256 && first + n <= 300; n += 64) {
			assert_int_equal(vector_file_slots(file, first, n, slots), 0);
			for (uint64_t i = 0; i < n; i++)
				assert_int_equal(slots[i], vector_fixture_slot(first + i));
		}
	}
	vector_file_free(file);
}

static void rows_behind_the_last_sync_are_forgotten(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_fixture_append(file, &spec, 50, 50, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	assert_int_equal(vector_fixture_append(file, &spec, 300, 7, 2), 0);
	assert_int_equal(vector_file_synced_rows(file), 50);
	vector_file_free(file);

	file = open_sound(&spec, 50);
	vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	assert_int_equal(vector_fixture_append(file, &spec, 200, 200, 3), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);

	file = open_sound(&spec, 250);
	vector_fixture_check(file, &spec, 1, 3, UINT64_MAX);
	vector_file_free(file);
}

/* Each life leaves heads behind the count whose generations the next life uses again. */
static void heads_of_lost_syncs_are_never_taken(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const char *why;

	(void)state;
	vector_file_free(open_empty(&spec));
	for (uint8_t life = 1; life <= 6; life++) {
		struct vector_file *file = open_file(store_twin_io(twin), &spec, &why);

		assert_null(why);
		assert_int_equal(vector_fixture_append(file, &spec, 140, 140, life), 0);
		/* Heads are written, the header is not. */
		store_twin_fail(twin, (struct store_twin_fault){
		                              .kind = STORE_TWIN_SYNC, .nth = 1, .err = EIO});
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), -EIO);
		store_twin_heal(twin);
		vector_file_free(file);

		file = open_file(store_twin_io(twin), &spec, &why);
		assert_null(why);
		assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 100), 0);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		vector_file_free(file);

		file = open_sound(&spec, life * 10u);
		vector_fixture_check(file, &spec, 100, 100, UINT64_MAX);
		vector_file_free(file);
	}
	store_twin_free(twin);
}

static void slots_must_ascend(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	uint64_t slots[3] = {7, 8, 8};
	uint8_t rows[3 * 64] = {0};

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_file_append(file, 3, slots, rows), -EINVAL);
	assert_int_equal(vector_file_append(file, 2, slots, rows), 0);
	assert_int_equal(vector_file_append(file, 1, slots, rows), -EINVAL);
	assert_int_equal(vector_file_append(file, 1, slots + 1, rows), -EINVAL);
	assert_int_equal(vector_file_reset(file, 1), 0);
	assert_int_equal(vector_file_append(file, 1, slots, rows), -EINVAL);
	assert_int_equal(vector_file_append(file, 1, slots + 1, rows), 0);
	assert_int_equal(vector_file_append(file, 0, NULL, NULL), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	file = open_sound(&spec, 2);
	assert_int_equal(vector_file_append(file, 1, slots + 1, rows), -EINVAL);
	assert_int_equal(vector_file_n_rows(file), 2);
	vector_file_free(file);
}

static void reset_goes_back_to_any_row(void **state)
{
	static const uint64_t firsts[] = {0, 1, 127, 128, 129, 255, 256, 299, 300, 301, 349, 350};
	struct vector_file_spec spec = vector_fixture_spec(16384);

	(void)state;
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		uint64_t first = firsts[i];
		struct vector_file *file = open_empty(&spec);

		assert_int_equal(vector_fixture_append(file, &spec, 300, 300, 1), 0);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		assert_int_equal(vector_fixture_append(file, &spec, 50, 50, 1), 0);
		assert_int_equal(vector_file_reset(file, first), 0);
		assert_int_equal(vector_file_n_rows(file), first);
		assert_int_equal(vector_file_synced_rows(file), first < 300 ? first : 300);
		vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
		assert_int_equal(vector_fixture_append(file, &spec, 200, 64, 2), 0);
		/* A crash here finds what the reset kept, though the rows behind it are new. */
		struct vector_file *crashed = open_sound(&spec, first < 300 ? first : 300);
		vector_fixture_check(crashed, &spec, 1, 1, UINT64_MAX);
		vector_file_free(crashed);
		vector_file_free(file);

		file = open_sound(&spec, first < 300 ? first : 300);
		assert_int_equal(vector_fixture_append(file, &spec, 200, 64, 2), 0);
		assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
		vector_file_free(file);
		file = open_sound(&spec, (first < 300 ? first : 300) + 200);
		vector_fixture_check(file, &spec, 1, 2, UINT64_MAX);
		vector_file_free(file);
		assert_int_equal(store_unlink(store_io_posix(), path), 0);
	}
}

/* Rows of 16384 bytes: extents of 127 rows. */
static void
a_file_that_is_cut_short_under_its_reader_is_lost_until_it_is_written_again(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	struct vector_file *file = open_empty(&spec);
	uint32_t extent_rows = vector_file_extent_rows(file);
	const uint8_t *rows;
	const void *any;

	(void)state;
	assert_int_equal(vector_fixture_append(file, &spec, 300, 300, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	assert_int_equal(vector_file_extent(file, 1, &any), 0);
	rows = any;
	assert_int_equal(vector_file_n_faults(file), 0);
	assert_int_equal(truncate(path, FIXTURE_EXTENTS_AT), 0);
	/* Somebody has the rows in hand: they read as zeros, and that is to be seen. */
	assert_int_equal(rows[5000] | rows[16384 * 100], 0);
	assert_int_equal(vector_file_n_faults(file), 2);
	assert_true(vector_file_is_lost(file));
	for (uint64_t extent = 0; extent < 3; extent++)
		assert_int_equal(vector_file_extent(file, extent, &any), -EBADMSG);
	assert_int_equal(vector_file_reset(file, 1), -EBADMSG);
	assert_int_equal(vector_file_reset(file, 300), -EBADMSG);

	/* Begun anew: an extent is good again when it is whole. */
	assert_int_equal(vector_file_reset(file, 0), 0);
	assert_false(vector_file_is_lost(file));
	assert_int_equal(vector_file_extent(file, 0, &any), -EBADMSG);
	assert_int_equal(vector_fixture_append(file, &spec, extent_rows - 1, 64, 1), 0);
	assert_int_equal(vector_file_extent(file, 0, &any), -EBADMSG);
	assert_int_equal(vector_fixture_append(file, &spec, 2, 1, 1), 0);
	assert_int_equal(vector_file_extent(file, 0, &any), 0);
	assert_int_equal(vector_file_extent(file, 1, &any), -EBADMSG);
	/* A reset on the way does not make what is missing good. */
	assert_int_equal(vector_file_reset(file, extent_rows), 0);
	assert_int_equal(vector_file_extent(file, 1, &any), -EBADMSG);
	assert_int_equal(vector_fixture_append(file, &spec, 300 - extent_rows, 50, 1), 0);
	vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	/* The old address shows the file again. */
	assert_true(vector_fixture_row_is(&spec, rows, extent_rows, 1));
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	file = open_sound(&spec, 300);
	vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	vector_file_free(file);
}

static uint64_t file_size(void)
{
	return scratch_file_size(path);
}

static void reset_to_the_beginning_gives_the_space_back(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	struct vector_file *file = open_empty(&spec);

	(void)state;
	assert_int_equal(vector_fixture_append(file, &spec, 300, 300, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	assert_true(file_size() > FIXTURE_EXTENTS_AT);
	assert_int_equal(vector_file_reset(file, 0), 0);
	assert_int_equal(file_size(), FIXTURE_EXTENTS_AT);
	assert_int_equal(vector_fixture_append(file, &spec, 200, 64, 1), 0);
	vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	vector_file_free(file);
}

static void reset_to_the_end_does_nothing(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const char *why;
	struct vector_file *file = open_file(store_twin_io(twin), &spec, &why);

	(void)state;
	assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
	size_t n_ops = store_twin_n_ops(twin);
	assert_int_equal(vector_file_reset(file, 10), 0);
	assert_int_equal(store_twin_n_ops(twin), n_ops);
	vector_file_free(file);
	store_twin_free(twin);
}

static void a_sync_without_new_rows_does_no_io(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const char *why;
	struct vector_file *file = open_file(store_twin_io(twin), &spec, &why);

	(void)state;
	assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	size_t n_ops = store_twin_n_ops(twin);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	assert_int_equal(store_twin_n_ops(twin), n_ops);
	vector_file_free(file);
	store_twin_free(twin);
}

static void data_are_synced_before_the_header_that_counts_them(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(64);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const char *why;
	struct vector_file *file = open_file(store_twin_io(twin), &spec, &why);
	char order[16] = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC_DIR, scratch.path), 1);
	store_twin_forget(twin);
	assert_int_equal(vector_fixture_append(file, &spec, 10, 10, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
		const struct store_twin_op *op = store_twin_op(twin, i);

		if (op->kind == STORE_TWIN_SYNC)
			order[n++] = 's';
		else if (op->kind == STORE_TWIN_WRITE)
			order[n++] = op->offset < FIXTURE_EXTENTS_AT ? 'H' : 'd';
	}
	assert_string_equal(order, "dddsHs"); /* rows, slots, head */
	vector_file_free(file);
	store_twin_free(twin);
}

static void opening_reads_heads_and_slots_only(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(16384);
	struct store_twin *twin = store_twin_new(store_io_posix());
	const char *why;
	uint64_t n_read = 0;

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_fixture_append(file, &spec, 600, 100, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	file = open_file(store_twin_io(twin), &spec, &why);
	assert_null(why);
	for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
		if (store_twin_op(twin, i)->kind == STORE_TWIN_READ)
			n_read += store_twin_op(twin, i)->n_bytes;
		assert_int_not_equal(store_twin_op(twin, i)->kind, STORE_TWIN_WRITE);
	}
	assert_int_equal(n_read, 2 * 4096 + 5 * 2 * 4096 + 600 * 8);
	vector_file_free(file);
	store_twin_free(twin);
}

static void rows_stay_where_they_are_while_the_file_grows_past_a_window(void **state)
{
	struct vector_file_spec spec = vector_fixture_spec(65536);
	uint64_t n = 40 * 32; /* extents of 2 MiB; a window has 64 MiB */
	const void *first;
	const void *again;
	const void *rows;

	(void)state;
	struct vector_file *file = open_empty(&spec);
	assert_int_equal(vector_fixture_append(file, &spec, 1, 1, 1), 0);
	assert_int_equal(vector_file_extent(file, 0, &first), 0);
	assert_int_equal(vector_fixture_append(file, &spec, n - 1, 32, 1), 0);
	assert_int_equal(vector_file_extent(file, 0, &again), 0);
	assert_ptr_equal(first, again);
	/* What a reset forgot can still be touched by who has it. */
	assert_int_equal(vector_file_extent(file, 39, &rows), 0);
	assert_int_equal(vector_file_reset(file, 1), 0);
	assert_true(vector_fixture_row_is(&spec, rows, 39 * 32, 1));
	assert_int_equal(vector_file_extent(file, 39, &again), 0);
	assert_ptr_equal(rows, again);
	assert_int_equal(vector_fixture_append(file, &spec, n - 1, 32, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	file = open_sound(&spec, n);
	vector_fixture_check(file, &spec, 1, 1, UINT64_MAX);
	vector_file_free(file);
}

/* Rows that one thread appends and others read, as they are published. */
struct shared_file {
	struct vector_file *file;
	struct vector_file_spec spec;
	_Atomic uint64_t published;
	uint64_t n_final;
};

static void *read_published(void *ctx)
{
	struct shared_file *shared = ctx;
	uint64_t n_wrong = 0;
	uint64_t n;

	do {
		n = atomic_load_explicit(&shared->published, memory_order_acquire);
		for (uint64_t i = 0; i < n; i++) {
			uint32_t extent_rows = vector_file_extent_rows(shared->file);
			const void *rows;

			if (i % extent_rows != 0 && i + 1 != n)
				continue;
			if (vector_file_extent(shared->file, i / extent_rows, &rows) < 0)
				n_wrong++;
			else if (!vector_fixture_row_is(&shared->spec,
			                                (const char *)rows +
			                                        i % extent_rows *
			                                                shared->spec.stride_bytes,
			                                i, 1))
				n_wrong++;
		}
	} while (n < shared->n_final);
	return (void *)(uintptr_t)n_wrong;
}

static void readers_run_beside_the_writer(void **state)
{
	struct shared_file shared = {.spec = vector_fixture_spec(16384), .n_final = 600};
	pthread_t readers[3];
	void *n_wrong;

	(void)state;
	struct vector_file *file = open_empty(&shared.spec);
	assert_int_equal(vector_fixture_append(file, &shared.spec, 200, 200, 1), 0);
	assert_int_equal(vector_file_sync(file, &vector_fixture_epoch), 0);
	vector_file_free(file);
	/* The readers race for the check of what was there at open, too. */
	shared.file = open_sound(&shared.spec, 200);
	atomic_init(&shared.published, 200);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_published, &shared), 0);
	while (vector_file_n_rows(shared.file) < shared.n_final) {
		assert_int_equal(vector_fixture_append(shared.file, &shared.spec, 25, 25, 1), 0);
		assert_int_equal(vector_file_sync(shared.file, &vector_fixture_epoch), 0);
		atomic_store_explicit(&shared.published, vector_file_n_rows(shared.file),
		                      memory_order_release);
	}
	for (size_t i = 0; i < 3; i++) {
		pthread_join(readers[i], &n_wrong);
		assert_null(n_wrong);
	}
	vector_file_free(shared.file);
}

/* A store that keeps nothing, for files too large for a test's disk. */
static int void_write(struct store_file *file, const void *buf, size_t n, uint64_t offset)
{
	(void)file;
	(void)buf;
	(void)n;
	(void)offset;
	return 0;
}

static int void_truncate(struct store_file *file, uint64_t size_bytes)
{
	(void)file;
	(void)size_bytes;
	return 0;
}

static int void_size(struct store_file *file, uint64_t *ret_size_bytes)
{
	(void)file;
	*ret_size_bytes = 0;
	return 0;
}

static int void_map(struct store_file *file, uint64_t offset, size_t n, bool writable, void **ret)
{
	(void)file;
	(void)offset;
	(void)writable;
	*ret = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return *ret == MAP_FAILED ? -errno : 0;
}

static int void_unmap(struct store_file *file, void *addr, size_t n)
{
	(void)file;
	return munmap(addr, n) < 0 ? -errno : 0;
}

static int void_close(struct store_file *file)
{
	(void)file;
	return 0;
}

static int void_open(struct store_io *io, const char *name, unsigned flags, struct store_file **ret)
{
	static const struct store_file_ops ops = {
	        .write = void_write,
	        .truncate = void_truncate,
	        .size = void_size,
	        .map = void_map,
	        .unmap = void_unmap,
	        .close = void_close,
	};
	static struct store_file file = {.ops = &ops};

	(void)io;
	(void)name;
	(void)flags;
	*ret = &file;
	return 0;
}

static int void_sync_dir(struct store_io *io, const char *name)
{
	(void)io;
	(void)name;
	return 0;
}

static void rows_are_taken_up_to_the_limit_and_not_one_more(void **state)
{
	static const struct store_io_ops ops = {.open = void_open, .sync_dir = void_sync_dir};
	struct vector_file_spec spec = vector_fixture_spec(64);
	struct store_io io = {.ops = &ops};
	uint64_t batch = VECTOR_FILE_ROWS_MAX / 64;
	uint64_t *slots = calloc(batch, sizeof(*slots));
	uint8_t *rows = calloc(batch, 64);
	struct vector_file *file;
	const char *why;

	(void)state;
	assert_int_equal(vector_file_open(&io, "nowhere", &spec, &file, &why), 0);
	assert_int_equal(vector_file_append(file, VECTOR_FILE_ROWS_MAX + 1, slots, rows), -ENOSPC);
	for (uint64_t n = 0; n < VECTOR_FILE_ROWS_MAX; n += batch) {
		for (uint64_t i = 0; i < batch; i++)
			slots[i] = n + i;
		assert_int_equal(vector_file_append(file, batch, slots, rows), 0);
	}
	slots[0] = VECTOR_FILE_ROWS_MAX;
	assert_int_equal(vector_file_append(file, 1, slots, rows), -ENOSPC);
	assert_int_equal(vector_file_n_rows(file), VECTOR_FILE_ROWS_MAX);
	vector_file_free(file);
	free(slots);
	free(rows);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        TEST(a_new_file_is_empty_and_says_why),
	        TEST(a_stride_that_is_none_is_refused),
	        TEST(rows_come_back_over_many_extents),
	        TEST(bytes_stand_where_the_format_says),
	        TEST(slots_are_copied_from_any_row_on),
	        TEST(rows_behind_the_last_sync_are_forgotten),
	        TEST(heads_of_lost_syncs_are_never_taken),
	        TEST(slots_must_ascend),
	        TEST(reset_goes_back_to_any_row),
	        TEST(a_file_that_is_cut_short_under_its_reader_is_lost_until_it_is_written_again),
	        TEST(reset_to_the_beginning_gives_the_space_back),
	        TEST(reset_to_the_end_does_nothing),
	        TEST(a_sync_without_new_rows_does_no_io),
	        TEST(data_are_synced_before_the_header_that_counts_them),
	        TEST(opening_reads_heads_and_slots_only),
	        TEST(rows_stay_where_they_are_while_the_file_grows_past_a_window),
	        TEST(readers_run_beside_the_writer),
	        TEST(rows_are_taken_up_to_the_limit_and_not_one_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
