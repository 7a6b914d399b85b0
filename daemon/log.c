/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	enum config_log_level level;
	bool journal; /* stderr is the journal's socket */
	void (*tell)(void *ctx, bool is_warning, const char *text);
	void *tell_ctx;
} log_to = {.level = CONFIG_LOG_INFO};

/* The service manager names the journal's socket by device and inode, so that a redirected stderr
 * is not taken for it. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat stat;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &stat) == 0 && stat.st_dev == (dev_t)device &&
	       stat.st_ino == (ino_t)inode;
}

void log_open(enum config_log_level level)
{
	log_to.level = level;
	log_to.journal = stderr_is_journal();
}

void log_tell(void (*tell)(void *ctx, bool is_warning, const char *text), void *ctx)
{
	log_to.tell = tell;
	log_to.tell_ctx = ctx;
}

static void write_all(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return; /* nobody to tell */
		text += n;
		length -= (size_t)n;
	}
}

/* One write a line: lines of different threads do not mix. */
__attribute__((format(printf, 2, 0))) static void write_line(enum config_log_level level,
                                                             const char *format, va_list args)
{
	/* syslog(3): err, warning, info, debug */
	static const char *const priorities[] = {
	        [CONFIG_LOG_ERROR] = "<3>",
	        [CONFIG_LOG_WARNING] = "<4>",
	        [CONFIG_LOG_INFO] = "<6>",
	        [CONFIG_LOG_DEBUG] = "<7>",
	};
	static const char cut[] = "...";
	char line[LOG_LINE_SIZE + 1]; /* the newline takes the place of the NUL */
	int saved_errno = errno;
	size_t start, length;
	int n;

	bool told = log_to.tell && level <= CONFIG_LOG_WARNING;

	if (level > log_to.level && !told)
		return;
	start = (size_t)snprintf(line, sizeof(line), "%s",
	                         log_to.journal ? priorities[level] : "kithd: ");
	n = vsnprintf(line + start, LOG_LINE_SIZE - start, format, args);
	length = start + (n > 0 ? (size_t)n : 0);
	if (length >= LOG_LINE_SIZE) {
		length = LOG_LINE_SIZE - 1;
		memcpy(line + length - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
	}
	for (size_t i = start; i < length; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[length] = '\0';
	if (told)
		log_to.tell(log_to.tell_ctx, level == CONFIG_LOG_WARNING, line + start);
	line[length++] = '\n';
	if (level <= log_to.level)
		write_all(line, length);
	errno = saved_errno;
}

#define LOG_FUNCTION(name, level)                \
	void name(const char *format, ...)       \
	{                                        \
		va_list args;                    \
                                                 \
		va_start(args, format);          \
		write_line(level, format, args); \
		va_end(args);                    \
	}
LOG_FUNCTION(log_error, CONFIG_LOG_ERROR)
LOG_FUNCTION(log_warning, CONFIG_LOG_WARNING)
LOG_FUNCTION(log_info, CONFIG_LOG_INFO)
LOG_FUNCTION(log_debug, CONFIG_LOG_DEBUG)
