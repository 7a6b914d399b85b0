/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Recall over ef is concave, so that a straight line between two points lies below it and asks for
 * too much rather than too little. Errors (1 - recall) fall at least as fast as ef rises on the
 * sets that were tried: from 64 to 128 they go down to 0.5 on fashion-mnist, 0.33 on bge-base. What
 * is asked for beyond the last point is taken to need as many times its ef as errors must go down.
 *
 * In a file: u32 n_nodes, u32 n, and for each point u32 ef, u32 recall, little-endian.
 */

#include "index/recall_curve.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "index/hnsw.h"

/* One part in so many more nodes, and it is measured again. */
#define GROWTH_NUM 3
#define GROWTH_DEN 10

uint32_t recall_curve_step(uint32_t idx)
{
	static const uint32_t steps[] = {10,  16,  24,  32,  48,   64,   96,   128,  192,
	                                 256, 384, 512, 768, 1024, 1536, 2048, 3072, HNSW_EF_MAX};

	static_assert(sizeof(steps) / sizeof(steps[0]) == RECALL_CURVE_POINTS, "one a point");
	return steps[idx];
}

/* The first point that finds so many, or n. */
static uint32_t first_of(const struct recall_curve *curve, double recall)
{
	uint32_t idx = 0;

	while (idx < curve->n && curve->points[idx].recall < recall)
		idx++;
	return idx;
}

/* For RECALL_CURVE_K neighbours; recall: of RECALL_ONE. */
static double ef_for(const struct recall_curve *curve, double recall)
{
	uint32_t idx = first_of(curve, recall);
	const struct recall_point *at = &curve->points[idx], *before = at - 1;

	if (curve->n == 0)
		return RECALL_BLIND_EF;
	if (idx == 0)
		return at->ef;
	if (idx == curve->n)
		return recall < RECALL_ONE ? before->ef * (RECALL_ONE - (double)before->recall) /
		                                     (RECALL_ONE - recall)
		                           : HNSW_EF_MAX;
	return before->ef + (recall - before->recall) / (at->recall - (double)before->recall) *
	                            (at->ef - before->ef);
}

uint32_t recall_curve_ef(const struct recall_curve *curve, double target, uint32_t k)
{
	double ef = ef_for(curve, target * RECALL_ONE);

	if (k > RECALL_CURVE_K)
		ef *= (double)k / RECALL_CURVE_K;
	ef = fmax(ceil(ef), k);
	return ef < HNSW_EF_MAX ? (uint32_t)ef : HNSW_EF_MAX;
}

uint32_t recall_curve_measured_ef(const struct recall_curve *curve, double target)
{
	return first_of(curve, target * RECALL_ONE) < curve->n
	               ? recall_curve_ef(curve, target, RECALL_CURVE_K)
	               : 0;
}

bool recall_curve_is_outgrown(const struct recall_curve *curve, uint32_t n_nodes)
{
	return curve->n == 0 ||
	       (n_nodes > curve->n_nodes && (uint64_t)(n_nodes - curve->n_nodes) * GROWTH_DEN >
	                                            (uint64_t)curve->n_nodes * GROWTH_NUM);
}

/* File ----------------------------------------------------------------------------------------- */

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "it is written as it lies");
static_assert(sizeof(struct recall_curve) == RECALL_CURVE_BYTES_MAX, "no padding");

static size_t bytes_of(uint32_t n)
{
	return offsetof(struct recall_curve, points) + n * sizeof(struct recall_point);
}

size_t recall_curve_encode(const struct recall_curve *curve,
                           uint8_t bytes[static RECALL_CURVE_BYTES_MAX])
{
	memcpy(bytes, curve, bytes_of(curve->n));
	return bytes_of(curve->n);
}

static bool points_are_valid(const struct recall_curve *curve)
{
	struct recall_point before = {0, 0};

	for (uint32_t i = 0; i < curve->n; i++) {
		struct recall_point point = curve->points[i];

		if (point.ef <= before.ef || point.ef > HNSW_EF_MAX ||
		    point.recall < before.recall || point.recall > RECALL_ONE)
			return false;
		before = point;
	}
	return true;
}

int recall_curve_decode(const uint8_t *bytes, size_t n, uint32_t n_nodes, struct recall_curve *ret)
{
	struct recall_curve curve = {0};

	if (n < bytes_of(0) || n > sizeof(curve))
		return -EBADMSG;
	memcpy(&curve, bytes, n);
	if (curve.n > RECALL_CURVE_POINTS || n != bytes_of(curve.n) || curve.n_nodes > n_nodes ||
	    !points_are_valid(&curve))
		return -EBADMSG;
	*ret = curve;
	return 0;
}
