/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The scalars of a record's metadata in packed form (FORMAT.md: contents.fields). They stand a
 * second time beside the metadata because the rows of the fields table are clustered by field and
 * value: removing a slot's rows needs their keys, storage/ cannot read the metadata's own
 * encoding, and an index by slot would double the cost of each insert.
 *
 * Nothing outside storage/ includes this.
 */

#include <stddef.h>
#include <stdint.h>

#include "storage/record.h"

/* Outcome of record_fields_next(): there are no more. */
enum {
	RECORD_FIELDS_END = 1
};

/* Packed scalars. Zeroed is empty; data is NULL as long as n_bytes is 0. */
struct record_fields {
	uint8_t *data;
	size_t n_bytes;
	size_t capacity_bytes;
};

/* Replaces the content by the scalars of meta. Keeps the memory for the next use. */
int record_fields_pack(struct record_fields *fields, const struct record_meta *meta);
void record_fields_release(struct record_fields *fields);

/* Reads the next scalar of what is left of a packed form and moves on. The field points into
 * *data. 0, RECORD_FIELDS_END, or -EBADMSG. */
int record_fields_next(const uint8_t **data, size_t *n_bytes, struct record_field *ret);
