/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon inside the test's own process, on a thread and a socket of its own, so that a test
 * can hold its workers: races are forced by a gate, never hoped for.
 *
 *	struct daemon_thread *daemon = daemon_thread_new();
 *	struct gate *gate = daemon_thread_gate(daemon, "search", "fetch");
 *
 *	... submit a search ...
 *	gate_await(gate);              // a worker stands at the gate
 *	... replace the record ...
 *	gate_open(gate);               // it goes on, and so does every later one
 *	daemon_thread_free(daemon);    // asserts that nothing of the loop is left
 *
 * What fails here fails the test (cmocka). Threads: one test thread; gates are for any.
 */

#include <stdint.h>
#include <sys/types.h>

#include "storage/clock.h"
#include "storage/store_io.h"

struct cache_backend;
struct pressure_source;
struct daemon_thread;
struct gate;

/* Directories of its own below $TMPDIR or /tmp, default configuration; starts it. */
struct daemon_thread *daemon_thread_new(void);
/* The same with what it stands on: io, clock (NULL: the system's), and the budget. */
struct daemon_thread *daemon_thread_new_with(struct store_io *io, struct clock *clock,
                                             uint32_t index_cache_mb);
/* The same without starting it, so that its directories can be filled before; they are not
 * there yet. */
struct daemon_thread *daemon_thread_new_stopped(struct store_io *io, struct clock *clock,
                                                uint32_t index_cache_mb);
/* Stops it cleanly and starts it again on the same directories; open gates are forgotten. */
void daemon_thread_restart(struct daemon_thread *daemon);
/* Stops it, then start() begins again. */
void daemon_thread_stop(struct daemon_thread *daemon);
void daemon_thread_start(struct daemon_thread *daemon);
/* start() for where it may fail: returns what daemon_new() or daemon_listen() did. */
int daemon_thread_try_start(struct daemon_thread *daemon);
/* Asks it to stop and returns at once; daemon_thread_stop() then waits for the end. */
void daemon_thread_stop_soon(struct daemon_thread *daemon);
/* Stops it and removes its directories. */
void daemon_thread_free(struct daemon_thread *daemon);

/* How many workers the next start gives to background work; 1 at first. */
void daemon_thread_set_background(struct daemon_thread *daemon, uint32_t n_threads);
/* After how many seconds without a search the next start unloads an index; 0, at first: never. */
void daemon_thread_set_idle_unload(struct daemon_thread *daemon, uint32_t seconds);
/* How many MiB of requests the next start lets be in flight; 64 at first. */
void daemon_thread_set_inflight(struct daemon_thread *daemon, uint32_t mb);
/* What the next start lets the collection's indexes take of the budget. */
void daemon_thread_set_share(struct daemon_thread *daemon, const char *collection,
                             uint32_t index_cache_mb);
/* Who the next start takes for its own user, this process's at first; and one guest (allow_uids).
 */
void daemon_thread_set_owner(struct daemon_thread *daemon, uid_t owner);
void daemon_thread_set_guest(struct daemon_thread *daemon, uid_t guest);
/* What makes the backend of the next start's cache; NULL, at first: the config says. */
void daemon_thread_set_cache(struct daemon_thread *daemon, int (*make)(struct cache_backend **ret));
/* Where the next start listens for memory pressure (borrowed); NULL, at first: memory is never
 * short. */
void daemon_thread_set_pressure(struct daemon_thread *daemon, const struct pressure_source *source);

/* The directory that holds all of its own. */
const char *daemon_thread_root(const struct daemon_thread *daemon);
const char *daemon_thread_socket(const struct daemon_thread *daemon);
const char *daemon_thread_data_dir(const struct daemon_thread *daemon);
const char *daemon_thread_cache_dir(const struct daemon_thread *daemon);

/* From now on jobs of that name (struct job.what) stop when they enter the phase. */
struct gate *daemon_thread_gate(struct daemon_thread *daemon, const char *what, const char *phase);
/* The same, but it stops one at a time: while that one stands there, others go by. */
struct gate *daemon_thread_gate_one(struct daemon_thread *daemon, const char *what,
                                    const char *phase);
/* Waits until a worker stands there. */
void gate_await(struct gate *gate);
/* Lets one through; the next stops again. */
void gate_pass(struct gate *gate);
/* Lets all through, now and until it is closed again. */
void gate_open(struct gate *gate);
void gate_close(struct gate *gate);
/* How many have come to it, open or not. */
uint32_t gate_n_came(struct gate *gate);
