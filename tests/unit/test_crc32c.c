/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "storage/crc32c.h"

/* One bit at a time: the definition. */
static uint32_t crc32c_by_bits(uint32_t crc, const uint8_t *data, size_t n)
{
	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
	}
	return ~crc;
}

static void assert_both(uint32_t expected, const void *data, size_t n)
{
	assert_int_equal(crc32c(0, data, n), expected);
	assert_int_equal(crc32c_portable(0, data, n), expected);
}

static void vectors_of_rfc_3720_hold(void **state)
{
	static const uint8_t read_command[48] = {
	        [0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
	        [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
	};
	uint8_t data[32];

	(void)state;
	assert_both(0, "", 0);
	assert_both(0xE3069283, "123456789", 9);
	memset(data, 0, sizeof(data));
	assert_both(0x8A9136AA, data, sizeof(data));
	memset(data, 0xff, sizeof(data));
	assert_both(0x62A8AB43, data, sizeof(data));
	for (uint8_t i = 0; i < 32; i++)
		data[i] = i;
	assert_both(0x46DD794E, data, sizeof(data));
	for (uint8_t i = 0; i < 32; i++)
		data[i] = (uint8_t)(31 - i);
	assert_both(0x113FDB5C, data, sizeof(data));
	assert_both(0xD9963A56, read_command, sizeof(read_command));
}

static void both_forms_agree_with_the_definition_at_every_length_and_alignment(void **state)
{
	/* Past the triples of short (768) and long (12288) lanes. */
	static uint8_t data[2 * 12288 + 768 + 64];
	static const size_t lengths[] = {767,   768,   769,   1535,  1536,  4096,  12287,
	                                 12288, 12289, 13056, 13064, 24576, 25344, 25351};
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
	for (size_t n = 0; n < 300; n++) {
		uint32_t expected = crc32c_by_bits(7, data + n % 9, n);

		assert_int_equal(crc32c(7, data + n % 9, n), expected);
		assert_int_equal(crc32c_portable(7, data + n % 9, n), expected);
	}
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		assert_both(crc32c_by_bits(0, data + i, lengths[i]), data + i, lengths[i]);
}

static void pieces_give_what_the_whole_gives(void **state)
{
	static uint8_t data[30000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i >> 3);
	uint32_t whole = crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut += 997)
		assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut),
		                 whole);
}

static void every_flipped_bit_changes_it(void **state)
{
	uint8_t data[4092] = {0};
	uint32_t whole = crc32c(0, data, sizeof(data));

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(data); bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(crc32c(0, data, sizeof(data)), whole);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(vectors_of_rfc_3720_hold),
	        cmocka_unit_test(
	                both_forms_agree_with_the_definition_at_every_length_and_alignment),
	        cmocka_unit_test(pieces_give_what_the_whole_gives),
	        cmocka_unit_test(every_flipped_bit_changes_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
