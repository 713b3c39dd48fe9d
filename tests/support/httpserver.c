/* httpserver.c - the server and its threads; see httpserver.h. httpserver_conn.c has what happens on a connection,
 * httpserver_wait.c what a test looks at and waits for.
 *
 * One thread accepts, and one serves each connection; those that have ended are joined when the next one is accepted, or at
 * the stop. A descriptor is closed by its own thread alone, under the mutex; others that want it gone shut it down, which
 * wakes that thread wherever it is. */
#include "httpserver_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

_Noreturn void hs_die(const char *what)
{
    fprintf(stderr, "\nhttpserver: %s: %s\n", what, strerror(errno));
    abort();
}

void *hs_need(void *memory)
{
    if (memory == NULL)
        hs_die("no memory");
    return memory;
}

/* ---- connections --------------------------------------------------------------------------------------------- */

void hs_set_reset(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static void *hs_conn_run(void *arg)
{
    hs_conn *c = arg;
    http_server *s = c->server;

    hs_serve(c);
    pthread_mutex_lock(&s->mutex);
    close(c->fd);
    c->fd = -1;
    c->over = true;
    s->counts.connections--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* Takes those that are over, or all, out of the list and joins them. */
static void hs_join(http_server *s, bool all)
{
    hs_conn *over = NULL, *next;

    pthread_mutex_lock(&s->mutex);
    for (hs_conn **at = &s->conns; *at != NULL;) {
        hs_conn *c = *at;
        if (all || c->over) {
            *at = c->next;
            c->next = over;
            over = c;
        } else {
            at = &c->next;
        }
    }
    pthread_mutex_unlock(&s->mutex);
    for (; over != NULL; over = next) {
        next = over->next;
        pthread_join(over->thread, NULL);
        free(over->buffer);
        free(over);
    }
}

static void hs_accepted(http_server *s, int fd)
{
    hs_conn *c = hs_need(calloc(1, sizeof *c));
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->server = s;
    c->fd = fd;
    pthread_mutex_lock(&s->mutex);
    c->number = s->made++;
    s->counts.accepted++;
    if (++s->counts.connections > s->counts.most)
        s->counts.most = s->counts.connections;
    c->next = s->conns;
    s->conns = c;
    if (s->stopping || s->down) { /* it came in just before the door was shut */
        hs_set_reset(fd);
        shutdown(fd, SHUT_RDWR);
    }
    if (pthread_create(&c->thread, NULL, hs_conn_run, c) != 0)
        hs_die("no thread");
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void *hs_accept_run(void *arg)
{
    http_server *s = arg;
    struct pollfd polls[3] = {{s->stop_pipe[0], POLLIN, 0}, {s->wake_pipe[0], POLLIN, 0}, {-1, POLLIN, 0}};
    char byte;
    int fd;

    for (;;) {
        pthread_mutex_lock(&s->mutex);
        polls[2].fd = s->down ? -1 : s->listener;
        polls[2].revents = 0;
        pthread_mutex_unlock(&s->mutex);
        if (poll(polls, 3, -1) < 0 && errno != EINTR)
            hs_die("poll");
        if (polls[0].revents != 0)
            return NULL;
        if (polls[1].revents != 0 && read(s->wake_pipe[0], &byte, 1) < 0)
            hs_die("read");
        if (polls[2].revents == 0)
            continue;
        /* Under the mutex: http_server_down must not end it meanwhile. It does not block. */
        pthread_mutex_lock(&s->mutex);
        errno = 0;
        fd = s->down ? -1 : accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_mutex_unlock(&s->mutex);
        if (fd >= 0)
            hs_accepted(s, fd);
        else if (errno == EMFILE || errno == ENFILE)
            hs_die("accept");
        hs_join(s, false);
    }
}

/* ---- starting and stopping ----------------------------------------------------------------------------------- */

static int hs_socket(const http_server *s, int flags)
{
    int fd = socket(s->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd < 0)
        hs_die("socket");
    return fd;
}

static socklen_t hs_address(const http_server *s, struct sockaddr_storage *at)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)s->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memset(at, 0, sizeof *at);
    if (s->ipv6)
        memcpy(at, &v6, sizeof v6);
    else
        memcpy(at, &v4, sizeof v4);
    return s->ipv6 ? sizeof v6 : sizeof v4;
}

static int hs_bound(http_server *s)
{
    int on = 1, fd = hs_socket(s, SOCK_NONBLOCK);
    struct sockaddr_storage at;
    socklen_t size = hs_address(s, &at);
    in_port_t port;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, size) != 0 || getsockname(fd, (struct sockaddr *)&at, &size) != 0)
        hs_die("bind");
    memcpy(&port,
           (const char *)&at +
               (s->ipv6 ? offsetof(struct sockaddr_in6, sin6_port) : offsetof(struct sockaddr_in, sin_port)),
           sizeof port);
    s->port = ntohs(port);
    return fd;
}

/* The system picks a port, and then it is asked for: so it stays the socket's when that ends listening. */
static void hs_bind(http_server *s)
{
    int picked = hs_bound(s);

    s->listener = hs_bound(s);
    close(picked);
}

static http_server *hs_make(bool ipv6)
{
    http_server *s = hs_need(calloc(1, sizeof *s));

    s->ipv6 = ipv6;
    s->kept_end = &s->kept;
    for (size_t i = 0; i < sizeof s->queue / sizeof *s->queue; i++)
        s->queue[i] = -1;
    if (pthread_mutex_init(&s->mutex, NULL) != 0 || pthread_cond_init(&s->changed, NULL) != 0)
        hs_die("mutex");
    if (pipe2(s->stop_pipe, O_CLOEXEC) != 0 || pipe2(s->wake_pipe, O_CLOEXEC) != 0)
        hs_die("pipe");
    hs_bind(s);
    snprintf(s->url, sizeof s->url, ipv6 ? "http://[::1]:%u" : "http://127.0.0.1:%u", s->port);
    return s;
}

static void hs_go(http_server *s)
{
    if (listen(s->listener, 1024) != 0)
        hs_die("listen");
    s->accepts = true;
    if (pthread_create(&s->acceptor, NULL, hs_accept_run, s) != 0)
        hs_die("no thread");
}

http_server *http_server_start_script(const http_step *const *script, size_t count)
{
    http_server *s = hs_make(false);

    s->script = script;
    s->script_count = count;
    hs_go(s);
    return s;
}

http_server *http_server_start(const http_handler *handler, bool ipv6)
{
    http_server *s = hs_make(ipv6);

    s->handler = *handler;
    hs_go(s);
    return s;
}

http_server *http_server_start_unwilling(http_unwilling how)
{
    http_server *s = hs_make(false);
    struct sockaddr_storage at;
    socklen_t size = hs_address(s, &at);

    if (how != HTTP_REFUSES && listen(s->listener, how == HTTP_FULL ? 0 : 1024) != 0)
        hs_die("listen");
    for (size_t i = 0; how == HTTP_FULL && i < sizeof s->queue / sizeof *s->queue; i++) {
        s->queue[i] = hs_socket(s, SOCK_NONBLOCK);
        (void)connect(s->queue[i], (struct sockaddr *)&at, size);
    }
    return s;
}

/* Wakes every thread of the server that waits for its client, mutex held. */
static void hs_cut_all_locked(http_server *s)
{
    for (hs_conn *c = s->conns; c != NULL; c = c->next)
        if (c->fd >= 0) {
            hs_set_reset(c->fd);
            shutdown(c->fd, SHUT_RDWR);
        }
}

void http_server_stop(http_server *s)
{
    hs_kept *next;

    if (s == NULL)
        return;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    close(s->stop_pipe[1]);
    hs_cut_all_locked(s);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (s->accepts)
        pthread_join(s->acceptor, NULL);
    hs_join(s, true);
    for (size_t i = 0; i < sizeof s->queue / sizeof *s->queue; i++)
        if (s->queue[i] >= 0)
            close(s->queue[i]);
    for (hs_kept *k = s->kept; k != NULL; k = next) {
        next = k->next;
        free(k->bytes);
        free(k);
    }
    close(s->listener);
    close(s->stop_pipe[0]);
    close(s->wake_pipe[0]);
    close(s->wake_pipe[1]);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void hs_wake_acceptor(http_server *s)
{
    if (write(s->wake_pipe[1], "", 1) != 1)
        hs_die("write");
}

/* The port stays ours: in the meantime another test's server could get it. */
void http_server_down(http_server *s)
{
    pthread_mutex_lock(&s->mutex);
    if (!s->down)
        shutdown(s->listener, SHUT_RDWR);
    s->down = true;
    hs_cut_all_locked(s);
    pthread_mutex_unlock(&s->mutex);
    hs_wake_acceptor(s);
}

void http_server_up(http_server *s)
{
    pthread_mutex_lock(&s->mutex);
    if (s->down && listen(s->listener, 1024) != 0)
        hs_die("listen");
    s->down = false;
    pthread_mutex_unlock(&s->mutex);
    hs_wake_acceptor(s);
}
