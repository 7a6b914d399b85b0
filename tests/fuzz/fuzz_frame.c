/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stream fed at once and the same stream fed in pieces give the same payloads and end the same
 * way. The input: one byte that seeds the pieces and the takes, then the stream.
 */

#include "protocol/frame.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PAYLOAD (200u << 10)

/* What came out of a stream: the payloads' lengths and bytes, and how it stopped. */
struct outcome {
	uint64_t hash;
	uint64_t n_payloads;
	int last;
};

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

static void note(struct outcome *outcome, const uint8_t *payload, uint32_t n)
{
	outcome->n_payloads++;
	outcome->hash = (outcome->hash ^ n) * UINT64_C(0x100000001b3);
	for (uint32_t i = 0; i < n; i++)
		outcome->hash = (outcome->hash ^ payload[i]) * UINT64_C(0x100000001b3);
}

/* Takes out what is whole. False: the stream is broken. */
static bool drain(struct frame_splitter *splitter, uint32_t *seed, struct outcome *outcome)
{
	const uint8_t *payload;
	uint32_t n;

	for (;;) {
		outcome->last = frame_splitter_next(splitter, &payload, &n);
		if (outcome->last == FRAME_ASK) {
			frame_splitter_allow(splitter);
		} else if (outcome->last != 0) {
			return outcome->last == FRAME_MORE;
		} else if (seed != NULL && next_random(seed) % 4 == 0) {
			void *taken = frame_splitter_take(splitter);

			FUZZ_CHECK(taken != NULL);
			note(outcome, payload, n);
			free(taken);
		} else {
			note(outcome, payload, n);
		}
	}
}

/* seed NULL: in pieces as large as there is room. */
static struct outcome split(const uint8_t *data, size_t size, uint32_t *seed)
{
	struct frame_splitter splitter;
	struct outcome outcome = {0};
	size_t fed = 0;

	frame_splitter_init(&splitter, MAX_PAYLOAD);
	while (fed < size) {
		size_t room, n = size - fed;
		void *at;

		FUZZ_CHECK(frame_splitter_room(&splitter, &at, &room) == 0);
		FUZZ_CHECK(room > 0);
		if (n > room)
			n = room;
		if (seed != NULL && n > 1)
			n = 1 + next_random(seed) % n;
		memcpy(at, data + fed, n);
		frame_splitter_fed(&splitter, n);
		fed += n;
		if (!drain(&splitter, seed, &outcome))
			break;
	}
	frame_splitter_release(&splitter);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces;
	uint32_t seed;

	if (size == 0)
		return 0;
	seed = data[0];
	whole = split(data + 1, size - 1, NULL);
	pieces = split(data + 1, size - 1, &seed);
	FUZZ_CHECK(whole.hash == pieces.hash);
	FUZZ_CHECK(whole.n_payloads == pieces.n_payloads);
	FUZZ_CHECK(whole.last == pieces.last);
	return 0;
}
