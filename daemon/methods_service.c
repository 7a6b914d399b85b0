/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the group `service`: stats, errors. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/footprint.h"
#include "daemon/generation.h"
#include "daemon/index.h"
#include "daemon/journal.h"

static struct pressure_row pressure_of(const struct daemon *daemon)
{
	const struct pressure *pressure = &daemon->pressure;

	return (struct pressure_row){
	        .watched = wire_text(pressure->from),
	        .pressed = pressure->on,
	        .times = pressure->n_times,
	        .words = pressure->n_words,
	        .freed_bytes = pressure->freed_bytes,
	};
}

static struct budget_row budget_of(const struct daemon *daemon)
{
	struct budget_figures figures;

	budget_figures(daemon->budget, &figures);
	return (struct budget_row){
	        .limit_bytes = figures.limit_bytes,
	        .used_bytes = figures.used_bytes,
	        .peak_bytes = figures.peak_bytes,
	        .record_tables_bytes = figures.used_by_kind[BUDGET_RECORD_TABLE],
	        .graphs_bytes = figures.used_by_kind[BUDGET_HNSW],
	        .vectors_bytes = figures.used_by_kind[BUDGET_VECTORS],
	        .marks_bytes =
	                figures.used_by_kind[BUDGET_MARKS] + figures.spilled_by_kind[BUDGET_MARKS],
	        .spilled_bytes = figures.spilled_bytes,
	        .dirty_bytes = figures.dirty_bytes,
	        .refused = figures.refused,
	};
}

static struct cache_row cache_of(const struct daemon *daemon)
{
	struct cache_figures figures;

	cache_figures(daemon->cache, &figures);
	return (struct cache_row){
	        .backend = wire_text(cache_backend_name(daemon->cache)),
	        .entries = figures.n_entries,
	        .size_bytes = figures.size_bytes,
	        .hits = figures.hits,
	        .misses = figures.misses,
	        .loads = figures.loads,
	        .joined = figures.joined,
	        .failures = figures.failures,
	        .evictions = figures.evictions,
	};
}

static struct usage_row usage_of(const struct collection *collection)
{
	return (struct usage_row){
	        .name = wire_text(collection->entry.name),
	        .open = collection_is_open(collection),
	        .records = collection->n_live,
	        .rows = collection->n_rows,
	        .resident_rows = collection->resident.n_rows,
	        .mapped_rows = collection->mapped_rows,
	        .table_bytes = collection->table.grant.granted_bytes,
	        .wal_bytes = collection_is_open(collection)
	                             ? record_store_wal_bytes(collection->store)
	                             : 0,
	        .searches = collection->n_searches,
	        .comparisons = collection->n_comparisons,
	        .writes = collection->n_writes,
	        .groups = collection->n_groups,
	};
}

static struct holding_row holding_of(const struct index *index)
{
	const struct generation *serving = index->serving;
	struct holding_row row = {
	        .collection = wire_text(index->collection->entry.name),
	        .index = wire_text(index->name),
	        .state = index->state,
	        .dim = index->collection->entry.spec.dim,
	        .generation = index_generation(index),
	        .nodes = serving ? hnsw_covered(serving->hnsw) : index->left.nodes,
	        .pending = index_n_pending(index),
	        .hits = index->n_hits,
	        .misses = index->n_misses,
	        .loads = index->n_loads,
	        .evictions = index->n_evictions,
	        .comparisons = tally_sum(index->tally, TALLY_GRAPH).comparisons,
	};

	if (serving) {
		row.size_bytes = generation_type.size_bytes(&serving->entry);
		row.mapped = generation_is_mapped(serving);
	}
	return row;
}

/* Of all indexes; rows: NULL to count only. */
static uint32_t holdings_of(struct collections *collections, struct holding_row *rows)
{
	struct collection *collection = NULL;
	uint32_t n = 0;

	while ((collection = collections_next(collections, collection)))
		for (struct list *link = collection->indexes.next; link != &collection->indexes;
		     link = link->next, n++)
			if (rows)
				rows[n] = holding_of(LIST_ELEMENT(link, struct index, link));
	return n;
}

/* How all searches were answered; rows: NULL to count only. */
static uint32_t tallies_of(struct collections *collections, struct tally_row *rows)
{
	struct collection *collection = NULL;
	uint32_t n = 0;

	while ((collection = collections_next(collections, collection))) {
		const char *name = collection->entry.name;

		n += tally_rows(collection->tally, name, "", rows ? rows + n : NULL);
		for (struct list *link = collection->indexes.next; link != &collection->indexes;
		     link = link->next) {
			const struct index *index = LIST_ELEMENT(link, struct index, link);

			n += tally_rows(index->tally, name, index->name, rows ? rows + n : NULL);
		}
	}
	return n;
}

void handle_stats(struct request *request)
{
	struct daemon *daemon = request->daemon;
	struct collection *collection = NULL;
	struct lane_row lanes[LANE_N];
	struct usage_row *usages = wire_arena_alloc(
	        &request->arena, (collections_count(daemon->collections) + 1) * sizeof(*usages));
	struct tally_row *tallies = wire_arena_alloc(
	        &request->arena, (tallies_of(daemon->collections, NULL) + 1) * sizeof(*tallies));
	struct holding_row *holdings = wire_arena_alloc(
	        &request->arena, (holdings_of(daemon->collections, NULL) + 1) * sizeof(*holdings));
	struct operation_row *operations = wire_arena_alloc(
	        &request->arena, (footprint_operations(daemon, NULL) + 1) * sizeof(*operations));
	struct stats_result result = {
	        .version = wire_text(KITH_VERSION),
	        .pid = (uint64_t)getpid(),
	        .uptime_ms = (clock_monotonic_ns(daemon->clock) - daemon->started_ns) / 1000000,
	        .connections = daemon->n_sessions,
	        .requests = daemon->n_requests,
	        .errors = daemon->n_refused,
	        .budget = budget_of(daemon),
	        .cache = cache_of(daemon),
	        .memory = footprint_row(daemon),
	        .pressure = pressure_of(daemon),
	        .lanes = {lanes, LANE_N},
	        .collections = {usages, 0},
	};

	if (!usages || !tallies || !holdings || !operations) {
		request_refuse_errno(request, -ENOMEM, "gathering figures");
		request_finish(request);
		return;
	}
	for (int i = 0; i < LANE_N; i++) {
		struct lane_figures figures;

		lanes_figures(daemon->lanes, (enum lane)i, &figures);
		lanes[i] = (struct lane_row){
		        .name = wire_text(lane_name((enum lane)i)),
		        .threads = figures.n_threads,
		        .queued = figures.n_queued,
		        .running = figures.n_running,
		        .done = figures.n_done,
		};
	}
	while ((collection = collections_next(daemon->collections, collection)))
		usages[result.collections.n++] = usage_of(collection);
	result.indexes = (struct wire_rows){holdings, holdings_of(daemon->collections, holdings)};
	result.operations =
	        (struct wire_rows){operations, footprint_operations(daemon, operations)};
	result.searches = (struct wire_rows){tallies, tallies_of(daemon->collections, tallies)};
	request_finish_result(request, &result);
}

static struct failure_row failure_of(const struct journal_entry *entry)
{
	uint32_t n = journal_where(entry);

	return (struct failure_row){
	        .first_ms = (uint64_t)entry->first_ms,
	        .last_ms = (uint64_t)entry->last_ms,
	        .count = entry->count,
	        .warning = entry->is_warning,
	        .where = n ? (struct wire_str){entry->text, n} : wire_text("daemon"),
	        .what = wire_text(entry->text + (n ? n + 2 : 0)),
	};
}

void handle_errors(struct request *request)
{
	const struct journal *journal = request->daemon->journal;
	const struct journal_entry *entry = NULL;
	struct failure_row *rows =
	        wire_arena_alloc(&request->arena, (journal_count(journal) + 1) * sizeof(*rows));
	struct errors_result result = {.failures = {rows, 0}};

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "gathering failures");
		request_finish(request);
		return;
	}
	while ((entry = journal_next(journal, entry)))
		rows[result.failures.n++] = failure_of(entry);
	request_finish_result(request, &result);
}
