/* test_s3_net_names.c - the addresses of s3store's endpoint: a lookup that hangs holds up nobody longer than he wants, its
 * result is shared and kept. test_s3_net_dial.c has what becomes of it. */
#include "s3net_test.h"

#include "blob/ctx.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

/* ---- A lookup that the test holds in its hand ---- */

typedef struct names {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned begun; /* lookups */
    bool hangs;     /* they wait for this to go */
    int result;     /* getaddrinfo's */
    s3_address found[S3_ADDRESSES_MAX];
    size_t count;
} names;

static names n;

static int names_lookup(void *arg, const char *host, const char *port, s3_address *out, size_t *count)
{
    names *of = arg;
    int result;

    (void)host;
    (void)port;
    pthread_mutex_lock(&of->mutex);
    of->begun++;
    pthread_cond_broadcast(&of->changed);
    while (of->hangs)
        pthread_cond_wait(&of->changed, &of->mutex);
    memcpy(out, of->found, of->count * sizeof *out);
    *count = of->count;
    result = of->result;
    pthread_mutex_unlock(&of->mutex);
    return result;
}

static void names_add(const char *digits, unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    assert_int_equal(inet_pton(AF_INET, digits, &in.sin_addr), 1);
    memcpy(&n.found[n.count].at, &in, sizeof in);
    n.found[n.count++].size = sizeof in;
}

static void names_await(unsigned begun)
{
    pthread_mutex_lock(&n.mutex);
    while (n.begun < begun)
        pthread_cond_wait(&n.changed, &n.mutex);
    pthread_mutex_unlock(&n.mutex);
}

static void names_let(bool hang)
{
    pthread_mutex_lock(&n.mutex);
    n.hangs = hang;
    pthread_cond_broadcast(&n.changed);
    pthread_mutex_unlock(&n.mutex);
}

/* A lookup that nobody waited for has ended. */
static void names_await_end(unsigned ended)
{
    s3_resolver *r = t_net.resolver;

    pthread_mutex_lock(&r->mutex);
    while (r->lookups < ended)
        pthread_cond_wait(&r->ended, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
}

static int set_up(void **state)
{
    (void)t_setup(state);
    n = (names){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    t_open_at("some.name", 80, t_limits(T_LONG_MS, T_LONG_MS));
    t_net.resolver->lookup = names_lookup;
    t_net.resolver->lookup_arg = &n;
    return 0;
}

static int tear_down(void **state)
{
    names_let(false);
    return t_teardown(state);
}

static int resolve(blob_ctx *ctx, int64_t until_ns, size_t *count)
{
    s3_address out[S3_ADDRESSES_MAX];
    int rc = s3_resolve(t_net.resolver, ctx, until_ns, out, count);

    if (rc == 0) {
        assert_int_equal(*count, n.count);
        for (size_t i = 0; i < n.count; i++) {
            assert_int_equal(out[i].size, n.found[i].size);
            assert_memory_equal(&out[i].at, &n.found[i].at, out[i].size);
        }
    } else {
        assert_int_equal(*count, 0);
    }
    return rc;
}

/* ---- Looking up ---- */

static void a_result_is_used_for_a_while(void **state)
{
    size_t count;

    (void)state;
    names_add("127.0.0.1", 80);
    names_add("127.0.0.2", 80);
    for (int i = 0; i < 3; i++)
        test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 1);
    s3_resolver_forget(t_net.resolver);
    test_ok(resolve(NULL, WB_NEVER, &count));
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 2);
    t_net.resolver->fresh_ms = 0;
    s3_resolver_forget(t_net.resolver);
    test_ok(resolve(NULL, WB_NEVER, &count));
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 4);
}

static void it_is_fresh_for_half_a_minute(void **state)
{
    int64_t now_ns = wb_now_ns();
    size_t count;

    (void)state;
    names_add("127.0.0.1", 80);
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_true(t_net.resolver->until_ns >= now_ns + 30 * INT64_C(1000000000));
    assert_true(t_net.resolver->until_ns <= wb_now_ns() + 30 * INT64_C(1000000000));
    t_net.resolver->until_ns = wb_now_ns(); /* as if it had passed */
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 2);
}

static void a_failure_is_told_in_words_and_asked_about_anew(void **state)
{
    size_t count;

    (void)state;
    names_add("127.0.0.1", 80);
    n.result = EAI_NONAME;
    test_status(resolve(NULL, WB_NEVER, &count), BLOB_UNAVAILABLE);
    t_says("some.name");
    t_says(gai_strerror(EAI_NONAME));
    n.result = EAI_AGAIN;
    test_status(resolve(NULL, WB_NEVER, &count), BLOB_UNAVAILABLE);
    t_says(gai_strerror(EAI_AGAIN));
    assert_int_equal(n.begun, 2);
    n.result = 0;
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 3);
}

/* ---- A lookup that hangs ---- */

static void who_waits_leaves_at_his_deadline(void **state)
{
    blob_ctx *ctx = new_timeout(NULL, 300); /* time enough to begin to wait */
    size_t count;

    (void)state;
    names_let(true);
    test_status(resolve(ctx, WB_NEVER, &count), -ETIMEDOUT);
    t_says("the deadline passed while its address was looked up");
    test_status(resolve(NULL, wb_after_ms(wb_now_ns(), 300), &count), -ETIMEDOUT);
    t_says("limit for connecting");
    names_let(false);
    names_await_end(1);
    assert_int_equal(n.begun, 1); /* one lookup for all who come */
    blob_ctx_free(ctx);
}

static void *cancel_when_asked(void *ctx)
{
    names_await(1);
    blob_ctx_cancel(ctx);
    return NULL;
}

static void who_waits_leaves_when_he_is_cancelled(void **state)
{
    blob_ctx *ctx = new_ctx(NULL);
    pthread_t thread;
    t_call call;

    (void)state;
    names_let(true);
    test_thread_start(&thread, cancel_when_asked, ctx);
    test_status(t_get_by(ctx, &call), -ECANCELED);
    assert_false(call.x.begun);
    assert_int_equal(t_connects, 0);
    test_thread_join(thread);
    blob_ctx_free(ctx);
}

static void the_limit_for_connecting_counts_the_lookup(void **state)
{
    (void)state;
    names_let(true);
    t_net.limits.connect_ms = 30;
    t_expect_failure(-ETIMEDOUT);
    t_says("limit for connecting");
}

static void what_comes_late_is_kept_for_the_next(void **state)
{
    size_t count;

    (void)state;
    names_add("127.0.0.1", 80);
    names_let(true);
    test_status(resolve(NULL, wb_after_ms(wb_now_ns(), 30), &count), -ETIMEDOUT);
    names_let(false);
    names_await_end(1);
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 1);
}

static void a_failure_that_comes_late_is_nobodys(void **state)
{
    size_t count;

    (void)state;
    names_let(true);
    n.result = EAI_NONAME;
    test_status(resolve(NULL, wb_after_ms(wb_now_ns(), 30), &count), -ETIMEDOUT);
    names_let(false);
    names_await_end(1);
    names_add("127.0.0.1", 80);
    n.result = 0;
    test_ok(resolve(NULL, WB_NEVER, &count));
    assert_int_equal(n.begun, 2);
}

static void resolve_once(void *failed, unsigned index)
{
    s3_address out[S3_ADDRESSES_MAX];
    size_t count;

    if (index == 0) { /* let go once the others, or some of them, have come */
        names_await(1);
        names_let(false);
    } else if (s3_resolve(t_net.resolver, NULL, WB_NEVER, out, &count) != 0 || count != 1) {
        atomic_fetch_add((atomic_uint *)failed, 1);
    }
}

static void all_who_wait_share_one_lookup(void **state)
{
    atomic_uint failed = 0;

    (void)state;
    names_add("127.0.0.1", 80);
    names_let(true);
    test_threads_run(12, resolve_once, &failed);
    assert_int_equal(failed, 0);
    assert_int_equal(n.begun, 1);
}

static void *close_net(void *closed)
{
    s3_net_close(&t_net);
    atomic_store((atomic_bool *)closed, true);
    return NULL;
}

static void closing_waits_for_a_lookup(void **state)
{
    atomic_bool closed = false;
    pthread_t thread;
    size_t count;

    (void)state;
    names_let(true);
    test_status(resolve(NULL, wb_after_ms(wb_now_ns(), 1), &count), -ETIMEDOUT);
    names_await(1);
    test_thread_start(&thread, close_net, &closed);
    assert_false(closed); /* it cannot, whenever we look */
    names_let(false);
    test_thread_join(thread);
    assert_true(closed);
}

/* ---- Digits, and the system's own lookup ---- */

static void expect_address(const char *host, int family, bool numeric)
{
    s3_address out[S3_ADDRESSES_MAX];
    s3_resolver *r;
    size_t count;

    test_ok(s3_resolver_new(&r, host, "8080"));
    assert_int_equal(r->numeric, numeric);
    test_ok(s3_resolve(r, NULL, WB_NEVER, out, &count));
    assert_true(count > 0);
    if (family != AF_UNSPEC)
        assert_int_equal(out[0].at.ss_family, family);
    if (out[0].at.ss_family == AF_INET)
        assert_int_equal(((struct sockaddr_in *)(void *)&out[0].at)->sin_port, htons(8080));
    else
        assert_int_equal(((struct sockaddr_in6 *)(void *)&out[0].at)->sin6_port, htons(8080));
    assert_int_equal(r->started, !numeric);
    s3_resolver_free(r);
}

static void digits_are_not_looked_up(void **state)
{
    (void)state;
    expect_address("127.0.0.1", AF_INET, true);
    expect_address("192.0.2.77", AF_INET, true);
    expect_address("::1", AF_INET6, true);
    expect_address("2001:db8::5", AF_INET6, true);
}

static void names_are(void **state)
{
    (void)state;
    expect_address("localhost", AF_UNSPEC, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_result_is_used_for_a_while, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_fresh_for_half_a_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_told_in_words_and_asked_about_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_leaves_at_his_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_waits_leaves_when_he_is_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_limit_for_connecting_counts_the_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_late_is_kept_for_the_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_that_comes_late_is_nobodys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_who_wait_share_one_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_waits_for_a_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(digits_are_not_looked_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_are, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("s3_net_names", tests, NULL, NULL);
}
