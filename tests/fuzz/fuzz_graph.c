/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A saved graph whose bytes were changed, behind any checksum: it is refused, or it is a sound
 * graph and a search of it answers rows that exist. The input: patches of five bytes each, which
 * chunk, where in it (16 bits), the byte that is written there, and whether the chunk is cut there
 * instead.
 */

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/load_graph.h"
#include "tests/lib/hnsw_fixture.h"

#include <errno.h>
#include <string.h>

enum {
	MAX_CHUNKS = 8,
	N_ROWS = 60,
	DIM = 8,
	PATCH_BYTES = 5
};

struct chunk {
	enum hnsw_chunk tag;
	uint32_t idx;
	size_t n;
	uint8_t *bytes;
};

struct shelf {
	struct hnsw_sink sink;
	struct hnsw_source source;
	uint32_t n;
	struct chunk chunks[MAX_CHUNKS];
};

static struct hnsw_fixture fixture;
static struct shelf saved;

static uint8_t *copy_of(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n > 0 ? n : 1);

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, bytes, n);
	return copy;
}

static int shelf_write(struct hnsw_sink *sink, enum hnsw_chunk tag, uint32_t idx, const void *bytes,
                       size_t n)
{
	struct shelf *shelf = (struct shelf *)sink;

	FUZZ_CHECK(shelf->n < MAX_CHUNKS);
	shelf->chunks[shelf->n++] = (struct chunk){tag, idx, n, copy_of(bytes, n)};
	return 0;
}

static int shelf_read(struct hnsw_source *source, enum hnsw_chunk tag, uint32_t idx, void *bytes,
                      size_t n)
{
	const struct shelf *shelf =
	        (struct shelf *)((uint8_t *)source - offsetof(struct shelf, source));

	for (uint32_t i = 0; i < shelf->n; i++) {
		const struct chunk *chunk = &shelf->chunks[i];

		if (chunk->tag != tag || chunk->idx != idx)
			continue;
		if (chunk->n != n)
			return -EBADMSG;
		memcpy(bytes, chunk->bytes, n);
		return 0;
	}
	return -EBADMSG;
}

/* What all inputs start from, once. */
static void save_graph(void)
{
	const struct hnsw_fixture_spec spec = {
	        .data = HNSW_DATA_CLUSTERED,
	        .dim = DIM,
	        .n_rows = N_ROWS,
	        .n_queries = 2,
	        .params = {.M = 4, .ef_construction = 20, .seed = 5},
	};

	hnsw_fixture_open(&fixture, &spec);
	hnsw_fixture_fill(&fixture, 1);
	saved = (struct shelf){.sink = {shelf_write}, .source = {.read = shelf_read}};
	FUZZ_CHECK(hnsw_save(fixture.hnsw, &saved.sink) == 0);
}

static struct shelf patched(const uint8_t *data, size_t size)
{
	struct shelf shelf = saved;

	for (uint32_t i = 0; i < shelf.n; i++)
		shelf.chunks[i].bytes = copy_of(saved.chunks[i].bytes, saved.chunks[i].n);
	for (; size >= PATCH_BYTES; data += PATCH_BYTES, size -= PATCH_BYTES) {
		struct chunk *chunk = &shelf.chunks[data[0] % shelf.n];
		size_t at = chunk->n > 0 ? (size_t)(data[1] << 8 | data[2]) % chunk->n : 0;

		if (data[4] == 1)
			chunk->n = at;
		else if (chunk->n > 0)
			chunk->bytes[at] = data[3];
	}
	return shelf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shelf shelf;

	if (saved.n == 0)
		save_graph();
	shelf = patched(data, size);
	load_graph(&fixture, &shelf.source);
	for (uint32_t i = 0; i < shelf.n; i++)
		free(shelf.chunks[i].bytes);
	return 0;
}
