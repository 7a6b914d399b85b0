/* SPDX-License-Identifier: Apache-2.0 */
#include "index/code_kernels_set.h"

static int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	int32_t sum = 0;

	for (size_t at = 0; at < n; at += BLOCK, plane += BLOCK / 2) {
		for (size_t i = 0; i < BLOCK / 2; i++)
			sum += query[at + i] * (plane[i] & 15) +
			       query[at + BLOCK / 2 + i] * (plane[i] >> 4);
	}
	return sum;
}

static void dot_x4(const int8_t *const queries[4], const uint8_t *plane, size_t n, int32_t ret[4])
{
	for (size_t i = 0; i < 4; i++)
		ret[i] = dot(queries[i], plane, n);
}

CODE_KERNELS_SET(scalar)
