/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Vectors as peers take them. [any] */

#include <cmath>

#include "tests/bench/dataset.h"

/* Cosine is the inner product of vectors of unit length. */
inline void peer_copy_vector(const dataset *set, const float *from, float *to)
{
	double squares = 0.0;
	double scale = 1.0;

	for (uint32_t i = 0; i < set->dim; i++)
		squares += (double)from[i] * (double)from[i];
	if (set->metric == METRIC_COSINE)
		scale = 1.0 / std::sqrt(squares);
	for (uint32_t i = 0; i < set->dim; i++)
		to[i] = set->metric == METRIC_COSINE ? (float)((double)from[i] * scale) : from[i];
}
