/* SPDX-License-Identifier: Apache-2.0 */
#include "index/code_kernels.h"

static int32_t dot(const int8_t *query, const uint8_t *plane, size_t n)
{
	int32_t sum = 0;

	for (size_t at = 0; at < n; at += 64, plane += 32) {
		for (size_t i = 0; i < 32; i++)
			sum += query[at + i] * (plane[i] & 15) +
			       query[at + 32 + i] * (plane[i] >> 4);
	}
	return sum;
}

static void dots(const int8_t *query, const uint8_t *const *planes, size_t n_planes, size_t n,
                 int32_t *ret)
{
	for (size_t i = 0; i < n_planes; i++)
		ret[i] = dot(query, planes[i], n);
}

static void dot_x4(const int8_t *const queries[4], const uint8_t *plane, size_t n, int32_t ret[4])
{
	for (size_t i = 0; i < 4; i++)
		ret[i] = dot(queries[i], plane, n);
}

const struct code_kernels code_kernels_scalar = {.name = "scalar", .dots = dots, .dot_x4 = dot_x4};
