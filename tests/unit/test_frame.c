/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX (1u << 20)

struct bytes {
	uint8_t *data;
	size_t n;
};

/* Appends a frame whose payload's bytes follow from its length. */
static void put_frame(struct bytes *bytes, uint32_t n)
{
	uint8_t *at;

	bytes->data = realloc(bytes->data, bytes->n + FRAME_HEADER_BYTES + n);
	assert_non_null(bytes->data);
	at = bytes->data + bytes->n;
	frame_put_header(at, n);
	for (uint32_t i = 0; i < n; i++)
		at[FRAME_HEADER_BYTES + i] = (uint8_t)(n + 7 * i);
	bytes->n += FRAME_HEADER_BYTES + n;
}

static void assert_payload(const uint8_t *payload, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (payload[i] != (uint8_t)(n + 7 * i))
			fail_msg("byte %u of a payload of %u", i, n);
	}
}

/* Gives the splitter up to n bytes; returns how many it took. */
static size_t feed(struct frame_splitter *splitter, const uint8_t *data, size_t n)
{
	size_t room = 0;
	void *at = NULL;

	assert_int_equal(frame_splitter_room(splitter, &at, &room), 0);
	assert_true(room > 0);
	if (n > room)
		n = room;
	memcpy(at, data, n);
	frame_splitter_fed(splitter, n);
	return n;
}

/* Feeds everything in pieces of `piece`, checks the payloads' lengths, allows large ones. */
static void split(const struct bytes *bytes, size_t piece, const uint32_t *lengths,
                  size_t n_lengths)
{
	struct frame_splitter splitter;
	size_t fed = 0, taken = 0;

	frame_splitter_init(&splitter, MAX);
	while (fed < bytes->n) {
		size_t rest = bytes->n - fed;
		const uint8_t *payload = NULL;
		uint32_t n = 0;
		int r;

		fed += feed(&splitter, bytes->data + fed, piece < rest ? piece : rest);
		while ((r = frame_splitter_next(&splitter, &payload, &n)) != FRAME_MORE) {
			if (r == FRAME_ASK) {
				frame_splitter_allow(&splitter);
				continue;
			}
			assert_int_equal(r, 0);
			assert_true(taken < n_lengths);
			assert_int_equal(n, lengths[taken++]);
			assert_payload(payload, n);
		}
	}
	assert_int_equal(taken, n_lengths);
	assert_true(splitter.size <= FRAME_SMALL_BYTES);
	frame_splitter_release(&splitter);
}

static void frames_come_out_whole_however_they_came_in(void **state)
{
	static const uint32_t lengths[] = {1,     2,     300,    5, 65531, 65532, 65533, 1,
	                                   40000, 40000, 200000, 7, 65536, 65537, 3};
	static const size_t pieces[] = {1, 2, 3, 5, 63, 4096, 65535, 65536, 1u << 20};
	struct bytes bytes = {0};
	size_t n_lengths = sizeof(lengths) / sizeof(lengths[0]);

	(void)state;
	for (size_t i = 0; i < n_lengths; i++)
		put_frame(&bytes, lengths[i]);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		split(&bytes, pieces[i], lengths, n_lengths);
	free(bytes.data);
}

static void one_read_takes_many_small_frames(void **state)
{
	struct frame_splitter splitter;
	struct bytes bytes = {0};
	const uint8_t *payload;
	uint32_t n;

	(void)state;
	for (uint32_t i = 1; i <= 200; i++)
		put_frame(&bytes, i);
	frame_splitter_init(&splitter, MAX);
	assert_int_equal(feed(&splitter, bytes.data, bytes.n), bytes.n);
	for (uint32_t i = 1; i <= 200; i++) {
		assert_int_equal(frame_splitter_next(&splitter, &payload, &n), 0);
		assert_int_equal(n, i);
		assert_payload(payload, n);
	}
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_MORE);
	frame_splitter_release(&splitter);
	free(bytes.data);
}

static void length_zero_and_over_max_break_the_stream(void **state)
{
	static const uint32_t lengths[] = {0, MAX + 1, UINT32_MAX};
	uint8_t header[FRAME_HEADER_BYTES];
	struct frame_splitter splitter;
	const uint8_t *payload;
	size_t room;
	uint32_t n;
	void *at;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		frame_splitter_init(&splitter, MAX);
		frame_put_header(header, lengths[i]);
		feed(&splitter, header, sizeof(header));
		for (int again = 0; again < 2; again++) {
			assert_int_equal(frame_splitter_next(&splitter, &payload, &n),
			                 FRAME_BROKEN);
			assert_int_equal(n, lengths[i]);
		}
		assert_int_equal(frame_splitter_room(&splitter, &at, &room), -EAGAIN);
		frame_splitter_release(&splitter);
	}
}

static void a_payload_of_max_is_taken(void **state)
{
	static const uint32_t lengths[] = {MAX, 1};
	struct bytes bytes = {0};

	(void)state;
	put_frame(&bytes, MAX);
	put_frame(&bytes, 1);
	split(&bytes, 60000, lengths, 2);
	free(bytes.data);
}

static void a_large_frame_gets_no_room_before_it_is_allowed(void **state)
{
	struct frame_splitter splitter;
	struct bytes bytes = {0};
	const uint8_t *payload;
	size_t room, fed;
	uint32_t n;
	void *at;

	(void)state;
	put_frame(&bytes, 500000);
	frame_splitter_init(&splitter, MAX);
	fed = feed(&splitter, bytes.data, bytes.n);
	assert_true(fed <= FRAME_SMALL_BYTES);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_ASK);
	assert_int_equal(n, 500000);
	assert_int_equal(frame_splitter_room(&splitter, &at, &room), -EAGAIN);
	assert_true(splitter.size <= FRAME_SMALL_BYTES);
	frame_splitter_allow(&splitter);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_MORE);
	/* The room ends where the frame does. */
	assert_int_equal(frame_splitter_room(&splitter, &at, &room), 0);
	assert_int_equal(room, bytes.n - fed);
	memcpy(at, bytes.data + fed, room);
	frame_splitter_fed(&splitter, room);
	assert_int_equal(frame_splitter_room(&splitter, &at, &room), -EAGAIN);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), 0);
	assert_payload(payload, 500000);
	/* The next large one has to ask again. */
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_MORE);
	feed(&splitter, bytes.data, 100);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_ASK);
	frame_splitter_release(&splitter);
	free(bytes.data);
}

/* A frame is small with its header, or it would not fit in the small buffer. */
static void small_ends_at_its_limit(void **state)
{
	struct frame_splitter splitter;
	uint8_t header[FRAME_HEADER_BYTES];
	const uint8_t *payload;
	uint32_t n;

	(void)state;
	frame_splitter_init(&splitter, MAX);
	frame_put_header(header, FRAME_SMALL_BYTES - FRAME_HEADER_BYTES);
	feed(&splitter, header, sizeof(header));
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_MORE);
	frame_splitter_release(&splitter);
	frame_put_header(header, FRAME_SMALL_BYTES - FRAME_HEADER_BYTES + 1);
	feed(&splitter, header, sizeof(header));
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_ASK);
	frame_splitter_release(&splitter);
}

static void a_taken_buffer_keeps_its_payload_and_what_follows_goes_on(void **state)
{
	struct frame_splitter splitter;
	struct bytes bytes = {0};
	const uint8_t *first, *second;
	uint32_t n;
	void *taken;

	(void)state;
	put_frame(&bytes, 1000);
	put_frame(&bytes, 2000);
	frame_splitter_init(&splitter, MAX);
	feed(&splitter, bytes.data, bytes.n - 1);
	assert_int_equal(frame_splitter_next(&splitter, &first, &n), 0);
	taken = frame_splitter_take(&splitter);
	assert_non_null(taken);
	assert_int_equal(frame_splitter_next(&splitter, &second, &n), FRAME_MORE);
	feed(&splitter, bytes.data + bytes.n - 1, 1);
	assert_int_equal(frame_splitter_next(&splitter, &second, &n), 0);
	assert_payload(second, 2000);
	assert_payload(first, 1000);
	free(taken);
	/* Nothing follows: no buffer is left. */
	taken = frame_splitter_take(&splitter);
	assert_payload(second, 2000);
	assert_null(splitter.buf);
	free(taken);
	feed(&splitter, bytes.data, 1004);
	assert_int_equal(frame_splitter_next(&splitter, &first, &n), 0);
	assert_payload(first, 1000);
	frame_splitter_release(&splitter);
	free(bytes.data);
}

static void a_taken_large_buffer_is_that_frame_alone(void **state)
{
	struct frame_splitter splitter;
	struct bytes bytes = {0};
	const uint8_t *payload;
	size_t fed = 0;
	uint32_t n;
	void *taken;

	(void)state;
	put_frame(&bytes, 300000);
	put_frame(&bytes, 50);
	frame_splitter_init(&splitter, MAX);
	frame_splitter_allow(&splitter);
	while (frame_splitter_next(&splitter, &payload, &n) == FRAME_MORE)
		fed += feed(&splitter, bytes.data + fed, bytes.n - fed);
	assert_int_equal(fed, 300004);
	taken = frame_splitter_take(&splitter);
	assert_ptr_equal((uint8_t *)taken + FRAME_HEADER_BYTES, payload);
	assert_payload(payload, 300000);
	assert_null(splitter.buf);
	fed += feed(&splitter, bytes.data + fed, bytes.n - fed);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), 0);
	assert_payload(payload, 50);
	free(taken);
	frame_splitter_release(&splitter);
	free(bytes.data);
}

static void no_large_buffer_stays_once_its_frame_is_out(void **state)
{
	struct frame_splitter splitter;
	struct bytes bytes = {0};
	const uint8_t *payload;
	uint32_t n;

	(void)state;
	put_frame(&bytes, 300000);
	frame_splitter_init(&splitter, MAX);
	frame_splitter_allow(&splitter);
	for (size_t fed = 0; fed < bytes.n;)
		fed += feed(&splitter, bytes.data + fed, bytes.n - fed);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), 0);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), FRAME_MORE);
	assert_null(splitter.buf);
	/* The same when room is asked for at once. */
	frame_splitter_allow(&splitter);
	for (size_t fed = 0; fed < bytes.n;)
		fed += feed(&splitter, bytes.data + fed, bytes.n - fed);
	assert_int_equal(frame_splitter_next(&splitter, &payload, &n), 0);
	feed(&splitter, bytes.data, 1);
	assert_int_equal(splitter.size, FRAME_SMALL_BYTES);
	frame_splitter_release(&splitter);
	free(bytes.data);
}

static void a_header_is_big_endian(void **state)
{
	uint8_t header[FRAME_HEADER_BYTES];

	(void)state;
	frame_put_header(header, 0x01020304);
	assert_memory_equal(header, "\x01\x02\x03\x04", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(frames_come_out_whole_however_they_came_in),
	        cmocka_unit_test(one_read_takes_many_small_frames),
	        cmocka_unit_test(length_zero_and_over_max_break_the_stream),
	        cmocka_unit_test(a_payload_of_max_is_taken),
	        cmocka_unit_test(a_large_frame_gets_no_room_before_it_is_allowed),
	        cmocka_unit_test(small_ends_at_its_limit),
	        cmocka_unit_test(a_taken_buffer_keeps_its_payload_and_what_follows_goes_on),
	        cmocka_unit_test(a_taken_large_buffer_is_that_frame_alone),
	        cmocka_unit_test(no_large_buffer_stays_once_its_frame_is_out),
	        cmocka_unit_test(a_header_is_big_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
