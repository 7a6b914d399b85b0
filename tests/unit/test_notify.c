/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The manager is a datagram socket of the test's own: what is told is there when the call returns.
 * A kithd built without libsystemd tells nothing, and these tests skip.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/notify.h"
#include "tests/lib/scratch_dir.h"

/* Where handed-over descriptors begin, by the protocol of sd_listen_fds(3). */
#define FIRST_FD 3

struct manager {
	struct scratch_dir dir;
	int fd;
	char told[1024];
};

static const char *told(struct manager *manager)
{
	ssize_t n = recv(manager->fd, manager->told, sizeof(manager->told) - 1, MSG_DONTWAIT);

	manager->told[n < 0 ? 0 : n] = '\0';
	return manager->told;
}

static int manager_setup(void **state)
{
	struct manager *manager = calloc(1, sizeof(*manager));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[SCRATCH_PATH_SIZE];

	assert_non_null(manager);
	scratch_dir_init(&manager->dir);
	scratch_dir_path(&manager->dir, "notify", path);
	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path) + 1);
	manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(manager->fd >= 0);
	assert_int_equal(bind(manager->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
	*state = manager;
	return 0;
}

static int manager_teardown(void **state)
{
	struct manager *manager = *state;

	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	close(manager->fd);
	scratch_dir_release(&manager->dir);
	free(manager);
	return 0;
}

static bool built_with_systemd(struct manager *manager)
{
	notify_ready();
	return *told(manager) != '\0';
}

static void states_are_told(void **state)
{
	if (!built_with_systemd(*state))
		skip();
	notify_ready();
	assert_string_equal(told(*state), "READY=1");
	notify_stopping();
	assert_string_equal(told(*state), "STOPPING=1");
	notify_status("%d collections", 3);
	assert_string_equal(told(*state), "STATUS=3 collections");
}

static void a_name_in_the_status_cannot_forge_a_state(void **state)
{
	if (!built_with_systemd(*state))
		skip();
	notify_status("opening '%s'", "notes\nSTOPPING=1");
	assert_string_equal(told(*state), "STATUS=opening 'notes");
}

static void a_long_status_is_cut(void **state)
{
	char text[600];

	if (!built_with_systemd(*state))
		skip();
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	notify_status("%s", text);
	assert_int_equal(strlen(told(*state)), strlen("STATUS=") + 255);
}

static void without_a_manager_nothing_is_told_and_nothing_handed_over(void **state)
{
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	assert_int_equal(unsetenv("LISTEN_FDS"), 0);
	notify_ready();
	notify_status("idle");
	notify_stopping();
	assert_string_equal(told(*state), "");
	assert_int_equal(notify_listen_fd(), -1);
}

/* notify_listen_fd() when n descriptors are handed over, of which fd is the first; takes fd. What
 * the test itself has at that place comes back afterwards. */
static int handed_over(int fd, int n)
{
	int saved = dup(FIRST_FD);
	char pid[32], count[32];
	int r;

	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, FIRST_FD), FIRST_FD);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(count, sizeof(count), "%d", n);
	assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
	assert_int_equal(setenv("LISTEN_FDS", count, 1), 0);
	r = notify_listen_fd();
	if (saved >= 0) {
		dup2(saved, FIRST_FD);
		close(saved);
	} else {
		close(FIRST_FD);
	}
	if (fd != FIRST_FD)
		close(fd);
	return r;
}

static int listening_socket(int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	/* An address of the family alone: the kernel picks a free one. */
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void only_one_listening_unix_stream_is_taken(void **state)
{
	if (!built_with_systemd(*state))
		skip();
	assert_int_equal(handed_over(listening_socket(SOCK_STREAM), 1), FIRST_FD);
	assert_int_equal(handed_over(listening_socket(SOCK_STREAM), 2), -EINVAL);
	assert_int_equal(handed_over(listening_socket(SOCK_DGRAM), 1), -EINVAL);
	assert_int_equal(handed_over(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), 1), -EINVAL);
	assert_int_equal(handed_over(dup(STDIN_FILENO), 1), -EINVAL);
}

static void what_was_handed_over_is_not_passed_on(void **state)
{
	if (!built_with_systemd(*state))
		skip();
	assert_int_equal(handed_over(listening_socket(SOCK_STREAM), 1), FIRST_FD);
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_PID"));
}

#define MANAGER_TEST(f) cmocka_unit_test_setup_teardown(f, manager_setup, manager_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        MANAGER_TEST(states_are_told),
	        MANAGER_TEST(a_name_in_the_status_cannot_forge_a_state),
	        MANAGER_TEST(a_long_status_is_cut),
	        MANAGER_TEST(without_a_manager_nothing_is_told_and_nothing_handed_over),
	        MANAGER_TEST(only_one_listening_unix_stream_is_taken),
	        MANAGER_TEST(what_was_handed_over_is_not_passed_on),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
