/* SPDX-License-Identifier: Apache-2.0 */
#include "index/hnsw_scratch.h"

#include <errno.h>
#include <stdlib.h>

/* Marks are taken in steps, so that a growing graph does not size them for every search. */
#define MARKS_STEP 16384u
#define QUERY_ALIGN 64u

/* No contents are kept: marks begin as unmarked under every epoch, queues are empty between
 * searches. */
static int size_marks(struct hnsw_scratch *scratch, uint32_t n_nodes)
{
	if (n_nodes <= scratch->n_marks)
		return 0;
	uint32_t n = (n_nodes + MARKS_STEP - 1) / MARKS_STEP * MARKS_STEP;
	uint8_t *marks = calloc(n, sizeof(*marks));
	/* Each marked node is queued once, the first of all even unmarked. */
	uint64_t *candidates = malloc(((size_t)n + 1) * sizeof(*candidates));
	if (!marks || !candidates) {
		free(marks);
		free(candidates);
		return -ENOMEM;
	}
	free(scratch->marks);
	free(scratch->candidates);
	scratch->marks = marks;
	scratch->n_marks = n;
	scratch->candidates = candidates;
	return 0;
}

static int size_found(struct hnsw_scratch *scratch, uint32_t ef)
{
	if (ef <= scratch->n_found)
		return 0;
	uint64_t *found = malloc(ef * sizeof(*found));
	if (!found)
		return -ENOMEM;
	free(scratch->found);
	scratch->found = found;
	scratch->n_found = ef;
	return 0;
}

static int size_queries(struct hnsw_scratch *scratch, size_t query_bytes)
{
	size_t bytes = (query_bytes + QUERY_ALIGN - 1) & ~(size_t)(QUERY_ALIGN - 1);

	if (bytes <= scratch->query_bytes)
		return 0;
	void *query = aligned_alloc(QUERY_ALIGN, 2 * bytes);
	if (!query)
		return -ENOMEM;
	free(scratch->query);
	scratch->query = query;
	scratch->query_bytes = bytes;
	return 0;
}

int hnsw_scratch_size(struct hnsw_scratch *scratch, uint32_t n_nodes, uint32_t ef,
                      size_t query_bytes)
{
	int r = size_marks(scratch, n_nodes);
	if (r == 0)
		r = size_found(scratch, ef);
	if (r == 0)
		r = size_queries(scratch, query_bytes);
	return r;
}

int hnsw_scratch_reserve(struct hnsw_scratch *scratch, const struct hnsw *hnsw,
                         const struct hnsw_space *space, uint32_t ef)
{
	return hnsw_scratch_size(scratch, hnsw_n_nodes(hnsw), ef, space->query_bytes);
}

void hnsw_scratch_release(struct hnsw_scratch *scratch)
{
	free(scratch->marks);
	free(scratch->candidates);
	free(scratch->found);
	free(scratch->query);
	*scratch = (struct hnsw_scratch){0};
}
