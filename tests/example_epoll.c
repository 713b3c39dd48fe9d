/* example_epoll.c - an example: a server around epoll that takes blobs from many clients on one thread, and never waits
 * for the base, however slow it is or long away.
 *
 * What of the library may wait, each header says of each call. This host uses, on the thread of its loop:
 *
 *   wbstore_cas_put_ticket   waits for the buffer, a disk at hand; never for the base, nor for room, as when_full is
 *                            WBSTORE_FULL_FAIL. (Who cannot wait for a disk either gives these calls to a thread.)
 *   wbstore_safe_ticket      never waits
 *   wbstore_new              waits for nothing but threads being made
 *   wbstore_close            at the end only, and bounded by a context; wbstore_free after it, if it has ended in time
 *
 * and on_event, which a thread of the library calls: it writes to an eventfd that the loop polls, and no more.
 *
 * A client sends blobs, each behind its length as four bytes, the most significant first. It hears, by the number of the
 * blob on its connection, one line each:
 *
 *   accepted 1 ADDRESS    it is in the buffer: a crash of this host does not lose it
 *   safe 1                this and all accepted before it are in the base: the client can forget them
 *   full 2                not accepted, as too much waits for the base: to be sent again, say once the next "safe" comes
 *   failed 3 REASON       not accepted
 *
 * One that has sent its last blob may shut down its writing side: it hears all the same, and then we hang up.
 *
 * All blobs up to the safe ticket are in the base; so a client's blobs wait in a queue, each with the ticket that its put
 * got. The queues are looked at whenever the loop wakes: for a client, when the library tells that nothing is pending,
 * and now and then while anybody waits.
 *
 * A parked blob holds up the safe ticket, so no blob accepted after it is told as safe, and the queues fill to their
 * bound. Somebody has to look: wbstore_pending says which blob and why. Then wbstore_retry_parked, once the cause is
 * mended, which never waits; or wbstore_delete, to give it up, which waits for the base: on a thread of its own. */
#include "example_epoll.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_LENGTH 4
#define HOST_BLOB_MAX ((size_t)16 << 20)
#define HOST_READ ((size_t)64 << 10)
#define HOST_EVENTS 64
#define HOST_CLOSE_MS 5000
#define HOST_WAITS_MAX 65536

typedef struct host_bytes {
    unsigned char *data;
    size_t size, room;
} host_bytes;

typedef struct host_wait {
    uint64_t ticket, number;
} host_wait;

typedef struct host_client {
    struct host_client *next;
    int fd;
    bool ended; /* it sends no more, and still listens */
    bool gone;  /* to be freed when the events at hand are dealt with: one of them may name it */
    host_bytes in, out;
    uint64_t number;  /* of its last blob */
    host_bytes waits; /* host_wait, oldest first: accepted, not known to be safe */
} host_client;

struct example_host {
    wbstore *w;
    int epoll, told; /* told: readable when an event of the library came */
    const int *listener;
    bool deaf; /* the listener is not watched: there is no descriptor for who is there */
    host_client *clients;
    int look_ms;
    size_t waits_max;
};
typedef struct example_host host;

/* ---- Bytes that come and go ---- */

static bool bytes_room(host_bytes *b, size_t more)
{
    size_t room = b->size + more;
    unsigned char *data;

    if (room <= b->room)
        return true;
    room += b->room;
    if ((data = realloc(b->data, room)) == NULL)
        return false;
    b->data = data;
    b->room = room;
    return true;
}

static bool bytes_add(host_bytes *b, const void *data, size_t size)
{
    if (!bytes_room(b, size))
        return false;
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

static void bytes_drop(host_bytes *b, size_t size)
{
    b->size -= size;
    if (b->size > 0)
        memmove(b->data, b->data + size, b->size);
}

/* ---- What a client hears ---- */

/* Nothing is read of a client who does not read: so what is kept for it has a bound. That one is gone for good shows
 * whatever is asked for. */
static void client_watch(host *h, host_client *c)
{
    struct epoll_event want = {.events = c->ended ? 0 : EPOLLIN, .data.ptr = c};

    if (c->out.size > 0)
        want.events = EPOLLOUT;
    else if (c->ended && c->waits.size == 0)
        c->gone = true; /* has said all and heard all */
    if (!c->gone && epoll_ctl(h->epoll, EPOLL_CTL_MOD, c->fd, &want) != 0)
        c->gone = true;
}

static void client_flush(host *h, host_client *c)
{
    while (!c->gone && c->out.size > 0) {
        ssize_t sent = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent >= 0)
            bytes_drop(&c->out, (size_t)sent);
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            c->gone = true;
    }
    client_watch(h, c);
}

__attribute__((format(printf, 2, 3))) static void client_say(host_client *c, const char *format, ...)
{
    char line[512];
    va_list args;
    int size;

    va_start(args, format);
    size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof line || !bytes_add(&c->out, line, (size_t)size))
        c->gone = true;
}

/* ---- Blobs in ---- */

static void client_put(host *h, host_client *c, const void *data, size_t size)
{
    char hex[2 * BLOB_ADDRESS_MAX + 1];
    host_wait wait = {.number = ++c->number};
    blob_address address;
    int rc = BLOB_FULL;

    if (c->waits.size / sizeof wait < h->waits_max)
        rc = wbstore_cas_put_ticket(h->w, NULL, data, size, &address, &wait.ticket);
    if (rc == 0) {
        blob_key_hex(blob_address_key(&address), hex);
        client_say(c, "accepted %" PRIu64 " %s\n", wait.number, hex);
        if (!bytes_add(&c->waits, &wait, sizeof wait))
            c->gone = true;
    } else if (rc == BLOB_FULL) {
        client_say(c, "full %" PRIu64 "\n", wait.number);
    } else {
        client_say(c, "failed %" PRIu64 " %s\n", wait.number, blob_strerror(rc));
    }
}

static void client_blobs(host *h, host_client *c)
{
    size_t used = 0;

    while (!c->gone && c->in.size - used >= HOST_LENGTH) {
        const unsigned char *at = c->in.data + used;
        size_t size = (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];

        if (size > HOST_BLOB_MAX)
            c->gone = true; /* what follows cannot be told apart */
        if (c->gone || c->in.size - used - HOST_LENGTH < size)
            break;
        client_put(h, c, at + HOST_LENGTH, size);
        used += HOST_LENGTH + size;
    }
    bytes_drop(&c->in, used);
}

static void client_read(host *h, host_client *c)
{
    ssize_t got;

    if (!bytes_room(&c->in, HOST_READ)) {
        c->gone = true;
        return;
    }
    got = recv(c->fd, c->in.data + c->in.size, HOST_READ, MSG_DONTWAIT);
    if (got > 0)
        c->in.size += (size_t)got;
    else if (got == 0)
        c->ended = true;
    else if (errno != EAGAIN && errno != EINTR)
        c->gone = true;
    client_blobs(h, c);
    client_flush(h, c);
}

/* ---- What is safe ---- */

static void on_event(void *arg, const wbstore_event *event)
{
    const host *h = arg;
    const uint64_t one = 1;

    /* A real host would copy event->text of WBSTORE_EVENT_PARKED, and tell somebody. */
    if (event->kind == WBSTORE_EVENT_DRAINED)
        while (write(h->told, &one, sizeof one) < 0 && errno == EINTR)
            ;
}

/* Tells each client of the last of its blobs that is safe. */
static void host_acknowledge(host *h)
{
    uint64_t safe = wbstore_safe_ticket(h->w);

    for (host_client *c = h->clients; c != NULL; c = c->next) {
        uint64_t number = 0;
        size_t passed = 0;

        for (host_wait wait; passed < c->waits.size; passed += sizeof wait, number = wait.number) {
            memcpy(&wait, c->waits.data + passed, sizeof wait);
            if (wait.ticket > safe)
                break;
        }
        if (number == 0)
            continue;
        bytes_drop(&c->waits, passed);
        client_say(c, "safe %" PRIu64 "\n", number);
        client_flush(h, c);
    }
}

/* ---- The loop ---- */

static void host_listen(host *h, bool on)
{
    struct epoll_event want = {.events = on ? EPOLLIN : 0, .data.ptr = (void *)(uintptr_t)h->listener};

    if (h->deaf == on && epoll_ctl(h->epoll, EPOLL_CTL_MOD, *h->listener, &want) == 0)
        h->deaf = !on;
}

/* Who cannot be accepted stays at the door and would wake the loop again at once: so the door is not looked at for a
 * while. */
static void host_accept(host *h)
{
    int fd = accept4(*h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct epoll_event want = {.events = EPOLLIN};
    host_client *c;

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            host_listen(h, false);
        return;
    }
    want.data.ptr = c = calloc(1, sizeof *c);
    if (c == NULL || epoll_ctl(h->epoll, EPOLL_CTL_ADD, fd, &want) != 0) {
        close(fd);
        free(c);
        return;
    }
    c->fd = fd;
    c->next = h->clients;
    h->clients = c;
}

/* Did any go? */
static bool host_sweep(host *h, bool all)
{
    host_client **at = &h->clients;
    bool any = false;

    while (*at != NULL) {
        host_client *c = *at;

        if (!c->gone && !all) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        close(c->fd); /* what it sent and we accepted goes on to the base all the same */
        free(c->in.data);
        free(c->out.data);
        free(c->waits.data);
        free(c);
        any = true;
    }
    return any;
}

static bool host_waits(const host *h)
{
    for (const host_client *c = h->clients; c != NULL; c = c->next)
        if (c->waits.size > 0)
            return true;
    return false;
}

static int host_loop(host *h, const int *stop)
{
    struct epoll_event events[HOST_EVENTS];
    uint64_t told;

    for (;;) {
        int count = epoll_wait(h->epoll, events, HOST_EVENTS, h->deaf || host_waits(h) ? h->look_ms : -1);

        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++) {
            host_client *c = events[i].data.ptr;

            if (events[i].data.ptr == stop)
                return 0;
            if (events[i].data.ptr == h->listener)
                host_accept(h);
            else if (events[i].data.ptr == &h->told)
                (void)!read(h->told, &told, sizeof told);
            else if ((events[i].events & EPOLLIN) != 0)
                client_read(h, c);
            else if ((events[i].events & EPOLLOUT) != 0)
                client_flush(h, c);
            else
                c->gone = true;
        }
        host_acknowledge(h);
        if (host_sweep(h, false) || count == 0)
            host_listen(h, true);
    }
}

static int host_watch(const host *h, const int *fd)
{
    struct epoll_event want = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)fd};

    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, *fd, &want) == 0 ? 0 : -errno;
}

void example_free(host *h)
{
    if (h == NULL)
        return;
    wbstore_free(h->w); /* now no event comes any more */
    if (h->told >= 0)
        close(h->told);
    if (h->epoll >= 0)
        close(h->epoll);
    free(h);
}

/* What was accepted and not sent stays in the buffer, and the next start sends it. Not 0: the wrapper is still there. */
static int host_end(host *h, int64_t close_ms)
{
    blob_ctx *ctx = NULL;
    int rc = 0;

    (void)host_sweep(h, true);
    if (h->w != NULL && (rc = blob_ctx_new_timeout(&ctx, NULL, close_ms > 0 ? close_ms : HOST_CLOSE_MS)) == 0)
        rc = wbstore_close(h->w, ctx);
    blob_ctx_free(ctx);
    return rc;
}

static int host_open(host *h, const int *listener, const int *stop)
{
    int rc;

    h->listener = listener;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->told = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (h->epoll < 0 || h->told < 0)
        return -errno;
    if ((rc = host_watch(h, listener)) != 0 || (rc = host_watch(h, stop)) != 0)
        return rc;
    return host_watch(h, &h->told);
}

int example_serve(int listener, int stop, blob_store *base, blob_store *buffer, const example_options *options,
                  example_host **left)
{
    host *h = calloc(1, sizeof *h);
    wbstore_options wanted = wbstore_options_default();
    int rc, end;

    *left = NULL;
    if (h == NULL)
        return -ENOMEM;
    h->look_ms = options->look_ms;
    h->waits_max = options->waits_max > 0 ? options->waits_max : HOST_WAITS_MAX;
    rc = host_open(h, &listener, &stop);
    wanted.buffer_blobs_max = options->blobs_max;
    wanted.when_full = WBSTORE_FULL_FAIL;
    wanted.on_event = on_event;
    wanted.event_arg = h;
    if (rc == 0)
        rc = wbstore_new(&h->w, NULL, base, buffer, &wanted);
    if (rc == 0)
        rc = host_loop(h, &stop);
    if ((end = host_end(h, options->close_ms)) == 0)
        example_free(h);
    else
        *left = h;
    return rc != 0 ? rc : end;
}
