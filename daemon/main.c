/* SPDX-License-Identifier: Apache-2.0 */

/* kithd: configuration, signals, and the loop. See kithd.8. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/notify.h"

struct signals {
	struct daemon *daemon;
	uv_signal_t term, interrupt;
};

static void unwatch(struct signals *signals)
{
	uv_close((uv_handle_t *)&signals->term, NULL);
	uv_close((uv_handle_t *)&signals->interrupt, NULL);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct signals *signals = signal->data;

	log_info("stopping: %s", strsignal(number));
	notify_stopping();
	unwatch(signals);
	daemon_stop(signals->daemon);
}

static void watch(uv_loop_t *loop, struct signals *signals, uv_signal_t *signal, int number)
{
	uv_signal_init(loop, signal);
	signal->data = signals;
	uv_signal_start_oneshot(signal, on_signal, number);
}

static int serve(uv_loop_t *loop, struct daemon *daemon)
{
	struct signals signals = {.daemon = daemon};
	int fd = notify_listen_fd();
	int r;

	if (fd < 0 && fd != -1) {
		log_error("the service manager handed over something else than one listening "
		          "Unix socket");
		return fd;
	}
	/* Whoever finds it listening may stop it at once. */
	watch(loop, &signals, &signals.term, SIGTERM);
	watch(loop, &signals, &signals.interrupt, SIGINT);
	r = daemon_listen(daemon, fd);
	if (r < 0) {
		unwatch(&signals);
		uv_run(loop, UV_RUN_NOWAIT); /* closes them while they are there */
		return r;
	}
	notify_ready();
	log_info("version %s, %s kernels, data in %s", KITH_VERSION, daemon->kernels->name,
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
	const struct daemon_world world = {.io = store_io_posix(), .clock = clock_system()};
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
