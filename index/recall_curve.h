/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a graph finds for how much effort: for some ef of a search the recall@10 that was measured
 * (recall_sample.h), and from it the ef for a recall that is asked for.
 *
 * It is a statement about queries like the collection's own vectors. Others may see less.
 *
 * Pure and const: [any].
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Neighbours that recall is measured of. */
#define RECALL_CURVE_K 10u
#define RECALL_CURVE_POINTS 18u
/* As parts of this. */
#define RECALL_ONE 1000000u
/* Where measuring ends: beyond, a sample has too few errors left to tell them from none. */
#define RECALL_ENOUGH 999000u
/* For a graph without a curve: on all sets that were tried it finds 0.99 and more. */
#define RECALL_BLIND_EF 256u

/* The chunk of a snapshot that it is saved as, beside those of enum hnsw_chunk. */
#define RECALL_CURVE_CHUNK 5u
#define RECALL_CURVE_BYTES_MAX (8u + 8u * RECALL_CURVE_POINTS)

struct recall_point {
	uint32_t ef;
	uint32_t recall; /* of RECALL_ONE */
};

/* All zeros: not measured. */
struct recall_curve {
	uint32_t n_nodes; /* that the graph had then */
	uint32_t n;
	struct recall_point points[RECALL_CURVE_POINTS]; /* ef ascends, recall does not descend */
};

/* The ef of the points, ascending: idx below RECALL_CURVE_POINTS. */
uint32_t recall_curve_step(uint32_t idx);

/* The smallest ef for k neighbours that is expected to find the share `target` (0 to 1) of them:
 * at least k, at most HNSW_EF_MAX. Between two points on the straight line, which is below the
 * curve; beyond the last as if errors went down no faster than ef goes up. More than RECALL_CURVE_K
 * neighbours take as many times the ef; fewer take no less. */
uint32_t recall_curve_ef(const struct recall_curve *curve, double target, uint32_t k);
/* The same for RECALL_CURVE_K neighbours, 0 where it was not measured that any ef finds so many. */
uint32_t recall_curve_measured_ef(const struct recall_curve *curve, double target);

/* The graph has grown so much, to n_nodes, that it is to be measured again, or for the first time.
 */
bool recall_curve_is_outgrown(const struct recall_curve *curve, uint32_t n_nodes);

/* For the file: returns how many bytes. */
size_t recall_curve_encode(const struct recall_curve *curve,
                           uint8_t bytes[static RECALL_CURVE_BYTES_MAX]);
/* -EBADMSG when it is none, or of a graph of more than n_nodes. */
int recall_curve_decode(const uint8_t *bytes, size_t n, uint32_t n_nodes, struct recall_curve *ret);
