/* SPDX-License-Identifier: Apache-2.0 */

#include "index/dtype.h"

#include <assert.h>
#include <string.h>

#include "index/half.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "elements are little-endian");

static void widen(const uint8_t *from, size_t n, uint8_t *to)
{
	half_f32x4 values;
	uint16_t last[4] = {0};

	for (; n >= 4; n -= 4, from += 8, to += 16) {
		values = half_load(from);
		memcpy(to, &values, sizeof(values));
	}
	memcpy(last, from, n * 2);
	values = half_load(last);
	memcpy(to, &values, n * 4);
}

static void narrow(const uint8_t *from, size_t n, uint8_t *to)
{
	half_f32x4 values;
	uint16_t last[4];

	for (; n >= 4; n -= 4, from += 16, to += 8) {
		memcpy(&values, from, sizeof(values));
		half_store(values, to);
	}
	values = (half_f32x4){0};
	memcpy(&values, from, n * 4);
	half_store(values, last);
	memcpy(to, last, n * 2);
}

void dtype_convert(const void *from, enum dtype from_dtype, size_t n, enum dtype to_dtype,
                   void *ret_to)
{
	if (from_dtype == to_dtype)
		memcpy(ret_to, from, n * dtype_bytes(to_dtype));
	else if (to_dtype == DTYPE_F32)
		widen(from, n, ret_to);
	else
		narrow(from, n, ret_to);
}
