/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/log.h"
#include "daemon/reading.h"
#include "protocol/limits.h"

/* A response on its way through the kernel's queue. */
struct outgoing {
	uv_write_t write;
	struct session *session;
	uint8_t *data;
	size_t n; /* bytes that uv_write() got */
};

/* A large frame that a worker decodes. */
struct decoding {
	struct job job;
	struct request *request;
	const uint8_t *payload; /* in request->frame */
	int outcome;
	struct wire_error error;
};

/* Sending ------------------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
	struct outgoing *outgoing = write->data;
	struct session *session = outgoing->session;

	session->unread_bytes -= outgoing->n;
	inflight_give_answer(&session->daemon->inflight, outgoing->n);
	free(outgoing->data);
	free(outgoing);
	if (session->closing)
		return;
	if (status < 0 || (session->ended && session->unread_bytes == 0)) {
		session_close(session);
		return;
	}
	daemon_queue_turn(session->daemon, session);
	reading_join(session);
}

/* Queues what the socket did not take at once. */
static int send_later(struct session *session, struct wire_buf *buf, size_t sent)
{
	struct outgoing *outgoing = malloc(sizeof(*outgoing));
	uv_buf_t rest;
	int r;

	if (!outgoing)
		return -ENOMEM;
	outgoing->session = session;
	outgoing->data = buf->data;
	outgoing->n = buf->n - sent;
	outgoing->write.data = outgoing;
	rest = uv_buf_init((char *)buf->data + sent, (unsigned)outgoing->n);
	r = uv_write(&outgoing->write, (uv_stream_t *)&session->pipe, &rest, 1, on_written);
	if (r) {
		free(outgoing);
		return r;
	}
	session->unread_bytes += outgoing->n;
	inflight_add_answer(&session->daemon->inflight, outgoing->n);
	wire_buf_init(buf); /* its memory went along */
	return 0;
}

void session_send(struct session *session, struct wire_buf *buf)
{
	uv_buf_t all = uv_buf_init((char *)buf->data, (unsigned)buf->n);
	int sent = 0;

	if (session->closing)
		return;
	if (session->unread_bytes == 0) {
		sent = uv_try_write((uv_stream_t *)&session->pipe, &all, 1);
		if (sent == UV_EAGAIN)
			sent = 0;
		if (sent < 0) {
			session_close(session);
			return;
		}
	}
	if ((size_t)sent < buf->n && send_later(session, buf, (size_t)sent) < 0)
		session_close(session);
}

/* Tells the client why its stream cannot go on, and ends it once that was read. */
static void session_break(struct session *session, const struct wire_error *error)
{
	struct wire_buf buf;

	wire_buf_init(&buf);
	(void)message_encode_error(&buf, UINT64_MAX, error);
	log_info("client '%s': closed: %s", session->client, error->message);
	session->ended = true;
	if (!buf.failed)
		session_send(session, &buf);
	wire_buf_release(&buf);
	if (!session->closing && session->unread_bytes == 0)
		session_close(session);
}

/* Decoding ------------------------------------------------------------------------------------ */

static void session_decoded(struct session *session, struct request *request, int outcome,
                            const struct wire_error *error)
{
	if (outcome == 0) {
		dispatch(request);
		return;
	}
	if (outcome == MESSAGE_BROKEN && session) {
		session_break(session, error);
		/* That was the answer: what has no id cannot be answered by it. */
		if (request->session)
			session_answered(session, request);
	}
	if (outcome < 0)
		request_refuse_errno(request, outcome, "decoding the request");
	else
		request_refuse_with(request, error);
	request_finish(request);
}

static void decode_work(struct job *job, uint32_t worker)
{
	struct decoding *decoding = LIST_ELEMENT(job, struct decoding, job);
	struct request *request = decoding->request;

	(void)worker;
	decoding->outcome =
	        message_decode_request(decoding->payload, request->frame_bytes, &request->arena,
	                               &request->wire, &decoding->error);
}

static void decode_done(struct job *job)
{
	struct decoding *decoding = LIST_ELEMENT(job, struct decoding, job);
	struct request *request = decoding->request;
	struct session *session = request->session;

	request->job = NULL;
	if (!session) {
		/* Nobody is there any more: whatever it asked for was not begun. */
		request_refuse_errno(request, -ECANCELED, "decoding");
		request_finish(request);
	} else {
		session->decoding = false;
		daemon_queue_turn(session->daemon, session);
		session_decoded(session, request, decoding->outcome, &decoding->error);
	}
	free(decoding);
}

static int decode_on_worker(struct session *session, struct request *request,
                            const uint8_t *payload)
{
	struct decoding *decoding = calloc(1, sizeof(*decoding));

	if (!decoding)
		return -ENOMEM;
	request->frame = frame_splitter_take(&session->splitter);
	if (!request->frame) {
		free(decoding);
		return -ENOMEM;
	}
	decoding->job.what = "decode";
	decoding->job.work = decode_work;
	decoding->job.done = decode_done;
	decoding->request = request;
	decoding->payload = payload;
	session->decoding = true;
	request->job = &decoding->job;
	lanes_submit(session->daemon->lanes, LANE_INTERACTIVE, &decoding->job);
	return 0;
}

static int decode_inline(struct session *session, struct request *request, const uint8_t *payload)
{
	struct wire_error error;
	uint8_t *copy = wire_arena_alloc(&request->arena, request->frame_bytes);
	int outcome;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, payload, request->frame_bytes);
	outcome = message_decode_request(copy, request->frame_bytes, &request->arena,
	                                 &request->wire, &error);
	session_decoded(session, request, outcome, &error);
	return 0;
}

/* Makes a request of a payload whose bytes were taken from the bytes in flight. */
static void session_take_frame(struct session *session, const uint8_t *payload, uint32_t n)
{
	struct request *request = request_new(session->daemon, session, n);
	int r;

	session->wait_bytes = 0;
	if (!request) {
		inflight_give(&session->daemon->inflight, n);
		session_close(session);
		return;
	}
	request->guest_bytes = session->guest_bytes;
	session->guest_bytes = 0;
	asking_note(&session->daemon->asking, session->number, request->started_ns);
	if (n > SESSION_INLINE_BYTES)
		r = decode_on_worker(session, request, payload);
	else
		r = decode_inline(session, request, payload);
	if (r < 0) {
		/* What it would answer has no id before it is decoded. */
		session_close(session);
		request_refuse_errno(request, r, "reading the request");
		request_finish(request);
	}
}

/* Reading ------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
	struct session *session = handle->data;
	void *at = NULL;
	size_t n = 0;

	(void)suggested;
	if (frame_splitter_room(&session->splitter, &at, &n) < 0)
		n = 0;
	*ret = uv_buf_init(at, (unsigned)n);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct session *session = stream->data;

	(void)buf;
	if (n < 0) {
		/* The end of what the client sends is the end of the session: closing cancels. */
		session_close(session);
		return;
	}
	frame_splitter_fed(&session->splitter, (size_t)n);
	session->fed_ns = clock_monotonic_ns(session->daemon->clock);
	session_turn(session);
}

static void session_read(struct session *session, bool on)
{
	if (session->reading == on || session->closing)
		return;
	session->reading = on;
	if (!on)
		uv_read_stop((uv_stream_t *)&session->pipe);
	else if (uv_read_start((uv_stream_t *)&session->pipe, on_alloc, on_read))
		session_close(session);
}

static bool session_is_full(const struct session *session)
{
	return session->n_requests >= LIMIT_SESSION_REQUESTS ||
	       session->request_bytes + session->unread_bytes >= LIMIT_SESSION_BYTES ||
	       session->unread_bytes >= SESSION_UNREAD_BYTES;
}

static void on_granted(struct inflight_wait *wait)
{
	struct session *session = LIST_ELEMENT(wait, struct session, wait);

	session->waiting = false;
	session->wait_bytes = (uint32_t)wait->bytes;
	daemon_queue_turn(session->daemon, session);
}

static void on_roomy(struct guest_wait *wait)
{
	struct session *session = LIST_ELEMENT(wait, struct session, guest_wait);

	session->waiting = false;
	daemon_queue_turn(session->daemon, session);
}

/* Takes n bytes in flight for the frame at hand; false: the session waits for them. */
static bool session_take_bytes(struct session *session, uint32_t n)
{
	if (session->wait_bytes)
		return true;
	if (session->guest && session->guest_bytes == 0) {
		if (!guest_ask(session->guest, &session->guest_wait, n)) {
			session->waiting = true;
			return false;
		}
		session->guest_bytes = n;
	}
	if (!inflight_ask(&session->daemon->inflight, &session->wait, n)) {
		session->waiting = true;
		return false;
	}
	session->wait_bytes = n;
	return true;
}

static void session_frame_broken(struct session *session, uint32_t n)
{
	struct wire_error error;

	wire_error_set(&error, WIRE_ERROR_BAD_FRAME, NULL,
	               "a frame of %u bytes; the limit is 1 to %u", n, (unsigned)LIMIT_FRAME_BYTES);
	session_break(session, &error);
}

/* Dispatches the next frame; false when there is none now. */
static bool session_step(struct session *session)
{
	const uint8_t *payload = session->held;
	uint32_t n = session->held_n;
	int r = 0;

	if (!payload)
		r = frame_splitter_next(&session->splitter, &payload, &n);
	if (r == FRAME_BROKEN) {
		session_frame_broken(session, n);
		return false;
	}
	if (r == FRAME_MORE)
		return false;
	/* A payload stays where it is while nothing is read; so it can wait for its bytes. */
	session->held = r == 0 ? payload : NULL;
	session->held_n = n;
	if (!session_take_bytes(session, n))
		return false;
	session->held = NULL;
	if (r == FRAME_ASK) {
		session->claim_ns = clock_monotonic_ns(session->daemon->clock);
		frame_splitter_allow(&session->splitter);
	} else {
		session->claim_ns = 0;
		session_take_frame(session, payload, n);
	}
	return true;
}

static bool session_may_go_on(const struct session *session)
{
	return !session->closing && !session->ended && !session->waiting && !session->decoding &&
	       !session_is_full(session);
}

void session_turn(struct session *session)
{
	struct daemon *daemon = session->daemon;
	uint64_t began_ns = clock_monotonic_ns(daemon->clock), now_ns = began_ns;
	uint32_t n_frames = 0;
	bool has_more = true;

	while (n_frames < SESSION_TURN_FRAMES && now_ns - began_ns < SESSION_TURN_NS &&
	       session_may_go_on(session) && (has_more = session_step(session))) {
		n_frames++;
		now_ns = clock_monotonic_ns(daemon->clock);
	}
	if (session->closing)
		return;
	if (!share_spend(&session->share, began_ns, now_ns) &&
	    asking_is_shared(&daemon->asking, now_ns))
		daemon_rest_session(daemon, session);
	else if (has_more && session_may_go_on(session))
		daemon_queue_turn(daemon, session);
	session_read(session, list_empty(&session->turn_link) && session_may_go_on(session));
}

void session_answered(struct session *session, struct request *request)
{
	bool was_full = session_is_full(session);

	list_remove(&request->session_link);
	request->session = NULL;
	session->n_requests--;
	session->request_bytes -= request->frame_bytes;
	if (was_full)
		daemon_queue_turn(session->daemon, session);
}

/* Life ---------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;
	struct daemon *daemon = session->daemon;

	frame_splitter_release(&session->splitter);
	free(session);
	daemon->n_handles--;
	daemon_closed_one(daemon);
}

void session_close(struct session *session)
{
	struct list *link;

	if (session->closing)
		return;
	session->closing = true;
	session->daemon->n_sessions--;
	list_remove(&session->link);
	list_remove(&session->turn_link);
	inflight_forget(&session->wait);
	guest_forget(&session->guest_wait);
	if (session->guest) {
		session->guest->n_sessions--;
		guest_give(session->guest, session->guest_bytes);
	}
	session->guest_bytes = 0;
	inflight_give(&session->daemon->inflight, session->wait_bytes);
	session->wait_bytes = 0;
	while ((link = list_pop(&session->requests))) {
		struct request *request = LIST_ELEMENT(link, struct request, session_link);

		request->session = NULL;
		if (request->job)
			job_cancel(request->job);
	}
	reading_forget(session);
	uv_close((uv_handle_t *)&session->pipe, on_closed);
}

/* Whether somebody waits for the memory that it has. */
static bool is_waited_for(const struct session *session)
{
	return inflight_is_waited_for(&session->daemon->inflight) ||
	       (session->guest && !list_empty(&session->guest->waiting));
}

void session_check_claim(struct session *session, uint64_t now_ns)
{
	uint64_t claim_ns = session->claim_ns;
	uint64_t last_ns = session->fed_ns > claim_ns ? session->fed_ns : claim_ns;
	struct wire_error error;

	if (claim_ns == 0 || session->closing || session->ended || !session->reading ||
	    !is_waited_for(session) ||
	    (now_ns - last_ns < SESSION_CLAIM_PAUSE_MS * UINT64_C(1000000) &&
	     now_ns - claim_ns < SESSION_CLAIM_WHOLE_MS * UINT64_C(1000000)))
		return;
	wire_error_set(&error, WIRE_ERROR_BAD_FRAME, NULL,
	               "a frame of %u bytes did not come while others waited for its memory",
	               session->wait_bytes);
	session_break(session, &error);
	session_close(session);
}

void session_note_deadline(struct session *session, uint64_t due_ns)
{
	if (due_ns < session->due_ns)
		session->due_ns = due_ns;
}

void session_check_deadlines(struct session *session, uint64_t now_ns)
{
	struct list *link = session->requests.next;

	if (now_ns < session->due_ns)
		return;
	session->due_ns = UINT64_MAX;
	/* Closing lets go of all of them. */
	while (!session->closing && link != &session->requests) {
		struct request *request = LIST_ELEMENT(link, struct request, session_link);

		link = link->next;
		if (request->late)
			continue;
		if (request->due_ns <= now_ns)
			request_expire(request);
		else
			session_note_deadline(session, request->due_ns);
	}
}

void session_check_stall(struct session *session, uint64_t now_ns)
{
	size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);

	if (session->closing)
		return;
	if (queued == 0 || queued != session->stalled_queue) {
		session->stalled_queue = queued;
		session->stalled_ns = now_ns;
	} else if (now_ns - session->stalled_ns >= SESSION_STALL_MS * UINT64_C(1000000)) {
		log_warning("client '%s': closed: it left %zu bytes of answers unread for %u s",
		            session->client, queued, SESSION_STALL_MS / 1000);
		session_close(session);
	}
}

int session_new(struct daemon *daemon, int fd, uid_t uid, struct guest *guest)
{
	struct session *session = calloc(1, sizeof(*session));
	int r;

	if (!session) {
		close(fd);
		return -ENOMEM;
	}
	r = uv_pipe_init(daemon->loop, &session->pipe, 0);
	if (r) {
		free(session);
		close(fd);
		return r;
	}
	session->daemon = daemon;
	session->uid = uid;
	session->due_ns = UINT64_MAX;
	session->pipe.data = session;
	session->wait.granted = on_granted;
	list_init(&session->wait.link);
	session->guest = guest;
	if (guest)
		guest->n_sessions++;
	session->guest_wait.roomy = on_roomy;
	list_init(&session->guest_wait.link);
	list_init(&session->turn_link);
	list_init(&session->requests);
	list_init(&session->reads);
	list_init(&session->reads_link);
	session->number = ++daemon->session_numbers;
	strcpy(session->client, "?");
	frame_splitter_init(&session->splitter, LIMIT_FRAME_BYTES);
	list_append(&daemon->sessions, &session->link);
	daemon->n_sessions++;
	daemon->n_handles++;
	r = uv_pipe_open(&session->pipe, fd);
	if (r) {
		close(fd);
		session_close(session);
		return r;
	}
	session_read(session, true);
	return 0;
}
