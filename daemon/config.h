/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What kithd runs with: defaults, then the config file, then the command line. One table declares
 * every key; the struct, the file's parser, the options, --help and the man pages' check come from
 * it.
 *
 * Threads: filled at start, constant afterwards.
 */

#include <stdint.h>

#include "protocol/endpoint.h"

/* With the closing NUL; leaves the daemon room under PATH_MAX for its own names. */
#define CONFIG_PATH_SIZE 1024

enum config_log_level {
	CONFIG_LOG_ERROR,
	CONFIG_LOG_WARNING,
	CONFIG_LOG_INFO,
	CONFIG_LOG_DEBUG
};

/* Where indexes are served from: see cache_backend.h. */
enum config_cache_backend {
	CONFIG_CACHE_ARENA,
	CONFIG_CACHE_MMAP
};

/* Collections that may have a share of the index cache of their own. */
#define CONFIG_SHARES_MAX 256
#define CONFIG_COLLECTION_SIZE 129 /* LIMIT_NAME_BYTES and the closing NUL */

/* Users besides the daemon's own that may connect. */
#define CONFIG_UIDS_MAX 16

struct config_uids {
	uint32_t n;
	uint32_t uids[CONFIG_UIDS_MAX];
};

/* A line "collection.NAME.index_cache_mb = N". */
struct config_share {
	char collection[CONFIG_COLLECTION_SIZE];
	uint32_t index_cache_mb;
};

/*
 * K(kind, name, default, min, max, unit, help): the option --name-with-dashes and the line
 * "name = value" of the config file.
 *   number  a decimal from min to max.
 *   level   a name of enum config_log_level.
 *   backend a name of enum config_cache_backend.
 *   uids    up to max of them, separated by blanks.
 *   path    of min to max bytes; absolute in the file. Its default is a rule of the environment:
 *           the text here is for people, config.c applies it.
 */
#define CONFIG_KEYS(K)                                                                             \
	K(path, socket, "$XDG_RUNTIME_DIR/kith/kith.sock", 1, ENDPOINT_PATH_SIZE - 1, "bytes",     \
	  "where to listen")                                                                       \
	K(path, data_dir, "$XDG_DATA_HOME/kith", 1, CONFIG_PATH_SIZE - 1, "bytes",                 \
	  "the records, the only truth")                                                           \
	K(path, cache_dir, "$XDG_CACHE_HOME/kith", 1, CONFIG_PATH_SIZE - 1, "bytes",               \
	  "what is derived from them")                                                             \
	K(uids, allow_uids, "", 0, CONFIG_UIDS_MAX, "", "users besides this one that may connect") \
	K(level, log_level, "info", CONFIG_LOG_ERROR, CONFIG_LOG_DEBUG, "",                        \
	  "least important lines to log")                                                          \
	K(number, log_cache_stats, "0", 0, 86400, "s",                                             \
	  "log what the cache holds this often; 0: never")                                         \
	K(number, index_cache_mb, "256", 0, 1u << 20, "MiB",                                       \
	  "memory for indexes and codes of vectors")                                               \
	K(backend, cache_backend, "arena", CONFIG_CACHE_ARENA, CONFIG_CACHE_MMAP, "",              \
	  "indexes in memory, or served from their files")                                         \
	K(number, idle_unload_s, "300", 0, 1u << 20, "s",                                          \
	  "unload what was not used for so long; 0: never")                                        \
	K(number, metadata_cache_mb, "64", 4, 1u << 16, "MiB", "memory for SQLite's caches")       \
	K(number, inflight_mb, "64", 32, 1u << 14, "MiB", "requests and answers under way")        \
	K(number, interactive_threads, "0", 0, 64, "",                                             \
	  "search and read workers; 0: one a core, at least 2")                                    \
	K(number, write_threads, "2", 1, 16, "", "write workers")                                  \
	K(number, background_threads, "0", 0, 64, "",                                              \
	  "workers at low priority; 0: one a core and one more")

#define CONFIG_MEMBER_path(name, max) char name[(max) + 1]
#define CONFIG_MEMBER_uids(name, max) struct config_uids name
#define CONFIG_MEMBER_level(name, max) enum config_log_level name
#define CONFIG_MEMBER_backend(name, max) enum config_cache_backend name
#define CONFIG_MEMBER_number(name, max) uint32_t name
#define CONFIG_MEMBER(kind, name, def, min, max, unit, help) CONFIG_MEMBER_##kind(name, max);
struct config {
	CONFIG_KEYS(CONFIG_MEMBER)
	/* Of the file only. */
	uint32_t n_shares;
	struct config_share shares[CONFIG_SHARES_MAX];
};
#undef CONFIG_MEMBER
#undef CONFIG_MEMBER_number
#undef CONFIG_MEMBER_backend
#undef CONFIG_MEMBER_level
#undef CONFIG_MEMBER_uids
#undef CONFIG_MEMBER_path

/* Outcomes of config_load(). */
enum {
	CONFIG_EXIT_OK = 1,   /* --help or --version was printed */
	CONFIG_EXIT_USAGE = 2 /* bad option, key or value: logged, with its file, line and limit */
};

/*
 * A file that others than its owner may write, or that belongs neither to this user nor to root, is
 * refused: it says who may come in. Defaults, then the file (--config FILE, else
 * $XDG_CONFIG_HOME/kith/kith.conf when it exists), then the options. Of an option given twice the
 * last counts; a key given twice in the file is an error. Paths that nobody gave:
 *   socket     endpoint_path(NULL)
 *   data_dir   the first of $STATE_DIRECTORY (the service manager's), else $XDG_DATA_HOME/kith,
 *              else $HOME/.local/share/kith
 *   cache_dir  the first of $CACHE_DIRECTORY, else $XDG_CACHE_HOME/kith, else $HOME/.cache/kith
 * Relative paths in the environment count as not set. config is untouched unless 0 is returned.
 */
int config_load(struct config *config, int argc, char **argv);

/* The share of the index cache that the collection of that name may have at most: UINT64_MAX when
 * it has none of its own. */
uint64_t config_share_bytes(const struct config *config, const char *collection);
