/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What kithd runs with: defaults, then the config file, then the command line. One table declares
 * every key; the file's parser, the options, --help and the man page's check come from it.
 *
 * Threads: filled at start, constant afterwards.
 */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/endpoint.h"

#define CONFIG_PATH_SIZE 1024

/* Key K(kind, name, default, min, max, unit, help): an option --name-with-dashes and a line
 * "name = value" in the config file. Paths have their default from the environment. */
#define CONFIG_KEYS(K)                                                                     \
	K(number, index_cache_mb, 256, 0, 1u << 20, "MiB",                                 \
	  "memory for indexes and resident vectors")                                       \
	K(number, metadata_cache_mb, 64, 4, 1u << 16, "MiB", "memory for SQLite's caches") \
	K(number, inflight_mb, 64, 32, 1u << 14, "MiB", "requests and answers under way")  \
	K(number, interactive_threads, 0, 0, 64, "",                                       \
	  "search and read workers (0: one a core, at least 2)")                           \
	K(number, write_threads, 2, 1, 16, "", "write workers")                            \
	K(number, background_threads, 1, 1, 16, "", "workers at low priority")

enum config_log_level {
	CONFIG_LOG_ERROR,
	CONFIG_LOG_WARNING,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG
};

struct config {
	char socket[ENDPOINT_PATH_SIZE]; /* --socket, socket = */
	char data_dir[CONFIG_PATH_SIZE]; /* --data-dir, data_dir = */
	char cache_dir[CONFIG_PATH_SIZE];
	enum config_log_level log_level; /* --log-level error|warning|info|debug */
#define CONFIG_MEMBER(kind, name, def, min, max, unit, help) uint32_t name;
	CONFIG_KEYS(CONFIG_MEMBER)
#undef CONFIG_MEMBER
};

/* Outcomes of config_load(). */
enum {
	CONFIG_EXIT_OK = 1, /* --help or --version was printed */
	CONFIG_EXIT_USAGE =
	        2 /* bad option, key or value: said on stderr, naming it and its file and line */
};

/* Defaults, then the file (--config FILE, else $XDG_CONFIG_HOME/kith/kith.conf when it exists),
 * then the options. Under systemd STATE_DIRECTORY and CACHE_DIRECTORY are the default folders. */
int config_load(struct config *config, int argc, char **argv);
