/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/* indexes, optimize, warm, evict, drop-index. */

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

static json_t *json_from_index(const struct kith_index *index)
{
	json_t *object = json_pack(
	        "{s:o, s:s, s:I, s:I, s:I, s:s, s:f, s:o}", "name", json_from_str(index->name),
	        "kind", kith_index_kind_name(index->kind), "m", (json_int_t)index->m,
	        "ef_construction", (json_int_t)index->ef_construction, "ef_search",
	        (json_int_t)index->ef_search, "state", kith_index_state_name(index->state),
	        "coverage", index->coverage, "error", json_from_str(index->error));

	json_object_set_new(object, "quantization",
	                    json_string(kith_quantization_name(index->quantization)));
	json_object_set_new(object, "ef_95", json_integer(index->ef_95));
	json_object_set_new(object, "ef_99", json_integer(index->ef_99));
	json_object_set_new(object, "ef_999", json_integer(index->ef_999));
	json_object_set_new(object, "generation", json_from_u64(index->generation));
	json_object_set_new(object, "nodes", json_from_u64(index->nodes));
	json_object_set_new(object, "dead", json_from_u64(index->dead));
	json_object_set_new(object, "pending", json_from_u64(index->pending));
	json_object_set_new(object, "size_bytes", json_from_u64(index->size_bytes));
	json_object_set_new(object, "mapped", json_boolean(index->mapped));
	json_object_set_new(object, "saved_nodes", json_from_u64(index->saved_nodes));
	json_object_set_new(object, "searches", json_from_u64(index->searches));
	json_object_set_new(object, "comparisons", json_from_u64(index->comparisons));
	json_object_set_new(object, "builds", json_from_u64(index->builds));
	json_object_set_new(object, "hits", json_from_u64(index->hits));
	json_object_set_new(object, "misses", json_from_u64(index->misses));
	json_object_set_new(object, "loads", json_from_u64(index->loads));
	json_object_set_new(object, "evictions", json_from_u64(index->evictions));
	json_object_set_new(object, "rebuilds", json_from_u64(index->rebuilds));
	return object;
}

/* Candidates for each recall; nothing where it was never found. */
static void add_efforts(struct table *table, const struct kith_index *index)
{
	const uint32_t efs[] = {index->ef_95, index->ef_99, index->ef_999};
	char texts[3][16] = {"-", "-", "-"};

	for (int i = 0; i < 3; i++) {
		if (efs[i])
			snprintf(texts[i], sizeof(texts[i]), "%u", efs[i]);
	}
	table_format(table, "%s/%s/%s", texts[0], texts[1], texts[2]);
}

static void add_row(struct table *table, const struct kith_index *index)
{
	char cell[OUTPUT_CELL_SIZE];

	table_str(table, index->name);
	table_text(table, kith_index_kind_name(index->kind));
	table_format(table, "M=%u ef=%u/%u %s", index->m, index->ef_construction, index->ef_search,
	             kith_quantization_name(index->quantization));
	table_text(table, kith_index_state_name(index->state));
	table_format(table, "%" PRIu64, index->generation);
	table_text(table, output_count(index->nodes, cell));
	table_text(table, output_count(index->pending, cell));
	table_text(table, output_share(index->coverage, cell));
	add_efforts(table, index);
	table_text(table, output_bytes(index->size_bytes, cell));
	table_text(table, output_count(index->builds, cell));
}

/* The errors have a column only where there is one. */
static void print_indexes(const struct kith_indexes *indexes)
{
	static const char *const titles[] = {
	        "INDEX",    "KIND",      "PARAMETERS",       "STATE", ">GEN",    ">NODES",
	        ">PENDING", ">COVERAGE", ">EF .95/.99/.999", ">SIZE", ">BUILDS", "ERROR"};
	uint32_t n_columns = sizeof(titles) / sizeof(titles[0]);
	bool has_errors = false;
	struct table *table;

	for (uint32_t i = 0; i < indexes->n; i++)
		has_errors = has_errors || indexes->v[i].error.n > 0;
	table = table_new(has_errors ? n_columns : n_columns - 1, titles);
	for (uint32_t i = 0; table && i < indexes->n; i++) {
		add_row(table, &indexes->v[i]);
		if (has_errors)
			table_str(table, indexes->v[i].error);
	}
	if (table)
		table_print(table);
}

int cli_indexes(struct cli *cli)
{
	struct kith_list_indexes_params params = {.collection = cli_operand(cli, 0)};
	struct kith_list_indexes_result *result;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_list_indexes(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	for (uint32_t i = 0; cli->json && i < result->indexes.n; i++)
		json_print_line(json_from_index(&result->indexes.v[i]));
	if (!cli->json && result->indexes.n > 0)
		print_indexes(&result->indexes);
	else if (!cli->json)
		fprintf(stderr, "There are no indexes: searches compare with every record.\n");
	kith_free(result);
	return CLI_DONE;
}

int cli_optimize(struct cli *cli)
{
	struct kith_optimize_params params = {.collection = cli_operand(cli, 0),
	                                      .index = cli_index_operand(cli)};
	struct kith_optimize_result *result;
	char inserted[OUTPUT_CELL_SIZE], coverage[OUTPUT_CELL_SIZE];
	int status, r;

	status = cli_connect_patiently(cli);
	if (status)
		return status;
	r = kith_optimize(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:o, s:f, s:b}", "inserted",
		                          json_from_u64(result->inserted), "coverage",
		                          result->coverage, "saved", (int)result->saved));
	else
		printf("%s/%s: %s records folded in, coverage %s, %s\n", cli->args.operands[0],
		       cli_index_name(cli), output_count(result->inserted, inserted),
		       output_share(result->coverage, coverage),
		       result->saved ? "saved" : "nothing to save");
	kith_free(result);
	return CLI_DONE;
}

int cli_warm(struct cli *cli)
{
	struct kith_warm_params params = {.collection = cli_operand(cli, 0),
	                                  .index = cli_index_operand(cli)};
	struct kith_warm_result *result;
	char size[OUTPUT_CELL_SIZE];
	int status, r;

	status = cli_connect_patiently(cli);
	if (status)
		return status;
	r = kith_warm(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b, s:o}", "was_cached", (int)result->was_cached,
		                          "size_bytes", json_from_u64(result->size_bytes)));
	else
		printf("%s/%s %s, %s\n", cli->args.operands[0], cli_index_name(cli),
		       result->was_cached ? "was in memory" : "is loaded",
		       output_bytes(result->size_bytes, size));
	kith_free(result);
	return CLI_DONE;
}

int cli_evict(struct cli *cli)
{
	struct kith_evict_params params = {.collection = cli_operand(cli, 0),
	                                   .index = cli_index_operand(cli)};
	struct kith_evict_result *result;
	char size[OUTPUT_CELL_SIZE];
	int status, r;

	status = cli_connect_patiently(cli);
	if (status)
		return status;
	r = kith_evict(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b, s:o}", "was_cached", (int)result->was_cached,
		                          "freed_bytes", json_from_u64(result->freed_bytes)));
	else if (result->was_cached)
		printf("%s/%s: %s given back\n", cli->args.operands[0], cli_index_name(cli),
		       output_bytes(result->freed_bytes, size));
	else
		printf("%s/%s was not in memory\n", cli->args.operands[0], cli_index_name(cli));
	kith_free(result);
	return CLI_DONE;
}

int cli_drop_index(struct cli *cli)
{
	struct kith_drop_index_params params = {.collection = cli_operand(cli, 0),
	                                        .index = cli_index_operand(cli),
	                                        .missing_ok = cli->args.missing_ok};
	struct kith_drop_index_result *result;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_drop_index(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b}", "dropped", (int)result->dropped));
	else
		printf("%s/%s %s\n", cli->args.operands[0], cli_index_name(cli),
		       result->dropped ? "is deleted" : "was not there");
	kith_free(result);
	return CLI_DONE;
}
