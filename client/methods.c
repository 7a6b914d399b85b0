/* SPDX-License-Identifier: Apache-2.0 */
#include "client/kith.h"

/* The calls of kith.h, all alike: the work is done by conn_call() and its pipelined form, driven
 * by the table in protocol/methods.h. */

#include "client/conn.h"

#define CALL(method)                                                                           \
	int kith_##method(struct kith_conn *conn, const struct kith_##method##_params *params, \
	                  struct kith_##method##_result **ret)                                 \
	{                                                                                      \
		void *result;                                                                  \
		int r = conn_call(conn, WIRE_METHOD_##method, params, ret ? &result : NULL);   \
                                                                                               \
		if (r == 0 && ret)                                                             \
			*ret = result;                                                         \
		return r;                                                                      \
	}

#define CALL_WITHOUT_PARAMS(method)                                                        \
	int kith_##method(struct kith_conn *conn, struct kith_##method##_result **ret)     \
	{                                                                                  \
		void *result;                                                              \
		int r = conn_call(conn, WIRE_METHOD_##method, NULL, ret ? &result : NULL); \
                                                                                           \
		if (r == 0 && ret)                                                         \
			*ret = result;                                                     \
		return r;                                                                  \
	}

#define PIPELINED(method)                                                                   \
	int kith_submit_##method(struct kith_conn *conn,                                    \
	                         const struct kith_##method##_params *params,               \
	                         uint64_t *ret_ticket)                                      \
	{                                                                                   \
		return conn_submit(conn, WIRE_METHOD_##method, params, ret_ticket);         \
	}                                                                                   \
	int kith_collect_##method(struct kith_conn *conn, uint64_t ticket, int timeout_ms,  \
	                          struct kith_##method##_result **ret)                      \
	{                                                                                   \
		void *result;                                                               \
		int r = conn_collect_ticket(conn, WIRE_METHOD_##method, ticket, timeout_ms, \
		                            ret ? &result : NULL);                          \
                                                                                            \
		if (r == 0 && ret)                                                          \
			*ret = result;                                                      \
		return r;                                                                   \
	}

CALL_WITHOUT_PARAMS(limits)
CALL_WITHOUT_PARAMS(stats)
CALL_WITHOUT_PARAMS(list_collections)
CALL_WITHOUT_PARAMS(jobs)
CALL_WITHOUT_PARAMS(errors)
CALL_WITHOUT_PARAMS(disk_usage)
CALL(create_collection)
CALL(describe_collection)
CALL(set_bulk)
CALL(drop_collection)
CALL(upsert)
CALL(update)
CALL(get)
CALL(delete)
CALL(scan)
CALL(count)
CALL(search)
CALL(ensure_index)
CALL(list_indexes)
CALL(drop_index)
CALL(optimize)
CALL(cancel_job)
CALL(warm)
CALL(evict)
CALL(checkpoint)
CALL(backup)
CALL(restore)
CALL(verify)
CALL(repair)

PIPELINED(upsert)
PIPELINED(update)
PIPELINED(get)
PIPELINED(delete)
PIPELINED(scan)
PIPELINED(count)
PIPELINED(search)
PIPELINED(ensure_index)

int kith_ping(struct kith_conn *conn)
{
	return conn_call(conn, WIRE_METHOD_ping, NULL, NULL);
}

int kith_rename_collection(struct kith_conn *conn,
                           const struct kith_rename_collection_params *params)
{
	return conn_call(conn, WIRE_METHOD_rename_collection, params, NULL);
}

int kith_subscribe(struct kith_conn *conn, uint32_t topics)
{
	struct subscribe_params params = {.topics = topics};

	return conn_call(conn, WIRE_METHOD_subscribe, &params, NULL);
}
