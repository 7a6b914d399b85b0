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

/* Answers that the socket did not take at once. */
struct outgoing {
	struct list link; /* in the session's unread */
	uv_write_t write;
	struct session *session;
	uint8_t *data;
	size_t sent, n, size; /* before it came here; bytes in it; that there is room for */
};

/* Small answers that wait go together, into so much: a client that reads nothing must not have a
 * thousand times a few bytes of memory each, all to be given back at once when it goes. */
#define OUTGOING_BYTES (16u << 10)

/* A large frame that a worker decodes. */
struct decoding {
	struct job job;
	struct request *request;
	const uint8_t *payload; /* in request->frame */
	int outcome;
	struct wire_error error;
};

/* Sending ------------------------------------------------------------------------------------- */

static void outgoing_free(struct outgoing *outgoing)
{
	struct session *session = outgoing->session;

	list_remove(&outgoing->link);
	session->unread_bytes -= outgoing->n;
	inflight_give_answer(&session->daemon->inflight, outgoing->n);
	free(outgoing->data);
	free(outgoing);
}

static int write_next(struct session *session);

static void on_written(uv_write_t *write, int status)
{
	struct outgoing *outgoing = write->data;
	struct session *session = outgoing->session;

	outgoing_free(outgoing);
	if (session->closing)
		return;
	if (status < 0 || (session->ended && session->unread_bytes == 0) ||
	    write_next(session) < 0) {
		session_close(session);
		return;
	}
	daemon_queue_turn(session->daemon, session);
	reading_join(session);
}

/* Writes the first of what waits, if anything does. */
static int write_next(struct session *session)
{
	struct outgoing *outgoing;
	uv_buf_t all;

	if (list_empty(&session->unread))
		return 0;
	outgoing = LIST_ELEMENT(session->unread.next, struct outgoing, link);
	all = uv_buf_init((char *)outgoing->data + outgoing->sent, (unsigned)outgoing->n);
	outgoing->write.data = outgoing;
	return uv_write(&outgoing->write, (uv_stream_t *)&session->pipe, &all, 1, on_written);
}

/* The last of what waits, when n bytes more have room there and it is not being written. */
static struct outgoing *last_with_room(const struct session *session, size_t n)
{
	struct list *last = session->unread.prev;
	struct outgoing *outgoing;

	if (last == session->unread.next)
		return NULL; /* there is none, or only the first */
	outgoing = LIST_ELEMENT(last, struct outgoing, link);
	return outgoing->size - outgoing->n >= n ? outgoing : NULL;
}

static struct outgoing *outgoing_new(struct session *session, uint8_t *data, size_t size)
{
	struct outgoing *outgoing = data ? calloc(1, sizeof(*outgoing)) : NULL;

	if (!outgoing)
		return NULL;
	outgoing->session = session;
	outgoing->data = data;
	outgoing->size = size;
	list_append(&session->unread, &outgoing->link);
	return outgoing;
}

/* Queues what the socket did not take at once. */
static int send_later(struct session *session, struct wire_buf *buf, size_t sent)
{
	size_t n = buf->n - sent;
	struct outgoing *outgoing = last_with_room(session, n);
	bool is_first = list_empty(&session->unread), is_small = n < OUTGOING_BYTES / 4;
	uint8_t *room = NULL;

	if (!outgoing && is_small)
		outgoing = outgoing_new(session, room = malloc(OUTGOING_BYTES), OUTGOING_BYTES);
	if (outgoing) {
		memcpy(outgoing->data + outgoing->n, buf->data + sent, n);
	} else {
		if (!is_small)
			outgoing = outgoing_new(session, buf->data, n);
		if (!outgoing) {
			free(room);
			return -ENOMEM;
		}
		outgoing->sent = sent;
		wire_buf_init(buf); /* its memory went along */
	}
	outgoing->n += n;
	session->unread_bytes += n;
	inflight_add_answer(&session->daemon->inflight, n);
	return is_first ? write_next(session) : 0;
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
	asking_note(&session->daemon->peers_asking, session->peer->number, request->started_ns);
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
	/* None while there is a frame that waits for its turn. */
	if (frame_splitter_room(&session->splitter, &at, &n) < 0)
		n = 0;
	*ret = uv_buf_init(at, (unsigned)n);
}

static void session_read(struct session *session, bool on);

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct session *session = stream->data;

	(void)buf;
	if (n == UV_ENOBUFS && !list_empty(&session->turn_link)) {
		session_read(session, false); /* the turn goes on with it */
		return;
	}
	if (n < 0) {
		/* The end of what the client sends is the end of the session: closing cancels. */
		session_close(session);
		return;
	}
	frame_splitter_fed(&session->splitter, (size_t)n);
	session->fed_ns = clock_monotonic_ns(session->daemon->clock);
	daemon_queue_turn(session->daemon, session);
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

void session_turn(struct session *session, struct turn *turn)
{
	struct daemon *daemon = session->daemon;
	uint64_t began_ns = turn->now_ns;
	bool has_more = true;

	while (!turn_is_over(turn) && session_may_go_on(session) &&
	       (has_more = session_step(session))) {
		turn->n_frames++;
		turn->now_ns = clock_monotonic_ns(daemon->clock);
	}
	if (session->closing)
		return;
	if (!share_spend(&session->share, began_ns, turn->now_ns) &&
	    asking_is_shared(&daemon->asking, turn->now_ns))
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

	while (!list_empty(&session->unread))
		outgoing_free(LIST_ELEMENT(session->unread.next, struct outgoing, link));
	frame_splitter_release(&session->splitter);
	peer_unref(session->peer);
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
	session->peer->n_sessions--;
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
	size_t queued;

	if (session->closing)
		return;
	/* Of the first of them libuv knows how much is left. */
	queued = session->unread_bytes;
	if (queued > 0)
		queued += uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe) -
		          LIST_ELEMENT(session->unread.next, struct outgoing, link)->n;
	if (queued == 0 || queued != session->stalled_queue) {
		session->stalled_queue = queued;
		session->stalled_ns = now_ns;
	} else if (now_ns - session->stalled_ns >= SESSION_STALL_MS * UINT64_C(1000000)) {
		log_warning("client '%s': closed: it left %zu bytes of answers unread for %u s",
		            session->client, queued, SESSION_STALL_MS / 1000);
		session_close(session);
	}
}

int session_new(struct daemon *daemon, int fd, struct peer *peer, struct guest *guest)
{
	struct session *session = calloc(1, sizeof(*session));
	int r = session ? 0 : -ENOMEM;

	if (r == 0)
		r = uv_pipe_init(daemon->loop, &session->pipe, 0);
	if (r) {
		peer_unref(peer);
		free(session);
		close(fd);
		return r;
	}
	session->daemon = daemon;
	session->peer = peer;
	peer->n_sessions++;
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
	list_init(&session->unread);
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
