/* SPDX-License-Identifier: Apache-2.0 */

/* kithd: configuration, signals, and the loop. See kithd.8. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "index/kernels.h"

/* SIGTERM and SIGINT are blocked from the start and read from a descriptor: one that comes while
 * the daemon starts waits to be read, and no handler runs beside the code. */
struct stop_signals {
	struct daemon *daemon;
	uv_poll_t poll;
	int fd;
};

static sigset_t stop_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return set;
}

static void on_closed(uv_handle_t *handle)
{
	struct stop_signals *signals = handle->data;

	close(signals->fd);
}

/* From now on they end the process at once, for who will not wait for a clean stop. */
static void unwatch(struct stop_signals *signals)
{
	const sigset_t set = stop_set();

	uv_close((uv_handle_t *)&signals->poll, on_closed);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
	struct stop_signals *signals = poll->data;
	struct signalfd_siginfo info;

	(void)status;
	(void)events;
	if (read(signals->fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("stopping: %s", strsignal((int)info.ssi_signo));
	notify_stopping();
	unwatch(signals);
	daemon_stop(signals->daemon);
}

static int watch(uv_loop_t *loop, struct stop_signals *signals)
{
	const sigset_t set = stop_set();
	int r;

	signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (signals->fd < 0)
		return -errno;
	r = uv_poll_init(loop, &signals->poll, signals->fd);
	if (r < 0) {
		close(signals->fd);
		return r;
	}
	signals->poll.data = signals;
	uv_poll_start(&signals->poll, UV_READABLE, on_signal);
	return 0;
}

static int serve(uv_loop_t *loop, struct daemon *daemon)
{
	struct stop_signals signals = {.daemon = daemon};
	int fd = notify_listen_fd();
	int r;

	if (fd < 0 && fd != -1) {
		log_error("the service manager handed over something else than one listening "
		          "Unix socket");
		return fd;
	}
	r = watch(loop, &signals);
	if (r < 0) {
		log_error("cannot watch for signals: %s", strerror(-r));
		return r;
	}
	r = daemon_listen(daemon, fd);
	if (r < 0) {
		unwatch(&signals);
		uv_run(loop, UV_RUN_NOWAIT); /* closes it while it is there */
		return r;
	}
	notify_ready();
	log_info("version %s, %s kernels, data in %s", KITH_VERSION, kernels_best(DTYPE_F32)->name,
	         daemon->config.data_dir);
	uv_run(loop, UV_RUN_DEFAULT);
	return 0;
}

/* Whoever starts it may have closed these. A file of ours must not be where the log is written, and
 * libuv does not close what has such a number. */
static bool fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	const struct pressure_source pressure = {
	        .watch = getenv("MEMORY_PRESSURE_WATCH"),
	        .write = getenv("MEMORY_PRESSURE_WRITE"),
	};
	const struct daemon_world world = {
	        .io = store_io_posix(),
	        .clock = clock_system(),
	        .owner = geteuid(),
	        .pressure = &pressure,
	};
	const sigset_t stop = stop_set();
	struct config config;
	struct daemon *daemon;
	uv_loop_t loop;
	int r;

	if (!fill_standard_streams())
		return EXIT_FAILURE;
	r = config_load(&config, argc, argv);
	if (r == CONFIG_EXIT_OK)
		return EXIT_SUCCESS;
	if (r)
		return r == CONFIG_EXIT_USAGE ? 2 : EXIT_FAILURE;
	log_open(config.log_level);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	r = uv_loop_init(&loop);
	if (r < 0) {
		log_error("cannot make the event loop: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = daemon_new(&loop, &config, &world, &daemon);
	if (r == 0) {
		r = serve(&loop, daemon);
		daemon_free(daemon);
	}
	uv_loop_close(&loop);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
