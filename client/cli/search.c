/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/fvecs.h"
#include "client/cli/json.h"
#include "client/cli/output.h"

/* The query. ---------------------------------------------------------------------------------- */

/* Floats between commas, blanks or brackets. The number at fault is named by its position. */
static int parse_vector(const struct cli *cli, float **ret, size_t *ret_n)
{
	static const char between[] = ", \t\n[]";
	const char *at = cli->args.vector + strspn(cli->args.vector, between);
	float *query = calloc(strlen(at) / 2 + 1, sizeof(*query));
	size_t n = 0;

	if (!query)
		return cli_say(cli, CLI_BAD_INPUT, "no memory for the query");
	while (*at) {
		char *end;

		query[n] = strtof(at, &end);
		if (end == at || (*end && !strchr(between, *end))) {
			free(query);
			return cli_say(cli, CLI_USAGE,
			               "--vector: number %zu cannot be read: '%.20s'", n + 1, at);
		}
		n++;
		at = end + strspn(end, between);
	}
	*ret = query;
	*ret_n = n;
	return 0;
}

/* Reads up to the row. */
static int read_row(struct fvecs *fvecs, uint64_t row, float **ret)
{
	float *query = calloc(fvecs->dim ? fvecs->dim : 1, sizeof(*query));
	int r = query ? 1 : -1;

	while (r > 0 && fvecs->next_row <= row)
		r = fvecs_next(fvecs, query);
	if (r > 0)
		*ret = query;
	else
		free(query);
	return r;
}

static int read_vector(const struct cli *cli, float **ret, size_t *ret_n)
{
	struct fvecs fvecs;
	int status = 0, r;

	if (!fvecs_open(&fvecs, cli->args.fvecs))
		r = -1;
	else
		r = read_row(&fvecs, cli->args.row, ret);
	if (r < 0)
		status = cli_say(cli, CLI_BAD_INPUT, "%s",
		                 fvecs.message[0] ? fvecs.message : "no memory for the query");
	else if (r == 0)
		status = cli_say(cli, CLI_BAD_INPUT, "%s has %" PRIu64 " rows, none at %" PRIu64,
		                 fvecs.path, fvecs.next_row, cli->args.row);
	*ret_n = fvecs.dim;
	fvecs_close(&fvecs);
	return status;
}

/* The answer. --------------------------------------------------------------------------------- */

static struct record_columns columns_of(const struct kith_search_result *hits)
{
	return (struct record_columns){&hits->vectors, &hits->texts, &hits->metas,
	                               &hits->namespaces, hits->ids.n};
}

static void print_json(const struct kith_search_result *hits, double took_us)
{
	struct record_columns columns = columns_of(hits);
	json_t *array = json_array();

	for (uint32_t i = 0; i < hits->ids.n; i++) {
		json_t *hit = json_from_record(&hits->ids.v[i], &columns, i);

		json_object_set_new(hit, "distance", json_real((double)hits->distances.v[i]));
		json_array_append_new(array, hit);
	}
	json_print_line(json_pack(
	        "{s:o, s:s, s:f, s:o, s:o, s:o, s:I, s:b, s:b, s:s, s:o, s:o, s:I}", "hits", array,
	        "mode", kith_mode_name(hits->mode), "coverage", hits->coverage, "generation",
	        json_from_u64(hits->generation), "comparisons", json_from_u64(hits->comparisons),
	        "scanned", json_from_u64(hits->scanned), "ef_search", (json_int_t)hits->ef_search,
	        "cached", (int)hits->cached, "bulk", (int)hits->bulk, "served_from",
	        kith_source_name(hits->served_from), "seq", json_from_u64(hits->seq), "time_us",
	        json_from_u64(hits->time_us), "round_trip_us", (json_int_t)took_us));
}

static void print_hits(const struct kith_search_result *hits)
{
	const char *titles[6] = {">#", "ID", ">DISTANCE"};
	uint32_t n_columns = 3;
	struct table *table;

	if (hits->namespaces.v)
		titles[n_columns++] = "NAMESPACE";
	if (hits->metas.v)
		titles[n_columns++] = "META";
	if (hits->texts.v)
		titles[n_columns++] = "TEXT";
	table = table_new(n_columns, titles);
	for (uint32_t i = 0; table && i < hits->ids.n; i++) {
		const struct kith_id *id = &hits->ids.v[i];

		table_format(table, "%u", i + 1);
		if (id->text)
			table_str(table, kith_text_n(id->text, id->n));
		else
			table_format(table, "%" PRIu64, id->number);
		table_format(table, "%.6g", (double)hits->distances.v[i]);
		if (hits->namespaces.v)
			table_str(table, hits->namespaces.v[i]);
		if (hits->metas.v)
			table_meta(table, &hits->metas.v[i]);
		if (hits->texts.v)
			table_str(table, hits->texts.v[i]);
	}
	if (table)
		table_print(table);
}

/* How it was answered, below the hits. */
static void print_honesty(const struct kith_search_result *hits, double took_us)
{
	char coverage[OUTPUT_CELL_SIZE], comparisons[OUTPUT_CELL_SIZE], scanned[OUTPUT_CELL_SIZE];
	char inside[OUTPUT_CELL_SIZE], outside[OUTPUT_CELL_SIZE];

	printf("%s, ", kith_mode_name(hits->mode));
	if (hits->bulk)
		printf("bulk writing is on, ");
	if (hits->ef_search)
		printf("ef %u, ", hits->ef_search);
	printf("coverage %s, generation %" PRIu64 ", %s comparisons, %s scanned, vectors %s%s, "
	       "%s (%s there and back)\n",
	       output_share(hits->coverage, coverage), hits->generation,
	       output_count(hits->comparisons, comparisons), output_count(hits->scanned, scanned),
	       kith_source_name(hits->served_from), hits->cached ? " from the cache" : "",
	       output_duration((double)hits->time_us, inside), output_duration(took_us, outside));
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int cli_search(struct cli *cli)
{
	const struct cli_args *args = &cli->args;
	struct kith_search_params params = {.collection = cli_operand(cli, 0),
	                                    .space = kith_text(args->space),
	                                    .namespace_ = kith_text(args->namespace_),
	                                    .k = (uint32_t)args->k,
	                                    .ef_search = (uint32_t)args->ef_search,
	                                    .target_recall = args->target_recall,
	                                    .exact = args->exact,
	                                    .include = (uint32_t)args->include};
	struct kith_search_result *hits;
	float *query = NULL;
	double before, took_us;
	size_t n = 0;
	int status, r;

	if (!args->vector == !args->fvecs)
		return cli_say(cli, CLI_USAGE, "the query comes from --vector or from --fvecs");
	status = args->vector ? parse_vector(cli, &query, &n) : read_vector(cli, &query, &n);
	if (status == 0)
		status = cli_connect(cli);
	params.vectors = kith_vectors(query, n);
	before = now_us();
	r = status ? 0 : kith_search(cli->conn, &params, &hits);
	took_us = now_us() - before;
	free(query);
	if (status)
		return status;
	if (r)
		return cli_failed(cli, r);
	if (cli->json) {
		print_json(hits, took_us);
	} else {
		print_hits(hits);
		print_honesty(hits, took_us);
	}
	kith_free(hits);
	return CLI_DONE;
}
