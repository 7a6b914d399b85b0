/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <stdio.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

static json_t *json_from_failure(const struct kith_failure *failure)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:o, s:o}", "first_ms",
	                 json_from_u64(failure->first_ms), "last_ms",
	                 json_from_u64(failure->last_ms), "count", json_from_u64(failure->count),
	                 "warning", (int)failure->warning, "where", json_from_str(failure->where),
	                 "what", json_from_str(failure->what));
}

static void print_failures(const struct kith_failures *failures)
{
	static const char *const titles[] = {"LAST", ">TIMES", "=WHERE", "=WHAT"};
	struct table *table = table_new(sizeof(titles) / sizeof(titles[0]), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < failures->n; i++) {
		const struct kith_failure *failure = &failures->v[i];

		table_text(table, output_time(failure->last_ms, cell));
		table_text(table, output_count(failure->count, cell));
		table_str(table, failure->where);
		table_str(table, failure->what);
	}
	if (table)
		table_print(table);
}

int cli_errors(struct cli *cli)
{
	struct kith_errors_result *result;
	int status = cli_connect(cli);
	int r;

	if (status)
		return status;
	r = kith_errors(cli->conn, &result);
	if (r)
		return cli_failed(cli, r);
	for (uint32_t i = 0; cli->json && i < result->failures.n; i++)
		json_print_line(json_from_failure(&result->failures.v[i]));
	if (!cli->json && result->failures.n > 0)
		print_failures(&result->failures);
	else if (!cli->json)
		fprintf(stderr, "Nothing went wrong.\n");
	kith_free(result);
	return CLI_DONE;
}
