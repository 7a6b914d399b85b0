/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/batch.h"

#include <stdlib.h>
#include <string.h>

#include "client/cli/half.h"

/* Names, headers and the id of a row, roughly. */
#define ROW_OVERHEAD_BYTES 16u

bool batch_init(struct batch *batch, uint32_t dim, enum kith_dtype dtype, uint64_t max_rows,
                uint64_t max_values, bool has_lines)
{
	uint64_t row_bytes = (uint64_t)dim * sizeof(float) + ROW_OVERHEAD_BYTES;
	uint64_t fitting = BATCH_BYTES / row_bytes + 1;

	*batch = (struct batch){.dim = dim, .max_values = max_values / 2, .has_lines = has_lines};
	batch->max_rows = (uint32_t)(fitting < max_rows ? fitting : max_rows);
	batch->vectors = malloc(batch->max_rows * (size_t)dim * sizeof(float));
	if (dtype == KITH_DTYPE_F16)
		batch->halves = malloc(batch->max_rows * (size_t)dim * sizeof(*batch->halves));
	batch->ids = calloc(batch->max_rows, sizeof(*batch->ids));
	batch->texts = calloc(batch->max_rows, sizeof(*batch->texts));
	batch->metas = calloc(batch->max_rows, sizeof(*batch->metas));
	batch->owners = calloc(batch->max_rows, sizeof(*batch->owners));
	batch->builder = kith_meta_new();
	return batch->vectors && (batch->halves || dtype != KITH_DTYPE_F16) && batch->ids &&
	       batch->texts && batch->metas && batch->owners && batch->builder;
}

void batch_reset(struct batch *batch, uint64_t first_row)
{
	for (uint32_t i = 0; i < batch->n; i++)
		json_decref(batch->owners[i]);
	kith_meta_reset(batch->builder);
	batch->first_row = first_row;
	batch->n = 0;
	batch->size_bytes = 0;
	batch->n_values = 0;
}

void batch_release(struct batch *batch)
{
	if (batch->builder)
		batch_reset(batch, 0);
	kith_meta_free(batch->builder);
	free(batch->owners);
	free(batch->metas);
	free(batch->texts);
	free(batch->ids);
	free(batch->halves);
	free(batch->vectors);
	*batch = (struct batch){0};
}

static bool is_full(const struct batch *batch)
{
	return batch->n == batch->max_rows || batch->size_bytes >= BATCH_BYTES ||
	       batch->n_values >= batch->max_values;
}

/* The line of the row that was just read. */
static int take_line(struct batch *batch, struct fvecs *fvecs, struct jsonl *jsonl)
{
	unsigned long long rows = fvecs->next_row;
	struct jsonl_row row;
	uint32_t i = batch->n;
	int r;

	r = jsonl_next(jsonl, batch->builder, &row);
	if (r == 0)
		snprintf(jsonl->message, sizeof(jsonl->message),
		         "%.200s has %llu lines, %.200s more rows than that", jsonl->path, rows - 1,
		         fvecs->path);
	if (r <= 0)
		return -1;
	batch->owners[i] = row.owner;
	batch->texts[i] = row.text;
	batch->metas[i] = row.meta;
	if (row.has_id)
		batch->ids[i] = row.id;
	batch->size_bytes += (uint64_t)row.text.n + row.meta.size_bytes + row.id.n;
	batch->n_values += UINT64_C(2) * row.n_scalars;
	return 0;
}

/* 1, 0 at the end, -1. */
static int take_row(struct batch *batch, struct fvecs *fvecs, struct jsonl *jsonl,
                    uint64_t first_id)
{
	uint32_t i = batch->n;
	int r;

	r = fvecs_next(fvecs, batch->vectors + (size_t)i * batch->dim);
	if (r <= 0)
		return r;
	batch->ids[i] = kith_id_number(first_id + fvecs->next_row - 1);
	batch->owners[i] = NULL;
	if (jsonl && take_line(batch, fvecs, jsonl))
		return -1;
	batch->size_bytes += batch->dim * sizeof(float) + ROW_OVERHEAD_BYTES;
	batch->n_values += 3;
	batch->n++;
	return 1;
}

/* No line may be left when no row is. */
static int check_last_line(struct fvecs *fvecs, struct jsonl *jsonl, struct batch *batch)
{
	struct jsonl_row row;
	int r;

	r = jsonl_next(jsonl, batch->builder, &row);
	if (r <= 0)
		return r;
	json_decref(row.owner);
	snprintf(jsonl->message, sizeof(jsonl->message), "%.200s:%llu: %.200s has only %llu rows",
	         jsonl->path, (unsigned long long)jsonl->n_lines, fvecs->path,
	         (unsigned long long)fvecs->next_row);
	return -1;
}

int batch_fill(struct batch *batch, struct fvecs *fvecs, struct jsonl *jsonl, uint64_t first_id)
{
	int r = 1;

	while (r > 0 && !is_full(batch))
		r = take_row(batch, fvecs, jsonl, first_id);
	if (r == 0 && jsonl)
		r = check_last_line(fvecs, jsonl, batch);
	return r < 0 ? -1 : 0;
}

void batch_params(const struct batch *batch, struct kith_upsert_params *params)
{
	params->ids = (struct kith_ids){batch->ids, batch->n};
	if (batch->halves && half_from_rows(batch->vectors, batch->n, batch->dim, batch->halves)) {
		params->vectors = kith_vectors_f16(batch->halves, (size_t)batch->n * batch->dim);
		params->dtype = KITH_DTYPE_F16;
	} else {
		params->vectors = kith_vectors(batch->vectors, (size_t)batch->n * batch->dim);
	}
	if (!batch->has_lines)
		return;
	params->texts = (struct kith_texts){batch->texts, batch->n};
	params->metas = (struct kith_metas){batch->metas, batch->n};
}
