/* wbrig.c - see wbrig.h. */
#include "wbrig.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- made and ended ------------------------------------------------------------------------------------------ */

static void rig_on_event(void *arg, const wbstore_event *event)
{
    wbrig *r = arg;

    if (r->in_event != NULL)
        r->in_event(r, event);
    pthread_mutex_lock(&r->lock);
    if (r->events_count < WBRIG_EVENTS) {
        wbrig_event *kept = &r->events[r->events_count];
        *kept = (wbrig_event){.kind = event->kind, .status = event->status, .key_size = event->key.size};
        if (event->key.size > 0)
            memcpy(kept->key, event->key.data, event->key.size);
        snprintf(kept->text, sizeof kept->text, "%s", event->text);
    }
    r->events_count++;
    pthread_cond_broadcast(&r->told);
    pthread_mutex_unlock(&r->lock);
}

int wbrig_set_up(void **state)
{
    wbrig *r = calloc(1, sizeof *r);

    test_watchdog(120);
    assert_non_null(r);
    test_ok(blob_memstore_new(&r->base_mem));
    test_ok(blob_hashcas_new(&r->base_cas, r->base_mem, blob_hash_sha256()));
    test_ok(test_faultstore_new(&r->base, r->base_cas));
    test_ok(blob_memstore_new(&r->buf_mem));
    test_ok(test_faultstore_new(&r->buf, r->buf_mem));
    test_ok(blob_ctx_new(&r->ctx, NULL));
    pthread_mutex_init(&r->lock, NULL);
    test_ok(blob_cond_init(&r->told));
    r->options = wbstore_options_default();
    r->options.retry_min_ms = 1;
    r->options.retry_max_ms = 5;
    r->options.attempt_timeout_ms = 3600 * 1000;
    r->options.on_event = rig_on_event;
    r->options.event_arg = r;
    *state = r;
    return 0;
}

int wbrig_tear_down(void **state)
{
    wbrig *r = *state;

    blob_faultstore_clear(r->base);
    blob_faultstore_clear(r->buf);
    wbstore_free(r->w);
    blob_ctx_free(r->ctx);
    test_ok(blob_store_close(blob_faultstore_store(r->base), NULL));
    test_ok(blob_store_close(blob_faultstore_store(r->buf), NULL));
    test_ok(blob_store_close(r->base_cas, NULL));
    test_ok(blob_store_close(r->base_mem, NULL));
    test_ok(blob_store_close(r->buf_mem, NULL));
    pthread_cond_destroy(&r->told);
    pthread_mutex_destroy(&r->lock);
    free(r);
    return 0;
}

void wbrig_start(wbrig *r)
{
    test_ok(wbstore_new(&r->w, r->ctx, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), &r->options));
    assert_non_null(r->w);
}

void wbrig_stop(wbrig *r)
{
    wbstore_free(r->w);
    r->w = NULL;
}

/* ---- blobs --------------------------------------------------------------------------------------------------- */

blob_address wbrig_address(const char *text)
{
    const blob_hash *hash = blob_hash_sha256();
    blob_address address = {.size = hash->size};

    hash->digest(text, strlen(text), address.bytes);
    return address;
}

blob_address wbrig_put(wbrig *r, const char *text)
{
    blob_address address, expected = wbrig_address(text);

    test_ok(wbstore_cas_put(r->w, NULL, text, strlen(text), &address));
    assert_int_equal(blob_key_compare(blob_address_key(&address), blob_address_key(&expected)), 0);
    return address;
}

uint64_t wbrig_put_ticket(wbrig *r, const char *text)
{
    uint64_t ticket;

    test_ok(wbstore_cas_put_ticket(r->w, NULL, text, strlen(text), NULL, &ticket));
    return ticket;
}

blob_address wbrig_put_number(wbrig *r, unsigned n)
{
    char text[32];

    snprintf(text, sizeof text, "blob number %u", n);
    return wbrig_put(r, text);
}

void wbrig_buffer(wbrig *r, const char *text)
{
    blob_address address = wbrig_address(text);

    test_put(r->buf_mem, blob_address_key(&address), text);
}

bool wbrig_in_base(wbrig *r, const blob_address *a)
{
    return test_has(r->base_mem, blob_address_key(a));
}

bool wbrig_in_buffer(wbrig *r, const blob_address *a)
{
    return test_has(r->buf_mem, blob_address_key(a));
}

wbstore_stats wbrig_stats(wbrig *r)
{
    wbstore_stats stats = {.struct_size = sizeof stats};

    wbstore_get_stats(r->w, &stats);
    return stats;
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static const wbrig_event *rig_find_locked(const wbrig *r, wbstore_event_kind kind, size_t nth)
{
    for (size_t i = 0; i < r->events_count && i < WBRIG_EVENTS; i++)
        if (r->events[i].kind == kind && --nth == 0)
            return &r->events[i];
    return NULL;
}

size_t wbrig_event_count(wbrig *r, wbstore_event_kind kind)
{
    size_t count = 0;

    pthread_mutex_lock(&r->lock);
    while (rig_find_locked(r, kind, count + 1) != NULL)
        count++;
    pthread_mutex_unlock(&r->lock);
    return count;
}

wbrig_event wbrig_wait_event(wbrig *r, wbstore_event_kind kind, size_t count)
{
    const wbrig_event *found;
    wbrig_event event;

    pthread_mutex_lock(&r->lock);
    while ((found = rig_find_locked(r, kind, count)) == NULL)
        pthread_cond_wait(&r->told, &r->lock);
    event = *found;
    pthread_mutex_unlock(&r->lock);
    return event;
}

/* ---- calls on threads ---------------------------------------------------------------------------------------- */

int wbrig_call_sync(wbrig_call *c)
{
    return wbstore_sync(c->w, c->ctx);
}

int wbrig_call_wait(wbrig_call *c)
{
    return wbstore_wait(c->w, c->ctx, c->ticket);
}

int wbrig_call_wait_keys(wbrig_call *c)
{
    return wbstore_wait_keys(c->w, c->ctx, c->keys, c->count);
}

int wbrig_call_close(wbrig_call *c)
{
    return wbstore_close(c->w, c->ctx);
}

int wbrig_call_get(wbrig_call *c)
{
    blob *b;
    int rc = wbstore_get(c->w, c->ctx, c->key, &b);

    blob_unref(b);
    return rc;
}

int wbrig_call_size(wbrig_call *c)
{
    uint64_t size;

    return wbstore_size(c->w, c->ctx, c->key, &size);
}

static void *rig_call_run(void *arg)
{
    wbrig_call *c = arg;

    c->status = c->call(c);
    blob_last_error(&c->error);
    return NULL;
}

void wbrig_begin(wbrig_call *c)
{
    test_thread_start(&c->thread, rig_call_run, c);
}

int wbrig_end(wbrig_call *c)
{
    test_thread_join(c->thread);
    return c->status;
}

/* ---- looking inside ------------------------------------------------------------------------------------------ */

static bool rig_is_waited(wbstore *w)
{
    bool waited;

    pthread_mutex_lock(&w->lock);
    waited = w->awaited_order != UINT64_MAX;
    pthread_mutex_unlock(&w->lock);
    return waited;
}

void wbrig_until_waited(wbstore *w)
{
    while (!rig_is_waited(w))
        sched_yield();
}

bool wbrig_key_is_waited(wbstore *w, blob_key key)
{
    const wb_entry *e;
    bool waited;

    pthread_mutex_lock(&w->lock);
    e = wb_ledger_find(&w->ledger, key);
    waited = e != NULL && e->awaited;
    pthread_mutex_unlock(&w->lock);
    return waited;
}

void wbrig_until_key_waited(wbstore *w, blob_key key)
{
    while (!wbrig_key_is_waited(w, key))
        sched_yield();
}

void wbrig_begin_asleep(wbrig_call *c)
{
    wb_entry *e;
    bool asleep;

    pthread_mutex_lock(&c->w->lock);
    c->w->awaited_order = UINT64_MAX;
    for (size_t i = 0; i < c->count; i++)
        if ((e = wb_ledger_find(&c->w->ledger, c->keys[i])) != NULL)
            e->awaited = false;
    pthread_mutex_unlock(&c->w->lock);
    wbrig_begin(c);
    do {
        sched_yield();
        asleep = rig_is_waited(c->w);
        for (size_t i = 0; i < c->count && !asleep; i++)
            asleep = wbrig_key_is_waited(c->w, c->keys[i]);
    } while (!asleep);
}

/* ---- closed -------------------------------------------------------------------------------------------------- */

static int rig_no_key(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(unsigned *)arg;
    return 0;
}

void wbrig_expect_closed(wbstore *w)
{
    blob_key key = test_key("key");
    wbstore_stats stats = {.struct_size = sizeof stats};
    blob_address address, expected = wbrig_address("bytes");
    uint64_t number = 7;
    unsigned listed = 0;
    blob *b = (blob *)&number;

    test_status(wbstore_cas_put_ticket(w, NULL, "bytes", 5, &address, &number), BLOB_CLOSED);
    assert_int_equal(number, 0);
    assert_int_equal(blob_key_compare(blob_address_key(&address), blob_address_key(&expected)), 0);
    test_status(wbstore_cas_put(w, NULL, "bytes", 5, &address), BLOB_CLOSED);
    assert_int_equal(address.size, expected.size);
    test_status(wbstore_get(w, NULL, key, &b), BLOB_CLOSED);
    assert_null(b);
    number = 7;
    test_status(wbstore_size(w, NULL, key, &number), BLOB_CLOSED);
    assert_int_equal(number, 0);
    test_status(wbstore_put(w, NULL, key, blob_view_of("b", 1), 0), BLOB_CLOSED);
    test_status(wbstore_put(w, NULL, key, blob_view_of("b", 1), BLOB_REPLACE), BLOB_CLOSED);
    test_status(wbstore_delete(w, NULL, key), BLOB_CLOSED);
    test_status(wbstore_list(w, NULL, blob_key_of(NULL, 0), rig_no_key, &listed), BLOB_CLOSED);
    assert_int_equal(listed, 0);
    number = 7;
    test_status(wbstore_len(w, NULL, &number), BLOB_CLOSED);
    assert_int_equal(number, 0);
    test_status(wbstore_sync(w, NULL), BLOB_CLOSED);
    test_status(wbstore_wait(w, NULL, 0), BLOB_CLOSED);
    test_status(wbstore_wait(w, NULL, 1), BLOB_CLOSED);
    test_status(wbstore_wait_keys(w, NULL, &key, 1), BLOB_CLOSED);
    test_status(wbstore_rescan(w, NULL), BLOB_CLOSED);
    test_status(wbstore_retry_parked(w), BLOB_CLOSED);

    wbstore_safe_ticket(w);
    wbstore_get_stats(w, &stats);
    assert_int_equal(stats.accepted + stats.resumed, stats.sent + stats.deleted + stats.pending_blobs);
    assert_non_null(wbstore_buffer(w));
    assert_non_null(wbstore_as_store(w));
    test_status(blob_store_get(wbstore_as_store(w), NULL, key, &b), BLOB_CLOSED);
    test_ok(wbstore_close(w, NULL));
    test_ok(blob_store_close(wbstore_as_store(w), NULL));
}
