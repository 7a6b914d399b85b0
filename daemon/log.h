/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Lines for people, on stderr: "kithd: collection 'notes': opened, ..."; when stderr is the
 * journal, which knows the program's name, with systemd's "<n>" priority instead. Only daemon/
 * logs, and each failure once, where it is handled. errno is kept. [any]
 */

#include <stdbool.h>

#include "daemon/config.h"

/* Room for a path and what is wrong with it. Longer lines are cut and end in "...". Control
 * characters, a client's newline for one, come out as '?', so that one call is one line. */
#define LOG_LINE_SIZE 2048

/* Lines below level are dropped from now on; before the first call it is CONFIG_LOG_INFO. Called
 * before other threads start. */
void log_open(enum config_log_level level);
/* Who hears of every error and warning, whatever the level: text is the line without its beginning.
 * NULL: nobody. Errors and warnings come from one thread then, the one that called this last or
 * handed the daemon over to. */
void log_tell(void (*tell)(void *ctx, bool is_warning, const char *text), void *ctx);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
