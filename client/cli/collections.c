/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/* create, list, rename, describe, bulk, drop. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

int cli_take_form(const struct cli *cli, struct kith_create_collection_params *params)
{
	const struct cli_args *args = &cli->args;
	int metric = kith_metric_find(args->metric);
	int dtype = args->dtype ? kith_dtype_find(args->dtype) : KITH_DTYPE_F32;

	if (metric < 0)
		return cli_say(cli, CLI_USAGE, "--metric is l2, ip or cosine, not '%s'",
		               args->metric);
	if (dtype < 0)
		return cli_say(cli, CLI_USAGE, "--dtype is f32 or f16, not '%s'", args->dtype);
	params->metric = (uint32_t)metric;
	params->dtype = (uint32_t)dtype;
	return 0;
}

int cli_create(struct cli *cli)
{
	const struct cli_args *args = &cli->args;
	struct kith_create_collection_params params = {.name = cli_operand(cli, 0),
	                                               .dim = (uint32_t)args->dim,
	                                               .space = kith_text(args->space),
	                                               .exist_ok = args->exist_ok,
	                                               .bulk = args->bulk};
	struct kith_create_collection_result *result;
	int status, r;

	if (!args->dim || !args->metric)
		return cli_say(cli, CLI_USAGE, "--dim and --metric are required");
	status = cli_take_form(cli, &params);
	if (status == 0)
		status = cli_connect(cli);
	if (status)
		return status;
	r = kith_create_collection(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:o, s:b}", "uuid", json_from_str(result->uuid),
		                          "created", (int)result->created));
	else
		printf("%s %s (%.*s)\n", result->created ? "made" : "there is already",
		       args->operands[0], (int)result->uuid.n, result->uuid.data);
	kith_free(result);
	return CLI_DONE;
}

static json_t *json_from_collection(const struct kith_collection *collection)
{
	return json_pack(
	        "{s:o, s:o, s:I, s:s, s:s, s:o, s:o, s:b}", "name", json_from_str(collection->name),
	        "uuid", json_from_str(collection->uuid), "dim", (json_int_t)collection->dim,
	        "metric", kith_metric_name(collection->metric), "dtype",
	        kith_dtype_name(collection->dtype), "space", json_from_str(collection->space),
	        "created_ms", json_from_u64(collection->created_ms), "bulk", (int)collection->bulk);
}

int cli_list(struct cli *cli)
{
	static const char *const titles[] = {"=COLLECTION", ">DIM",  "DTYPE", "METRIC",
	                                     "CREATED",     "SPACE", "UUID"};
	struct kith_list_collections_result *result;
	struct table *table = NULL;
	char cell[OUTPUT_CELL_SIZE];
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_list_collections(cli->conn, &result);
	if (r)
		return cli_failed(cli, r);
	if (!cli->json && result->collections.n > 0)
		table = table_new(sizeof(titles) / sizeof(titles[0]), titles);
	for (uint32_t i = 0; i < result->collections.n; i++) {
		const struct kith_collection *collection = &result->collections.v[i];

		if (!table) {
			json_print_line(json_from_collection(collection));
			continue;
		}
		table_str(table, collection->name);
		table_format(table, "%u", collection->dim);
		table_text(table, kith_dtype_name(collection->dtype));
		table_text(table, kith_metric_name(collection->metric));
		table_text(table, output_time(collection->created_ms, cell));
		table_str(table, collection->space);
		table_str(table, collection->uuid);
	}
	if (table)
		table_print(table);
	else if (!cli->json)
		fprintf(stderr, "There are no collections.\n");
	kith_free(result);
	return CLI_DONE;
}

int cli_rename(struct cli *cli)
{
	struct kith_rename_collection_params params = {.collection = cli_operand(cli, 0),
	                                               .name = cli_operand(cli, 1)};
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_rename_collection(cli->conn, &params);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b}", "renamed", 1));
	else
		printf("%s is %s now\n", cli->args.operands[0], cli->args.operands[1]);
	return CLI_DONE;
}

static void describe_json(const struct kith_describe_collection_result *result)
{
	json_t *object = json_from_collection(&result->collection);

	json_object_set_new(object, "records", json_from_u64(result->records));
	json_object_set_new(object, "rows", json_from_u64(result->rows));
	json_object_set_new(object, "seq", json_from_u64(result->seq));
	json_object_set_new(object, "namespaces", json_integer((json_int_t)result->namespaces));
	json_object_set_new(object, "vectors", json_string(kith_source_name(result->vectors)));
	json_print_line(object);
}

static void describe_table(const struct kith_describe_collection_result *result)
{
	const struct kith_collection *collection = &result->collection;
	struct table *table = table_new(2, NULL);
	char cell[OUTPUT_CELL_SIZE];

	if (!table)
		return;
	table_text(table, "collection");
	table_str(table, collection->name);
	table_text(table, "uuid");
	table_str(table, collection->uuid);
	table_text(table, "vectors");
	table_format(table, "%u x %s, %s, %s", collection->dim, kith_dtype_name(collection->dtype),
	             kith_metric_name(collection->metric), kith_source_name(result->vectors));
	table_text(table, "space");
	table_str(table, collection->space.n ? collection->space : kith_text("-"));
	table_text(table, "created");
	table_text(table, output_time(collection->created_ms, cell));
	table_text(table, "records");
	table_text(table, output_count(result->records, cell));
	table_text(table, "rows kept");
	table_text(table, output_count(result->rows, cell));
	table_text(table, "namespaces");
	table_format(table, "%u", result->namespaces);
	table_text(table, "bulk writing");
	table_text(table, collection->bulk ? "on" : "off");
	table_text(table, "last commit");
	table_text(table, output_count(result->seq, cell));
	table_print(table);
}

int cli_describe(struct cli *cli)
{
	struct kith_describe_collection_params params = {.collection = cli_operand(cli, 0)};
	struct kith_describe_collection_result *result;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_describe_collection(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		describe_json(result);
	else
		describe_table(result);
	kith_free(result);
	return CLI_DONE;
}

int cli_bulk(struct cli *cli)
{
	const char *how = cli->args.operands[1];
	struct kith_set_bulk_params params = {.collection = cli_operand(cli, 0),
	                                      .bulk = strcmp(how, "on") == 0};
	struct kith_set_bulk_result *result;
	int status, r;

	if (!params.bulk && strcmp(how, "off") != 0)
		return cli_say(cli, CLI_USAGE, "it is on or off, not '%s'", how);
	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_set_bulk(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b, s:b}", "bulk", (int)params.bulk, "changed",
		                          (int)result->changed));
	else
		printf("bulk writing to %s is %s%s\n", cli->args.operands[0], how,
		       result->changed ? "" : " already");
	kith_free(result);
	return CLI_DONE;
}

/* Whether the user means it. *ret_status is set when not. */
static bool confirm(struct cli *cli, int *ret_status)
{
	struct kith_count_params params = {.collection = cli_operand(cli, 0)};
	struct kith_count_result *result;
	char count[OUTPUT_CELL_SIZE], answer[16] = "";
	int r;

	r = kith_count(cli->conn, &params, &result);
	if (r == KITH_ERROR_NO_COLLECTION && cli->args.missing_ok)
		return true;
	if (r) {
		*ret_status = cli_failed(cli, r);
		return false;
	}
	fprintf(stderr, "Delete %s with its %s records? This cannot be undone. [y/N] ",
	        cli->args.operands[0], output_count(result->count, count));
	kith_free(result);
	if (fgets(answer, sizeof(answer), stdin) &&
	    (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
		return true;
	*ret_status = cli_say(cli, CLI_REFUSED, "nothing was deleted");
	return false;
}

int cli_drop(struct cli *cli)
{
	struct kith_drop_collection_params params = {.collection = cli_operand(cli, 0),
	                                             .missing_ok = cli->args.missing_ok};
	struct kith_drop_collection_result *result;
	int status, r;

	if (!cli->args.yes && !(isatty(STDIN_FILENO) && isatty(STDERR_FILENO)))
		return cli_say(cli, CLI_USAGE, "there is no terminal to ask on; give --yes");
	status = cli_connect(cli);
	if (status)
		return status;
	if (!cli->args.yes && !confirm(cli, &status))
		return status;
	r = kith_drop_collection(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b}", "dropped", (int)result->dropped));
	else
		printf("%s %s\n", cli->args.operands[0],
		       result->dropped ? "is deleted" : "was not there");
	kith_free(result);
	return CLI_DONE;
}
