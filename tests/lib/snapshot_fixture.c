/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/snapshot_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

const struct snapshot_fixture_chunk snapshot_fixture_chunks[SNAPSHOT_FIXTURE_CHUNKS] = {
        {0, 0, 0, 4096},
        {1, 0, 5000, 4096},
        {1, 1, 4096, 12288},
        {1, 7, 1, 16384},
        {3, 0, 600000, 20480},
        {3, 1, 0, 622592},
        {UINT32_MAX, UINT32_MAX, 12289, 622592},
};

struct snapshot_head snapshot_fixture_head(uint64_t mark)
{
	return (struct snapshot_head){
	        .fingerprint =
	                {
	                        .spec =
	                                {
	                                        .uuid = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	                                                  14, 15, 16}},
	                                        .dim = 784,
	                                        .metric = RECORD_METRIC_COSINE,
	                                        .dtype = RECORD_DTYPE_F32,
	                                        .space = "minilm@2",
	                                },
	                        .kind = "hnsw",
	                        .n_params = 5,
	                        .params = {16, 0, 200, 0, 7},
	                },
	        .epoch = {{0xe, 0xb0, 0xc4, (uint8_t)mark}},
	        .seq = 1000 + mark,
	        .generation = mark,
	        .n_nodes = 100 * mark,
	};
}

void snapshot_fixture_fill(uint64_t mark, uint32_t type, uint32_t idx, void *bytes, size_t n)
{
	uint64_t seed = mark * 1000003 + type * UINT64_C(7919) + idx;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)bytes)[i] = (uint8_t)(seed >> 56);
	}
}

int snapshot_fixture_save(struct store_io *io, const char *dir, const char *name, uint64_t mark)
{
	struct snapshot_head head = snapshot_fixture_head(mark);
	struct snapshot_writer *writer;

	int r = snapshot_writer_begin(io, dir, name, &head, &writer);
	if (r < 0)
		return r;
	for (size_t i = 0; i < SNAPSHOT_FIXTURE_CHUNKS; i++) {
		const struct snapshot_fixture_chunk *chunk = &snapshot_fixture_chunks[i];
		uint8_t *bytes = malloc(chunk->size + 1);

		snapshot_fixture_fill(mark, chunk->type, chunk->idx, bytes, chunk->size);
		snapshot_writer_chunk(writer, chunk->type, chunk->idx, bytes, chunk->size);
		free(bytes);
	}
	return snapshot_writer_commit(writer);
}

unsigned snapshot_fixture_check(struct snapshot *snapshot, uint64_t mark)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < SNAPSHOT_FIXTURE_CHUNKS; i++) {
		const struct snapshot_fixture_chunk *chunk = &snapshot_fixture_chunks[i];
		uint8_t *expected = malloc(chunk->size + 1);
		uint8_t *bytes = malloc(chunk->size + 1);
		const void *mapped = NULL;

		snapshot_fixture_fill(mark, chunk->type, chunk->idx, expected, chunk->size);
		int r = snapshot_read_chunk(snapshot, chunk->type, chunk->idx, bytes, chunk->size);
		assert_int_equal(snapshot_map_chunk(snapshot, chunk->type, chunk->idx, &mapped), r);
		if (r == 0) {
			assert_memory_equal(bytes, expected, chunk->size);
			assert_memory_equal(mapped, expected, chunk->size);
			assert_int_equal((uintptr_t)mapped % FIXTURE_PAGE_BYTES, 0);
		} else {
			assert_int_equal(r, -EBADMSG);
			assert_null(mapped);
			bad |= 1u << i;
		}
		free(expected);
		free(bytes);
	}
	return bad;
}

void snapshot_fixture_assert_whole(struct store_io *io, const char *path, uint64_t mark)
{
	struct snapshot_head head = snapshot_fixture_head(mark);
	struct snapshot *snapshot;
	const char *why;

	assert_int_equal(snapshot_open(io, path, &snapshot, &why), 0);
	const struct snapshot_head *got = snapshot_head(snapshot);
	assert_true(snapshot_fingerprint_equal(&got->fingerprint, &head.fingerprint));
	assert_true(uuid_equal(&got->epoch, &head.epoch));
	assert_int_equal(got->seq, head.seq);
	assert_int_equal(got->generation, head.generation);
	assert_int_equal(got->n_nodes, head.n_nodes);
	assert_int_equal(snapshot_fixture_check(snapshot, mark), 0);
	snapshot_close(snapshot);
}
