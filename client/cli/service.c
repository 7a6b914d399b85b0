/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/* ping, limits, stats. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/cli/json.h"
#include "client/cli/output.h"
#include "client/cli/watch.h"

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void print_ping(const struct cli *cli, const double *us, uint64_t n)
{
	double p50 = us[n / 2], p99 = us[(n - 1) * 99 / 100];
	char least[OUTPUT_CELL_SIZE], middle[OUTPUT_CELL_SIZE], most[OUTPUT_CELL_SIZE];

	if (cli->json) {
		json_print_line(json_pack(
		        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "version",
		        kith_server_version(cli->conn), "pid",
		        (json_int_t)kith_server_pid(cli->conn), "pings", (json_int_t)n, "min_ns",
		        (json_int_t)(us[0] * 1e3), "p50_ns", (json_int_t)(p50 * 1e3), "p99_ns",
		        (json_int_t)(p99 * 1e3), "max_ns", (json_int_t)(us[n - 1] * 1e3)));
		return;
	}
	printf("kithd %s, process %" PRIu64 ", answers in ", kith_server_version(cli->conn),
	       kith_server_pid(cli->conn));
	if (n == 1)
		printf("%s\n", output_duration(p50, middle));
	else
		printf("%s (of %" PRIu64 ": least %s, most %s)\n", output_duration(p50, middle), n,
		       output_duration(us[0], least), output_duration(us[n - 1], most));
}

int cli_ping(struct cli *cli)
{
	uint64_t n = cli->args.count ? cli->args.count : 1;
	double *us = calloc(n, sizeof(*us));
	int r;

	if (!us)
		return cli_say(cli, CLI_BAD_INPUT, "no memory for %" PRIu64 " pings", n);
	r = cli_connect(cli);
	if (r) {
		free(us);
		return r;
	}
	for (uint64_t i = 0; i < n && r == 0; i++) {
		double before = now_us();

		r = kith_ping(cli->conn);
		us[i] = now_us() - before;
	}
	if (r == 0) {
		qsort(us, n, sizeof(*us), compare);
		print_ping(cli, us, n);
	}
	free(us);
	return r ? cli_failed(cli, r) : CLI_DONE;
}

/* A struct of u64 members as the pairs that it is. */
struct number {
	const char *name;
	size_t offset;
};

static uint64_t number_in(const void *owner, const struct number *number)
{
	return *(const uint64_t *)((const char *)owner + number->offset);
}

static json_t *json_from_numbers(const void *owner, const struct number *numbers, size_t n)
{
	json_t *object = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(object, numbers[i].name,
		                    json_from_u64(number_in(owner, &numbers[i])));
	return object;
}

#define NUMBER(type, member)                           \
	{                                              \
#member, offsetof(struct type, member) \
	}
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct number limits_numbers[] = {
        NUMBER(kith_limits_result, frame_bytes),
        NUMBER(kith_limits_result, frame_depth),
        NUMBER(kith_limits_result, frame_values),
        NUMBER(kith_limits_result, name_bytes),
        NUMBER(kith_limits_result, space_bytes),
        NUMBER(kith_limits_result, namespace_bytes),
        NUMBER(kith_limits_result, namespaces),
        NUMBER(kith_limits_result, id_bytes),
        NUMBER(kith_limits_result, text_bytes),
        NUMBER(kith_limits_result, meta_bytes),
        NUMBER(kith_limits_result, meta_scalars),
        NUMBER(kith_limits_result, meta_key_bytes),
        NUMBER(kith_limits_result, batch_rows),
        NUMBER(kith_limits_result, dim),
        NUMBER(kith_limits_result, k),
        NUMBER(kith_limits_result, queries),
        NUMBER(kith_limits_result, hits),
        NUMBER(kith_limits_result, scan_rows),
        NUMBER(kith_limits_result, collections),
        NUMBER(kith_limits_result, indexes),
        NUMBER(kith_limits_result, index_name_bytes),
        NUMBER(kith_limits_result, index_m),
        NUMBER(kith_limits_result, index_ef),
        NUMBER(kith_limits_result, path_bytes),
        NUMBER(kith_limits_result, connections),
        NUMBER(kith_limits_result, process_connections),
        NUMBER(kith_limits_result, session_requests),
        NUMBER(kith_limits_result, session_bytes),
        NUMBER(kith_limits_result, guest_connections),
        NUMBER(kith_limits_result, guest_requests),
        NUMBER(kith_limits_result, guest_bytes),
        NUMBER(kith_limits_result, deadline_ms),
        NUMBER(kith_limits_result, usual_deadline_ms),
};
_Static_assert(N_OF(limits_numbers) * sizeof(uint64_t) == sizeof(struct kith_limits_result),
               "a limit is not printed");

static const struct number budget_numbers[] = {
        NUMBER(kith_budget, limit_bytes),  NUMBER(kith_budget, used_bytes),
        NUMBER(kith_budget, peak_bytes),   NUMBER(kith_budget, record_tables_bytes),
        NUMBER(kith_budget, graphs_bytes), NUMBER(kith_budget, vectors_bytes),
        NUMBER(kith_budget, marks_bytes),  NUMBER(kith_budget, spilled_bytes),
        NUMBER(kith_budget, dirty_bytes),  NUMBER(kith_budget, refused),
};
_Static_assert(N_OF(budget_numbers) * sizeof(uint64_t) == sizeof(struct kith_budget),
               "a number of the budget is not printed");

static const struct number cache_numbers[] = {
        NUMBER(kith_cache, entries),  NUMBER(kith_cache, size_bytes), NUMBER(kith_cache, hits),
        NUMBER(kith_cache, misses),   NUMBER(kith_cache, loads),      NUMBER(kith_cache, joined),
        NUMBER(kith_cache, failures), NUMBER(kith_cache, evictions),
};
_Static_assert(N_OF(cache_numbers) * sizeof(uint64_t) + offsetof(struct kith_cache, entries) ==
                       sizeof(struct kith_cache),
               "a number of the cache is not printed");

static const struct number memory_numbers[] = {
        NUMBER(kith_memory, rss_anon_bytes), NUMBER(kith_memory, rss_file_bytes),
        NUMBER(kith_memory, pss_bytes),      NUMBER(kith_memory, swap_bytes),
        NUMBER(kith_memory, inflight_bytes), NUMBER(kith_memory, inflight_limit_bytes),
};
_Static_assert(N_OF(memory_numbers) * sizeof(uint64_t) == sizeof(struct kith_memory),
               "a number of the memory is not printed");

static const struct number usage_numbers[] = {
        NUMBER(kith_usage, records),       NUMBER(kith_usage, rows),
        NUMBER(kith_usage, resident_rows), NUMBER(kith_usage, mapped_rows),
        NUMBER(kith_usage, table_bytes),   NUMBER(kith_usage, wal_bytes),
        NUMBER(kith_usage, searches),      NUMBER(kith_usage, comparisons),
        NUMBER(kith_usage, writes),        NUMBER(kith_usage, groups),
};
_Static_assert(N_OF(usage_numbers) * sizeof(uint64_t) + offsetof(struct kith_usage, records) ==
                       sizeof(struct kith_usage),
               "a number of a collection is not printed");

int cli_limits(struct cli *cli)
{
	struct kith_limits_result *limits;
	char cell[OUTPUT_CELL_SIZE];
	struct table *table;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_limits(cli->conn, &limits);
	if (r)
		return cli_failed(cli, r);
	table = cli->json ? NULL : table_new(2, (const char *const[]){"LIMIT", ">VALUE"});
	for (size_t i = 0; table && i < N_OF(limits_numbers); i++) {
		table_text(table, limits_numbers[i].name);
		table_text(table, output_count(number_in(limits, &limits_numbers[i]), cell));
	}
	if (table)
		table_print(table);
	else
		json_print_line(json_from_numbers(limits, limits_numbers, N_OF(limits_numbers)));
	kith_free(limits);
	return CLI_DONE;
}

static json_t *json_from_pressure(const struct kith_pressure *pressure)
{
	return json_pack("{s:o, s:b, s:o, s:o, s:o}", "watched", json_from_str(pressure->watched),
	                 "pressed", (int)pressure->pressed, "times", json_from_u64(pressure->times),
	                 "words", json_from_u64(pressure->words), "freed_bytes",
	                 json_from_u64(pressure->freed_bytes));
}

static json_t *json_from_lane(const struct kith_lane *lane)
{
	return json_pack("{s:o, s:i, s:i, s:i, s:o}", "name", json_from_str(lane->name), "threads",
	                 (int)lane->threads, "queued", (int)lane->queued, "running",
	                 (int)lane->running, "done", json_from_u64(lane->done));
}

static json_t *json_from_tally(const struct kith_tally *tally)
{
	return json_pack("{s:o, s:o, s:s, s:b, s:s, s:b, s:o, s:o, s:o}", "collection",
	                 json_from_str(tally->collection), "index", json_from_str(tally->index),
	                 "mode", kith_mode_name(tally->mode), "fell_back", tally->fell_back,
	                 "served_from", kith_source_name(tally->served_from), "pending",
	                 tally->pending, "searches", json_from_u64(tally->searches), "comparisons",
	                 json_from_u64(tally->comparisons), "scanned",
	                 json_from_u64(tally->scanned));
}

static json_t *json_from_holding(const struct kith_holding *holding)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:o, s:i, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o}",
	                 "collection", json_from_str(holding->collection), "index",
	                 json_from_str(holding->index), "state",
	                 kith_index_state_name(holding->state), "generation",
	                 json_from_u64(holding->generation), "nodes", json_from_u64(holding->nodes),
	                 "dim", (int)holding->dim, "pending", json_from_u64(holding->pending),
	                 "size_bytes", json_from_u64(holding->size_bytes), "mapped",
	                 (int)holding->mapped, "hits", json_from_u64(holding->hits), "misses",
	                 json_from_u64(holding->misses), "loads", json_from_u64(holding->loads),
	                 "evictions", json_from_u64(holding->evictions), "comparisons",
	                 json_from_u64(holding->comparisons));
}

static json_t *json_from_operation(const struct kith_operation *operation)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "method", json_from_str(operation->method),
	                 "requests", json_from_u64(operation->requests), "grown_bytes",
	                 json_from_u64(operation->grown_bytes), "shrunk_bytes",
	                 json_from_u64(operation->shrunk_bytes), "most_bytes",
	                 json_from_u64(operation->most_bytes));
}

static void print_stats_json(const struct kith_stats_result *stats)
{
	json_t *lanes = json_array(), *collections = json_array(), *searches = json_array();
	json_t *indexes = json_array(), *operations = json_array();
	json_t *cache = json_from_numbers(&stats->cache, cache_numbers, N_OF(cache_numbers));

	for (uint32_t i = 0; i < stats->lanes.n; i++)
		json_array_append_new(lanes, json_from_lane(&stats->lanes.v[i]));
	for (uint32_t i = 0; i < stats->collections.n; i++) {
		const struct kith_usage *usage = &stats->collections.v[i];
		json_t *row = json_from_numbers(usage, usage_numbers, N_OF(usage_numbers));

		json_object_set_new(row, "name", json_from_str(usage->name));
		json_object_set_new(row, "open", json_boolean(usage->open));
		json_array_append_new(collections, row);
	}
	for (uint32_t i = 0; i < stats->indexes.n; i++)
		json_array_append_new(indexes, json_from_holding(&stats->indexes.v[i]));
	for (uint32_t i = 0; i < stats->operations.n; i++)
		json_array_append_new(operations, json_from_operation(&stats->operations.v[i]));
	json_object_set_new(cache, "backend", json_from_str(stats->cache.backend));
	for (uint32_t i = 0; i < stats->searches.n; i++)
		json_array_append_new(searches, json_from_tally(&stats->searches.v[i]));
	json_print_line(json_pack(
	        "{s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	        "version", json_from_str(stats->version), "pid", json_from_u64(stats->pid),
	        "uptime_ms", json_from_u64(stats->uptime_ms), "connections",
	        (int)stats->connections, "requests", json_from_u64(stats->requests), "errors",
	        json_from_u64(stats->errors), "budget",
	        json_from_numbers(&stats->budget, budget_numbers, N_OF(budget_numbers)), "cache",
	        cache, "memory",
	        json_from_numbers(&stats->memory, memory_numbers, N_OF(memory_numbers)), "pressure",
	        json_from_pressure(&stats->pressure), "lanes", lanes, "collections", collections,
	        "indexes", indexes, "operations", operations, "searches", searches));
}

static void print_pressure(const struct kith_pressure *pressure)
{
	char a[OUTPUT_CELL_SIZE], b[OUTPUT_CELL_SIZE];

	if (pressure->watched.n == 0)
		printf("        nobody says when it is short\n\n");
	else
		printf("        %s, as the %.*s says; was so %s times, %s given back\n\n",
		       pressure->pressed ? "short" : "not short", (int)pressure->watched.n,
		       pressure->watched.data, output_count(pressure->times, a),
		       output_bytes(pressure->freed_bytes, b));
}

static void print_daemon(const struct kith_stats_result *stats)
{
	const struct kith_budget *budget = &stats->budget;
	const struct kith_cache *cache = &stats->cache;
	const struct kith_memory *memory = &stats->memory;
	char a[OUTPUT_CELL_SIZE], b[OUTPUT_CELL_SIZE], c[OUTPUT_CELL_SIZE], d[OUTPUT_CELL_SIZE];
	char e[OUTPUT_CELL_SIZE], f[OUTPUT_CELL_SIZE];

	printf("kithd %.*s  process %" PRIu64 "  up %s  connections %u  requests %s  errors %s\n",
	       (int)stats->version.n, stats->version.data, stats->pid,
	       output_duration((double)stats->uptime_ms * 1e3, a), stats->connections,
	       output_count(stats->requests, b), output_count(stats->errors, c));
	printf("budget  %s of %s used, %s at most so far, %s returned, %s grants refused\n",
	       output_bytes(budget->used_bytes, a), output_bytes(budget->limit_bytes, b),
	       output_bytes(budget->peak_bytes, c), output_bytes(budget->dirty_bytes, d),
	       output_count(budget->refused, e));
	printf("        record tables %s, graphs %s, vectors %s, marks %s, spilled to disk %s\n",
	       output_bytes(budget->record_tables_bytes, a), output_bytes(budget->graphs_bytes, b),
	       output_bytes(budget->vectors_bytes, c), output_bytes(budget->marks_bytes, d),
	       output_bytes(budget->spilled_bytes, e));
	printf("cache   %s in %s indexes, %s hits, %s misses, %s loads, %s evictions\n",
	       output_bytes(cache->size_bytes, a), output_count(cache->entries, b),
	       output_count(cache->hits, c), output_count(cache->misses, d),
	       output_count(cache->loads, e), output_count(cache->evictions, f));
	printf("memory  %s anonymous, %s of files, %s its share, %s swapped, in flight %s of %s\n",
	       output_bytes(memory->rss_anon_bytes, a), output_bytes(memory->rss_file_bytes, b),
	       memory->pss_bytes ? output_bytes(memory->pss_bytes, c) : "-",
	       output_bytes(memory->swap_bytes, d), output_bytes(memory->inflight_bytes, e),
	       output_bytes(memory->inflight_limit_bytes, f));
	print_pressure(&stats->pressure);
}

static void print_lanes(const struct kith_lanes *lanes)
{
	static const char *const titles[] = {"LANE", ">THREADS", ">QUEUED", ">RUNNING", ">DONE"};
	struct table *table = table_new(N_OF(titles), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < lanes->n; i++) {
		table_str(table, lanes->v[i].name);
		table_format(table, "%u", lanes->v[i].threads);
		table_format(table, "%u", lanes->v[i].queued);
		table_format(table, "%u", lanes->v[i].running);
		table_text(table, output_count(lanes->v[i].done, cell));
	}
	if (table)
		table_print(table);
}

/* What fits on a line; --json has the rest. */
static void print_usages(const struct kith_usages *usages)
{
	static const char *const titles[] = {"COLLECTION", ">RECORDS",  ">IN MEMORY", ">WAL",
	                                     ">SEARCHES",  ">COMPARED", ">WRITES"};
	struct table *table = table_new(N_OF(titles), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < usages->n; i++) {
		const struct kith_usage *usage = &usages->v[i];

		table_str(table, usage->name);
		for (size_t j = 1; j < N_OF(titles) && !usage->open; j++)
			table_text(table, "-");
		if (!usage->open)
			continue;
		table_text(table, output_count(usage->records, cell));
		table_text(table, output_count(usage->resident_rows, cell));
		table_text(table, output_bytes(usage->wal_bytes, cell));
		table_text(table, output_count(usage->searches, cell));
		table_text(table, output_count(usage->comparisons, cell));
		table_text(table, output_count(usage->writes, cell));
	}
	if (table)
		table_print(table);
}

static void print_holdings(const struct kith_holdings *holdings)
{
	static const char *const titles[] = {"INDEX OF", "INDEX",   "STATE",  ">VECTORS",  ">BYTES",
	                                     ">HITS",    ">MISSES", ">LOADS", ">EVICTIONS"};
	struct table *table = table_new(N_OF(titles), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < holdings->n; i++) {
		const struct kith_holding *holding = &holdings->v[i];

		table_str(table, holding->collection);
		table_str(table, holding->index);
		table_format(table, "%s%s", kith_index_state_name(holding->state),
		             holding->mapped ? ", mapped" : "");
		table_text(table, output_count(holding->nodes, cell));
		table_text(table, output_bytes(holding->size_bytes, cell));
		table_text(table, output_count(holding->hits, cell));
		table_text(table, output_count(holding->misses, cell));
		table_text(table, output_count(holding->loads, cell));
		table_text(table, output_count(holding->evictions, cell));
	}
	if (table)
		table_print(table);
}

/* Those that changed something. */
static void print_operations(const struct kith_operations *operations)
{
	static const char *const titles[] = {"BUDGET CHANGED BY", ">REQUESTS", ">GREW", ">SHRANK",
	                                     ">MOST AT ONCE"};
	struct table *table = table_new(N_OF(titles), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < operations->n; i++) {
		const struct kith_operation *operation = &operations->v[i];

		if (operation->grown_bytes == 0 && operation->shrunk_bytes == 0)
			continue;
		table_str(table, operation->method);
		table_text(table, output_count(operation->requests, cell));
		table_text(table, output_bytes(operation->grown_bytes, cell));
		table_text(table, output_bytes(operation->shrunk_bytes, cell));
		table_text(table, output_bytes(operation->most_bytes, cell));
	}
	if (table)
		table_print(table);
}

static void print_tallies(const struct kith_tallies *tallies)
{
	static const char *const titles[] = {"SEARCHES OF", "INDEX",     "BY",        "FROM",
	                                     "COVERED",     ">SEARCHES", ">COMPARED", ">SCANNED"};
	struct table *table = table_new(N_OF(titles), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < tallies->n; i++) {
		const struct kith_tally *tally = &tallies->v[i];

		table_str(table, tally->collection);
		table_str(table, tally->index.n ? tally->index : kith_text("-"));
		table_text(table, tally->mode == KITH_MODE_HNSW ? "graph"
		                  : tally->fell_back            ? "scan (fell back)"
		                                                : "scan");
		table_text(table, kith_source_name(tally->served_from));
		table_text(table, tally->pending ? "in part" : "wholly");
		table_text(table, output_count(tally->searches, cell));
		table_text(table, output_count(tally->comparisons, cell));
		table_text(table, output_count(tally->scanned, cell));
	}
	if (table)
		table_print(table);
}

static void print_stats_tables(const struct kith_stats_result *stats)
{
	print_daemon(stats);
	print_lanes(&stats->lanes);
	if (stats->collections.n > 0) {
		putchar('\n');
		print_usages(&stats->collections);
	}
	if (stats->indexes.n > 0) {
		putchar('\n');
		print_holdings(&stats->indexes);
	}
	if (stats->operations.n > 0) {
		putchar('\n');
		print_operations(&stats->operations);
	}
	if (stats->searches.n > 0) {
		putchar('\n');
		print_tallies(&stats->searches);
	}
}

static int print_stats(struct cli *cli)
{
	struct kith_stats_result *stats;
	int r = kith_stats(cli->conn, &stats);

	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		print_stats_json(stats);
	else
		print_stats_tables(stats);
	kith_free(stats);
	return CLI_DONE;
}

int cli_stats(struct cli *cli)
{
	int status;

	if (cli->args.interval_ms && !cli->args.watch)
		return cli_say(cli, CLI_USAGE, "--interval goes with --watch");
	if (cli->args.interval_ms && cli->args.interval_ms < WATCH_LEAST_MS)
		return cli_say(cli, CLI_USAGE, "--interval is at least %g seconds",
		               WATCH_LEAST_MS / 1e3);
	status = cli_connect(cli);
	if (status)
		return status;
	return cli->args.watch ? watch_run(cli, print_stats) : print_stats(cli);
}
