/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"

int cli_say(const struct cli *cli, int status, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "kith %s: ", cli->command->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

int cli_status(int r)
{
	if (r == 0)
		return CLI_DONE;
	if (r == KITH_ERROR_NO_COLLECTION || r == KITH_ERROR_NO_INDEX || r == KITH_ERROR_NO_JOB)
		return CLI_NOT_FOUND;
	if (r > 0)
		return CLI_REFUSED;
	return r == -ETIMEDOUT ? CLI_TIMED_OUT : CLI_UNREACHABLE;
}

int cli_failed(const struct cli *cli, int r)
{
	return cli_say(cli, cli_status(r), "%s", kith_error_message(cli->conn));
}

struct kith_str cli_operand(const struct cli *cli, int i)
{
	return kith_text(cli->args.operands[i]);
}

struct kith_str cli_index_operand(const struct cli *cli)
{
	return kith_text(cli->args.n_operands > 1 ? cli->args.operands[1] : NULL);
}

const char *cli_index_name(const struct cli *cli)
{
	return cli->args.n_operands > 1 ? cli->args.operands[1] : "vector";
}

int cli_connect(struct cli *cli)
{
	char message[512];
	const struct kith_options options = {.socket_path = cli->args.socket,
	                                     .client = "kith",
	                                     .timeout_ms = (int)cli->args.timeout_ms,
	                                     .ret_message = message,
	                                     .message_size_bytes = sizeof(message)};
	int r;

	r = kith_connect(&options, &cli->conn);
	return r ? cli_say(cli, cli_status(r), "%s", message) : 0;
}

int cli_connect_patiently(struct cli *cli)
{
	int status, r;

	status = cli_connect(cli);
	if (status || cli->args.timeout_ms)
		return status;
	r = kith_set_timeout(cli->conn, KITH_FOREVER);
	return r ? cli_failed(cli, r) : 0;
}

/* What was written must have arrived: a full disk must not look like success. */
static int finish_output(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "kith: cannot write to standard output: %s\n", strerror(errno));
	return status ? status : CLI_BAD_INPUT;
}

static int check_operands(const struct cli *cli)
{
	const struct cli_command *command = cli->command;

	if (cli->args.n_operands >= command->min_operands &&
	    cli->args.n_operands <= command->max_operands)
		return 0;
	fprintf(stderr, "Usage: kith %s [OPTION...]%s%s\n", command->name,
	        command->operands[0] ? " " : "", command->operands);
	return CLI_USAGE;
}

static int usage_hint(const char *name)
{
	fprintf(stderr, "Try '%s --help'.\n", name);
	return CLI_USAGE;
}

/* argv[0] is the command's name. */
static int run_command(struct cli *cli, int argc, char **argv)
{
	char name[64];
	int first;
	int status;

	cli->command = cli_command_find(argv[0]);
	if (!cli->command) {
		fprintf(stderr, "kith: there is no command '%s'\n", argv[0]);
		return usage_hint("kith");
	}
	snprintf(name, sizeof(name), "kith %s", cli->command->name);
	argv[0] = name; /* getopt_long() begins its messages with it */
	if (!cli_parse(name, cli->command->options | CLI_EVERYWHERE, argc, argv, false, &cli->args,
	               &first))
		return usage_hint(name);
	cli->args.operands = argv + first;
	cli->args.n_operands = argc - first;
	cli->json = cli->args.json || !isatty(STDOUT_FILENO);
	if (cli->args.version) {
		printf("kith %s\n", kith_version());
		return CLI_DONE;
	}
	if (cli->args.help) {
		cli_help(cli->command);
		return CLI_DONE;
	}
	status = check_operands(cli);
	if (status == 0)
		status = cli->command->run(cli);
	kith_close(cli->conn);
	return status;
}

int main(int argc, char **argv)
{
	struct cli cli = {
	        .args = {.include =
	                         KITH_INCLUDE_TEXTS | KITH_INCLUDE_METAS | KITH_INCLUDE_NAMESPACES},
	};
	int first;

	setlocale(LC_CTYPE, "");
	if (!cli_parse("kith", CLI_EVERYWHERE, argc, argv, true, &cli.args, &first))
		return usage_hint("kith");
	if (cli.args.version) {
		printf("kith %s\n", kith_version());
		return finish_output(CLI_DONE);
	}
	if (first < argc && !cli.args.help)
		return finish_output(run_command(&cli, argc - first, argv + first));
	if (!cli.args.help)
		fprintf(stderr, "kith: no command was given\n");
	if (!cli.args.help)
		return usage_hint("kith");
	cli_help_all();
	return finish_output(CLI_DONE);
}
