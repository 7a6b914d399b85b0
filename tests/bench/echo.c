/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/echo.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/whole_io.h"

struct echo {
	struct echo_spec spec;
	int fd;
	int thread_fd;
	char *buf; /* of the caller's side */
	pthread_t thread;
	_Atomic pid_t thread_id; /* 0 until the thread runs */
};

static size_t larger_of(const struct echo_spec *spec)
{
	return spec->request_bytes > spec->answer_bytes ? spec->request_bytes : spec->answer_bytes;
}

static void *answer(void *arg)
{
	struct echo *echo = arg;
	const struct echo_spec *spec = &echo->spec;
	char *buf = calloc(1, larger_of(spec));

	echo->thread_id = gettid();
	while (buf && read_whole(echo->thread_fd, buf, spec->request_bytes) == 0) {
		if (spec->work)
			spec->work(spec->ctx);
		if (write_whole(echo->thread_fd, buf, spec->answer_bytes))
			break;
	}
	free(buf);
	return NULL;
}

int echo_new(const struct echo_spec *spec, struct echo **ret)
{
	struct echo *echo = calloc(1, sizeof(*echo));
	int ends[2];
	int r;

	if (!echo)
		return -ENOMEM;
	echo->spec = *spec;
	echo->buf = calloc(1, larger_of(spec));
	if (!echo->buf || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		r = echo->buf ? -errno : -ENOMEM;
		free(echo->buf);
		free(echo);
		return r;
	}
	echo->fd = ends[0];
	echo->thread_fd = ends[1];
	r = pthread_create(&echo->thread, NULL, answer, echo);
	if (r) {
		close(echo->fd);
		close(echo->thread_fd);
		free(echo->buf);
		free(echo);
		return -r;
	}
	*ret = echo;
	return 0;
}

struct echo *echo_free(struct echo *echo)
{
	if (!echo)
		return NULL;
	close(echo->fd);
	pthread_join(echo->thread, NULL);
	close(echo->thread_fd);
	free(echo->buf);
	free(echo);
	return NULL;
}

pid_t echo_thread_id(const struct echo *echo)
{
	while (echo->thread_id == 0)
		sched_yield();
	return echo->thread_id;
}

int echo_round_trip(struct echo *echo)
{
	int r = write_whole(echo->fd, echo->buf, echo->spec.request_bytes);

	return r ? r : read_whole(echo->fd, echo->buf, echo->spec.answer_bytes);
}
