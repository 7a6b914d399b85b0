/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/*
 * kith ensure: one request that may take minutes. While its answer is awaited, the daemon's events
 * about jobs come over the same connection; those of this index make the progress bar. Where
 * nobody sees one, nothing is subscribed and the answer is all that is waited for.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"

/* Between looks at the events; the answer itself is seen at once. */
#define TURN_MS 100

struct ensure {
	struct cli *cli;
	uint64_t ticket;
	struct progress progress;
};

static bool is_text(struct kith_str str, const char *text)
{
	return str.n == strlen(text) && memcmp(str.data, text, str.n) == 0;
}

/* Takes all events that came and draws how far the build is. */
static void show_events(struct ensure *ensure)
{
	struct kith_event *event;

	while (kith_next_event(ensure->cli->conn, 0, &event) == 0) {
		const struct kith_job_event *job = &event->job;

		if (event->type == KITH_EVENT_JOB &&
		    is_text(job->collection, ensure->cli->args.operands[0]) &&
		    is_text(job->index, cli_index_name(ensure->cli))) {
			progress_phase(&ensure->progress, job->phase, job->done, job->total,
			               job->eta_s);
			progress_update(&ensure->progress, job->done);
		}
		kith_free(event);
	}
}

/* How long to wait before the next look; 0 when the time is over. */
static int turn_ms(const struct ensure *ensure)
{
	uint64_t timeout_ms = ensure->cli->args.timeout_ms;
	uint64_t passed_ms = (uint64_t)(progress_seconds(&ensure->progress) * 1000);
	uint64_t left_ms = timeout_ms > passed_ms ? timeout_ms - passed_ms : 0;

	return timeout_ms == 0 || left_ms > TURN_MS ? TURN_MS : (int)left_ms;
}

static int await(struct ensure *ensure, struct kith_ensure_index_result **ret)
{
	struct kith_conn *conn = ensure->cli->conn;
	int turn, r;

	if (!ensure->progress.shown)
		return kith_collect_ensure_index(conn, ensure->ticket, KITH_USUAL, ret);
	do {
		turn = turn_ms(ensure);
		r = kith_collect_ensure_index(conn, ensure->ticket, turn, ret);
		if (r == -ETIMEDOUT && turn > 0)
			show_events(ensure);
	} while (r == -ETIMEDOUT && turn > 0);
	return r;
}

static int ensure_index(struct ensure *ensure, const struct kith_ensure_index_params *params,
                        struct kith_ensure_index_result **ret)
{
	struct kith_conn *conn = ensure->cli->conn;
	int r = 0;

	progress_begin(&ensure->progress, "rows", 0);
	if (!params->wait)
		ensure->progress.shown = false;
	if (ensure->progress.shown)
		r = kith_subscribe(conn, KITH_TOPIC_JOBS);
	if (r == 0)
		r = kith_submit_ensure_index(conn, params, &ensure->ticket);
	if (r == 0)
		r = await(ensure, ret);
	progress_end(&ensure->progress);
	return r;
}

static int fail(const struct ensure *ensure, int r)
{
	if (r == -ETIMEDOUT && !ensure->cli->args.no_wait)
		return cli_say(ensure->cli, CLI_TIMED_OUT,
		               "%s/%s was not ready in time; a build that began goes on "
		               "('kith jobs' shows it)",
		               ensure->cli->args.operands[0], cli_index_name(ensure->cli));
	return cli_failed(ensure->cli, r);
}

static void report(const struct ensure *ensure, const struct kith_ensure_index_result *result)
{
	const struct cli *cli = ensure->cli;
	double seconds = progress_seconds(&ensure->progress);
	char took[OUTPUT_CELL_SIZE], coverage[OUTPUT_CELL_SIZE];

	if (cli->json) {
		json_print_line(json_pack(
		        "{s:s, s:o, s:o, s:f, s:I}", "outcome", kith_ensured_name(result->outcome),
		        "job", json_from_u64(result->job), "generation",
		        json_from_u64(result->generation), "coverage", result->coverage, "time_ms",
		        (json_int_t)(seconds * 1e3)));
		return;
	}
	printf("%s/%s: ", cli->args.operands[0], cli_index_name(cli));
	if (cli->args.no_wait && result->outcome != KITH_ENSURED_EXISTING) {
		printf("job %" PRIu64 " builds it%s\n", result->job,
		       result->outcome == KITH_ENSURED_JOINED ? "; others had started it" : "");
		return;
	}
	output_duration(seconds * 1e6, took);
	if (result->outcome == KITH_ENSURED_BUILT)
		printf("built in %s", took);
	else if (result->outcome == KITH_ENSURED_JOINED)
		printf("built by a job that others had started, after %s", took);
	else
		printf("there is already");
	printf(", generation %" PRIu64 ", coverage %s\n", result->generation,
	       output_share(result->coverage, coverage));
}

int cli_ensure(struct cli *cli)
{
	const struct cli_args *args = &cli->args;
	struct kith_ensure_index_params params = {
	        .collection = cli_operand(cli, 0),
	        .index = cli_index_operand(cli),
	        .m = (uint32_t)args->m,
	        .ef_construction = (uint32_t)args->ef_construction,
	        .ef_search = (uint32_t)args->ef_search,
	        .wait = !args->no_wait,
	        .replace = args->replace,
	};
	int quantization = kith_quantization_find(args->quantization ? args->quantization : "sq8");
	int kind = kith_index_kind_find(args->kind ? args->kind : "hnsw");
	struct ensure ensure = {.cli = cli};
	struct kith_ensure_index_result *result;
	int status, r;

	if (kind < 0)
		return cli_say(cli, CLI_USAGE, "--kind is hnsw, not '%s'", args->kind);
	params.kind = (uint32_t)kind;
	if (quantization < 0)
		return cli_say(cli, CLI_USAGE, "--quantization is sq8 or none, not '%s'",
		               args->quantization);
	params.quantization = (uint32_t)quantization;
	status = args->no_wait ? cli_connect(cli) : cli_connect_patiently(cli);
	if (status)
		return status;
	r = ensure_index(&ensure, &params, &result);
	if (r)
		return fail(&ensure, r);
	report(&ensure, result);
	kith_free(result);
	return CLI_DONE;
}
