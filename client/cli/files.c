/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

/* backup, restore, verify, repair, du, checkpoint. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/output.h"

/* The operand as the daemon takes it: absolute, without links, its last part as it is. */
static int take_directory(const struct cli *cli, char path[static PATH_MAX])
{
	char operand[PATH_MAX], parent[PATH_MAX];
	size_t n = strlen(cli->args.operands[0]);
	const char *name;
	char *slash;

	while (n > 1 && cli->args.operands[0][n - 1] == '/')
		n--;
	if (n == 0 || n >= PATH_MAX)
		return cli_say(cli, CLI_BAD_INPUT, "'%s' is no directory's name",
		               cli->args.operands[0]);
	memcpy(operand, cli->args.operands[0], n);
	operand[n] = '\0';
	slash = strrchr(operand, '/');
	name = slash ? slash + 1 : operand;
	if (slash)
		*slash = '\0';
	if (!realpath(!slash ? "." : slash == operand ? "/" : operand, parent))
		return cli_say(cli, CLI_BAD_INPUT, "the directory above '%s': %s",
		               cli->args.operands[0], strerror(errno));
	n = strlen(parent);
	if (n + strlen(name) + 2 > PATH_MAX)
		return cli_say(cli, CLI_BAD_INPUT, "the path is too long");
	memcpy(path, parent, n);
	if (path[n - 1] != '/')
		path[n++] = '/';
	strcpy(path + n, name);
	return 0;
}

static void print_copies(const struct cli *cli, const struct kith_copies *copies)
{
	static const char *const titles[] = {"COLLECTION", ">RECORDS", ">SIZE"};
	struct table *table = cli->json ? NULL : table_new(3, titles);
	char cell[OUTPUT_CELL_SIZE];

	for (uint32_t i = 0; i < copies->n; i++) {
		const struct kith_copy *copy = &copies->v[i];

		if (cli->json)
			json_print_line(json_pack("{s:o, s:o, s:o, s:o}", "name",
			                          json_from_str(copy->name), "records",
			                          json_from_u64(copy->records), "seq",
			                          json_from_u64(copy->seq), "size_bytes",
			                          json_from_u64(copy->size_bytes)));
		if (!table)
			continue;
		table_str(table, copy->name);
		table_text(table, output_count(copy->records, cell));
		table_text(table, output_bytes(copy->size_bytes, cell));
	}
	if (table)
		table_print(table);
}

/* The directory that is named, and a connection whose answers may take long. */
static int begin(struct cli *cli, char path[static PATH_MAX])
{
	int status = take_directory(cli, path);

	return status ? status : cli_connect_patiently(cli);
}

int cli_backup(struct cli *cli)
{
	struct kith_backup_params params = {.collection = cli_index_operand(cli)};
	struct kith_backup_result *result;
	char path[PATH_MAX];
	int status, r;

	status = begin(cli, path);
	if (status)
		return status;
	params.directory = kith_text(path);
	r = kith_backup(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	print_copies(cli, &result->collections);
	kith_free(result);
	return CLI_DONE;
}

int cli_restore(struct cli *cli)
{
	struct kith_restore_params params = {.collection = cli_index_operand(cli)};
	struct kith_restore_result *result;
	char path[PATH_MAX];
	int status, r;

	status = begin(cli, path);
	if (status)
		return status;
	params.directory = kith_text(path);
	r = kith_restore(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	print_copies(cli, &result->collections);
	kith_free(result);
	return CLI_DONE;
}

/* Adds to *ret_n_lost what is wrong with the truth itself. */
static void print_findings(const struct cli *cli, struct kith_str collection,
                           const struct kith_verify_result *result, uint32_t *ret_n_lost)
{
	for (uint32_t i = 0; i < result->findings.n; i++) {
		const struct kith_finding *finding = &result->findings.v[i];

		*ret_n_lost += !finding->derived;
		if (cli->json)
			json_print_line(json_pack(
			        "{s:o, s:o, s:b, s:o}", "collection", json_from_str(collection),
			        "file", json_from_str(finding->file), "derived",
			        (int)finding->derived, "what", json_from_str(finding->what)));
		else
			printf("%.*s: %.*s: %.*s%s\n", (int)collection.n, collection.data,
			       (int)finding->file.n, finding->file.data, (int)finding->what.n,
			       finding->what.data,
			       finding->derived ? " (made anew by itself)" : "");
	}
	if (!cli->json && result->findings.n == 0)
		printf("%.*s: sound\n", (int)collection.n, collection.data);
}

static int verify_one(struct cli *cli, struct kith_str collection, uint32_t *ret_n_lost)
{
	struct kith_verify_params params = {.collection = collection};
	struct kith_verify_result *result;
	int r = kith_verify(cli->conn, &params, &result);

	if (r)
		return cli_failed(cli, r);
	print_findings(cli, collection, result, ret_n_lost);
	kith_free(result);
	return CLI_DONE;
}

int cli_verify(struct cli *cli)
{
	struct kith_list_collections_result *list = NULL;
	uint32_t n_lost = 0;
	int status = cli_connect_patiently(cli);
	int r;

	if (status)
		return status;
	if (cli->args.n_operands > 0) {
		status = verify_one(cli, cli_operand(cli, 0), &n_lost);
	} else {
		r = kith_list_collections(cli->conn, &list);
		if (r)
			return cli_failed(cli, r);
		for (uint32_t i = 0; status == 0 && i < list->collections.n; i++)
			status = verify_one(cli, list->collections.v[i].name, &n_lost);
		kith_free(list);
	}
	return status ? status : n_lost > 0 ? CLI_REFUSED : CLI_DONE;
}

static int rename_one(struct cli *cli, const char *from, const char *to)
{
	struct kith_rename_collection_params params = {.collection = kith_text(from),
	                                               .name = kith_text(to)};
	int r = kith_rename_collection(cli->conn, &params);

	return r ? cli_failed(cli, r) : CLI_DONE;
}

static void print_repair(const struct cli *cli, const struct kith_repair_result *result,
                         const char *saved, const char *aside)
{
	if (cli->json)
		json_print_line(json_pack(
		        "{s:o, s:o, s:o, s:s, s:s}", "records", json_from_u64(result->records),
		        "partial", json_from_u64(result->partial), "lost",
		        json_from_u64(result->lost), "saved", saved, "aside", aside));
	else
		printf("%" PRIu64 " records saved as '%s', %" PRIu64
		       " of them without text and metadata; %" PRIu64
		       " lost. The damaged collection stays as '%s'.\n",
		       result->records, saved, result->partial, result->lost, aside);
}

/* Each step leaves both collections there, under one name or another. */
int cli_repair(struct cli *cli)
{
	const char *name = cli->args.operands[0];
	char saved[256], aside[256];
	struct kith_repair_params params = {.collection = kith_text(name)};
	struct kith_repair_result *result;
	int status = cli_connect_patiently(cli);
	int r;

	if (status)
		return status;
	snprintf(saved, sizeof(saved), "%.200s.repaired", name);
	snprintf(aside, sizeof(aside), "%.200s.damaged", name);
	params.name = kith_text(saved);
	r = kith_repair(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	/* Where each is, also when it could not be given its name. */
	status = rename_one(cli, name, aside);
	if (status == 0) {
		status = rename_one(cli, saved, name);
		print_repair(cli, result, status ? saved : name, aside);
	} else {
		print_repair(cli, result, saved, name);
	}
	kith_free(result);
	return status;
}

static void print_files(const struct kith_files *files)
{
	static const char *const titles[] = {"=COLLECTION", ">SIZE", ">LIVE", "=FILE"};
	struct table *table = table_new(4, titles);
	char cell[OUTPUT_CELL_SIZE];
	uint64_t size_bytes = 0, live_bytes = 0;

	for (uint32_t i = 0; table && i < files->n; i++) {
		const struct kith_file *file = &files->v[i];

		table_str(table, file->collection);
		table_text(table, output_bytes(file->size_bytes, cell));
		table_text(table, output_bytes(file->live_bytes, cell));
		table_str(table, file->path);
		size_bytes += file->size_bytes;
		live_bytes += file->live_bytes;
	}
	if (!table)
		return;
	table_text(table, "");
	table_text(table, output_bytes(size_bytes, cell));
	table_text(table, output_bytes(live_bytes, cell));
	table_text(table, "in all");
	table_print(table);
}

int cli_du(struct cli *cli)
{
	struct kith_disk_usage_result *result;
	int status = cli_connect(cli);
	int r;

	if (status)
		return status;
	r = kith_disk_usage(cli->conn, &result);
	if (r)
		return cli_failed(cli, r);
	for (uint32_t i = 0; cli->json && i < result->files.n; i++) {
		const struct kith_file *file = &result->files.v[i];

		json_print_line(json_pack("{s:o, s:o, s:o, s:o}", "collection",
		                          json_from_str(file->collection), "path",
		                          json_from_str(file->path), "size_bytes",
		                          json_from_u64(file->size_bytes), "live_bytes",
		                          json_from_u64(file->live_bytes)));
	}
	if (!cli->json)
		print_files(&result->files);
	kith_free(result);
	return CLI_DONE;
}

int cli_checkpoint(struct cli *cli)
{
	struct kith_checkpoint_params params = {.collection = cli_operand(cli, 0)};
	struct kith_checkpoint_result *result;
	char cell[OUTPUT_CELL_SIZE];
	int status, r;

	status = cli_connect_patiently(cli);
	if (status)
		return status;
	r = kith_checkpoint(cli->conn, &params, &result);
	if (r)
		return cli_failed(cli, r);
	if (cli->json)
		json_print_line(json_pack("{s:o}", "wal_bytes", json_from_u64(result->wal_bytes)));
	else
		printf("%s are left in the write-ahead log\n",
		       output_bytes(result->wal_bytes, cell));
	kith_free(result);
	return CLI_DONE;
}
