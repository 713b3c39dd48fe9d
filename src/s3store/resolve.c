/* resolve.c - the addresses of the endpoint's host, and not waiting for them longer than one wants to.
 *
 * Nothing can end a getaddrinfo that is under way. So it runs in a thread, and those who want to know wait for that, each
 * as long as its own context lets it. There is one such thread at a time, and only while somebody asked: it ends with its
 * lookup, and the next lookup, or free, joins it. What it found is kept for a while, even if all who waited have left.
 *
 * An address that could not be reached goes last, and stays there over later lookups, until somebody gets through to it.
 * For one behind which all is silent costs the whole limit for connecting: were it tried first by every call, those with
 * a deadline would never come to the others. */
#include "blob/ctx.h"
#include "blob/thread.h"
#include "s3store/net.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#define RESOLVE_FRESH_MS 30000

static int resolve_ask(const char *host, const char *port, int flags, s3_address *out, size_t *count)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL, *one;
    int rc = getaddrinfo(host, port, &hints, &list);

    *count = 0;
    if (rc != 0)
        return rc;
    for (one = list; one != NULL && *count < S3_ADDRESSES_MAX; one = one->ai_next) {
        if (one->ai_addrlen > sizeof out->at)
            continue;
        memset(&out[*count], 0, sizeof *out);
        memcpy(&out[*count].at, one->ai_addr, one->ai_addrlen);
        out[(*count)++].size = one->ai_addrlen;
    }
    freeaddrinfo(list);
    return *count > 0 ? 0 : EAI_NONAME;
}

static int resolve_lookup(void *arg, const char *host, const char *port, s3_address *out, size_t *count)
{
    (void)arg;
    return resolve_ask(host, port, 0, out, count);
}

static s3_address *resolve_find_locked(s3_resolver *r, const s3_address *address)
{
    for (size_t i = 0; i < r->found_count; i++)
        if (r->found[i].size == address->size && memcmp(&r->found[i].at, &address->at, address->size) == 0)
            return &r->found[i];
    return NULL;
}

/* Those that failed go last; else the order stays. */
static void resolve_order(s3_address *addresses, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        s3_address one = addresses[i];
        size_t at = i;

        for (; at > 0 && addresses[at - 1].failed && !one.failed; at--)
            addresses[at] = addresses[at - 1];
        addresses[at] = one;
    }
}

/* What is known of those that were known before holds on. */
static void resolve_take_locked(s3_resolver *r, s3_address *fresh, size_t count)
{
    const s3_address *before;

    for (size_t i = 0; i < count; i++) {
        before = resolve_find_locked(r, &fresh[i]);
        fresh[i].failed = before != NULL && before->failed;
    }
    resolve_order(fresh, count);
    memcpy(r->found, fresh, count * sizeof *fresh);
    r->found_count = count;
}

static void *resolve_run(void *arg)
{
    s3_address found[S3_ADDRESSES_MAX];
    s3_resolver *r = arg;
    int failed, error;
    size_t count = 0;

    failed = r->lookup(r->lookup_arg, r->host, r->port, found, &count);
    error = errno;
    pthread_mutex_lock(&r->mutex);
    r->failed = failed;
    r->system_error = error;
    resolve_take_locked(r, found, failed == 0 ? count : 0);
    r->until_ns = wb_after_ms(wb_now_ns(), r->fresh_ms);
    r->lookups++;
    r->running = false;
    pthread_cond_broadcast(&r->ended);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

/* Whoever lets go of the mutex last in the thread has nothing left to do: joining it here is no wait. */
static int resolve_start_locked(s3_resolver *r)
{
    int rc;

    if (r->started)
        pthread_join(r->thread, NULL);
    r->started = false;
    if ((rc = wb_thread_start(&r->thread, resolve_run, r, 0)) != 0)
        return rc;
    r->started = r->running = true;
    return 0;
}

/* That we have no memory or no descriptors says nothing about the name. */
static int resolve_status_locked(const s3_resolver *r)
{
    if (r->failed == EAI_MEMORY)
        return -ENOMEM;
    if (r->failed == EAI_SYSTEM &&
        (r->system_error == ENOMEM || r->system_error == EMFILE || r->system_error == ENFILE))
        return -r->system_error;
    return BLOB_UNAVAILABLE;
}

static int resolve_failed_locked(const s3_resolver *r)
{
    return blob_fail(resolve_status_locked(r), 0, "%.120s: cannot look up its address: %s", r->host,
                     r->failed == EAI_SYSTEM ? blob_strerror(-r->system_error) : gai_strerror(r->failed));
}

/* Starts a lookup, unless one is under way, and waits until it has ended. */
static int resolve_wait_locked(s3_resolver *r, blob_ctx *ctx, int64_t until_ns)
{
    const uint64_t before = r->lookups;
    int rc = r->running ? 0 : resolve_start_locked(r);

    if (rc != 0)
        return rc;
    while (r->lookups == before) {
        if ((rc = wb_ctx_wait(ctx, NULL, &r->ended, &r->mutex, until_ns)) != 0)
            return blob_fail(rc, 0, "%.120s: %s while its address was looked up", r->host,
                             rc == -ECANCELED ? "cancelled" : "the deadline passed");
        if (r->lookups == before && until_ns != WB_NEVER && wb_ctx_now_ns(ctx) >= until_ns)
            return blob_fail(-ETIMEDOUT, 0, "%.120s: looking up its address takes longer than the limit for connecting",
                             r->host);
    }
    return r->found_count > 0 ? 0 : resolve_failed_locked(r);
}

int s3_resolve(s3_resolver *r, blob_ctx *ctx, int64_t until_ns, s3_address *out, size_t *count)
{
    int rc = blob_ctx_status(ctx);

    *count = 0;
    if (rc != 0)
        return blob_fail(rc, 0, "%.120s: no time to look up its address", r->host);
    pthread_mutex_lock(&r->mutex);
    if (!r->numeric && (r->found_count == 0 || wb_now_ns() >= r->until_ns))
        rc = resolve_wait_locked(r, ctx, until_ns);
    if (rc == 0) {
        memcpy(out, r->found, r->found_count * sizeof *out);
        *count = r->found_count;
    }
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

void s3_resolver_forget(s3_resolver *r)
{
    pthread_mutex_lock(&r->mutex);
    r->until_ns = 0;
    pthread_mutex_unlock(&r->mutex);
}

/* A move within the list: of those that failed the one that did so last is the last to be tried again. */
void s3_resolver_tell(s3_resolver *r, const s3_address *address, bool failed)
{
    s3_address *one, *end;

    pthread_mutex_lock(&r->mutex);
    one = resolve_find_locked(r, address);
    if (one != NULL && (failed || one->failed)) {
        end = r->found + r->found_count - 1;
        for (; one < end && failed; one++)
            one[0] = one[1];
        if (failed)
            *one = *address;
        one->failed = failed;
        resolve_order(r->found, r->found_count);
    }
    pthread_mutex_unlock(&r->mutex);
}

int s3_resolver_new(s3_resolver **out, const char *host, const char *port)
{
    s3_resolver *r = calloc(1, sizeof *r);
    int rc = -ENOMEM;

    *out = NULL;
    if (r == NULL)
        return blob_fail(-ENOMEM, 0, "no memory for a name's addresses");
    r->host = strdup(host);
    r->port = strdup(port);
    r->lookup = resolve_lookup;
    r->fresh_ms = RESOLVE_FRESH_MS;
    if (r->host == NULL || r->port == NULL) {
        rc = blob_fail(rc, 0, "no memory for a name's addresses");
        goto fail;
    }
    if ((rc = pthread_mutex_init(&r->mutex, NULL)) != 0) {
        rc = blob_fail(-rc, 0, "cannot make a lock");
        goto fail;
    }
    if ((rc = blob_cond_init(&r->ended)) != 0) {
        pthread_mutex_destroy(&r->mutex);
        goto fail;
    }
    r->numeric = resolve_ask(host, port, AI_NUMERICHOST, r->found, &r->found_count) == 0;
    *out = r;
    return 0;
fail:
    free(r->host);
    free(r->port);
    free(r);
    return rc;
}

void s3_resolver_free(s3_resolver *r)
{
    if (r == NULL)
        return;
    if (r->started)
        pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->ended);
    pthread_mutex_destroy(&r->mutex);
    free(r->host);
    free(r->port);
    free(r);
}
