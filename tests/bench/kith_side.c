/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/kith_side.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "tests/bench/sample.h"

#define BUDGET_MB "512"
#define IMPORT_BATCH 500
#define IMPORT_PIPELINE 8
#define MAX_K 64
#define LANE "interactive" /* where searches are done */
/* A build may take longer than a connection waits by itself. */
#define BUILD_PATIENCE_MS 600000
#define WARM_PATIENCE_US 30e6
#define WARM_TURN_NS 20000000L

int kith_side_start(struct kith_side *side)
{
	int r = daemon_process_new(&side->daemon);

	r = r ? r : daemon_process_option(side->daemon, "--index-cache-mb", BUDGET_MB);
	r = r ? r : daemon_process_start(side->daemon);
	return r ? r : kith_side_connect(side, &side->conn);
}

void kith_side_stop(struct kith_side *side)
{
	kith_close(side->conn);
	side->conn = NULL;
	if (side->daemon && side->daemon->pid)
		daemon_process_stop(side->daemon);
	side->daemon = daemon_process_free(side->daemon);
}

int kith_side_connect(const struct kith_side *side, struct kith_conn **ret)
{
	struct kith_options options = {
	        .socket_path = side->daemon->socket,
	        .client = "kith-bench",
	};

	return kith_connect(&options, ret);
}

int kith_side_create(struct kith_side *side, const char *collection, const struct dataset *dataset)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(collection),
	        .dim = dataset->dim,
	        .metric = dataset->metric,
	};

	return kith_create_collection(side->conn, &params, NULL);
}

int kith_side_drop(struct kith_side *side, const char *collection)
{
	struct kith_drop_collection_params params = {.collection = kith_text(collection)};

	return kith_drop_collection(side->conn, &params, NULL);
}

static int submit_rows(struct kith_conn *conn, const char *collection,
                       const struct dataset *dataset, size_t first, uint64_t *ret_ticket)
{
	struct kith_id ids[IMPORT_BATCH];
	size_t left = dataset->n_base - first;
	uint32_t n = left < IMPORT_BATCH ? (uint32_t)left : IMPORT_BATCH;
	struct kith_upsert_params params = {
	        .collection = kith_text(collection),
	        .ids = {ids, n},
	        .vectors = kith_vectors(dataset_row(dataset, first), (size_t)n * dataset->dim),
	};

	for (uint32_t i = 0; i < n; i++)
		ids[i] = kith_id_number(first + i);
	return kith_submit_upsert(conn, &params, ret_ticket);
}

int kith_side_import(struct kith_side *side, const char *collection, const struct dataset *dataset)
{
	uint64_t tickets[IMPORT_PIPELINE];
	size_t n_submitted = 0;
	size_t n_collected = 0;
	int r = 0;

	for (size_t first = 0; first < dataset->n_base && !r; first += IMPORT_BATCH) {
		if (n_submitted - n_collected == IMPORT_PIPELINE)
			r = kith_collect_upsert(side->conn,
			                        tickets[n_collected++ % IMPORT_PIPELINE],
			                        KITH_USUAL, NULL);
		if (!r)
			r = submit_rows(side->conn, collection, dataset, first,
			                &tickets[n_submitted++ % IMPORT_PIPELINE]);
	}
	while (n_collected < n_submitted && !r)
		r = kith_collect_upsert(side->conn, tickets[n_collected++ % IMPORT_PIPELINE],
		                        KITH_USUAL, NULL);
	return r;
}

int kith_side_warm(struct kith_side *side, const char *collection, const struct dataset *dataset)
{
	uint64_t start = clock_ns();
	bool is_resident = false;

	while (!is_resident) {
		struct kith_search_result *answer;
		int r = kith_side_search(side->conn, collection, dataset, 0, 1, 0, &answer);

		if (r)
			return r;
		is_resident = answer->served_from == KITH_SOURCE_RESIDENT;
		kith_free(answer);
		if (!is_resident && elapsed_us(start) > WARM_PATIENCE_US)
			return -ETIMEDOUT;
		if (!is_resident)
			nanosleep(&(struct timespec){.tv_nsec = WARM_TURN_NS}, NULL);
	}
	return 0;
}

int kith_side_ensure(struct kith_side *side, const char *collection)
{
	struct kith_ensure_index_params params = {
	        .collection = kith_text(collection),
	        .wait = true,
	};
	uint64_t ticket;
	int r = kith_submit_ensure_index(side->conn, &params, &ticket);

	return r ? r : kith_collect_ensure_index(side->conn, ticket, BUILD_PATIENCE_MS, NULL);
}

int kith_side_optimize(struct kith_side *side, const char *collection)
{
	struct kith_optimize_params params = {.collection = kith_text(collection)};

	return kith_optimize(side->conn, &params, NULL);
}

int kith_side_index(struct kith_side *side, const char *collection, struct kith_index *ret)
{
	struct kith_list_indexes_params params = {.collection = kith_text(collection)};
	struct kith_list_indexes_result *list;
	int r = kith_list_indexes(side->conn, &params, &list);

	if (r)
		return r;
	if (list->indexes.n == 1) {
		*ret = list->indexes.v[0];
		ret->name = ret->error = (struct kith_str){0};
	} else {
		r = -ENOENT;
	}
	kith_free(list);
	return r;
}

int kith_side_workers(struct kith_side *side, uint32_t *ret)
{
	struct kith_stats_result *stats;
	int r = kith_stats(side->conn, &stats);

	if (r)
		return r;
	r = -ENOENT;
	for (uint32_t i = 0; i < stats->lanes.n; i++) {
		const struct kith_lane *lane = &stats->lanes.v[i];

		if (lane->name.n != strlen(LANE) || memcmp(lane->name.data, LANE, lane->name.n))
			continue;
		*ret = lane->threads;
		r = 0;
	}
	kith_free(stats);
	return r;
}

int kith_side_upsert(struct kith_conn *conn, const char *collection, uint64_t id,
                     const float *vector, uint32_t dim)
{
	struct kith_id row = kith_id_number(id);
	struct kith_upsert_params params = {
	        .collection = kith_text(collection),
	        .ids = {&row, 1},
	        .vectors = kith_vectors(vector, dim),
	};

	return kith_upsert(conn, &params, NULL);
}

int kith_side_search(struct kith_conn *conn, const char *collection, const struct dataset *dataset,
                     size_t query_idx, uint32_t k, uint32_t ef_search,
                     struct kith_search_result **ret)
{
	return kith_side_search_many(conn, collection, dataset, query_idx, 1, k, ef_search, ret);
}

int kith_side_search_many(struct kith_conn *conn, const char *collection,
                          const struct dataset *dataset, size_t query_idx, uint32_t n, uint32_t k,
                          uint32_t ef_search, struct kith_search_result **ret)
{
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors =
	                kith_vectors(dataset_query(dataset, query_idx), (size_t)n * dataset->dim),
	        .k = k,
	        .ef_search = ef_search,
	};

	return kith_search(conn, &params, ret);
}

int kith_side_search_aimed(struct kith_conn *conn, const char *collection,
                           const struct dataset *dataset, size_t query_idx, uint32_t k,
                           double target_recall, struct kith_search_result **ret)
{
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(dataset_query(dataset, query_idx), dataset->dim),
	        .k = k,
	        .target_recall = target_recall,
	};

	return kith_search(conn, &params, ret);
}

size_t kith_side_n_right(const struct dataset *dataset, size_t query_idx,
                         const struct kith_search_result *answer)
{
	uint64_t rows[MAX_K];
	size_t k = answer->ids.n < MAX_K ? answer->ids.n : MAX_K;

	for (size_t i = 0; i < k; i++)
		rows[i] = answer->ids.v[i].number;
	return k ? dataset_n_right(dataset, query_idx, rows, k) : 0;
}
