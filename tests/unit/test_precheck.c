/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/precheck.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEPTH 4
#define VALUES 64

/* Bytes in a block of just their size, so that a sanitizer sees a read past the end. */
static int check(const void *bytes, size_t n)
{
	uint8_t *copy = calloc(n, 1);
	int r;

	if (n > 0) {
		assert_non_null(copy);
		memcpy(copy, bytes, n);
	}
	r = precheck(copy, n, DEPTH, VALUES);
	free(copy);
	return r;
}

#define CHECK(literal) check(literal, sizeof(literal) - 1)

static void each_type_passes(void **state)
{
	(void)state;
	assert_int_equal(CHECK("\x00"), 0);
	assert_int_equal(CHECK("\x7f"), 0);
	assert_int_equal(CHECK("\xe0"), 0);
	assert_int_equal(CHECK("\xff"), 0);
	assert_int_equal(CHECK("\xc0"), 0);
	assert_int_equal(CHECK("\xc2"), 0);
	assert_int_equal(CHECK("\xc3"), 0);
	assert_int_equal(CHECK("\xa0"), 0);
	assert_int_equal(CHECK("\xa2xy"), 0);
	assert_int_equal(CHECK("\xc4\x01x"), 0);
	assert_int_equal(CHECK("\xc5\x00\x01x"), 0);
	assert_int_equal(CHECK("\xc6\x00\x00\x00\x01x"), 0);
	assert_int_equal(CHECK("\xca"
	                       "1234"),
	                 0);
	assert_int_equal(CHECK("\xcb"
	                       "12345678"),
	                 0);
	assert_int_equal(CHECK("\xcc\x01"), 0);
	assert_int_equal(CHECK("\xcd\x01\x02"), 0);
	assert_int_equal(CHECK("\xce\x01\x02\x03\x04"), 0);
	assert_int_equal(CHECK("\xcf"
	                       "12345678"),
	                 0);
	assert_int_equal(CHECK("\xd0\x01"), 0);
	assert_int_equal(CHECK("\xd1\x01\x02"), 0);
	assert_int_equal(CHECK("\xd2\x01\x02\x03\x04"), 0);
	assert_int_equal(CHECK("\xd3"
	                       "12345678"),
	                 0);
	assert_int_equal(CHECK("\xd9\x01x"), 0);
	assert_int_equal(CHECK("\xda\x00\x01x"), 0);
	assert_int_equal(CHECK("\xdb\x00\x00\x00\x01x"), 0);
	assert_int_equal(CHECK("\x90"), 0);
	assert_int_equal(CHECK("\x92\x01\x02"), 0);
	assert_int_equal(CHECK("\xdc\x00\x01\x01"), 0);
	assert_int_equal(CHECK("\xdd\x00\x00\x00\x01\x01"), 0);
	assert_int_equal(CHECK("\x80"), 0);
	assert_int_equal(CHECK("\x81\xa1k\x01"), 0);
	assert_int_equal(CHECK("\xde\x00\x01\xa1k\x01"), 0);
	assert_int_equal(CHECK("\xdf\x00\x00\x00\x01\xa1k\x01"), 0);
}

static void extensions_and_the_unused_byte_are_refused(void **state)
{
	static const uint8_t bytes[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
	uint8_t data[40] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		data[0] = bytes[i];
		assert_int_equal(check(data, sizeof(data)), PRECHECK_TYPE);
	}
}

static void a_claim_beyond_the_end_is_refused(void **state)
{
	(void)state;
	assert_int_equal(CHECK(""), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xdd\x05\x00\x00\x00"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xdd\xff\xff\xff\xff"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xdf\xff\xff\xff\xff"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xdf\x80\x00\x00\x01"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xdb\xff\xff\xff\xff"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xc6\xff\xff\xff\xff"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\x91"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\x81\xa1k"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\xa2x"), PRECHECK_TRUNCATED);
	assert_int_equal(CHECK("\x92\x91\x01"), PRECHECK_TRUNCATED);
}

static void every_shorter_piece_is_truncated(void **state)
{
	static const char message[] = "\x94\x00\xcd\x01\x02\xa3get\x83\xd9\x01x\xca"
	                              "1234"
	                              "\xa1y\xdc\x00\x02\xc0\xcb"
	                              "12345678"
	                              "\xa1z\xc5\x00\x02zz";

	(void)state;
	assert_int_equal(check(message, sizeof(message) - 1), 0);
	for (size_t n = 0; n < sizeof(message) - 1; n++)
		assert_int_equal(check(message, n), PRECHECK_TRUNCATED);
	assert_int_equal(check(message, sizeof(message)), PRECHECK_TRAILING);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(CHECK("\x91\x91\x91\x91\x01"), 0);
	assert_int_equal(CHECK("\x91\x91\x91\x90"), 0);
	assert_int_equal(CHECK("\x91\x91\x91\x91\x90"), PRECHECK_DEPTH);
	assert_int_equal(CHECK("\x91\x91\x91\x91\x80"), PRECHECK_DEPTH);
	assert_int_equal(CHECK("\x81\x01\x81\x01\x91\x81\x01\x01"), 0);
	assert_int_equal(CHECK("\x81\x01\x81\x01\x91\x81\x01\x91\x01"), PRECHECK_DEPTH);
	assert_int_equal(precheck((const uint8_t *)"\x01", 1, 0, VALUES), 0);
	assert_int_equal(precheck((const uint8_t *)"\x90", 1, 0, VALUES), PRECHECK_DEPTH);
}

/* Levels that were left do not count. */
static void breadth_is_no_depth(void **state)
{
	uint8_t data[32];

	(void)state;
	data[0] = 0x9f;
	for (size_t i = 0; i < 15; i++) {
		data[1 + 2 * i] = 0x91;
		data[2 + 2 * i] = 0x90;
	}
	assert_int_equal(check(data, 31), 0);
}

static void values_are_bounded(void **state)
{
	uint8_t data[3 + VALUES] = {0xdc, 0, VALUES - 1};

	(void)state;
	assert_int_equal(check(data, 3 + VALUES - 1), 0);
	data[2] = VALUES;
	assert_int_equal(check(data, 3 + VALUES), PRECHECK_VALUES);
	/* Keys count too: 1 + 2 * 32. */
	data[0] = 0xde;
	data[2] = VALUES / 2;
	assert_int_equal(check(data, 3 + VALUES), PRECHECK_VALUES);
}

static void every_pair_of_first_bytes_ends(void **state)
{
	uint8_t data[24];

	(void)state;
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			memset(data, (int)b, sizeof(data));
			data[0] = (uint8_t)a;
			for (size_t n = 1; n <= sizeof(data); n++)
				assert_in_range(check(data, n), 0, PRECHECK_TYPE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(each_type_passes),
	        cmocka_unit_test(extensions_and_the_unused_byte_are_refused),
	        cmocka_unit_test(a_claim_beyond_the_end_is_refused),
	        cmocka_unit_test(every_shorter_piece_is_truncated),
	        cmocka_unit_test(depth_is_bounded),
	        cmocka_unit_test(breadth_is_no_depth),
	        cmocka_unit_test(values_are_bounded),
	        cmocka_unit_test(every_pair_of_first_bytes_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
