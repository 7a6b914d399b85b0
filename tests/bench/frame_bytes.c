/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/frame_bytes.h"

#include <string.h>

#include "protocol/message.h"
#include "tests/bench/bench.h"

size_t frame_bytes_ping(void)
{
	struct wire_buf buf;
	struct ping_params params = {0};
	size_t n;

	wire_buf_init(&buf);
	message_encode_request(&buf, 1, WIRE_METHOD_ping, &params);
	n = buf.n;
	wire_buf_release(&buf);
	return n;
}

size_t frame_bytes_search(const char *collection, const struct dataset *dataset)
{
	struct wire_buf buf;
	struct search_params params = {
	        .collection = {collection, (uint32_t)strlen(collection)},
	        .vectors = {dataset->queries, dataset->dim * sizeof(float)},
	        .k = BENCH_K,
	};
	size_t n;

	wire_buf_init(&buf);
	message_encode_request(&buf, 1, WIRE_METHOD_search, &params);
	n = buf.n;
	wire_buf_release(&buf);
	return n;
}

size_t frame_bytes_found(void)
{
	struct wire_buf buf;
	struct wire_id ids[BENCH_K];
	float distances[BENCH_K] = {0};
	uint32_t count = BENCH_K;
	struct search_result result = {
	        .counts = {&count, 1},
	        .ids = {ids, BENCH_K},
	        .distances = {distances, sizeof(distances)},
	        .coverage = 1.0,
	        .time_us = 1000,
	};
	size_t n;

	for (size_t i = 0; i < BENCH_K; i++)
		ids[i] = (struct wire_id){.number = 10000};
	wire_buf_init(&buf);
	message_encode_result(&buf, 1, WIRE_METHOD_search, &result);
	n = buf.n;
	wire_buf_release(&buf);
	return n;
}
