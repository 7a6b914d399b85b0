/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The columns of an answer: what `include` asks for of each record, gathered row by row from the
 * truth into the request's arena. Bounded: gathering stops when the answer cannot fit in a frame.
 * [worker]
 */

#include "daemon/request.h"
#include "index/dtype.h"
#include "storage/record_store.h"

/* Outcomes. */
enum {
	COLUMNS_FULL = 1
};

struct columns {
	struct wire_arena *arena;
	uint32_t include; /* bits 1 << enum wire_include */
	uint32_t n, max;
	uint32_t dim;
	enum dtype stored, dtype; /* in the truth, in the answer */
	size_t vector_bytes;      /* of one in the answer */
	size_t bytes, max_bytes;
	uint8_t *vectors;
	struct wire_str *texts;
	struct wire_meta *metas;
	struct wire_str *namespaces;
};

/* Room for max rows, with vectors of the dtype. -ENOMEM. */
int columns_init(struct columns *columns, struct request *request, uint32_t include, uint32_t dtype,
                 uint32_t max, size_t max_bytes);
/* What a reader must fetch for them (enum record_want). */
unsigned columns_want(const struct columns *columns);
/* Copies the row behind the others; id_bytes count for the bound. COLUMNS_FULL: it did not fit and
 * was not taken. -ENOMEM. */
int columns_add(struct columns *columns, const struct record_row *row, size_t id_bytes);

static inline struct wire_bin columns_vectors(const struct columns *columns)
{
	return (struct wire_bin){columns->vectors, columns->n * columns->vector_bytes};
}
static inline struct wire_texts columns_texts(const struct columns *columns)
{
	return (struct wire_texts){columns->texts, columns->n};
}
static inline struct wire_metas columns_metas(const struct columns *columns)
{
	return (struct wire_metas){columns->metas, columns->n};
}
static inline struct wire_texts columns_namespaces(const struct columns *columns)
{
	return (struct wire_texts){columns->namespaces, columns->n};
}
