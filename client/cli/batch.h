/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The rows of one upsert, gathered from an .fvecs file and the lines that go with it. A batch is
 * full when it has enough rows, bytes or values: well below what a frame holds, so that one more
 * row, however large, still fits.
 */

#include "client/cli/fvecs.h"
#include "client/cli/jsonl.h"
#include "client/kith.h"

/* Enough for a write to be bound by the disk, and several of them are in flight. */
#define BATCH_BYTES (4u << 20)

struct batch {
	uint32_t dim, max_rows;
	uint64_t max_values;
	bool has_lines;

	uint64_t first_row; /* in the file */
	uint32_t n;
	uint64_t size_bytes, n_values;
	float *vectors;
	uint16_t *halves; /* NULL: vectors go as they are */
	struct kith_id *ids;
	struct kith_str *texts;
	struct kith_meta *metas;
	json_t **owners;
	struct kith_meta_builder *builder;
};

/* For at most max_rows rows a request and max_values values a frame, into a collection of that
 * dtype. False: no memory. */
bool batch_init(struct batch *batch, uint32_t dim, enum kith_dtype dtype, uint64_t max_rows,
                uint64_t max_values, bool has_lines);
void batch_release(struct batch *batch);
/* Empty again; the next row is that of the file. */
void batch_reset(struct batch *batch, uint64_t first_row);
/* Takes rows until it is full or the files end. jsonl may be NULL. -1: what is wrong is in the
 * message of either; the rows before that one are in the batch. */
int batch_fill(struct batch *batch, struct fvecs *fvecs, struct jsonl *jsonl, uint64_t first_id);
/* Borrows from the batch. */
void batch_params(const struct batch *batch, struct kith_upsert_params *params);
