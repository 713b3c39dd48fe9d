/* httpserver_wait.c - what a test looks at and waits for, and the gates: all the waits of httpserver. None is for time to
 * pass, but for the one that is. */
#include "httpserver_int.h"

#include <poll.h>
#include <sys/socket.h>
#include <time.h>

unsigned http_server_port(const http_server *s)
{
    return s->port;
}

const char *http_server_url(const http_server *s)
{
    return s->url;
}

void hs_unread(http_server *s, hs_read why)
{
    pthread_mutex_lock(&s->mutex);
    s->counts.malformed += why == HS_MALFORMED;
    s->counts.cut += why == HS_CUT;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

const http_request *http_server_request(http_server *s, size_t index)
{
    hs_kept *k;

    pthread_mutex_lock(&s->mutex);
    while (s->kept_count <= index && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    k = s->kept_count > index ? s->kept : NULL;
    for (size_t i = 0; k != NULL && i < index; i++)
        k = k->next;
    pthread_mutex_unlock(&s->mutex);
    return k != NULL ? &k->request : NULL;
}

unsigned http_server_hang_up_idle(http_server *s)
{
    unsigned count = 0;

    pthread_mutex_lock(&s->mutex);
    for (hs_conn *c = s->conns; c != NULL; c = c->next)
        if (c->fd >= 0 && atomic_load(&c->idle)) {
            shutdown(c->fd, SHUT_RDWR);
            count++;
        }
    pthread_mutex_unlock(&s->mutex);
    return count;
}

/* Here and below one writes what the other reads, then reads what it writes: one of them sees the other. So only waiters
 * make the server take its mutex. */
void hs_idle(hs_conn *c)
{
    http_server *s = c->server;

    atomic_store(&c->idle, true);
    if (atomic_load(&s->idle_waiters) > 0) {
        pthread_mutex_lock(&s->mutex);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->mutex);
    }
}

static unsigned hs_idle_locked(const http_server *s)
{
    unsigned count = 0;

    for (hs_conn *c = s->conns; c != NULL; c = c->next)
        count += c->fd >= 0 && atomic_load(&c->idle);
    return count;
}

void http_server_idle_await(http_server *s, unsigned idle)
{
    pthread_mutex_lock(&s->mutex);
    atomic_fetch_add(&s->idle_waiters, 1);
    while (hs_idle_locked(s) < idle && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    atomic_fetch_sub(&s->idle_waiters, 1);
    pthread_mutex_unlock(&s->mutex);
}

static void hs_gate_set(http_server *s, unsigned gate, bool open)
{
    pthread_mutex_lock(&s->mutex);
    s->open[gate] = open;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

void http_server_gate_open(http_server *s, unsigned gate)
{
    hs_gate_set(s, gate, true);
}

void http_server_gate_shut(http_server *s, unsigned gate)
{
    hs_gate_set(s, gate, false);
}

void http_server_gate_await(http_server *s, unsigned gate, unsigned count)
{
    pthread_mutex_lock(&s->mutex);
    while (s->waiting[gate] < count && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

bool http_server_pass(http_server *s, unsigned gate)
{
    bool pass;

    pthread_mutex_lock(&s->mutex);
    s->waiting[gate]++;
    pthread_cond_broadcast(&s->changed);
    while (!s->open[gate] && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    s->waiting[gate]--;
    pass = !s->stopping;
    pthread_mutex_unlock(&s->mutex);
    return pass;
}

bool http_server_wait_us(http_server *s, uint64_t us)
{
    struct pollfd stop = {s->stop_pipe[0], POLLIN, 0};
    struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

    return ppoll(&stop, 1, &time, NULL) == 0;
}

void hs_await_stop(http_server *s)
{
    struct pollfd stop = {s->stop_pipe[0], POLLIN, 0};

    while (poll(&stop, 1, -1) < 1)
        continue;
}

void hs_await_end(const hs_conn *c)
{
    struct pollfd ends[2] = {{c->server->stop_pipe[0], POLLIN, 0}, {c->fd, POLLRDHUP, 0}};

    while (poll(ends, 2, -1) < 1)
        continue;
}

http_counts http_server_counts(http_server *s)
{
    http_counts counts;

    pthread_mutex_lock(&s->mutex);
    counts = s->counts;
    counts.requests = atomic_load(&s->requests);
    counts.idle = hs_idle_locked(s);
    pthread_mutex_unlock(&s->mutex);
    return counts;
}

void http_server_counts_reset(http_server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->counts.accepted = s->counts.malformed = s->counts.cut = 0;
    s->counts.most = s->counts.connections;
    atomic_store(&s->requests, 0);
    pthread_mutex_unlock(&s->mutex);
}

void http_server_accepted_await(http_server *s, unsigned accepted)
{
    pthread_mutex_lock(&s->mutex);
    while (s->counts.accepted < accepted && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}

void http_server_connections_await(http_server *s, unsigned connections)
{
    pthread_mutex_lock(&s->mutex);
    while (s->counts.connections != connections && !s->stopping)
        pthread_cond_wait(&s->changed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
}
