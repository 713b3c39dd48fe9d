/* tlsrig.c - the server of tlsrig.h: a thread that accepts, and one for each connection. */
#include "tlsrig_int.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tlsrig_peer {
    tlsrig *rig;
    tlsrig_peer *next; /* under lock */
    pthread_t thread;
    int fd;
    void *ssl; /* NULL: bare */
    bool ended_well;
};

struct tlsrig {
    tlsrig_service service;
    void *ctx;
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    tlsrig_peer *peers; /* under lock, like what follows */
    unsigned served, shaken;
    bool stopping;
};

static void *rig_serve(void *arg)
{
    tlsrig_peer *p = arg;
    tlsrig *r = p->rig;
    bool shaken = true;

    if (!r->service.bare) {
        tls.ERR_clear_error();
        if ((p->ssl = tls.SSL_new(r->ctx)) == NULL || tls.SSL_set_fd(p->ssl, p->fd) != 1)
            tls_die("no memory");
        shaken = tls.SSL_accept(p->ssl) == 1;
    }
    if (shaken) {
        pthread_mutex_lock(&r->lock);
        r->shaken++;
        pthread_mutex_unlock(&r->lock);
        r->service.serve(r->service.arg, p);
    }
    if (p->ssl != NULL)
        tls.SSL_free(p->ssl);
    pthread_mutex_lock(&r->lock);
    close(p->fd);
    p->fd = -1;
    r->served++;
    pthread_cond_broadcast(&r->cond);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void *rig_accept(void *arg)
{
    tlsrig *r = arg;
    tlsrig_peer *p;
    int fd, on = 1;

    while ((fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if ((p = calloc(1, sizeof *p)) == NULL)
            tls_die("no memory");
        p->rig = r;
        p->fd = fd;
        pthread_mutex_lock(&r->lock);
        p->next = r->peers;
        r->peers = p;
        if (r->stopping)
            (void)shutdown(fd, SHUT_RDWR);
        if (pthread_create(&p->thread, NULL, rig_serve, p) != 0)
            tls_die("no thread");
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

tlsrig *tlsrig_start(const tlsrig_service *service)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    tlsrig *r = calloc(1, sizeof *r);
    sigset_t pipe, before;

    if (r == NULL)
        tls_die("no memory");
    r->service = *service;
    if (!service->bare) {
        r->ctx = tls_cert_context(service->cert, service->between);
        (void)tls.SSL_CTX_ctrl(r->ctx, TLS_CTRL_SET_MIN_PROTO_VERSION, service->version, NULL);
        (void)tls.SSL_CTX_ctrl(r->ctx, TLS_CTRL_SET_MAX_PROTO_VERSION, service->version, NULL);
    }
    r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (r->fd < 0 || bind(r->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(r->fd, 128) != 0 ||
        getsockname(r->fd, (struct sockaddr *)&at, &size) != 0)
        tls_die("no server");
    r->port = ntohs(at.sin_port);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
    /* OpenSSL writes to sockets so that SIGPIPE comes; the server's threads must not hide one that a client raises. */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    if (pthread_create(&r->thread, NULL, rig_accept, r) != 0)
        tls_die("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

void tlsrig_stop(tlsrig *r)
{
    tlsrig_peer *p, *next;

    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    for (p = r->peers; p != NULL; p = p->next)
        if (p->fd >= 0)
            (void)shutdown(p->fd, SHUT_RDWR);
    pthread_mutex_unlock(&r->lock);
    (void)shutdown(r->fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    for (p = r->peers; p != NULL; p = next) {
        next = p->next;
        pthread_join(p->thread, NULL);
        free(p);
    }
    close(r->fd);
    if (r->ctx != NULL)
        tls.SSL_CTX_free(r->ctx);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

unsigned tlsrig_port(const tlsrig *r)
{
    return r->port;
}

void tlsrig_await(tlsrig *r, unsigned served)
{
    pthread_mutex_lock(&r->lock);
    while (r->served < served)
        pthread_cond_wait(&r->cond, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

unsigned tlsrig_shaken(tlsrig *r)
{
    unsigned shaken;

    pthread_mutex_lock(&r->lock);
    shaken = r->shaken;
    pthread_mutex_unlock(&r->lock);
    return shaken;
}

/* ---- A connection ---- */

size_t tlsrig_read(tlsrig_peer *p, void *data, size_t size)
{
    int most = size < 1 << 20 ? (int)size : 1 << 20, got;

    if (p->ssl == NULL) {
        got = (int)recv(p->fd, data, (size_t)most, 0);
    } else {
        tls.ERR_clear_error();
        got = tls.SSL_read(p->ssl, data, most);
        p->ended_well = got <= 0 && tls.SSL_get_error(p->ssl, got) == TLS_ERROR_ZERO_RETURN;
    }
    return got > 0 ? (size_t)got : 0;
}

bool tlsrig_read_all(tlsrig_peer *p, void *data, size_t size)
{
    size_t done = 0, got;

    while (done < size && (got = tlsrig_read(p, (char *)data + done, size - done)) > 0)
        done += got;
    return done == size;
}

bool tlsrig_write(tlsrig_peer *p, const void *data, size_t size)
{
    if (size == 0)
        return true;
    if (p->ssl == NULL)
        return send(p->fd, data, size, MSG_NOSIGNAL) == (ssize_t)size;
    tls.ERR_clear_error();
    return tls.SSL_write(p->ssl, data, (int)size) == (int)size;
}

void tlsrig_farewell(tlsrig_peer *p)
{
    tls.ERR_clear_error();
    (void)tls.SSL_shutdown(p->ssl);
}

bool tlsrig_ended_well(const tlsrig_peer *p)
{
    return p->ended_well;
}

const char *tlsrig_name(const tlsrig_peer *p)
{
    return tls.SSL_get_servername(p->ssl, 0);
}

void tlsrig_reset(tlsrig_peer *p)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void tlsrig_ask_again(tlsrig_peer *p)
{
    if (tls.SSL_renegotiate(p->ssl) != 1 || tls.SSL_do_handshake(p->ssl) != 1)
        tls_die("no new handshake");
}

static bool rig_send(int fd, const char *bytes, size_t size)
{
    ssize_t put;

    for (; size > 0; bytes += put, size -= (size_t)put)
        if ((put = send(fd, bytes, size, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

void tlsrig_forward(tlsrig_peer *p, unsigned port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd fds[2] = {{.fd = p->fd, .events = POLLIN}, {.fd = there, .events = POLLIN}};
    static _Thread_local char bytes[65536];
    ssize_t got;

    if (there < 0)
        tls_die("no socket");
    if (connect(there, (struct sockaddr *)&at, sizeof at) == 0) {
        for (;;) {
            if (tls.SSL_pending(p->ssl) == 0 && poll(fds, 2, -1) < 0)
                break;
            if (tls.SSL_pending(p->ssl) > 0 || fds[0].revents != 0) {
                if ((got = (ssize_t)tlsrig_read(p, bytes, sizeof bytes)) == 0 || !rig_send(there, bytes, (size_t)got))
                    break;
            } else if (fds[1].revents != 0) {
                got = recv(there, bytes, sizeof bytes, 0);
                /* An end is passed on as what it is; a reset as a cut. */
                if (got == 0)
                    tlsrig_farewell(p);
                if (got <= 0 || !tlsrig_write(p, bytes, (size_t)got))
                    break;
            }
        }
    }
    close(there);
}

/* ---- Services ---- */

void tlsrig_echo(void *arg, tlsrig_peer *p)
{
    uint64_t size;
    char *bytes;
    bool ok = true;

    (void)arg;
    while (ok && tlsrig_read_all(p, &size, sizeof size)) {
        if ((bytes = malloc((size_t)size + 1)) == NULL)
            tls_die("no memory");
        ok = tlsrig_read_all(p, bytes, (size_t)size) && tlsrig_write(p, bytes, (size_t)size);
        free(bytes);
    }
}

void tlsrig_silent(void *arg, tlsrig_peer *p)
{
    char bytes[4096];

    (void)arg;
    while (tlsrig_read(p, bytes, sizeof bytes) > 0)
        continue;
}
