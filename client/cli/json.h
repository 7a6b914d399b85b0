/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What programs see: a JSON value a line. Functions take the object they add to; memory that runs
 * out in between makes the line lack something, which json_print_line() then tells.
 */

#include <jansson.h>

#include "client/kith.h"

/* A string that is absent is null. */
json_t *json_from_str(struct kith_str str);
/* Numbers that JSON's integers here do not hold (2^63 and more) become their digits as text. */
json_t *json_from_u64(uint64_t number);
json_t *json_from_id(const struct kith_id *id);
json_t *json_from_floats(const float *v, size_t n);
/* An object, or null. */
json_t *json_from_meta(const struct kith_meta *meta);

/* The columns of an answer, in whichever order the methods have them. */
struct record_columns {
	const struct kith_f32s *vectors;
	const struct kith_texts *texts;
	const struct kith_metas *metas;
	const struct kith_texts *namespaces;
	uint32_t n; /* rows */
};

/* {"id", "namespace"?, "text"?, "meta"?, "vector"?} of the row. */
json_t *json_from_record(const struct kith_id *id, const struct record_columns *columns,
                         uint32_t row);

/* Takes the value and prints it as a line of stdout. false: memory ran out, which it says. */
bool json_print_line(json_t *value);
