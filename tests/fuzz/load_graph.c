/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/load_graph.h"

#include <errno.h>

#include "tests/fuzz/fuzz.h"

#define K 5

static void search(struct hnsw_fixture *fixture, struct hnsw *hnsw)
{
	struct hnsw_search search = {
	        .space = fixture->space, .k = K, .ef = 20, .below = hnsw_covered(hnsw)};
	struct hnsw_search_stats stats;
	struct hit hits[K];

	FUZZ_CHECK(hnsw_scratch_reserve(&fixture->scratch, hnsw, fixture->space, 20) == 0);
	for (uint32_t q = 0; q < fixture->n_queries; q++) {
		search.query = hnsw_fixture_query(fixture, q);
		FUZZ_CHECK(hnsw_search(hnsw, &search, &fixture->scratch, hits, &stats) <= K);
	}
}

void load_graph(struct hnsw_fixture *fixture, struct hnsw_source *source)
{
	struct hnsw_check_report report;
	struct hnsw_head head;
	struct hnsw *hnsw;
	int r = hnsw_load_head(source, &head);

	FUZZ_CHECK(r == 0 || r == -EBADMSG);
	/* More nodes than there are rows: a caller compares that with the truth before. */
	if (r < 0 || head.n_nodes > fixture->n_rows)
		return;
	FUZZ_CHECK(hnsw_new(&head.params, fixture->budget, &hnsw) == 0);
	r = hnsw_reserve(hnsw, head.n_nodes, false);
	if (r == 0)
		r = hnsw_load(hnsw, &head, source);
	FUZZ_CHECK(r == 0 || r == -EBADMSG || r == BUDGET_FULL);
	if (r == 0) {
		for (uint32_t node = 0; node < head.n_nodes; node++)
			hnsw_set_row(hnsw, node, node);
		FUZZ_CHECK(hnsw_load_end(hnsw) == head.n_nodes);
		FUZZ_CHECK(hnsw_check(hnsw, &report) == 0);
		search(fixture, hnsw);
	}
	hnsw_free(hnsw);
}
