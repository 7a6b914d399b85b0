/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A record as the truth sees it: plain values, no wire form, no SQL. Pointers are borrowed; who
 * hands one out says for how long. Absent is a NULL pointer (an empty text is not absent).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/uuid.h"

/* What a collection is made with, kept in its own database too, so that it explains itself. */
enum record_metric {
	RECORD_METRIC_L2 = 0,
	RECORD_METRIC_IP = 1,
	RECORD_METRIC_COSINE = 2,
};

enum record_dtype {
	RECORD_DTYPE_F32 = 0,
	RECORD_DTYPE_F16 = 1,
};

struct record_spec {
	struct uuid uuid;
	uint32_t dim;
	uint32_t metric; /* enum record_metric */
	uint32_t dtype;  /* enum record_dtype */
	char space[129]; /* label of the embedding space, "" when none was given */
};

/* An id is a string (text != NULL, 1..512 bytes of UTF-8) or an unsigned integer. */
struct record_id {
	const char *text;
	uint32_t n; /* bytes of text */
	uint64_t number;
};

/* One scalar of the metadata; a list gives one of these for each element. */
struct record_field {
	const char *name;
	uint32_t name_n;
	enum {
		RECORD_FIELD_INT,
		RECORD_FIELD_FLOAT,
		RECORD_FIELD_BOOL,
		RECORD_FIELD_TEXT
	} kind;
	union {
		int64_t integer;
		double real;
		bool boolean;
		struct {
			const char *data;
			uint32_t n;
		} text;
	};
};

/* Metadata: an opaque canonical encoding that is handed back as it came, and its scalars. */
struct record_meta {
	const void *blob; /* NULL: no metadata */
	size_t blob_n;
	const struct record_field *fields;
	uint32_t n_fields;
};

struct record {
	struct record_id id;
	const void *vector; /* dim elements of the dtype, little-endian, at any alignment */
	const char *text;
	uint32_t text_n;
	struct record_meta meta;
	int64_t expires_at; /* seconds since 1970, 0: never */
};
