/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/cli.h"

#include <stdio.h>
#include <string.h>

#define AT(member) offsetof(struct cli_args, member)

const struct cli_option cli_options[CLI_N_OPTIONS] = {
        [CLI_OPT_NAMESPACE] = {"namespace", 'n', "NAME", CLI_TEXT, AT(namespace_), 0, 0,
                               "the namespace to write to or to look in"},
        [CLI_OPT_SPACE] = {"space", 0, "LABEL", CLI_TEXT, AT(space), 0, 0,
                           "the embedding space: model and revision"},
        [CLI_OPT_METRIC] = {"metric", 'm', "METRIC", CLI_TEXT, AT(metric), 0, 0,
                            "l2, ip or cosine"},
        [CLI_OPT_DTYPE] = {"dtype", 0, "DTYPE", CLI_TEXT, AT(dtype), 0, 0,
                           "how vectors are kept: f32 (default) or f16"},
        [CLI_OPT_DIM] = {"dim", 'd', "N", CLI_NUMBER, AT(dim), 1, UINT32_MAX, "floats in a vector"},
        [CLI_OPT_EXIST_OK] = {"exist-ok", 0, NULL, CLI_FLAG, AT(exist_ok), 0, 0,
                              "fine when an equal one is there"},
        [CLI_OPT_BULK] = {"bulk", 0, NULL, CLI_FLAG, AT(bulk), 0, 0,
                          "indexes wait until all is stored"},
        [CLI_OPT_MISSING_OK] = {"missing-ok", 0, NULL, CLI_FLAG, AT(missing_ok), 0, 0,
                                "fine when there is none"},
        [CLI_OPT_YES] = {"yes", 'y', NULL, CLI_FLAG, AT(yes), 0, 0, "do not ask"},
        [CLI_OPT_INCLUDE] = {"include", 'i', "LIST", CLI_INCLUDE, AT(include), 0, 0,
                             "of vectors,texts,metas,namespaces; or none"},
        [CLI_OPT_TEXT_IDS] = {"text-ids", 't', NULL, CLI_FLAG, AT(text_ids), 0, 0,
                              "ids are text, also those that look like numbers"},
        [CLI_OPT_LIMIT] = {"limit", 'l', "N", CLI_NUMBER, AT(limit), 1, UINT64_MAX,
                           "records to print (default: all; 100 on a terminal)"},
        [CLI_OPT_COUNT] = {"count", 'c', "N", CLI_NUMBER, AT(count), 1, 1000000,
                           "pings to send (default 1)"},
        [CLI_OPT_VECTOR] = {"vector", 'v', "FLOATS", CLI_TEXT, AT(vector), 0, 0,
                            "the query: \"0.1,0.2,...\""},
        [CLI_OPT_FVECS] = {"fvecs", 'f', "FILE", CLI_TEXT, AT(fvecs), 0, 0,
                           "the query is a row of this file"},
        [CLI_OPT_ROW] = {"row", 'r', "N", CLI_NUMBER, AT(row), 0, UINT32_MAX,
                         "which row, counted from 0 (default 0)"},
        [CLI_OPT_K] = {"k", 'k', "N", CLI_NUMBER, AT(k), 1, UINT32_MAX,
                       "neighbours to find (default 10)"},
        [CLI_OPT_JSONL] = {"jsonl", 'j', "FILE", CLI_TEXT, AT(jsonl), 0, 0,
                           "a line for each row: {\"id\":..., \"text\":..., \"meta\":{...}}"},
        [CLI_OPT_BATCH] = {"batch", 'b', "N", CLI_NUMBER, AT(batch), 1, UINT32_MAX,
                           "rows in a request, at most (default: 4 MiB of them)"},
        [CLI_OPT_FIRST_ID] = {"first-id", 0, "N", CLI_NUMBER, AT(first_id), 0, UINT64_MAX,
                              "id of the first row, where no line gives one (default 0)"},
        [CLI_OPT_EXACT] = {"exact", 0, NULL, CLI_FLAG, AT(exact), 0, 0,
                           "compare with every record, use no index"},
        [CLI_OPT_EF] = {"ef", 'e', "N", CLI_NUMBER, AT(ef_search), 1, UINT32_MAX,
                        "candidates of the search (default: the index's own)"},
        [CLI_OPT_TARGET_RECALL] = {"target-recall", 0, "SHARE", CLI_SHARE, AT(target_recall), 0, 0,
                                   "of the true neighbours to find, 0.99 for example:\n"
                                   "candidates by what was measured on the collection"},
        [CLI_OPT_KIND] = {"kind", 0, "KIND", CLI_TEXT, AT(kind), 0, 0, "hnsw (default)"},
        [CLI_OPT_M] = {"m", 0, "N", CLI_NUMBER, AT(m), 2, UINT32_MAX,
                       "links of a node (default 16)"},
        [CLI_OPT_EF_CONSTRUCTION] = {"ef-construction", 0, "N", CLI_NUMBER, AT(ef_construction), 4,
                                     UINT32_MAX, "candidates while building (default 128)"},
        [CLI_OPT_EF_SEARCH] = {"ef-search", 0, "N", CLI_NUMBER, AT(ef_search), 1, UINT32_MAX,
                               "candidates of a search that does not say (default 64)"},
        [CLI_OPT_QUANTIZATION] = {"quantization", 0, "HOW", CLI_TEXT, AT(quantization), 0, 0,
                                  "sq8 (default): a graph over 8-bit codes; none: over\n"
                                  "the vectors"},
        [CLI_OPT_REPLACE] = {"replace", 0, NULL, CLI_FLAG, AT(replace), 0, 0,
                             "build anew when the parameters differ; the old one\n"
                             "serves meanwhile"},
        [CLI_OPT_NO_WAIT] = {"no-wait", 0, NULL, CLI_FLAG, AT(no_wait), 0, 0,
                             "do not wait for the build"},
        [CLI_OPT_CANCEL] = {"cancel", 0, "JOB", CLI_NUMBER, AT(cancel), 1, INT64_MAX,
                            "cancel the job of that number"},
        [CLI_OPT_WATCH] = {"watch", 'w', NULL, CLI_FLAG, AT(watch), 0, 0,
                           "print it again and again, until interrupted"},
        [CLI_OPT_INTERVAL] = {"interval", 0, "SECONDS", CLI_SECONDS, AT(interval_ms), 0, 0,
                              "how often with --watch (default 1)"},
        [CLI_OPT_SOCKET] = {"socket", 's', "PATH", CLI_TEXT, AT(socket), 0, 0,
                            "the daemon's socket (default: $KITH_SOCKET, else\n"
                            "$XDG_RUNTIME_DIR/kith/kith.sock)"},
        [CLI_OPT_TIMEOUT] = {"timeout", 'T', "SECONDS", CLI_SECONDS, AT(timeout_ms), 0, 0,
                             "longest wait (default 30; ensure, optimize, warm,\n"
                             "evict, backup, restore, verify, repair,\n"
                             "checkpoint: none)"},
        [CLI_OPT_JSON] = {"json", 'J', NULL, CLI_FLAG, AT(json), 0, 0,
                          "lines of JSON, the default without a terminal"},
        [CLI_OPT_HELP] = {"help", 'h', NULL, CLI_FLAG, AT(help), 0, 0, "print this and end"},
        [CLI_OPT_VERSION] = {"version", 'V', NULL, CLI_FLAG, AT(version), 0, 0,
                             "print the version and end"},
};

#define OPT(option) CLI_OPTION_BIT(CLI_OPT_##option)

static const struct cli_command commands[] = {
        {"ping", "", 0, 0, OPT(COUNT), cli_ping, "ask the daemon whether it is there", NULL},
        {"limits", "", 0, 0, 0, cli_limits, "print every limit of the daemon", NULL},
        {"stats", "", 0, 0, OPT(WATCH) | OPT(INTERVAL), cli_stats,
         "print what the daemon holds and does",
         "With --watch a terminal shows it live, and anything else gets a line for each look.\n"},
        {"create", "COLLECTION", 1, 1,
         OPT(DIM) | OPT(METRIC) | OPT(DTYPE) | OPT(SPACE) | OPT(EXIST_OK) | OPT(BULK), cli_create,
         "make a collection",
         "--dim and --metric are required. With --bulk it begins as after 'kith bulk ... on'.\n"},
        {"list", "", 0, 0, 0, cli_list, "print all collections", NULL},
        {"describe", "COLLECTION", 1, 1, 0, cli_describe, "print what a collection is", NULL},
        {"rename", "COLLECTION NAME", 2, 2, 0, cli_rename, "give a collection another name", NULL},
        {"bulk", "COLLECTION on|off", 2, 2, 0, cli_bulk, "begin or end storing much at once",
         "While it is on, indexes take up nothing by themselves, and searches compare all\n"
         "records. When it is set off, each takes up what is pending by one job. It stays on\n"
         "until then, whatever becomes of who set it.\n"},
        {"drop", "COLLECTION", 1, 1, OPT(YES) | OPT(MISSING_OK), cli_drop,
         "delete a collection with all its records",
         "Asks first; where there is no terminal to ask on, --yes is required.\n"},
        {"import", "COLLECTION FILE.fvecs", 2, 2,
         OPT(JSONL) | OPT(NAMESPACE) | OPT(SPACE) | OPT(METRIC) | OPT(DTYPE) | OPT(DIM) |
                 OPT(BATCH) | OPT(FIRST_ID) | OPT(BULK),
         cli_import, "store the vectors of a file",
         "A row of an .fvecs file is its dimension, a 32-bit little-endian integer, and as many\n"
         "32-bit little-endian floats; '-' reads standard input. With --metric the collection is\n"
         "made when it is not there. What was stored before an error stays; to store it again\n"
         "changes nothing. With --bulk its indexes wait, as between 'kith bulk ... on' and "
         "'off'.\n"},
        {"search", "COLLECTION", 1, 1,
         OPT(VECTOR) | OPT(FVECS) | OPT(ROW) | OPT(K) | OPT(EXACT) | OPT(EF) | OPT(TARGET_RECALL) |
                 OPT(INCLUDE) | OPT(NAMESPACE) | OPT(SPACE),
         cli_search, "find the nearest neighbours of a vector",
         "The query comes from --vector or --fvecs.\n"},
        {"ensure", "COLLECTION [INDEX]", 1, 2,
         OPT(KIND) | OPT(M) | OPT(EF_CONSTRUCTION) | OPT(EF_SEARCH) | OPT(QUANTIZATION) |
                 OPT(REPLACE) | OPT(NO_WAIT),
         cli_ensure, "make sure that a collection has an index",
         "INDEX is its name, \"vector\" when left out. However many ask, it is built once; "
         "searches\n"
         "are answered meanwhile. Waits for the build, for ever unless --timeout says "
         "otherwise.\n"},
        {"indexes", "COLLECTION", 1, 1, 0, cli_indexes, "print the indexes of a collection", NULL},
        {"jobs", "", 0, 0, OPT(CANCEL), cli_jobs, "print the jobs under way, or cancel one", NULL},
        {"errors", "", 0, 0, 0, cli_errors, "print what went wrong in the daemon, and how often",
         NULL},
        {"verify", "[COLLECTION]", 0, 1, 0, cli_verify, "look the files of collections through",
         "All of them when none is named. Changes nothing; exits with 1 when records may be "
         "lost.\n"},
        {"repair", "COLLECTION", 1, 1, 0, cli_repair,
         "save what can be read of a damaged collection",
         "The damaged one stays, as COLLECTION.damaged; what could be read takes its name.\n"},
        {"du", "", 0, 0, 0, cli_du, "print what the files take, and what of it is of use", NULL},
        {"backup", "DIRECTORY [COLLECTION]", 1, 2, 0, cli_backup,
         "copy collections to a new directory",
         "All of them when none is named. They are used meanwhile; the copy is looked through.\n"},
        {"restore", "DIRECTORY [COLLECTION]", 1, 2, 0, cli_restore,
         "take collections back from a backup",
         "All of them when none is named. Nothing that is there is overwritten.\n"},
        {"checkpoint", "COLLECTION", 1, 1, 0, cli_checkpoint,
         "move the write-ahead log into the database", "The daemon does this by itself, later.\n"},
        {"optimize", "COLLECTION [INDEX]", 1, 2, 0, cli_optimize,
         "fold new records into an index and save it",
         "INDEX is its name, \"vector\" when left out. The daemon does this by itself, later.\n"},
        {"warm", "COLLECTION [INDEX]", 1, 2, 0, cli_warm, "load an index into memory",
         "INDEX is its name, \"vector\" when left out. The next search would do so.\n"},
        {"evict", "COLLECTION [INDEX]", 1, 2, 0, cli_evict, "give the memory of an index back",
         "INDEX is its name, \"vector\" when left out. It is saved before, and stays: the next\n"
         "search loads it again.\n"},
        {"drop-index", "COLLECTION INDEX", 2, 2, OPT(MISSING_OK), cli_drop_index,
         "delete an index, not its records", NULL},
        {"get", "COLLECTION ID...", 2, INT32_MAX, OPT(TEXT_IDS) | OPT(INCLUDE), cli_get,
         "print records", "Digits alone are a number; everything else is text.\n"},
        {"delete", "COLLECTION ID...", 2, INT32_MAX, OPT(TEXT_IDS), cli_delete, "delete records",
         "Digits alone are a number; everything else is text.\n"},
        {"scan", "COLLECTION", 1, 1, OPT(NAMESPACE) | OPT(LIMIT) | OPT(INCLUDE), cli_scan,
         "print all records, in the order of writing", NULL},
        {"count", "COLLECTION", 1, 1, OPT(NAMESPACE), cli_count, "print how many records there are",
         NULL},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct cli_command *cli_command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

/* Prints text, its lines after the first indented. */
static void print_indented(const char *text, int indent)
{
	const char *newline;

	while ((newline = strchr(text, '\n')) && newline[1] != '\0') {
		printf("%.*s\n%*s", (int)(newline - text), text, indent, "");
		text = newline + 1;
	}
	puts(text);
}

static void print_options(uint64_t set)
{
	for (int i = 0; i < CLI_N_OPTIONS; i++) {
		const struct cli_option *option = &cli_options[i];
		char left[64];

		if (!(set & CLI_OPTION_BIT(i)))
			continue;
		snprintf(left, sizeof(left), "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
		         option->letter ? option->letter : ' ', option->letter ? ',' : ' ',
		         option->name, option->value ? " " : "",
		         option->value ? option->value : "");
		printf("  %-23s  ", left);
		print_indented(option->help, 27);
	}
}

void cli_help(const struct cli_command *command)
{
	printf("Usage: kith %s [OPTION...]%s%s\n\n", command->name, command->operands[0] ? " " : "",
	       command->operands);
	printf("%c%s.\n", command->summary[0] - 'a' + 'A', command->summary + 1);
	if (command->details)
		printf("%s", command->details);
	printf("\nOptions:\n");
	print_options(command->options | CLI_EVERYWHERE);
}

void cli_help_all(void)
{
	printf("Usage: kith COMMAND [OPTION...] [OPERAND...]\n\n"
	       "Talks to kithd, the shared nearest-neighbour memory.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions of every command ('kith COMMAND --help' tells the others):\n");
	print_options(CLI_EVERYWHERE);
	printf("\nExit status: 0 done, 1 refused by the daemon, 2 wrong command line,\n"
	       "3 daemon cannot be reached, 4 not found, 5 bad input, 6 timed out.\n");
}
