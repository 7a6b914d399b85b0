/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/*
 * kith import: while the daemon writes a few batches, the next is read from the files. What is
 * reported as stored is what the daemon acknowledged. After the first failure nothing more is
 * sent, but what was sent is waited for and counted. So it is when it is interrupted while it has
 * bulk on, which it then sets off.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/batch.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"

/* Times BATCH_BYTES: below what a daemon lets one connection have unanswered. */
#define IN_FLIGHT 4u

struct flight {
	uint64_t ticket;
	uint64_t first_row;
};

struct import {
	struct cli *cli;
	struct fvecs fvecs;
	struct jsonl jsonl;
	bool has_lines;
	struct batch batch;
	struct progress progress;

	struct flight flights[IN_FLIGHT]; /* a ring, oldest at n_landed % IN_FLIGHT */
	uint64_t n_started, n_landed;

	uint64_t n_rows; /* acknowledged, as all below */
	struct kith_upsert_result last;
	uint64_t inserted, replaced, touched, unchanged;
	bool set_bulk; /* it was off before: it is to be off afterwards */
	int status;    /* of the first failure */
};

/* Says why, and keeps the first status. */
static void fail_input(struct import *import)
{
	const char *message =
	        import->fvecs.message[0] ? import->fvecs.message : import->jsonl.message;

	progress_end(&import->progress);
	cli_say(import->cli, 0, "%s", message);
	import->status = import->status ? import->status : CLI_BAD_INPUT;
}

/* A row at fault is told as the row of the file. */
static void fail_upsert(struct import *import, int r, uint64_t first_row)
{
	const struct kith_conn *conn = import->cli->conn;
	int64_t row = kith_error_row(conn);

	progress_end(&import->progress);
	if (import->status == 0 && r > 0 && row >= 0)
		cli_say(import->cli, 0, "%s: row %" PRIu64 ": %s", import->fvecs.path,
		        first_row + (uint64_t)row, kith_error_message(conn));
	else if (import->status == 0)
		cli_failed(import->cli, r);
	import->status = import->status ? import->status : cli_status(r);
}

/* Waits for the oldest batch. */
static void land(struct import *import)
{
	const struct flight *flight = &import->flights[import->n_landed++ % IN_FLIGHT];
	struct kith_upsert_result *result;
	int r;

	r = kith_collect_upsert(import->cli->conn, flight->ticket, KITH_USUAL, &result);
	if (r) {
		fail_upsert(import, r, flight->first_row);
		kith_forget(import->cli->conn, flight->ticket);
		return;
	}
	import->inserted += result->inserted;
	import->replaced += result->replaced;
	import->touched += result->touched;
	import->unchanged += result->unchanged;
	import->n_rows = import->inserted + import->replaced + import->touched + import->unchanged;
	import->last = *result;
	kith_free(result);
	progress_update(&import->progress, import->n_rows);
}

static void start(struct import *import)
{
	struct kith_upsert_params params = {
	        .collection = cli_operand(import->cli, 0),
	        .space = kith_text(import->cli->args.space),
	        .namespace_ = kith_text(import->cli->args.namespace_),
	};
	struct flight *flight;
	int r;

	if (import->n_started - import->n_landed == IN_FLIGHT)
		land(import);
	if (import->status)
		return;
	batch_params(&import->batch, &params);
	flight = &import->flights[import->n_started % IN_FLIGHT];
	flight->first_row = import->batch.first_row;
	r = kith_submit_upsert(import->cli->conn, &params, &flight->ticket);
	if (r)
		fail_upsert(import, r, import->batch.first_row);
	else
		import->n_started++;
}

static void transfer(struct import *import)
{
	const struct cli_args *args = &import->cli->args;
	int r = 0;

	while (r == 0 && import->status == 0 && !interrupt_came()) {
		batch_reset(&import->batch, import->fvecs.next_row);
		r = batch_fill(&import->batch, &import->fvecs,
		               import->has_lines ? &import->jsonl : NULL, args->first_id);
		if (import->batch.n > 0)
			start(import);
		if (r && !interrupt_came())
			fail_input(import);
		if (import->batch.n == 0)
			break;
	}
	while (import->n_landed < import->n_started)
		land(import);
	progress_end(&import->progress);
}

static int create(struct import *import)
{
	const struct cli_args *args = &import->cli->args;
	struct kith_create_collection_params params = {
	        .name = cli_operand(import->cli, 0),
	        .dim = import->fvecs.dim,
	        .space = kith_text(args->space),
	        .exist_ok = true,
	};
	int r;

	if (!args->metric)
		return 0;
	r = cli_take_form(import->cli, &params);
	if (r)
		return r;
	r = kith_create_collection(import->cli->conn, &params, NULL);
	return r ? cli_failed(import->cli, r) : 0;
}

/* What the collection keeps is what is sent. */
static int find_dtype(struct import *import, enum kith_dtype *ret)
{
	struct kith_describe_collection_params params = {.collection = cli_operand(import->cli, 0)};
	struct kith_describe_collection_result *result;
	int r = kith_describe_collection(import->cli->conn, &params, &result);

	if (r) {
		int status = cli_failed(import->cli, r);

		if (r == KITH_ERROR_NO_COLLECTION)
			cli_say(import->cli, 0, "give --metric to make the collection");
		return status;
	}
	*ret = (enum kith_dtype)result->collection.dtype;
	kith_free(result);
	return 0;
}

static int set_bulk(struct import *import, bool bulk)
{
	struct kith_set_bulk_params params = {.collection = cli_operand(import->cli, 0),
	                                      .bulk = bulk};
	struct kith_set_bulk_result *result;
	int r = kith_set_bulk(import->cli->conn, &params, &result);

	if (r)
		return cli_failed(import->cli, r);
	import->set_bulk = bulk && result->changed;
	kith_free(result);
	return 0;
}

static int prepare(struct import *import)
{
	const struct cli_args *args = &import->cli->args;
	struct kith_create_collection_params form;
	struct kith_limits_result *limits;
	enum kith_dtype dtype = KITH_DTYPE_F32;
	uint64_t max_rows;
	bool enough;
	int r;

	if (args->metric && cli_take_form(import->cli, &form) != 0)
		return CLI_USAGE;
	if (args->dtype && !args->metric)
		return cli_say(import->cli, CLI_USAGE, "--dtype goes with --metric");
	if (args->dim && import->fvecs.dim && args->dim != import->fvecs.dim)
		return cli_say(import->cli, CLI_BAD_INPUT, "%s has %u dimensions, not %" PRIu64,
		               import->fvecs.path, import->fvecs.dim, args->dim);
	if (import->fvecs.dim == 0)
		return cli_say(import->cli, CLI_BAD_INPUT, "%s is empty", import->fvecs.path);
	r = cli_connect(import->cli);
	r = r ? r : create(import);
	r = r ? r : find_dtype(import, &dtype);
	if (r)
		return r;
	r = kith_limits(import->cli->conn, &limits);
	if (r)
		return cli_failed(import->cli, r);
	max_rows =
	        args->batch && args->batch < limits->batch_rows ? args->batch : limits->batch_rows;
	enough = batch_init(&import->batch, import->fvecs.dim, dtype, max_rows,
	                    limits->frame_values, import->has_lines);
	kith_free(limits);
	if (!enough)
		return cli_say(import->cli, CLI_BAD_INPUT, "no memory for a batch");
	if (!args->bulk)
		return 0;
	interrupt_watch();
	return set_bulk(import, true);
}

static void report(const struct import *import)
{
	double seconds = progress_seconds(&import->progress);
	char rows[OUTPUT_CELL_SIZE], rate[OUTPUT_CELL_SIZE], took[OUTPUT_CELL_SIZE];

	if (import->cli->json) {
		json_print_line(json_pack(
		        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rows", (json_int_t)import->n_rows,
		        "inserted", (json_int_t)import->inserted, "replaced",
		        (json_int_t)import->replaced, "touched", (json_int_t)import->touched,
		        "unchanged", (json_int_t)import->unchanged, "seq",
		        (json_int_t)import->last.seq, "time_ms", (json_int_t)(seconds * 1e3)));
		return;
	}
	printf("%s rows stored in %s (%s rows/s): %" PRIu64 " new, %" PRIu64 " replaced, %" PRIu64
	       " with new metadata, %" PRIu64 " unchanged\n",
	       output_count(import->n_rows, rows), output_duration(seconds * 1e6, took),
	       output_count((uint64_t)((double)import->n_rows / seconds), rate), import->inserted,
	       import->replaced, import->touched, import->unchanged);
}

static bool open_files(struct import *import)
{
	const struct cli_args *args = &import->cli->args;

	if (!fvecs_open(&import->fvecs, args->operands[1]))
		return false;
	import->has_lines = args->jsonl != NULL;
	return !import->has_lines || jsonl_open(&import->jsonl, args->jsonl);
}

int cli_import(struct cli *cli)
{
	struct import import = {.cli = cli};

	if (open_files(&import))
		import.status = prepare(&import);
	else
		fail_input(&import);
	if (import.status == 0) {
		progress_begin(&import.progress, "rows", import.fvecs.n_rows);
		transfer(&import);
		if (import.set_bulk) {
			int status = set_bulk(&import, false);

			import.status = import.status ? import.status : status;
		}
		report(&import);
	}
	batch_release(&import.batch);
	jsonl_close(&import.jsonl);
	fvecs_close(&import.fvecs);
	interrupt_follow();
	return import.status;
}
