/* test_wbstore_writers.c - the writer threads: how many there are, that they all come when the base is slow, and what kind
 * of threads they are. */
#include "testclock.h"
#include "wbinside.h"

#include "wbstore/wrapper.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- how many ---------------------------------------------------------------------------------------------------------------- */

static void all_writers_reach_a_slow_base_together_and_no_more_than_are_allowed(void **state)
{
    static const unsigned writers_max[] = {1, 2, 7, 0}; /* 0: the default */

    for (unsigned i = 0; i < 4; i++) {
        unsigned most = writers_max[i] > 0 ? writers_max[i] : 64;
        blob_faultstore_rule *gate;
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        r->options.writers_max = writers_max[i];
        gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
        wbrig_start(r);
        for (unsigned n = 0; n < 2 * most + 10; n++)
            wbrig_put_number(r, n);
        blob_faultstore_wait_held(gate, most);
        assert_int_equal(inside_stats(r).in_flight, most);
        blob_faultstore_release(gate, most / 2 + 1); /* others take their places */
        blob_faultstore_wait_hits(gate, most + most / 2 + 1);
        blob_faultstore_wait_held(gate, most);
        blob_faultstore_lift(gate);
        test_ok(wbstore_sync(r->w, NULL));
        assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, most);
        assert_int_equal(blob_faultstore_count(r->buf, BLOB_FAULT_GET).in_flight_max <= most, true);
        if (i < 3)
            wbrig_tear_down(state);
    }
}

static void one_writer_sends_in_the_order_of_the_puts(void **state)
{
    enum { MANY = 200 };
    wbrig *r = *state;
    blob_faultstore_call call;
    unsigned sent = 0;

    r->options.writers_max = 1;
    wbrig_start(r);
    for (unsigned i = 0; i < MANY; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, NULL));
    for (size_t i = 0; blob_faultstore_history(r->base, i, &call); i++) {
        char text[32];
        blob_address a;
        if (call.op != BLOB_FAULT_PUT)
            continue;
        snprintf(text, sizeof text, "blob number %u", sent++);
        a = wbrig_address(text);
        assert_int_equal(blob_key_compare(blob_key_of(call.key, call.key_size), blob_address_key(&a)), 0);
    }
    assert_int_equal(sent, MANY);
    assert_int_equal(blob_faultstore_count(r->base, BLOB_FAULT_PUT).in_flight_max, 1);
}

/* Puts that come singly, each after the one before has got stuck: none of them waits for another's time limit. */
static void a_put_behind_hung_uploads_is_sent_too(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    r->options.writers_max = 5;
    wbrig_start(r);
    for (unsigned i = 0; i < 5; i++) {
        wbrig_put_number(r, i);
        blob_faultstore_wait_held(gate, i + 1);
    }
}

/* It answered at once, so it was given few writers; now that it hangs it gets the others. */
static void a_base_that_was_fast_and_hangs_now_gets_its_writers(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;

    r->options.writers_max = 9;
    wbrig_start(r);
    for (unsigned i = 0; i < 300; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, NULL));
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    for (unsigned i = 300; i < 320; i++)
        wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, 9);
}

/* Those who are between two uploads are about to take up the next; but not if the buffer does not let them. */
static void a_buffer_that_hangs_holds_up_no_other_blob_of_a_fast_base(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate;
    uint64_t puts;

    r->options.writers_max = 9;
    wbrig_start(r);
    for (unsigned i = 0; i < 300; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, NULL));
    pthread_mutex_lock(&r->w->lock); /* for sure, however slow this machine is now */
    r->w->pace.latency_ns = 1000;
    r->w->pace.processors = 2;
    pthread_mutex_unlock(&r->w->lock);
    gate = blob_faultstore_hold(r->buf, BLOB_FAULT_DELETE, NULL, BLOB_FAULT_BEFORE);
    puts = blob_faultstore_count(r->base, BLOB_FAULT_PUT).calls;
    for (unsigned i = 300; i < 309; i++)
        wbrig_put_number(r, i);
    blob_faultstore_wait_calls(r->base, BLOB_FAULT_PUT, puts + 9);
    blob_faultstore_wait_held(gate, 9);
}

/* The clock stands still, so the housekeeper takes no writer for stuck; who picks a blob calls for others. */
static void writers_call_for_writers_and_need_nobody_for_it(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    test_clock clock;

    inside_go_by(r, &clock);
    r->options.writers_max = 3;
    wbrig_start(r);
    inside_until_resumed(r->w);
    for (unsigned i = 0; i < 10; i++)
        wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, 1);
    blob_faultstore_release(gate, 1);
    blob_faultstore_wait_held(gate, 3);
    blob_faultstore_lift(gate);
    wbrig_stop(r);
}

static void be_slow(wbrig *r, const wbstore_event *event)
{
    uint64_t len;

    if (event->kind == WBSTORE_EVENT_PARKED)
        blob_store_len(blob_faultstore_store(r->buf), NULL, &len);
}

/* The callback takes its time; meanwhile the housekeeper gives puts that come singly the writers that they need. */
static void a_slow_callback_holds_up_no_writer(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *busy = blob_faultstore_hold(r->buf, BLOB_FAULT_LEN, NULL, BLOB_FAULT_BEFORE), *gate;

    blob_faultstore_fail(r->base, BLOB_FAULT_PUT, BLOB_REJECTED, 1);
    r->options.writers_max = 5;
    r->in_event = be_slow;
    wbrig_start(r);
    wbrig_put(r, "parked");
    blob_faultstore_wait_held(busy, 1);
    gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    for (unsigned i = 0; i < 5; i++) {
        wbrig_put_number(r, i);
        blob_faultstore_wait_held(gate, i + 1);
    }
    blob_faultstore_lift(busy);
}

static void what_is_resumed_is_sent_by_all_writers_with_no_put_to_start_them(void **state)
{
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);

    for (unsigned i = 0; i < 20; i++) {
        char text[32];
        snprintf(text, sizeof text, "left behind %u", i);
        wbrig_buffer(r, text);
    }
    r->options.writers_max = 6;
    wbrig_start(r);
    blob_faultstore_wait_held(gate, 6);
}

/* ---- what kind of threads ------------------------------------------------------------------------------------------------------- */

/* A hash that looks at the thread it is called on: before an upload that is a writer. */
static struct {
    pthread_t host;
    _Atomic unsigned looked, signals_open;
    _Atomic size_t stack_bytes;
} thread_seen;

static void look_at_this_thread(void)
{
    pthread_attr_t attr;
    sigset_t blocked;
    size_t size;

    if (pthread_equal(pthread_self(), thread_seen.host))
        return;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        if (pthread_attr_getstacksize(&attr, &size) == 0)
            thread_seen.stack_bytes = size;
        pthread_attr_destroy(&attr);
    }
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    for (int s = 1; s < SIGRTMIN; s++)
        if (s < 32 && s != SIGKILL && s != SIGSTOP && !sigismember(&blocked, s))
            thread_seen.signals_open++;
    for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
        if (!sigismember(&blocked, s))
            thread_seen.signals_open++;
    thread_seen.looked++;
}

static void looking_digest(const void *data, size_t size, unsigned char *out)
{
    look_at_this_thread();
    blob_hash_sha256()->digest(data, size, out);
}

static const blob_hash looking_hash = {.name = "looking", .size = 32, .digest = looking_digest};

/* The rig's base anew, over that hash. */
static void set_up_looking(wbrig *r)
{
    test_ok(blob_store_close(blob_faultstore_store(r->base), NULL));
    test_ok(blob_store_close(r->base_cas, NULL));
    test_ok(blob_hashcas_new(&r->base_cas, r->base_mem, &looking_hash));
    test_ok(test_faultstore_new(&r->base, r->base_cas));
    thread_seen.host = pthread_self();
    thread_seen.looked = thread_seen.signals_open = 0;
}

static void look_in_event(wbrig *r, const wbstore_event *event)
{
    (void)r;
    (void)event;
    look_at_this_thread();
}

static void every_signal_is_blocked_in_the_threads_of_the_library(void **state)
{
    wbrig *r = *state;
    sigset_t before, after;

    set_up_looking(r);
    r->in_event = look_in_event;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    wbrig_start(r);
    for (unsigned i = 0; i < 10; i++)
        wbrig_put_number(r, i);
    test_ok(wbstore_sync(r->w, NULL));
    wbrig_wait_event(r, WBSTORE_EVENT_DRAINED, 1);
    assert_true(thread_seen.looked >= 11); /* before each upload, and in the callback */
    assert_int_equal(thread_seen.signals_open, 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after); /* and the host's own are as they were */
    for (int s = 1; s < SIGRTMAX; s++)
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
}

static pthread_t main_thread;
static volatile sig_atomic_t handled, handled_elsewhere;

static void on_signal(int number)
{
    (void)number;
    handled = handled + 1;
    if (!pthread_equal(pthread_self(), main_thread))
        handled_elsewhere = handled_elsewhere + 1;
}

static void a_signal_to_the_process_is_never_handled_on_a_thread_of_the_library(void **state)
{
    struct sigaction action = {.sa_handler = on_signal}, old;
    wbrig *r = *state;
    blob_faultstore_rule *gate = blob_faultstore_hold(r->base, BLOB_FAULT_PUT, NULL, BLOB_FAULT_BEFORE);
    sigset_t usr1;

    main_thread = pthread_self();
    handled = handled_elsewhere = 0;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigaction(SIGUSR1, &action, &old);
    wbrig_start(r);
    for (unsigned i = 0; i < 4; i++)
        wbrig_put_number(r, i);
    blob_faultstore_wait_held(gate, 4); /* threads that could take it */
    for (int i = 1; i <= 50; i++) {
        pthread_sigmask(SIG_BLOCK, &usr1, NULL); /* we could not, for a while */
        kill(getpid(), SIGUSR1);
        blob_faultstore_release(gate, 1); /* somebody runs */
        wbrig_put_number(r, (unsigned)i + 100);
        blob_faultstore_wait_hits(gate, (uint64_t)i + 4);
        pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
        while (handled < i)
            getpid(); /* where the handler may be put off to the next call */
    }
    assert_int_equal(handled, 50);
    assert_int_equal(handled_elsewhere, 0);
    sigaction(SIGUSR1, &old, NULL);
}

static void writers_have_the_stack_that_the_host_wants(void **state)
{
    static const size_t sizes[] = {512 << 10, 64 << 20}; /* the system's default is in between */

    for (unsigned i = 0; i < 2; i++) {
        wbrig *r;

        if (i > 0)
            inside_set_up(state);
        r = *state;
        set_up_looking(r);
        r->options.writer_stack_bytes = sizes[i];
        wbrig_start(r);
        wbrig_put(r, "text");
        test_ok(wbstore_sync(r->w, NULL));
        assert_int_equal(thread_seen.looked, 1);
        assert_in_range(thread_seen.stack_bytes, sizes[i] - (64 << 10),
                        4 * sizes[i]); /* one kept from before may be larger */
        if (i == 0)
            wbrig_tear_down(state);
    }
}

static void a_stack_that_is_none_is_refused_at_the_start(void **state)
{
    wbrig *r = *state;

    r->options.writer_stack_bytes = 1;
    test_status(wbstore_new(&r->w, NULL, blob_faultstore_store(r->base), blob_faultstore_store(r->buf), &r->options),
                -EINVAL);
    assert_null(r->w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, inside_set_up, wbrig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_writers_reach_a_slow_base_together_and_no_more_than_are_allowed),
        TEST(one_writer_sends_in_the_order_of_the_puts),
        TEST(a_put_behind_hung_uploads_is_sent_too),
        TEST(a_base_that_was_fast_and_hangs_now_gets_its_writers),
        TEST(a_buffer_that_hangs_holds_up_no_other_blob_of_a_fast_base),
        TEST(writers_call_for_writers_and_need_nobody_for_it),
        TEST(a_slow_callback_holds_up_no_writer),
        TEST(what_is_resumed_is_sent_by_all_writers_with_no_put_to_start_them),
        TEST(every_signal_is_blocked_in_the_threads_of_the_library),
        TEST(a_signal_to_the_process_is_never_handled_on_a_thread_of_the_library),
        TEST(writers_have_the_stack_that_the_host_wants),
        TEST(a_stack_that_is_none_is_refused_at_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
