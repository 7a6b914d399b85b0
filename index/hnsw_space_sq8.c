/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Codes of one hop lie anywhere in memory and what takes time is waiting for them: of 832 bytes
 * some 100 ns where multiplying takes 10. So the first plane of a code is asked for a hop before it
 * is needed (ask()), and again some codes before, in case it went meanwhile: without that, searches
 * of 60,000 images were slower by 15 %. The second is asked for only where the coarse distance did
 * not settle it.
 *
 * That a code is too far it settles for two codes in three. A search takes it also of what is near,
 * where it errs by little (COARSE_ERROR), and what it found is measured by both planes in the end:
 * ef second planes are read instead of those of all that were wanted on the way. Errors of 0.9
 * to 1.2 % of a distance are what codes of texts and images come to. At recall 0.99 searches of the
 * images and of 9,746 texts of 768 dimensions are faster by 9 to 12 % for it, of the notes by 3 %:
 * with few candidates beyond k, ranks are decided by less than that error, so that some more are
 * kept (hnsw_width()). Where one element dwarfs the others, coarse codes are poor, and the second
 * plane is read as ever; so it is for inner products, of which no distance says how near is near.
 *
 * Codes are multiplied one at a time: four at once, as rows of f32 are, have their lines compete
 * for the few misses that a core can have under way, and took half as long again (Zen 3, 60,000
 * codes in huge pages). Deciding for four codes in one register gained nothing, nor did -O3 or code
 * for AVX2 throughout.
 */

#include "index/hnsw_space_sq8.h"

#include <math.h>

/* Of codes that are on their way while one is multiplied. */
#define AHEAD_BYTES 2048u
/* Codes that are multiplied before it is decided which of them are to be told better. */
#define DECIDE_STEP 4u
/* The standard deviation, as a share of the distance, up to which a search takes coarse ones. */
#define COARSE_ERROR 0.02f

#define INLINE inline __attribute__((always_inline))

struct query {
	const float *row; /* NULL: a node's whose row nobody will need */
	bool is_nowhere;  /* of a node without row */
	float tolerance;  /* of coarse distances (sq8_coarse_will_do()) */
	struct sq8_query code;
};

static const struct hnsw_space_sq8 *self_of(const struct hnsw_space *space)
{
	return (const struct hnsw_space_sq8 *)space;
}

static bool has_code(const struct hnsw_space_sq8 *space, uint32_t row)
{
	return row < space->coded_rows;
}

static void prefetch(const uint8_t *from, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at += 64)
		__builtin_prefetch(from + at);
}

/* Codes of one call that the first plane did not settle, by number. */
struct open_codes {
	uint32_t n;
	uint32_t codes[HNSW_BATCH];
	const uint8_t *planes[HNSW_BATCH];
};

/* Tells the coarse distances of codes [first, end), and which of them are to be told better: those
 * are asked for. Nobody can foresee which, so it is done without a branch. */
static INLINE void decide(const struct sq8 *sq8, enum metric metric, const struct sq8_query *query,
                          const struct sq8_code *codes, const int32_t *dots, uint32_t first,
                          uint32_t end, float bound, float tolerance, struct open_codes *open,
                          float *ret)
{
	uint32_t n_before = open->n;

	for (uint32_t i = first; i < end; i++) {
		open->planes[open->n] = codes[i].fine;
		open->codes[open->n] = i;
		open->n += !sq8_coarse_will_do(sq8, metric, query, sq8_constants(sq8, codes[i]),
		                               dots[i], bound, tolerance, &ret[i]);
	}
	for (uint32_t i = n_before; i < open->n; i++)
		prefetch(open->planes[i], sq8->fine_bytes);
}

/* It is decided for a few codes at a time, so that the second planes of the first come while the
 * last are multiplied: 0 to 4 % of a search of notes of 384 dimensions; by two or by eight it is a
 * little less. */
static INLINE void estimate_by(const struct sq8 *sq8, enum metric metric,
                               const struct sq8_query *query, const struct sq8_code *codes,
                               uint32_t n, float bound, float tolerance, float *ret)
{
	int32_t coarse_dots[HNSW_BATCH], fine_dots[HNSW_BATCH];
	const uint8_t *planes[HNSW_BATCH];
	uint32_t n_asked = 0, n_ahead = AHEAD_BYTES / sq8->coarse_bytes;
	struct open_codes open;

	open.n = 0;
	if (n_ahead < DECIDE_STEP)
		n_ahead = DECIDE_STEP;
	for (uint32_t at = 0, end; at < n; at = end) {
		end = at + DECIDE_STEP < n ? at + DECIDE_STEP : n;
		for (; n_asked < n && n_asked < end + n_ahead - DECIDE_STEP; n_asked++) {
			planes[n_asked] = codes[n_asked].coarse;
			prefetch(planes[n_asked], sq8->coarse_bytes);
		}
		sq8->kernels->dots(query->integers, planes + at, end - at, sq8->n_integers,
		                   coarse_dots + at);
		decide(sq8, metric, query, codes, coarse_dots, at, end, bound, tolerance, &open,
		       ret);
	}
	if (open.n == 0)
		return;
	sq8->kernels->dots(query->integers, open.planes, open.n, sq8->n_integers, fine_dots);
	for (uint32_t i = 0; i < open.n; i++) {
		uint32_t at = open.codes[i];
		int32_t product = sq8_product(query, coarse_dots[at], fine_dots[i]);
		ret[at] = sq8_distance(sq8, metric, &query->constants,
		                       sq8_constants(sq8, codes[at]), product);
	}
}

/* Distances of n codes: the loops above, once for each metric. */
static void estimate(const struct sq8 *sq8, const struct sq8_query *query,
                     const struct sq8_code *codes, uint32_t n, float bound, float tolerance,
                     float *ret)
{
	switch (sq8->metric) {
	case METRIC_IP:
		estimate_by(sq8, METRIC_IP, query, codes, n, bound, tolerance, ret);
		break;
	case METRIC_COSINE:
		estimate_by(sq8, METRIC_COSINE, query, codes, n, bound, tolerance, ret);
		break;
	case METRIC_L2:
	default:
		estimate_by(sq8, METRIC_L2, query, codes, n, bound, tolerance, ret);
		break;
	}
}

static void refine(const struct hnsw_space *space, const void *query_of, const uint32_t *rows,
                   uint32_t n, float *ret)
{
	const struct query *query = query_of;
	const struct hnsw_space *exact = &self_of(space)->exact.space;

	exact->distances(exact, query->row, rows, n, INFINITY, ret);
}

/* Some of the rows have no code: one by one. */
static void measure_mixed(const struct hnsw_space_sq8 *space, const struct query *query,
                          const uint32_t *rows, uint32_t n, float bound, float tolerance,
                          float *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!has_code(space, rows[i]) || query->is_nowhere) {
			refine(&space->space, query, &rows[i], 1, &ret[i]);
			continue;
		}
		struct sq8_code code = codes_at(space->codes, rows[i]);
		estimate(&space->codes->sq8, &query->code, &code, 1, bound, tolerance, &ret[i]);
	}
}

static void measure(const struct hnsw_space_sq8 *space, const struct query *query,
                    const uint32_t *rows, uint32_t n, float bound, float tolerance, float *ret)
{
	struct sq8_code codes[HNSW_BATCH];
	bool all_coded = !query->is_nowhere;

	for (uint32_t i = 0; i < n && all_coded; i++) {
		all_coded = has_code(space, rows[i]);
		if (all_coded)
			codes[i] = codes_at(space->codes, rows[i]);
	}
	if (all_coded)
		estimate(&space->codes->sq8, &query->code, codes, n, bound, tolerance, ret);
	else
		measure_mixed(space, query, rows, n, bound, tolerance, ret);
}

static void distances(const struct hnsw_space *space, const void *query_of, const uint32_t *rows,
                      uint32_t n, float bound, float *ret)
{
	const struct query *query = query_of;

	measure(self_of(space), query, rows, n, bound, query->tolerance, ret);
}

static void sharpen(const struct hnsw_space *space, const void *query, const uint32_t *rows,
                    uint32_t n, float *ret)
{
	measure(self_of(space), query, rows, n, INFINITY, 0, ret);
}

/* Of all codes, more than AHEAD_BYTES: they are needed a hop later. */
static void ask(const struct hnsw_space *space_of, const uint32_t *rows, uint32_t n)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);

	for (uint32_t i = 0; i < n; i++) {
		if (has_code(space, rows[i]))
			prefetch(codes_at(space->codes, rows[i]).coarse,
			         space->codes->sq8.coarse_bytes);
	}
}

static const void *query(const struct hnsw_space *space_of, const float *vector, void *buf)
{
	struct query *query = buf;

	query->row = vector;
	query->is_nowhere = false;
	query->tolerance = COARSE_ERROR * COARSE_ERROR;
	sq8_query(&self_of(space_of)->codes->sq8, vector, &query->code);
	return query;
}

/* A row as the exact space's query, made behind the integers if it must be made. */
static const float *exact_query(const struct hnsw_space_sq8 *space, uint32_t row,
                                struct query *query)
{
	void *buf = query->code.integers + space->codes->sq8.n_integers;

	return space->exact.space.query_of(&space->exact.space, row, buf);
}

static const void *query_of(const struct hnsw_space *space_of, uint32_t row, void *buf)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	struct query *query = buf;

	query->is_nowhere = row == HNSW_NO_ROW;
	query->tolerance = 0; /* links are chosen by the best there is */
	query->row = NULL;
	if (query->is_nowhere)
		return query;
	/* Only rows without a code are measured from the row itself. */
	if (space->coded_rows < space->n_rows)
		query->row = exact_query(space, row, query);
	if (has_code(space, row))
		sq8_query_of(&space->codes->sq8, codes_at(space->codes, row), &query->code);
	else
		sq8_query(&space->codes->sq8, query->row, &query->code);
	return query;
}

static float spread(const struct hnsw_space *space_of, const void *query_of, uint32_t row,
                    float distance)
{
	const struct hnsw_space_sq8 *space = self_of(space_of);
	const struct query *query = query_of;

	if (!has_code(space, row))
		return 0;
	return sq8_spread(&space->codes->sq8, &query->code,
	                  sq8_constants(&space->codes->sq8, codes_at(space->codes, row)), distance);
}

void hnsw_space_sq8_init(struct hnsw_space_sq8 *space, const struct codes *codes,
                         uint64_t coded_rows, uint64_t n_rows, hnsw_row_of *row_of, void *ctx)
{
	*space = (struct hnsw_space_sq8){
	        .space = {.distances = distances,
	                  .ask = ask,
	                  .query = query,
	                  .query_of = query_of,
	                  .sharpen = sharpen,
	                  .refine = refine,
	                  .spread = spread},
	        .codes = codes,
	        .coded_rows = coded_rows < n_rows ? coded_rows : n_rows,
	        .n_rows = n_rows,
	};
	hnsw_space_rows_init(&space->exact, codes->sq8.metric, codes->sq8.dim, codes->dtype, row_of,
	                     ctx);
	space->space.query_bytes =
	        sizeof(struct query) + codes->sq8.n_integers + space->exact.space.query_bytes;
}
