/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

static json_t *json_from_work(const struct kith_work *work)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:I}", "job",
	                 json_from_u64(work->job), "collection", json_from_str(work->collection),
	                 "index", json_from_str(work->index), "phase", json_from_str(work->phase),
	                 "done", json_from_u64(work->done), "total", json_from_u64(work->total),
	                 "eta_s", work->eta_s, "waiting", (json_int_t)work->waiting);
}

static void print_jobs(const struct kith_works *jobs)
{
	static const char *const titles[] = {">JOB",  "COLLECTION", "INDEX",  "PHASE",
	                                     ">DONE", ">TOTAL",     ">TO GO", ">WAITING"};
	struct table *table = table_new(sizeof(titles) / sizeof(titles[0]), titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; table && i < jobs->n; i++) {
		const struct kith_work *work = &jobs->v[i];

		table_format(table, "%" PRIu64, work->job);
		table_str(table, work->collection);
		table_str(table, work->index);
		table_str(table, work->phase);
		table_text(table, output_count(work->done, cell));
		table_text(table, work->total ? output_count(work->total, cell) : "-");
		table_text(table, work->eta_s > 0 ? output_duration(work->eta_s * 1e6, cell) : "-");
		table_format(table, "%u", work->waiting);
	}
	if (table)
		table_print(table);
}

static int cancel(struct cli *cli)
{
	struct kith_cancel_job_params params = {.job = cli->args.cancel};
	struct kith_cancel_job_result *result;
	int r;

	r = kith_cancel_job(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:b}", "cancelled", (int)result->cancelled));
	else
		printf("job %" PRIu64 " %s\n", params.job,
		       result->cancelled ? "is cancelled" : "can no longer be cancelled");
	kith_free(result);
	return CLI_DONE;
}

int cli_jobs(struct cli *cli)
{
	struct kith_jobs_result *result;
	int status, r;

	status = cli_connect(cli);
	if (status)
		return status;
	if (cli->args.cancel)
		return cancel(cli);
	r = kith_jobs(cli->conn, &result);
	if (r)
		return cli_failed(cli, r);
	for (uint32_t i = 0; cli->json && i < result->jobs.n; i++)
		json_print_line(json_from_work(&result->jobs.v[i]));
	if (!cli->json && result->jobs.n > 0)
		print_jobs(&result->jobs);
	else if (!cli->json)
		fprintf(stderr, "There are no jobs.\n");
	kith_free(result);
	return CLI_DONE;
}
