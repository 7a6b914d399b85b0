/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/ensurers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

struct member {
	const char *collection;
	struct ensurer *ensurer;
	struct kith_conn *conn;
	pthread_t thread;
	bool is_running;
};

static void *ensure(void *arg)
{
	struct member *member = arg;
	struct ensurer *ensurer = member->ensurer;
	struct kith_ensure_index_params params = {
	        .collection = kith_text(member->collection),
	        .wait = true,
	};
	struct kith_ensure_index_result *result;

	ensurer->r = kith_ensure_index(member->conn, &params, &result);
	if (ensurer->r) {
		snprintf(ensurer->error, sizeof(ensurer->error), "%s",
		         kith_error_message(member->conn));
		return NULL;
	}
	ensurer->outcome = result->outcome;
	ensurer->job = result->job;
	kith_free(result);
	return NULL;
}

static int connect_member(const char *socket_path, struct member *member)
{
	struct kith_options options = {
	        .socket_path = socket_path,
	        .client = "kith-demo",
	        .timeout_ms = KITH_FOREVER,
	        .ret_message = member->ensurer->error,
	        .message_size_bytes = sizeof(member->ensurer->error),
	};

	return kith_connect(&options, &member->conn);
}

void ensurers_run(const char *socket_path, const char *collection,
                  struct ensurer ret[static N_ENSURERS])
{
	struct member members[N_ENSURERS];

	for (int i = 0; i < N_ENSURERS; i++) {
		ret[i] = (struct ensurer){0};
		members[i] = (struct member){.collection = collection, .ensurer = &ret[i]};
		ret[i].r = connect_member(socket_path, &members[i]);
	}
	for (int i = 0; i < N_ENSURERS; i++) {
		int r = ret[i].r;

		if (r)
			continue;
		r = -pthread_create(&members[i].thread, NULL, ensure, &members[i]);
		members[i].is_running = r == 0;
		if (r)
			ret[i].r = r;
	}
	for (int i = 0; i < N_ENSURERS; i++) {
		if (members[i].is_running)
			pthread_join(members[i].thread, NULL);
		kith_close(members[i].conn);
	}
}
