/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/errors.h"
#include "protocol/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool valid(const char *text)
{
	return wire_utf8_valid(text, strlen(text));
}

static void the_ends_of_each_utf8_length_are_valid(void **state)
{
	(void)state;
	assert_true(wire_utf8_valid(NULL, 0));
	assert_true(wire_utf8_valid("\0", 1));
	assert_true(valid("\x7f"));
	assert_true(valid("\xc2\x80\xdf\xbf"));
	assert_true(valid("\xe0\xa0\x80\xef\xbf\xbf"));
	assert_true(valid("\xed\x9f\xbf\xee\x80\x80"));
	assert_true(valid("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

static void overlong_surrogate_and_too_large_are_not_utf8(void **state)
{
	(void)state;
	assert_false(valid("\x80"));
	assert_false(valid("\xc0\x80"));
	assert_false(valid("\xc1\xbf"));
	assert_false(valid("\xe0\x9f\xbf"));
	assert_false(valid("\xed\xa0\x80"));
	assert_false(valid("\xf0\x8f\xbf\xbf"));
	assert_false(valid("\xf4\x90\x80\x80"));
	assert_false(valid("\xf5\x80\x80\x80"));
	assert_false(valid("\xff"));
	assert_false(valid("\xe2\x28\xa1"));
	assert_false(valid("\xe2\x82\x28"));
}

static void a_bad_byte_is_found_at_every_position(void **state)
{
	char text[40];

	(void)state;
	for (size_t n = 1; n < sizeof(text); n++) {
		for (size_t at = 0; at < n; at++) {
			memset(text, 'a', n);
			assert_true(wire_utf8_valid(text, n));
			text[at] = '\xbf';
			assert_false(wire_utf8_valid(text, n));
		}
	}
}

static void a_sequence_cut_by_the_end_is_not_utf8(void **state)
{
	static const char *const texts[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x98"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (size_t n = 1; n < strlen(texts[i]); n++) {
			/* On the heap, so that a sanitizer sees a read past the end. */
			char *cut = malloc(n);

			assert_non_null(cut);
			memcpy(cut, texts[i], n);
			assert_false(wire_utf8_valid(cut, n));
			free(cut);
		}
	}
}

static void arena_memory_is_aligned_zeroed_and_apart(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 16, 100, 900, 5000, 70000, 3, 200000, 64};
	struct wire_arena arena;
	uint8_t *at[11];

	(void)state;
	wire_arena_init(&arena);
	for (size_t i = 0; i < 11; i++) {
		at[i] = wire_arena_alloc(&arena, sizes[i]);
		assert_non_null(at[i]);
		assert_int_equal((uintptr_t)at[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(at[i][j], 0);
		memset(at[i], (int)i + 1, sizes[i]);
	}
	for (size_t i = 0; i < 11; i++) {
		for (size_t j = 0; j < sizes[i]; j++)
			assert_int_equal(at[i][j], i + 1);
	}
	wire_arena_release(&arena);
	assert_null(arena.blocks);
	wire_arena_release(&arena);
}

static void an_arena_refuses_what_cannot_be_had(void **state)
{
	struct wire_arena arena;

	(void)state;
	wire_arena_init(&arena);
	assert_null(wire_arena_alloc(&arena, SIZE_MAX));
	assert_non_null(wire_arena_alloc(&arena, 1));
	assert_null(wire_arena_alloc(&arena, SIZE_MAX - 8));
	wire_arena_release(&arena);
}

static void a_buffer_keeps_what_was_appended(void **state)
{
	struct wire_buf buf;
	size_t n = 0;

	(void)state;
	wire_buf_init(&buf);
	wire_buf_append(&buf, NULL, 0);
	assert_null(buf.data);
	for (size_t i = 0; i < 300; i++) {
		uint8_t bytes[300];

		memset(bytes, (int)(i & 0xff), i);
		wire_buf_append(&buf, bytes, i);
		n += i;
		assert_int_equal(buf.n, n);
	}
	for (size_t i = 0, at = 0; i < 300; at += i, i++) {
		for (size_t j = 0; j < i; j++)
			assert_int_equal(buf.data[at + j], i & 0xff);
	}
	assert_false(buf.failed);
	wire_buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.n, 0);
}

static void a_buffer_without_memory_says_so_and_stays_as_it_was(void **state)
{
	struct wire_buf buf;

	(void)state;
	wire_buf_init(&buf);
	wire_buf_append(&buf, "abc", 3);
	wire_buf_append(&buf, "abc", SIZE_MAX / 2);
	assert_true(buf.failed);
	wire_buf_append(&buf, "d", 1);
	assert_int_equal(buf.n, 3);
	assert_memory_equal(buf.data, "abc", 3);
	wire_buf_release(&buf);
	assert_false(buf.failed);
}

static void every_error_has_a_text_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < WIRE_N_ERRORS; i++) {
		for (int j = 0; j < i; j++)
			assert_string_not_equal(wire_error_text((enum wire_error_code)i),
			                        wire_error_text((enum wire_error_code)j));
	}
	assert_string_equal(wire_error_text(WIRE_ERROR_BAD_FRAME), "bad_frame");
	assert_string_equal(wire_error_text(WIRE_ERROR_STOPPING), "stopping");
	assert_string_equal(wire_error_text(WIRE_N_ERRORS), "internal");
}

static void an_error_carries_field_and_row(void **state)
{
	struct wire_error error;

	(void)state;
	wire_error_set(&error, WIRE_ERROR_BAD_VALUE, NULL, "%d is odd", 7);
	assert_int_equal(error.code, WIRE_ERROR_BAD_VALUE);
	assert_string_equal(error.message, "7 is odd");
	assert_string_equal(error.field, "");
	assert_true(error.row == WIRE_ERROR_NO_ROW);
	wire_error_set_row(&error, WIRE_ERROR_OVER_LIMIT, "ids", 12, "no");
	assert_string_equal(error.field, "ids");
	assert_true(error.row == 12);
}

static void error_texts_are_cut_between_letters(void **state)
{
	struct wire_error error;
	char text[400] = "";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(text, "\xe2\x82\xac");
	for (int lead = 0; lead < 3; lead++) {
		wire_error_set(&error, WIRE_ERROR_BAD_VALUE, text + 3, "%.*s%s", lead, "..", text);
		assert_true(valid(error.message));
		assert_true(valid(error.field));
		assert_in_range(strlen(error.message), WIRE_ERROR_MESSAGE_SIZE - 4,
		                WIRE_ERROR_MESSAGE_SIZE - 1);
	}
}

static void error_texts_can_be_printed(void **state)
{
	struct wire_error error;

	(void)state;
	wire_error_set(&error, WIRE_ERROR_BAD_VALUE, "a\nb", "x\x1b[31m\x7f \xc3\xa9");
	assert_string_equal(error.field, "a?b");
	assert_string_equal(error.message, "x?[31m? \xc3\xa9");
	wire_error_set(&error, WIRE_ERROR_BAD_VALUE, "\xc3\xa9", "x\xff\xc3\xa9y");
	assert_string_equal(error.field, "\xc3\xa9");
	assert_string_equal(error.message, "x???y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_ends_of_each_utf8_length_are_valid),
	        cmocka_unit_test(overlong_surrogate_and_too_large_are_not_utf8),
	        cmocka_unit_test(a_bad_byte_is_found_at_every_position),
	        cmocka_unit_test(a_sequence_cut_by_the_end_is_not_utf8),
	        cmocka_unit_test(arena_memory_is_aligned_zeroed_and_apart),
	        cmocka_unit_test(an_arena_refuses_what_cannot_be_had),
	        cmocka_unit_test(a_buffer_keeps_what_was_appended),
	        cmocka_unit_test(a_buffer_without_memory_says_so_and_stays_as_it_was),
	        cmocka_unit_test(every_error_has_a_text_of_its_own),
	        cmocka_unit_test(an_error_carries_field_and_row),
	        cmocka_unit_test(error_texts_are_cut_between_letters),
	        cmocka_unit_test(error_texts_can_be_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
