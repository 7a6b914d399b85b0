/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/* get, delete, scan, count. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

#define SCAN_PAGE_ROWS 1000u
#define SCAN_TERMINAL_ROWS 100u

/* Ids. ---------------------------------------------------------------------------------------- */

static struct kith_id parse_id(const char *text, bool text_ids)
{
	char *end;
	uint64_t number;

	if (text_ids || text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
		return kith_id_text(text);
	errno = 0;
	number = strtoull(text, &end, 10);
	return errno ? kith_id_text(text) : kith_id_number(number);
}

/* The operands behind the collection; the caller's to free. */
static struct kith_id *parse_ids(const struct cli *cli, struct kith_ids *ret)
{
	uint32_t n = (uint32_t)cli->args.n_operands - 1;
	struct kith_id *ids = calloc(n, sizeof(*ids));

	for (uint32_t i = 0; ids && i < n; i++)
		ids[i] = parse_id(cli->args.operands[i + 1], cli->args.text_ids);
	*ret = (struct kith_ids){ids, n};
	return ids;
}

/* Records as JSON lines or a table. ----------------------------------------------------------- */

static struct table *new_table(const struct record_columns *columns)
{
	const char *titles[5] = {"ID"};
	uint32_t n = 1;

	if (columns->namespaces->v)
		titles[n++] = "NAMESPACE";
	if (columns->metas->v)
		titles[n++] = "META";
	if (columns->vectors->v)
		titles[n++] = "VECTOR";
	if (columns->texts->v)
		titles[n++] = "TEXT";
	return table_new(n, titles);
}

static void add_id(struct table *table, const struct kith_id *id)
{
	if (id->text)
		table_str(table, kith_text_n(id->text, id->n));
	else
		table_format(table, "%" PRIu64, id->number);
}

/* The beginning; all of it is what --json is for. */
static void add_vector(struct table *table, const struct record_columns *columns, uint32_t row)
{
	size_t dim = columns->vectors->size_bytes / sizeof(float) / columns->n;

	if (dim > 0)
		table_format(table, "%g, ... (%zu)", (double)columns->vectors->v[row * dim], dim);
	else
		table_text(table, "");
}

static void add_record(struct table *table, const struct kith_id *id,
                       const struct record_columns *columns, uint32_t row)
{
	add_id(table, id);
	if (columns->namespaces->v)
		table_str(table, columns->namespaces->v[row]);
	if (columns->metas->v)
		table_meta(table, &columns->metas->v[row]);
	if (columns->vectors->v)
		add_vector(table, columns, row);
	if (columns->texts->v)
		table_str(table, columns->texts->v[row]);
}

/* One record, a line for each part of it. */
static void print_record(const struct kith_id *id, const struct record_columns *columns,
                         uint32_t row)
{
	struct table *table = table_new(2, NULL);

	if (!table)
		return;
	table_text(table, "id");
	add_id(table, id);
	if (columns->namespaces->v) {
		table_text(table, "namespace");
		table_str(table, columns->namespaces->v[row]);
	}
	if (columns->metas->v) {
		table_text(table, "meta");
		table_meta(table, &columns->metas->v[row]);
	}
	if (columns->vectors->v) {
		table_text(table, "vector");
		add_vector(table, columns, row);
	}
	if (columns->texts->v) {
		table_text(table, "text");
		table_str(table, columns->texts->v[row]);
	}
	table_print(table);
	putchar('\n');
}

/* get ----------------------------------------------------------------------------------------- */

static void say_missing(const struct cli *cli, const struct kith_u32s *missing)
{
	for (uint32_t i = 0; i < missing->n; i++)
		cli_say(cli, 0, "there is no record %s", cli->args.operands[1 + missing->v[i]]);
}

/* Positions that were found are in order; the others are missing. */
static void say_not_found(const struct cli *cli, const struct kith_u32s *found, uint32_t n_ids)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < n_ids; i++) {
		if (next < found->n && found->v[next] == i)
			next++;
		else
			say_missing(cli, &(struct kith_u32s){&i, 1});
	}
}

static int fetch(struct cli *cli, const struct kith_id *ids, const struct kith_get_params *params,
                 struct kith_get_result **ret)
{
	int status, r;

	if (!ids)
		return cli_say(cli, CLI_BAD_INPUT, "no memory for the ids");
	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_get(cli->conn, params, ret);
	return r ? cli_failed(cli, r) : 0;
}

int cli_get(struct cli *cli)
{
	struct kith_get_params params = {.collection = cli_operand(cli, 0),
	                                 .include = (uint32_t)cli->args.include};
	struct kith_id *ids = parse_ids(cli, &params.ids);
	struct kith_get_result *result;
	struct record_columns columns;
	bool all;
	int status;

	status = fetch(cli, ids, &params, &result);
	if (status) {
		free(ids);
		return status;
	}
	columns = (struct record_columns){&result->vectors, &result->texts, &result->metas,
	                                  &result->namespaces, result->positions.n};
	for (uint32_t i = 0; i < columns.n; i++) {
		const struct kith_id *id = &ids[result->positions.v[i]];

		if (cli->json)
			json_print_line(json_from_record(id, &columns, i));
		else
			print_record(id, &columns, i);
	}
	all = columns.n == params.ids.n;
	say_not_found(cli, &result->positions, params.ids.n);
	kith_free(result);
	free(ids);
	return all ? CLI_DONE : CLI_NOT_FOUND;
}

/* delete -------------------------------------------------------------------------------------- */

int cli_delete(struct cli *cli)
{
	struct kith_delete_params params = {.collection = cli_operand(cli, 0)};
	struct kith_id *ids = parse_ids(cli, &params.ids);
	struct kith_delete_result *result;
	int status, r;

	if (!ids)
		return cli_say(cli, CLI_BAD_INPUT, "no memory for the ids");
	status = cli_connect(cli);
	r = status ? 0 : kith_delete(cli->conn, &params, &result);
	free(ids);
	if (status)
		return status;
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:I, s:I, s:o}", "deleted", (json_int_t)result->deleted,
		                          "missing", (json_int_t)result->missing.n, "seq",
		                          json_from_u64(result->seq)));
	else
		printf("%u deleted\n", result->deleted);
	say_missing(cli, &result->missing);
	status = result->missing.n > 0 ? CLI_NOT_FOUND : CLI_DONE;
	kith_free(result);
	return status;
}

/* scan ---------------------------------------------------------------------------------------- */

static void print_page(const struct cli *cli, const struct kith_scan_result *page)
{
	const struct record_columns columns = {&page->vectors, &page->texts, &page->metas,
	                                       &page->namespaces, page->ids.n};
	struct table *table = cli->json || columns.n == 0 ? NULL : new_table(&columns);

	for (uint32_t i = 0; i < columns.n; i++) {
		if (table)
			add_record(table, &page->ids.v[i], &columns, i);
		else
			json_print_line(json_from_record(&page->ids.v[i], &columns, i));
	}
	if (table)
		table_print(table);
}

/* The next page, a smaller one when it does not fit in a frame. */
static int scan_page(struct cli *cli, struct kith_scan_params *params,
                     struct kith_scan_result **ret)
{
	int r = kith_scan(cli->conn, params, ret);

	while (r == KITH_ERROR_TOO_LARGE_ANSWER && params->limit > 1) {
		params->limit /= 2;
		r = kith_scan(cli->conn, params, ret);
	}
	return r;
}

int cli_scan(struct cli *cli)
{
	uint64_t left = cli->args.limit ? cli->args.limit
	                : cli->json     ? UINT64_MAX
	                                : SCAN_TERMINAL_ROWS;
	struct kith_scan_params params = {.collection = cli_operand(cli, 0),
	                                  .namespace_ = kith_text(cli->args.namespace_),
	                                  .limit = SCAN_PAGE_ROWS,
	                                  .include = (uint32_t)cli->args.include};
	bool done = false;
	int status;

	status = cli_connect(cli);
	if (status)
		return status;
	while (!done && left > 0 && !ferror(stdout)) {
		struct kith_scan_result *page;
		int r;

		if (left < params.limit)
			params.limit = (uint32_t)left;
		r = scan_page(cli, &params, &page);
		if (r)
			return cli_failed(cli, r);
		print_page(cli, page);
		left -= page->ids.n < left ? page->ids.n : left;
		params.cursor = page->cursor;
		done = page->done;
		kith_free(page);
	}
	if (!done && !cli->json && !cli->args.limit)
		fprintf(stderr, "There are more; --limit tells how many to print.\n");
	return CLI_DONE;
}

/* count --------------------------------------------------------------------------------------- */

int cli_count(struct cli *cli)
{
	struct kith_count_params params = {.collection = cli_operand(cli, 0),
	                                   .namespace_ = kith_text(cli->args.namespace_)};
	struct kith_count_result *result;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	r = kith_count(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:o, s:o}", "count", json_from_u64(result->count),
		                          "seq", json_from_u64(result->seq)));
	else
		printf("%" PRIu64 "\n", result->count);
	kith_free(result);
	return CLI_DONE;
}
