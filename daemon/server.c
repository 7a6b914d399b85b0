/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/peer.h"
#include "daemon/session.h"
#include "daemon/share.h"
#include "protocol/limits.h"
#include "protocol/message.h"

/* Connections that the kernel holds until they are accepted. */
#define SERVER_BACKLOG 128
/* Connections that are accepted before it is the sessions' turn: a flood of connects must not keep
 * the loop from those that are in. */
#define SERVER_TURN_CONNECTIONS 4

struct server {
	struct daemon *daemon;
	uv_poll_t poll;
	uv_timer_t moment;  /* runs while it waits for the next one */
	uint64_t moment_ns; /* when this one began, by the daemon's clock */
	uint32_t n_taken;   /* in it */
	uint32_t n_handles;
	int fd;
	int spare_fd; /* given up for a moment when descriptors are out; < 0: there is none */
	bool own;     /* made here: unlinked at the end */
	bool full_said;
};

/* Accepting ----------------------------------------------------------------------------------- */

static void turn_away(int fd, enum wire_error_code code, const char *field, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/* Says why there is no place for it, if the socket takes that, and closes. */
static void turn_away(int fd, enum wire_error_code code, const char *field, const char *format, ...)
{
	char message[WIRE_ERROR_MESSAGE_SIZE];
	struct wire_error error;
	struct wire_buf buf;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	wire_error_set(&error, code, field, "%s", message);
	wire_buf_init(&buf);
	if (message_encode_error(&buf, UINT64_MAX, &error) == 0)
		(void)!send(fd, buf.data, buf.n, MSG_DONTWAIT | MSG_NOSIGNAL);
	wire_buf_release(&buf);
	close(fd);
}

/* Whether that user may come in; if not, it was turned away. */
static bool check_user(struct daemon *daemon, int fd, struct ucred *ret_peer,
                       struct guest **ret_guest)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0) {
		log_error("cannot tell who connects: %s", strerror(errno));
		close(fd);
		return false;
	}
	*ret_peer = peer;
	*ret_guest = NULL;
	if (peer.uid == daemon->owner)
		return true;
	*ret_guest = guests_find(&daemon->guests, peer.uid);
	if (!*ret_guest) {
		log_warning("refused a connection of uid %u (process %d)", (unsigned)peer.uid,
		            (int)peer.pid);
		turn_away(fd, WIRE_ERROR_OWNER_ONLY, NULL,
		          "this daemon is that of uid %u, and allow_uids does not name uid %u",
		          (unsigned)daemon->owner, (unsigned)peer.uid);
		return false;
	}
	if ((*ret_guest)->n_sessions < LIMIT_GUEST_CONNECTIONS)
		return true;
	log_warning("refused a connection of uid %u: it has %d, which is the limit",
	            (unsigned)peer.uid, LIMIT_GUEST_CONNECTIONS);
	turn_away(fd, WIRE_ERROR_OVER_LIMIT, "guest_connections",
	          "uid %u has %d connections, which is the limit", (unsigned)peer.uid,
	          LIMIT_GUEST_CONNECTIONS);
	return false;
}

/* A reference to the process, or the guest, that comes in; NULL: it was turned away. */
static struct peer *take_peer(struct daemon *daemon, int fd, const struct ucred *other,
                              const struct guest *guest)
{
	/* A guest is one, however many processes it has. */
	struct peer *peer = peer_get(daemon, other->uid, guest ? 0 : other->pid);

	if (!peer) {
		log_error("cannot serve a connection: %s", strerror(ENOMEM));
		close(fd);
		return NULL;
	}
	if (peer->n_sessions < LIMIT_PROCESS_CONNECTIONS) {
		peer->full_said = false;
		return peer;
	}
	if (!peer->full_said)
		log_warning("refused a connection of process %d: it has %d, which is the limit",
		            (int)peer->pid, LIMIT_PROCESS_CONNECTIONS);
	peer->full_said = true;
	turn_away(fd, WIRE_ERROR_OVER_LIMIT, "process_connections",
	          "process %d has %d connections, which is the limit", (int)peer->pid,
	          LIMIT_PROCESS_CONNECTIONS);
	return peer_unref(peer);
}

static void accept_one(struct server *server, int fd)
{
	struct daemon *daemon = server->daemon;
	struct guest *guest;
	struct peer *peer;
	struct ucred other;
	int r;

	if (daemon->n_sessions >= LIMIT_CONNECTIONS) {
		if (!server->full_said)
			log_warning("refused a connection: there are %u, which is the limit",
			            (unsigned)LIMIT_CONNECTIONS);
		server->full_said = true;
		turn_away(fd, WIRE_ERROR_OVER_LIMIT, "connections",
		          "there are %u connections, which is the limit",
		          (unsigned)LIMIT_CONNECTIONS);
		return;
	}
	server->full_said = false;
	if (!check_user(daemon, fd, &other, &guest))
		return;
	peer = take_peer(daemon, fd, &other, guest);
	if (!peer)
		return;
	r = session_new(daemon, fd, peer, guest);
	if (r < 0)
		log_error("cannot serve a connection: %s", strerror(-r));
}

/* A connection that waits while descriptors are out would wake the loop again and again: it is
 * taken with the spare one, and closed. Whether one was. */
static bool turn_one_away(struct server *server)
{
	int fd;

	if (!server->full_said)
		log_warning("refused a connection: no file descriptors are left");
	server->full_said = true;
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		turn_away(fd, WIRE_ERROR_OVER_LIMIT, "connections",
		          "no file descriptors are left for another connection");
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

static void on_readable(uv_poll_t *poll, int status, int events);

static void on_moment(uv_timer_t *timer)
{
	struct server *server = timer->data;

	uv_poll_start(&server->poll, UV_READABLE, on_readable);
}

/* Whether one more may come in now; if not, it is looked at again when the moment should be over.
 */
static bool has_place(struct server *server)
{
	uint64_t now_ns = clock_monotonic_ns(server->daemon->clock);

	if (now_ns - server->moment_ns >= SHARE_MOMENT_NS) {
		server->moment_ns = now_ns;
		server->n_taken = 0;
	}
	if (server->n_taken < SHARE_CONNECTIONS)
		return true;
	uv_poll_stop(&server->poll);
	uv_timer_start(&server->moment, on_moment, SHARE_MOMENT_NS / 1000000, 0);
	return false;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct server *server = poll->data;

	(void)status;
	(void)events;
	/* What is left wakes the loop again. */
	for (uint32_t i = 0; i < SERVER_TURN_CONNECTIONS && has_place(server); i++) {
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			accept_one(server, fd);
		else if (errno == EINTR || errno == ECONNABORTED)
			continue;
		else if ((errno != EMFILE && errno != ENFILE) || !turn_one_away(server))
			return; /* none left, or no memory: the next event tries again */
		server->n_taken++;
	}
}

/* The socket ---------------------------------------------------------------------------------- */

/* What guests need of the socket's directory: to walk through it. */
#define GUESTS_WAY 0011u

/* Makes sure that the socket's directory is ours and closed to others, but for the way through it
 * when there are guests. */
static int prepare_dir(struct store_io *io, const char *socket_path, bool guests)
{
	mode_t way = guests ? GUESTS_WAY : 0, others;
	char dir[ENDPOINT_PATH_SIZE];
	char *slash;
	struct stat status;
	int r;

	strcpy(dir, socket_path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir) {
		log_error("the socket %s is not in a directory of its own", socket_path);
		return -EINVAL;
	}
	*slash = '\0';
	r = store_make_dirs(io, dir);
	if (r == 0 && lstat(dir, &status) < 0)
		r = -errno;
	if (r < 0) {
		log_error("cannot make the socket's directory %s: %s", dir, strerror(-r));
		return r;
	}
	others = status.st_mode & 077;
	if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() ||
	    ((others & ~way) && others != GUESTS_WAY)) {
		log_error("the socket's directory %s must be a directory of this user with mode "
		          "%#o",
		          dir, 0700u | (unsigned)way);
		return -EPERM;
	}
	/* Or closed again, when there are no guests any more. */
	if (others != way && chmod(dir, 0700 | way) < 0) {
		r = -errno;
		log_error("cannot let guests through %s, or no more: %s", dir, strerror(-r));
		return r;
	}
	return 0;
}

/* Whether somebody answers there. */
static bool is_served(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served;

	if (fd < 0)
		return false;
	served = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
	close(fd);
	return served;
}

static int bind_own(const char *path, bool guests, int *ret_fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	int fd, r = 0;

	strcpy(address.sun_path, path);
	if (is_served(&address)) {
		log_error("another daemon listens on %s", path);
		return -EADDRINUSE;
	}
	/* What a dead daemon left goes; what is no socket stays, and bind says so. */
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		r = -errno;
	else if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	         chmod(path, guests ? 0666 : 0600) < 0 || listen(fd, SERVER_BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		log_error("cannot listen on %s: %s", path, strerror(-r));
		if (fd >= 0)
			close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int server_new(struct daemon *daemon, int fd, struct server **ret)
{
	struct server *server = calloc(1, sizeof(*server));
	bool guests = daemon->config.allow_uids.n > 0;
	int r = server ? 0 : -ENOMEM;

	if (server)
		server->spare_fd = -1;
	if (r == 0 && fd < 0) {
		server->own = true;
		r = prepare_dir(daemon->io, daemon->config.socket, guests);
		if (r == 0)
			r = bind_own(daemon->config.socket, guests, &fd);
	}
	/* Checks that it can be polled, and makes it non-blocking. */
	if (r == 0) {
		server->fd = fd;
		server->daemon = daemon;
		server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		r = uv_poll_init(daemon->loop, &server->poll, fd);
	}
	if (r == 0)
		r = uv_timer_init(daemon->loop, &server->moment);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		if (server && server->spare_fd >= 0)
			close(server->spare_fd);
		free(server);
		return r;
	}
	server->poll.data = server->moment.data = server;
	server->n_handles = 2;
	uv_poll_start(&server->poll, UV_READABLE, on_readable);
	*ret = server;
	return 0;
}

/* libuv takes the descriptor out of its set while it closes the handle: only then it may go. */
static void on_closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	if (--server->n_handles > 0)
		return;
	close(server->fd);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	free(server);
}

void server_close(struct server *server)
{
	if (!server)
		return;
	uv_poll_stop(&server->poll);
	if (server->own && unlink(server->daemon->config.socket) < 0 && errno != ENOENT)
		log_warning("cannot remove the socket %s: %s", server->daemon->config.socket,
		            strerror(errno));
	uv_close((uv_handle_t *)&server->poll, on_closed);
	uv_close((uv_handle_t *)&server->moment, on_closed);
}
