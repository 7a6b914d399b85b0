/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line: one table of commands and one of options (commands.c); parsing and every
 * --help come from them. A command is a function in the file of its group; it gets its options
 * parsed, checks what it can without the daemon, and only then connects.
 *
 * It uses the daemon through kith.h alone, as any other program would.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/kith.h"

/* Exit statuses, as kith(1) tells them. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_REFUSED = 1,     /* the daemon refused */
	CLI_USAGE = 2,       /* the command line is wrong */
	CLI_UNREACHABLE = 3, /* no daemon, or the connection was lost */
	CLI_NOT_FOUND = 4,   /* no such collection or record */
	CLI_BAD_INPUT = 5,   /* a file or value cannot be read */
	CLI_TIMED_OUT = 6,
};

struct cli_args {
	const char *socket;
	uint64_t timeout_ms;
	bool json, help, version;

	const char *namespace_, *space, *metric, *dtype;
	uint64_t dim;
	bool exist_ok, missing_ok, yes, bulk;

	uint64_t include; /* enum kith_include */
	bool text_ids;
	uint64_t limit, count;

	const char *vector, *fvecs;
	uint64_t row, k;

	const char *jsonl;
	uint64_t batch, first_id;

	const char *kind;
	const char *quantization;
	uint64_t m, ef_construction, ef_search; /* 0: the daemon's defaults */
	double target_recall;                   /* 0: not asked */
	bool replace, no_wait, exact;
	uint64_t cancel; /* a job, or 0 */
	bool watch;
	uint64_t interval_ms; /* 0: the usual one */

	char **operands;
	int n_operands;
};

struct cli {
	const struct cli_command *command;
	struct cli_args args;
	struct kith_conn *conn;
	bool json; /* lines of JSON instead of tables */
};

/* Options. ------------------------------------------------------------------------------------ */

enum cli_option_kind {
	CLI_FLAG,    /* bool */
	CLI_TEXT,    /* const char * */
	CLI_NUMBER,  /* uint64_t within min and max */
	CLI_SECONDS, /* uint64_t, milliseconds */
	CLI_SHARE,   /* double, above 0 and below 1 */
	CLI_INCLUDE, /* uint64_t, enum kith_include */
};

/* One bit each in a command's set. */
enum cli_option_idx {
	CLI_OPT_NAMESPACE,
	CLI_OPT_SPACE,
	CLI_OPT_METRIC,
	CLI_OPT_DTYPE,
	CLI_OPT_DIM,
	CLI_OPT_EXIST_OK,
	CLI_OPT_BULK,
	CLI_OPT_MISSING_OK,
	CLI_OPT_YES,
	CLI_OPT_INCLUDE,
	CLI_OPT_TEXT_IDS,
	CLI_OPT_LIMIT,
	CLI_OPT_COUNT,
	CLI_OPT_VECTOR,
	CLI_OPT_FVECS,
	CLI_OPT_ROW,
	CLI_OPT_K,
	CLI_OPT_JSONL,
	CLI_OPT_BATCH,
	CLI_OPT_FIRST_ID,
	CLI_OPT_EXACT,
	CLI_OPT_EF,
	CLI_OPT_TARGET_RECALL,
	CLI_OPT_KIND,
	CLI_OPT_M,
	CLI_OPT_EF_CONSTRUCTION,
	CLI_OPT_EF_SEARCH,
	CLI_OPT_QUANTIZATION,
	CLI_OPT_REPLACE,
	CLI_OPT_NO_WAIT,
	CLI_OPT_CANCEL,
	CLI_OPT_WATCH,
	CLI_OPT_INTERVAL,
	CLI_OPT_SOCKET, /* from here on: of every command */
	CLI_OPT_TIMEOUT,
	CLI_OPT_JSON,
	CLI_OPT_HELP,
	CLI_OPT_VERSION,
	CLI_N_OPTIONS
};

struct cli_option {
	const char *name;
	char letter;       /* 0: none */
	const char *value; /* its name in the help; NULL: a flag */
	enum cli_option_kind kind;
	size_t offset; /* in struct cli_args */
	uint64_t min, max;
	const char *help;
};

#define CLI_OPTION_BIT(option) (UINT64_C(1) << (option))
#define CLI_EVERYWHERE (~UINT64_C(0) << CLI_OPT_SOCKET)

extern const struct cli_option cli_options[CLI_N_OPTIONS];

/* Parses argv[1..] up to the first operand (stop_early) or wholly; argv[0] is skipped. *ret_first
 * is the position of the first operand. False after saying what is wrong. */
bool cli_parse(const char *name, uint64_t options, int argc, char **argv, bool stop_early,
               struct cli_args *args, int *ret_first);

/* Commands. ----------------------------------------------------------------------------------- */

struct cli_command {
	const char *name;
	const char *operands; /* as in the help */
	int min_operands, max_operands;
	uint64_t options; /* those of CLI_EVERYWHERE come on top */
	int (*run)(struct cli *cli);
	const char *summary;
	const char *details; /* may be NULL */
};

/* NULL: none of that name. */
const struct cli_command *cli_command_find(const char *name);
void cli_help_all(void);
void cli_help(const struct cli_command *command);

/* service.c */
int cli_ping(struct cli *cli);
int cli_limits(struct cli *cli);
int cli_stats(struct cli *cli);
/* collections.c */
int cli_create(struct cli *cli);
/* What a collection is to be like, by --metric, which is there, and --dtype. Says what is wrong. */
int cli_take_form(const struct cli *cli, struct kith_create_collection_params *params);
int cli_list(struct cli *cli);
int cli_rename(struct cli *cli);
int cli_describe(struct cli *cli);
int cli_bulk(struct cli *cli);
int cli_drop(struct cli *cli);
/* records.c */
int cli_get(struct cli *cli);
int cli_delete(struct cli *cli);
int cli_scan(struct cli *cli);
int cli_count(struct cli *cli);
/* import.c, search.c */
int cli_import(struct cli *cli);
int cli_search(struct cli *cli);

/* indexes.c, ensure.c, jobs.c */
int cli_indexes(struct cli *cli);
int cli_optimize(struct cli *cli);
int cli_warm(struct cli *cli);
int cli_evict(struct cli *cli);
int cli_drop_index(struct cli *cli);
int cli_ensure(struct cli *cli);
int cli_jobs(struct cli *cli);
int cli_errors(struct cli *cli);
/* files.c */
int cli_checkpoint(struct cli *cli);
int cli_backup(struct cli *cli);
int cli_restore(struct cli *cli);
int cli_verify(struct cli *cli);
int cli_repair(struct cli *cli);
int cli_du(struct cli *cli);

/* What commands share. ------------------------------------------------------------------------ */

/* Makes cli->conn; 0, or the status after saying why not. */
int cli_connect(struct cli *cli);
/* The same for a command that may take long: it waits for ever unless --timeout says otherwise. */
int cli_connect_patiently(struct cli *cli);
/* Says "kith <command>: ..." on stderr and returns status. */
int cli_say(const struct cli *cli, int status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Says what went wrong with the last call, which returned r, and returns the status for it. */
int cli_failed(const struct cli *cli, int r);
/* The status alone. */
int cli_status(int r);
/* The operand at i as a string of the protocol. */
struct kith_str cli_operand(const struct cli *cli, int i);
/* The operand [INDEX] behind the collection; absent when it was not given. */
struct kith_str cli_index_operand(const struct cli *cli);
/* What people read when it was not. */
const char *cli_index_name(const struct cli *cli);
