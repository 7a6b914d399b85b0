/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/log.h"

#define NS_PER_MS UINT64_C(1000000)
#define SYSTEM_PATH "/proc/pressure/memory"
#define PATH_SIZE 1024
/* A trigger is a line. */
#define WRITE_BYTES_MAX 256

/* Opening ------------------------------------------------------------------------------------- */

/* Bytes of a base64 text; -EINVAL when it is none, or too long. */
static int decode(const char *text, uint8_t bytes[static WRITE_BYTES_MAX], size_t *ret_n)
{
	static const char digits[] =
	        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n_text = strcspn(text, "="), n = 0;
	uint32_t bits = 0;

	if (strspn(text + n_text, "=") != strlen(text + n_text) || n_text % 4 == 1 ||
	    n_text / 4 * 3 + 3 > WRITE_BYTES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n_text; i++) {
		const char *digit = strchr(digits, text[i]);

		if (!digit)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(digit - digits);
		/* Each digit but the first of four completes a byte. */
		if (i % 4 != 0)
			bytes[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*ret_n = n;
	return 0;
}

static int open_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

/* Opens what is at path and writes to it what is to be written. A FIFO is not written to: we would
 * read it ourselves. */
static int open_source(const char *path, const void *bytes, size_t n, int *ret_events)
{
	struct stat is;
	int fd;

	if (stat(path, &is) < 0)
		return -errno;
	*ret_events = S_ISREG(is.st_mode) ? UV_PRIORITIZED : UV_READABLE;
	/* Both ways, so that a FIFO that nobody writes to is not at its end. */
	fd = S_ISSOCK(is.st_mode) ? open_socket(path)
	                          : open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return S_ISSOCK(is.st_mode) ? fd : -errno;
	if (n > 0 && !S_ISFIFO(is.st_mode) && write(fd, bytes, n) != (ssize_t)n) {
		int r = errno ? -errno : -EIO;

		close(fd);
		return r;
	}
	return fd;
}

/* The file of our own control group (version 2), as the kernel names it; "" when there is none. */
static void find_cgroup(char path[static PATH_SIZE])
{
	char line[PATH_SIZE - 64];
	FILE *file = fopen("/proc/self/cgroup", "re");

	path[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, PATH_SIZE, "/sys/fs/cgroup%s/memory.pressure", line + 3);
	}
	if (file)
		fclose(file);
}

/* A kernel's file: the trigger ends with its zero. */
static int open_psi(const char *path, int *ret_events)
{
	return open_source(path, PRESSURE_TRIGGER, sizeof(PRESSURE_TRIGGER), ret_events);
}

static int open_any(struct pressure *pressure, const struct pressure_source *source)
{
	uint8_t bytes[WRITE_BYTES_MAX];
	char path[PATH_SIZE];
	size_t n = 0;
	int r = source->watch && source->write ? decode(source->write, bytes, &n) : 0;

	if (r < 0)
		return r;
	if (source->watch) {
		pressure->from = "manager";
		return open_source(source->watch, bytes, n, &pressure->events);
	}
	find_cgroup(path);
	pressure->from = "cgroup";
	r = path[0] ? open_psi(path, &pressure->events) : -ENOENT;
	if (r < 0) {
		pressure->from = "system";
		r = open_psi(SYSTEM_PATH, &pressure->events);
	}
	return r;
}

/* Words --------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
	struct pressure *pressure = handle->data;

	close(pressure->fd);
	pressure->fd = -1;
}

/* Nobody says any more. */
static void give_up(struct pressure *pressure, int error)
{
	log_info("memory pressure is not watched any more: %s", strerror(-error));
	pressure->from = "";
	pressure_close(pressure);
}

/* What a FIFO or socket holds is of no interest; false: its other end is closed. */
static bool drain(struct pressure *pressure)
{
	char bytes[256];
	ssize_t n;

	do
		n = read(pressure->fd, bytes, sizeof(bytes));
	while (n > 0);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void set_pauses(struct pressure *pressure, uint64_t now_ns)
{
	bool pauses =
	        pressure->on && now_ns - pressure->since_ns < PRESSURE_PAUSE_MAX_MS * NS_PER_MS;

	atomic_store_explicit(&pressure->pauses, pauses, memory_order_relaxed);
}

static void on_word(uv_poll_t *poll, int status, int events)
{
	struct pressure *pressure = poll->data;

	if (status < 0) {
		give_up(pressure, status);
		return;
	}
	if (events & UV_READABLE && !drain(pressure)) {
		give_up(pressure, -ECONNRESET);
		return;
	}
	pressure->last_ns = clock_monotonic_ns(pressure->clock);
	pressure->n_words++;
	if (!pressure->on) {
		pressure->on = true;
		pressure->since_ns = pressure->last_ns;
		pressure->n_times++;
	}
	set_pauses(pressure, pressure->last_ns);
	pressure->pressed(pressure);
}

/* Life ---------------------------------------------------------------------------------------- */

void pressure_open(struct pressure *pressure, uv_loop_t *loop, struct clock *clock,
                   const struct pressure_source *source, void (*pressed)(struct pressure *pressure))
{
	int r;

	*pressure = (struct pressure){
	        .loop = loop, .clock = clock, .pressed = pressed, .fd = -1, .from = ""};
	/* So the manager says that nobody is to watch. */
	if (!source || (source->watch && strcmp(source->watch, "/dev/null") == 0))
		return;
	r = open_any(pressure, source);
	if (r >= 0) {
		pressure->fd = r;
		r = uv_poll_init(loop, &pressure->poll, pressure->fd);
		if (r < 0)
			close(pressure->fd);
	}
	if (r < 0) {
		pressure->fd = -1;
		pressure->from = "";
		log_info("memory pressure cannot be watched: %s", strerror(-r));
		return;
	}
	pressure->poll.data = pressure;
	uv_poll_start(&pressure->poll, pressure->events, on_word);
}

void pressure_close(struct pressure *pressure)
{
	if (pressure->poll.data && !uv_is_closing((uv_handle_t *)&pressure->poll))
		uv_close((uv_handle_t *)&pressure->poll, on_poll_closed);
}

bool pressure_look(struct pressure *pressure)
{
	uint64_t now_ns = clock_monotonic_ns(pressure->clock);
	bool was_on = pressure->on;

	pressure->on = was_on && now_ns - pressure->last_ns < PRESSURE_HOLD_MS * NS_PER_MS;
	set_pauses(pressure, now_ns);
	return was_on && !pressure->on;
}
