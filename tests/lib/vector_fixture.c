/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/vector_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct vector_fixture_where vector_fixture_where(uint32_t stride_bytes)
{
	uint32_t rows = (2u << 20) / stride_bytes;
	uint32_t slots_pages = (rows * 8 + FIXTURE_PAGE_BYTES - 1) / FIXTURE_PAGE_BYTES;
	uint32_t rows_at = FIXTURE_SLOTS_AT + slots_pages * FIXTURE_PAGE_BYTES;
	uint32_t end = rows_at + rows * stride_bytes;

	return (struct vector_fixture_where){
	        .extent_bytes = (end + 65535) / 65536 * 65536,
	        .extent_rows = rows,
	        .rows_at = rows_at,
	};
}

const struct uuid vector_fixture_epoch = {{0xe, 0xb0, 0xc4}};

struct vector_file_spec vector_fixture_spec(uint32_t stride_bytes)
{
	return (struct vector_file_spec){
	        .uuid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
	        .dim = stride_bytes / 4 - 3,
	        .metric = 2,
	        .dtype = 0,
	        .stride_bytes = stride_bytes,
	};
}

uint64_t vector_fixture_slot(uint64_t row)
{
	return 3 * row + 5;
}

static void fill_row(uint8_t *row, uint32_t stride_bytes, uint64_t i, uint8_t mark)
{
	uint64_t seed = vector_fixture_slot(i) * 256 + mark;

	for (uint32_t at = 0; at < stride_bytes; at += 8) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		memcpy(row + at, &seed, 8);
	}
}

int vector_fixture_append(struct vector_file *file, const struct vector_file_spec *spec, uint64_t n,
                          uint64_t batch, uint8_t mark)
{
	uint32_t stride = spec->stride_bytes;
	uint64_t *slots = calloc(batch, sizeof(*slots));
	uint8_t *rows = calloc(batch, stride);
	int r = 0;

	while (n > 0 && r == 0) {
		uint64_t first = vector_file_n_rows(file);
		uint64_t k = n < batch ? n : batch;

		for (uint64_t i = 0; i < k; i++) {
			slots[i] = vector_fixture_slot(first + i);
			fill_row(rows + i * stride, stride, first + i, mark);
		}
		r = vector_file_append(file, k, slots, rows);
		n -= k;
	}
	free(slots);
	free(rows);
	return r;
}

bool vector_fixture_row_is(const struct vector_file_spec *spec, const void *row, uint64_t i,
                           uint8_t mark)
{
	uint8_t *expected = malloc(spec->stride_bytes);

	fill_row(expected, spec->stride_bytes, i, mark);
	bool is = memcmp(row, expected, spec->stride_bytes) == 0;
	free(expected);
	return is;
}

void vector_fixture_check(struct vector_file *file, const struct vector_file_spec *spec,
                          uint8_t mark, uint8_t other_mark, uint64_t bad_extent)
{
	uint64_t n = vector_file_n_rows(file);
	uint32_t extent_rows = vector_file_extent_rows(file);
	uint64_t *slots = calloc(n + 1, sizeof(*slots));
	const void *rows = NULL;

	assert_int_equal(vector_file_slots(file, 0, n, slots), 0);
	for (uint64_t i = 0; i < n; i++) {
		int expected = i / extent_rows == bad_extent ? -EBADMSG : 0;

		assert_int_equal(slots[i], vector_fixture_slot(i));
		if (i % extent_rows == 0)
			assert_int_equal(vector_file_extent(file, i / extent_rows, &rows),
			                 expected);
		if (expected < 0)
			continue;
		assert_int_equal((uintptr_t)rows % 64, 0);
		const uint8_t *row = (const uint8_t *)rows + i % extent_rows * spec->stride_bytes;
		if (!vector_fixture_row_is(spec, row, i, mark))
			assert_true(vector_fixture_row_is(spec, row, i, other_mark));
	}
	free(slots);
}

void vector_fixture_poke(const char *path, uint64_t offset, const void *bytes, size_t n)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, (off_t)offset), n);
	close(fd);
}

void vector_fixture_flip(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}
