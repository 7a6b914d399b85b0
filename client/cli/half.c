/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/half.h"

#include <string.h>

#define INFINITE 0x7c00u
#define MAGNITUDE 0x7fffu

/* A normal one comes of adding half of what is cut off, less one where that is even; the carry may
 * run into the exponent, and from the largest into infinity. The sum with 0.5 has the unit of a
 * subnormal one as its last bit, so that the addition itself rounds. */
static uint16_t half_from(float value)
{
	uint32_t bits, sign, magnitude;
	float small;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 16 & 0x8000;
	magnitude = bits & 0x7fffffff;
	if (magnitude >= 0x47800000) /* 65536, or NaN */
		return (uint16_t)(sign | INFINITE);
	if (magnitude >= 0x38800000) /* 2^-14 */
		return (uint16_t)(sign |
		                  (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
	memcpy(&small, &magnitude, sizeof(small));
	small += 0.5f;
	memcpy(&bits, &small, sizeof(bits));
	return (uint16_t)(sign | (bits - 0x3f000000));
}

static bool half_from_row(const float *row, uint32_t dim, uint16_t *ret)
{
	uint32_t largest = 0;

	for (uint32_t i = 0; i < dim; i++) {
		ret[i] = half_from(row[i]);
		if ((ret[i] & MAGNITUDE) > largest)
			largest = ret[i] & MAGNITUDE;
	}
	return largest > 0 && largest < INFINITE;
}

bool half_from_rows(const float *rows, size_t n_rows, uint32_t dim, uint16_t *ret)
{
	for (size_t i = 0; i < n_rows; i++) {
		if (!half_from_row(rows + i * dim, dim, ret + i * dim))
			return false;
	}
	return true;
}
