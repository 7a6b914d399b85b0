/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Vector files for tests: rows whose content follows from their slot and a `mark`, so that
 * whatever a file hands out can be judged without remembering what was put in. Row i has slot
 * 3 * i + 5. Failures of the checks are cmocka failures.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/vector_file.h"

/* From FORMAT.md, on purpose not from the code. */
#define FIXTURE_PAGE_BYTES 4096u
#define FIXTURE_EXTENTS_AT 65536u
#define FIXTURE_SLOTS_AT 8192u

struct vector_fixture_where {
	uint64_t extent_bytes;
	uint32_t extent_rows;
	uint32_t rows_at; /* from the beginning of an extent */
};

struct vector_fixture_where vector_fixture_where(uint32_t stride_bytes);
struct vector_file_spec vector_fixture_spec(uint32_t stride_bytes);
uint64_t vector_fixture_slot(uint64_t row);
/* What files are synced under. */
extern const struct uuid vector_fixture_epoch;

/* Appends rows [n_rows, n_rows + n) in batches of so many rows; returns the first error. */
int vector_fixture_append(struct vector_file *file, const struct vector_file_spec *spec, uint64_t n,
                          uint64_t batch, uint8_t mark);
/* Whether row i, at rows, is what was appended with that mark. */
bool vector_fixture_row_is(const struct vector_file_spec *spec, const void *row, uint64_t i,
                           uint8_t mark);
/* Every slot is right, and every row of every extent but bad_extent has one of the two marks;
 * bad_extent (UINT64_MAX: none) is -EBADMSG. */
void vector_fixture_check(struct vector_file *file, const struct vector_file_spec *spec,
                          uint8_t mark, uint8_t other_mark, uint64_t bad_extent);

/* Damage behind the file's back. */
void vector_fixture_flip(const char *path, uint64_t offset);
void vector_fixture_poke(const char *path, uint64_t offset, const void *bytes, size_t n);
