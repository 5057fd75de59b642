/*
 * thread_pool.h: POSIX threads for zsseg_set_thread_pool(), kept from frame to frame.
 */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include <pthread.h>
#include <string.h>

#include "zsseg.h"

#define THREAD_POOL_MOST 16u

struct thread_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    pthread_t threads[THREAD_POOL_MOST - 1];
    uint32_t started;
    /* What is being run: parts from `next` to `count` wait for a thread. */
    void (*part)(void *parts, uint32_t index);
    void *parts;
    uint32_t next, count, finished;
    uint32_t rounds; /* how often there was something to run */
    int stops;
};

/*
 * Looks whether a number has changed for some microseconds without the mutex: layers follow one
 * another faster than a thread that sleeps is woken.
 */
static inline void thread_pool_look(struct thread_pool *pool, const uint32_t *number, uint32_t old)
{
    unsigned turn;
    pthread_mutex_unlock(&pool->mutex);
    for (turn = 0; turn < 20000 && __atomic_load_n(number, __ATOMIC_ACQUIRE) == old; turn++) {
    }
    pthread_mutex_lock(&pool->mutex);
}

/* Runs parts until none waits; the mutex is held before and afterwards. */
static inline void thread_pool_help(struct thread_pool *pool)
{
    while (pool->next < pool->count) {
        uint32_t index = pool->next++;
        pthread_mutex_unlock(&pool->mutex);
        pool->part(pool->parts, index);
        pthread_mutex_lock(&pool->mutex);
        __atomic_fetch_add(&pool->finished, 1, __ATOMIC_RELEASE);
        if (pool->finished == pool->count) {
            pthread_cond_signal(&pool->done);
        }
    }
}

static inline void *thread_pool_work(void *argument)
{
    struct thread_pool *pool = (struct thread_pool *)argument;
    pthread_mutex_lock(&pool->mutex);
    while (!pool->stops) {
        uint32_t rounds = pool->rounds;
        thread_pool_help(pool);
        thread_pool_look(pool, &pool->rounds, rounds);
        while (pool->rounds == rounds && !pool->stops) {
            pthread_cond_wait(&pool->work, &pool->mutex);
        }
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* zsseg_run_parts_t; the calling thread works too. */
static inline void thread_pool_run(void *context, void (*part)(void *parts, uint32_t index), void *parts,
                            uint32_t count)
{
    struct thread_pool *pool = (struct thread_pool *)context;
    pthread_mutex_lock(&pool->mutex);
    pool->part = part;
    pool->parts = parts;
    pool->next = 0;
    pool->count = count;
    pool->finished = 0;
    __atomic_fetch_add(&pool->rounds, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&pool->work);
    thread_pool_help(pool);
    if (pool->finished < count) {
        thread_pool_look(pool, &pool->finished, pool->finished);
    }
    while (pool->finished < count) {
        pthread_cond_wait(&pool->done, &pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
}

/* Starts threads so that `threads` work with the calling one; fewer if the system has no more. */
static inline void thread_pool_open(struct thread_pool *pool, uint32_t threads)
{
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    while (pool->started + 1 < threads && pool->started + 1 < THREAD_POOL_MOST &&
           pthread_create(&pool->threads[pool->started], NULL, thread_pool_work, pool) == 0) {
        pool->started += 1;
    }
}

/* After zsseg_close(), or after zsseg_set_thread_pool() has set another pool. */
static inline void thread_pool_close(struct thread_pool *pool)
{
    uint32_t index;
    pthread_mutex_lock(&pool->mutex);
    pool->stops = 1;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (index = 0; index < pool->started; index++) {
        pthread_join(pool->threads[index], NULL);
    }
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
}

#endif
