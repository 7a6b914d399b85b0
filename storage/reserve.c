/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/reserve.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum state {
	RESERVE_NONE, /* it cannot be had */
	RESERVE_HELD,
	RESERVE_GIVEN_UP,
};

struct reserve {
	struct store_io *io;
	char *path;
	uint64_t n_bytes;
	pthread_mutex_t mutex; /* over the file: writers of several collections meet here */
	struct store_file *file;
	/* Changed under the mutex. A lone word: who reads it stale finds out when it writes. */
	_Atomic enum state state;
	/* What added last found no room. As lone: the next that adds tells. */
	atomic_bool is_missed;
};

static enum state state_of(const struct reserve *reserve)
{
	return atomic_load_explicit(&reserve->state, memory_order_relaxed);
}

static void enter(struct reserve *reserve, enum state state)
{
	atomic_store_explicit(&reserve->state, state, memory_order_relaxed);
}

static bool is_full(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

int reserve_new(struct store_io *io, const char *dir, uint64_t n_bytes, struct reserve **ret)
{
	struct reserve *reserve = calloc(1, sizeof(*reserve));

	if (!reserve)
		return -ENOMEM;
	if (asprintf(&reserve->path, "%s/reserve", dir) < 0) {
		free(reserve);
		return -ENOMEM;
	}
	reserve->io = io;
	reserve->n_bytes = n_bytes;
	pthread_mutex_init(&reserve->mutex, NULL);
	*ret = reserve;
	return 0;
}

struct reserve *reserve_free(struct reserve *reserve)
{
	if (!reserve)
		return NULL;
	(void)store_close(reserve->file); /* its content means nothing */
	pthread_mutex_destroy(&reserve->mutex);
	free(reserve->path);
	free(reserve);
	return NULL;
}

void reserve_added(struct reserve *reserve, int result)
{
	if (result == 0 || is_full(result))
		atomic_store_explicit(&reserve->is_missed, result != 0, memory_order_relaxed);
}

static int take(struct reserve *reserve)
{
	int r = 0;

	if (!reserve->file)
		r = store_open(reserve->io, reserve->path, STORE_READ | STORE_WRITE | STORE_CREATE,
		               &reserve->file);
	if (r == 0)
		r = store_allocate(reserve->file, 0, reserve->n_bytes);
	/* A part of it is of no use to anybody. One that cannot be cut off is less to allocate when
	 * it is tried again. */
	if (r < 0 && reserve->file)
		(void)store_truncate(reserve->file, 0);
	if (r == 0)
		reserve_added(reserve, 0);
	enter(reserve, r == 0 ? RESERVE_HELD : is_full(r) ? RESERVE_GIVEN_UP : RESERVE_NONE);
	return is_full(r) ? -ENOSPC : r;
}

int reserve_take(struct reserve *reserve)
{
	int r = 0;

	if (state_of(reserve) == RESERVE_HELD)
		return 0;
	pthread_mutex_lock(&reserve->mutex);
	if (state_of(reserve) != RESERVE_HELD)
		r = take(reserve);
	pthread_mutex_unlock(&reserve->mutex);
	return r;
}

bool reserve_is_given_up(const struct reserve *reserve)
{
	return state_of(reserve) == RESERVE_GIVEN_UP;
}

bool reserve_lacks_room(struct reserve *reserve)
{
	return reserve_take(reserve) == -ENOSPC;
}

int reserve_why_stop(const struct reserve *reserve, const atomic_bool *cancelled)
{
	if (atomic_load_explicit(cancelled, memory_order_relaxed))
		return -ECANCELED;
	return reserve_is_given_up(reserve) ? -ENOSPC : 0;
}

bool reserve_is_short(const struct reserve *reserve)
{
	return reserve_is_given_up(reserve) ||
	       atomic_load_explicit(&reserve->is_missed, memory_order_relaxed);
}

bool reserve_helps(struct reserve *reserve, int error)
{
	bool helps;

	if (!is_full(error))
		return false;
	pthread_mutex_lock(&reserve->mutex);
	if (state_of(reserve) == RESERVE_HELD && store_truncate(reserve->file, 0) == 0) {
		/* Some file systems have the room only when that is on the disk. Whether there is
		 * room after all, what is tried again will find out. */
		(void)store_sync(reserve->file);
		enter(reserve, RESERVE_GIVEN_UP);
	}
	/* Somebody else may have given it up since. */
	helps = reserve_is_given_up(reserve);
	pthread_mutex_unlock(&reserve->mutex);
	return helps;
}
