/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "storage/uuid.h"

static const struct uuid known = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x00, 0xff,
                                   0x10, 0x20, 0x30, 0x40, 0x50}};
static const char known_text[] = "01234567-89ab-4cde-8f00-ff1020304050";

static void a_new_one_is_of_version_4_and_differs(void **state)
{
	struct uuid a;
	struct uuid b;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(uuid_new(&a), 0);
		assert_int_equal(uuid_new(&b), 0);
		assert_int_equal(a.bytes[6] >> 4, 4);
		assert_int_equal(a.bytes[8] >> 6, 2);
		assert_false(uuid_equal(&a, &b));
	}
}

static void format_writes_the_form(void **state)
{
	char text[UUID_TEXT_SIZE];

	(void)state;
	uuid_format(&known, text);
	assert_string_equal(text, known_text);
}

static void parse_reads_what_format_wrote(void **state)
{
	char text[UUID_TEXT_SIZE];
	struct uuid uuid;
	struct uuid back;

	(void)state;
	assert_true(uuid_parse(known_text, &back));
	assert_true(uuid_equal(&back, &known));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(uuid_new(&uuid), 0);
		uuid_format(&uuid, text);
		assert_true(uuid_parse(text, &back));
		assert_true(uuid_equal(&back, &uuid));
	}
}

static void parse_refuses_other_forms_and_leaves_the_result_alone(void **state)
{
	static const char *const wrong[] = {
	        "",
	        "0",
	        "01234567",
	        "01234567-89ab-4cde-8f00-ff102030405",
	        "01234567-89ab-4cde-8f00-ff10203040500",
	        "0123456789ab4cde8f00ff1020304050",
	        "01234567-89AB-4cde-8f00-ff1020304050",
	        "0123456-789ab-4cde-8f00-ff1020304050",
	        "{01234567-89ab-4cde-8f00-ff1020304050}",
	        "01234567-89ab-4cde-8f00-ff10203040g0",
	        "01234567-89ab-4cde-8f00-ff10203040/0",
	        "../34567-89ab-4cde-8f00-ff1020304050",
	        " 01234567-89ab-4cde-8f00-ff102030405",
	        "01234567-89ab-4cde-8f00-ff1020304050 ",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct uuid uuid = known;

		assert_false(uuid_parse(wrong[i], &uuid));
		assert_true(uuid_equal(&uuid, &known));
	}
}

static void parse_stops_at_the_end_of_every_prefix(void **state)
{
	struct uuid uuid;

	(void)state;
	/* Exactly sized copies, so that a sanitizer sees a read past the terminator. */
	for (size_t n = 0; n < strlen(known_text); n++) {
		char *text = test_malloc(n + 1);

		memcpy(text, known_text, n);
		text[n] = '\0';
		assert_false(uuid_parse(text, &uuid));
		test_free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_new_one_is_of_version_4_and_differs),
	        cmocka_unit_test(format_writes_the_form),
	        cmocka_unit_test(parse_reads_what_format_wrote),
	        cmocka_unit_test(parse_refuses_other_forms_and_leaves_the_result_alone),
	        cmocka_unit_test(parse_stops_at_the_end_of_every_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
