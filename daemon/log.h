/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Lines for people, on stderr: "kithd: collection 'notes': opened, ..." — with systemd's "<n>"
 * priority in front when stderr is the journal. Only daemon/ logs, and each failure once, where
 * it is handled. [any]
 */

#include "daemon/config.h"

void log_open(enum config_log_level level);
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
