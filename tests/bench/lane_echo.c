/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/lane_echo.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/lanes.h"
#include "tests/bench/whole_io.h"

#define BACKLOG 64
/* Of the buffer for a request, so that reading a whole one leaves room: without any, libuv asks for
 * more. */
#define MORE_BYTES 64

struct lane_echo {
	struct lane_echo_spec spec;
	uv_loop_t loop;
	uv_pipe_t listener;
	uv_async_t stop;
	struct lanes *lanes;
	uv_thread_t thread;
	uv_sem_t started;
	int start_result;
};

/* One connection: it has one request at a time, so one job. */
struct session {
	struct lane_echo *echo;
	uv_pipe_t pipe;
	struct job job;
	char *request;
	char *answer;
	size_t n_got; /* of the request */
	bool is_busy;
	bool is_over; /* to be closed when the job is done */
};

/* The loop. ----------------------------------------------------------------------------------- */

static void on_session_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	free(session->request);
	free(session->answer);
	free(session);
}

static void end_session(struct session *session)
{
	session->is_over = true;
	if (session->is_busy)
		uv_read_stop((uv_stream_t *)&session->pipe);
	else
		uv_close((uv_handle_t *)&session->pipe, on_session_closed);
}

static void work(struct job *job, uint32_t worker)
{
	struct session *session = (void *)((char *)job - offsetof(struct session, job));
	const struct lane_echo_spec *spec = &session->echo->spec;
	uint64_t number;

	memcpy(&number, session->request, sizeof(number));
	spec->work(spec->ctx, worker, number);
}

/* An answer is far smaller than the socket's buffer, and the client waits for it. */
static void done(struct job *job)
{
	struct session *session = (void *)((char *)job - offsetof(struct session, job));
	size_t n = session->echo->spec.answer_bytes;
	uv_buf_t answer = uv_buf_init(session->answer, (unsigned)n);

	session->is_busy = false;
	session->n_got = 0;
	if (session->is_over || uv_try_write((uv_stream_t *)&session->pipe, &answer, 1) != (int)n)
		end_session(session);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct session *session = handle->data;

	size_t room = session->echo->spec.request_bytes + MORE_BYTES - session->n_got;

	(void)suggested;
	*ret = uv_buf_init(session->request + session->n_got, (unsigned)room);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct session *session = stream->data;

	(void)buf;
	if (n < 0) {
		end_session(session);
		return;
	}
	session->n_got += (size_t)n;
	if (n == 0 || session->n_got < session->echo->spec.request_bytes)
		return;
	session->is_busy = true;
	lanes_submit(session->echo->lanes, LANE_INTERACTIVE, &session->job);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct lane_echo *echo = listener->data;
	struct session *session = status == 0 ? calloc(1, sizeof(*session)) : NULL;

	if (!session)
		return;
	session->echo = echo;
	session->job = (struct job){.what = "echo", .work = work, .done = done};
	session->request = calloc(1, echo->spec.request_bytes + MORE_BYTES);
	session->answer = calloc(1, echo->spec.answer_bytes);
	uv_pipe_init(&echo->loop, &session->pipe, 0);
	session->pipe.data = session;
	if (!session->request || !session->answer ||
	    uv_accept(listener, (uv_stream_t *)&session->pipe) ||
	    uv_read_start((uv_stream_t *)&session->pipe, on_alloc, on_read))
		end_session(session);
}

static void on_stop(uv_async_t *stop)
{
	struct lane_echo *echo = stop->data;

	lanes_close(echo->lanes, NULL, NULL);
	uv_close((uv_handle_t *)&echo->listener, NULL);
	uv_close((uv_handle_t *)&echo->stop, NULL);
}

/* The lanes belong to the thread of their loop. */
static void run(void *arg)
{
	struct lane_echo *echo = arg;
	const uint32_t n_threads[LANE_N] = {
	        [LANE_INTERACTIVE] = echo->spec.n_workers,
	        [LANE_WRITE] = 1,
	        [LANE_BACKGROUND] = 1,
	};
	int r = lanes_new(&echo->loop, n_threads, NULL, NULL, &echo->lanes);

	echo->start_result = r;
	uv_sem_post(&echo->started);
	if (r) {
		uv_close((uv_handle_t *)&echo->listener, NULL);
		uv_close((uv_handle_t *)&echo->stop, NULL);
	}
	uv_run(&echo->loop, UV_RUN_DEFAULT);
}

/* Life. --------------------------------------------------------------------------------------- */

static int listen_at(struct lane_echo *echo)
{
	int r = uv_pipe_bind(&echo->listener, echo->spec.path);

	return r ? r : uv_listen((uv_stream_t *)&echo->listener, BACKLOG, on_connection);
}

int lane_echo_new(const struct lane_echo_spec *spec, struct lane_echo **ret)
{
	struct lane_echo *echo = calloc(1, sizeof(*echo));
	int r;

	if (!echo)
		return -ENOMEM;
	echo->spec = *spec;
	uv_sem_init(&echo->started, 0);
	uv_loop_init(&echo->loop);
	uv_pipe_init(&echo->loop, &echo->listener, 0);
	uv_async_init(&echo->loop, &echo->stop, on_stop);
	echo->listener.data = echo->stop.data = echo;
	r = listen_at(echo);
	r = r ? r : uv_thread_create(&echo->thread, run, echo);
	if (r) {
		uv_close((uv_handle_t *)&echo->listener, NULL);
		uv_close((uv_handle_t *)&echo->stop, NULL);
		uv_run(&echo->loop, UV_RUN_DEFAULT);
	} else {
		uv_sem_wait(&echo->started);
		r = echo->start_result;
		if (r)
			uv_thread_join(&echo->thread);
	}
	if (r) {
		uv_loop_close(&echo->loop);
		uv_sem_destroy(&echo->started);
		free(echo);
		return r;
	}
	*ret = echo;
	return 0;
}

struct lane_echo *lane_echo_free(struct lane_echo *echo)
{
	if (!echo)
		return NULL;
	uv_async_send(&echo->stop);
	uv_thread_join(&echo->thread);
	uv_loop_close(&echo->loop);
	uv_sem_destroy(&echo->started);
	free(echo);
	return NULL;
}

/* Clients. ------------------------------------------------------------------------------------ */

int lane_echo_connect(const struct lane_echo *echo, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(echo->spec.path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, echo->spec.path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int lane_echo_round_trip(const struct lane_echo *echo, int fd, uint64_t number, char *buf)
{
	int r;

	memcpy(buf, &number, sizeof(number));
	r = write_whole(fd, buf, echo->spec.request_bytes);
	return r ? r : read_whole(fd, buf, echo->spec.answer_bytes);
}
