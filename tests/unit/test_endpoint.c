/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

_Static_assert(ENDPOINT_PATH_SIZE <= sizeof(((struct sockaddr_un *)0)->sun_path),
               "a path must fit sockaddr_un");

static int clear_environment(void **state)
{
	(void)state;
	unsetenv("KITH_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	return 0;
}

static void an_explicit_path_wins(void **state)
{
	char path[ENDPOINT_PATH_SIZE];

	(void)state;
	setenv("KITH_SOCKET", "/from/environment", 1);
	setenv("XDG_RUNTIME_DIR", "/run/me", 1);
	assert_int_equal(endpoint_path("here.sock", path), 0);
	assert_string_equal(path, "here.sock");
}

static void then_the_variable(void **state)
{
	char path[ENDPOINT_PATH_SIZE];

	(void)state;
	setenv("KITH_SOCKET", "/from/environment", 1);
	setenv("XDG_RUNTIME_DIR", "/run/me", 1);
	assert_int_equal(endpoint_path(NULL, path), 0);
	assert_string_equal(path, "/from/environment");
}

static void then_the_runtime_directory(void **state)
{
	char path[ENDPOINT_PATH_SIZE];

	(void)state;
	setenv("KITH_SOCKET", "", 1);
	setenv("XDG_RUNTIME_DIR", "/run/me", 1);
	assert_int_equal(endpoint_path(NULL, path), 0);
	assert_string_equal(path, "/run/me/kith/kith.sock");
}

static void then_the_directory_of_the_user(void **state)
{
	char path[ENDPOINT_PATH_SIZE], wanted[ENDPOINT_PATH_SIZE];

	(void)state;
	snprintf(wanted, sizeof(wanted), "/run/user/%ju/kith/kith.sock", (uintmax_t)getuid());
	assert_int_equal(endpoint_path(NULL, path), 0);
	assert_string_equal(path, wanted);
	/* The XDG specification: a path that is not absolute is to be ignored. */
	setenv("XDG_RUNTIME_DIR", "run/me", 1);
	assert_int_equal(endpoint_path(NULL, path), 0);
	assert_string_equal(path, wanted);
}

static void a_path_fits_or_is_refused(void **state)
{
	char path[ENDPOINT_PATH_SIZE] = "untouched", longest[ENDPOINT_PATH_SIZE + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[ENDPOINT_PATH_SIZE] = '\0';
	assert_int_equal(endpoint_path(longest, path), -ENAMETOOLONG);
	assert_string_equal(path, "untouched");
	longest[ENDPOINT_PATH_SIZE - 1] = '\0';
	assert_int_equal(endpoint_path(longest, path), 0);
	assert_string_equal(path, longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(an_explicit_path_wins, clear_environment),
	        cmocka_unit_test_setup(then_the_variable, clear_environment),
	        cmocka_unit_test_setup(then_the_runtime_directory, clear_environment),
	        cmocka_unit_test_setup(then_the_directory_of_the_user, clear_environment),
	        cmocka_unit_test_setup(a_path_fits_or_is_refused, clear_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
