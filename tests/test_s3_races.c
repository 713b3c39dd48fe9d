/* test_s3_races.c - calls of s3store that meet on a key: who waits for whom, who need not, and that waiting ends.
 *
 * A request that the server holds up keeps its call in the middle. Whether another one waits for it is then no matter of
 * chance: it ends by its deadline, or it does not. */
#include "s3_test.h"

#define MOMENT_MS 60 /* of calls that are to end by their deadline; the longer, the more surely they got there */

/* With a deadline of a moment. */
static int put_soon(blob_store *s, blob_key key, unsigned flags)
{
    blob_ctx *ctx;
    int rc;

    test_ok(blob_ctx_new_timeout(&ctx, NULL, MOMENT_MS));
    rc = blob_store_put(s, ctx, key, blob_view_of("soon", 4), flags);
    blob_ctx_free(ctx);
    return rc;
}

static int del_soon(blob_store *s, blob_key key)
{
    blob_ctx *ctx;
    int rc;

    test_ok(blob_ctx_new_timeout(&ctx, NULL, MOMENT_MS));
    rc = blob_store_delete(s, ctx, key, 0);
    blob_ctx_free(ctx);
    return rc;
}

static void of_two_deletes_one_finds_nothing(void **state)
{
    blob_store *s = t_open();
    test_later first, second;
    blob_error e;

    (void)state;
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    T_FAIL(.act = S3SIM_STALL, .method = "DELETE", .count = 1);
    test_delete_later(&first, s, NULL, test_key("a"));
    s3sim_stalled_await(t_sim, 1);
    do {
        test_status(del_soon(s, test_key("a")), -ETIMEDOUT);
        blob_last_error(&e);
    } while (strstr(e.text, "not begun") != NULL); /* the moment was over too soon */
    t_expect_words(-ETIMEDOUT, "another call for the same key");
    test_status(t_del(s, test_key("b")), BLOB_NOT_FOUND); /* another key's is not held up */
    test_delete_later(&second, s, NULL, test_key("a"));
    s3sim_release(t_sim);
    test_ok(test_later_join(&first));
    test_status(test_later_join(&second), BLOB_NOT_FOUND);
    t_close(s);
}

static void puts_need_not_wait_for_a_delete_where_the_server_helps(void **state)
{
    blob_store *s = t_open();
    test_later later;

    (void)state;
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    T_FAIL(.act = S3SIM_STALL, .method = "DELETE", .count = 1);
    test_delete_later(&later, s, NULL, test_key("a"));
    s3sim_stalled_await(t_sim, 1);
    test_status(t_put(s, test_key("a"), "b", 0), BLOB_EXISTS);
    test_ok(t_put(s, test_key("a"), "c", BLOB_REPLACE));
    s3sim_release(t_sim);
    test_ok(test_later_join(&later));
    test_expect_missing(s, test_key("a"));
    t_close(s);
}

/* Where it does not help, nobody comes between a put's look and its PUT. */
static void all_changes_of_a_key_take_turns_where_it_does_not(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        blob_store *s = t_open();
        test_later later;

        T_SET(conditional, how == 0 ? S3SIM_IGNORES : how == 1 ? S3SIM_REFUSES : S3SIM_HONOURS);
        if (how < 2)
            t_warm(s); /* else it is not known yet whether the server helps */
        T_FAIL(.act = S3SIM_STALL, .method = "PUT", .count = 1);
        test_put_later(&later, s, NULL, test_key("a"), "a");
        s3sim_stalled_await(t_sim, 1);
        test_status(put_soon(s, test_key("a"), 0), -ETIMEDOUT);
        test_status(put_soon(s, test_key("a"), BLOB_REPLACE), -ETIMEDOUT);
        test_status(del_soon(s, test_key("a")), -ETIMEDOUT);
        test_status(t_get(s, test_key("a")), BLOB_NOT_FOUND);
        test_ok(t_put(s, test_key("b"), "b", 0));
        test_ok(t_put(s, test_key("b"), "c", BLOB_REPLACE));
        test_ok(t_del(s, test_key("b")));
        s3sim_release(t_sim);
        test_ok(test_later_join(&later));
        test_expect(s, test_key("a"), "a");
        s3sim_clear(t_sim);
        if (how < 2) { /* a delete under way holds up a put */
            T_FAIL(.act = S3SIM_STALL, .method = "DELETE", .count = 1);
            test_delete_later(&later, s, NULL, test_key("a"));
            s3sim_stalled_await(t_sim, 1);
            test_status(put_soon(s, test_key("a"), 0), -ETIMEDOUT);
            test_status(put_soon(s, test_key("a"), BLOB_REPLACE), -ETIMEDOUT);
            s3sim_release(t_sim);
            test_ok(test_later_join(&later));
            test_expect_missing(s, test_key("a"));
        } else {
            test_ok(t_del(s, test_key("a")));
        }
        t_close(s);
    }
}

static void a_wait_for_another_call_can_be_called_off(void **state)
{
    blob_store *s = t_open();
    test_later first, second;
    blob_ctx *ctx;

    (void)state;
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    T_FAIL(.act = S3SIM_STALL, .method = "DELETE", .count = 1);
    test_delete_later(&first, s, NULL, test_key("a"));
    s3sim_stalled_await(t_sim, 1);
    test_ok(blob_ctx_new(&ctx, NULL));
    test_delete_later(&second, s, ctx, test_key("a"));
    blob_ctx_cancel(ctx);
    test_status(test_later_join(&second), -ECANCELED);
    blob_ctx_free(ctx);
    s3sim_release(t_sim);
    test_ok(test_later_join(&first));
    t_close(s);
}

/* A call that fails gives back its turn. */
static void a_call_that_fails_lets_the_next_one_go(void **state)
{
    blob_store *s = t_open();

    (void)state;
    T_SET(conditional, S3SIM_IGNORES);
    t_warm(s);
    test_ok(t_put(s, test_key("a"), "a", 0));
    T_FAIL(.act = S3SIM_ANSWER, .status = 503);
    test_status(t_del(s, test_key("a")), BLOB_UNAVAILABLE);
    test_status(t_put(s, test_key("a"), "b", 0), BLOB_UNAVAILABLE);
    test_status(t_put(s, test_key("a"), "b", BLOB_REPLACE), BLOB_UNAVAILABLE);
    s3sim_clear(t_sim);
    test_status(t_put(s, test_key("a"), "b", 0), BLOB_EXISTS);
    test_ok(t_put(s, test_key("a"), "b", BLOB_REPLACE));
    test_ok(t_del(s, test_key("a")));
    t_close(s);
}

static void one_put_finds_out_and_the_others_do_not_wait(void **state)
{
    blob_store *s = t_open();
    test_later later;

    (void)state;
    assert_int_equal(test_len(s), 0);
    s3sim_forget(t_sim);
    T_FAIL(.act = S3SIM_STALL, .method = "PUT", .count = 1);
    test_put_later(&later, s, NULL, test_key("a"), "a");
    s3sim_stalled_await(t_sim, 1);
    test_ok(t_put(s, test_key("b"), "b", 0));
    test_ok(t_put(s, test_key("c"), "c", 0));
    s3sim_release(t_sim);
    test_ok(test_later_join(&later));
    t_expect_requests("HEAD PUT* HEAD PUT* HEAD PUT* PUT*");
    test_ok(t_put(s, test_key("d"), "d", 0));
    t_expect_requests("PUT*");
    t_close(s);
}

/* ---- by chance, and many times ---- */

enum { THREADS = 6, ROUNDS = 30 };

typedef struct crowd {
    blob_store *s;
    unsigned round;
    bool removes;
    atomic_uint won[ROUNDS];
    atomic_uint winner[ROUNDS];
} crowd;

static void all_at_once(void *arg, unsigned index)
{
    crowd *c = arg;
    char text[2] = {(char)('0' + index), '\0'};

    for (unsigned round = 0; round < ROUNDS; round++) {
        blob_key key = blob_key_of(&round, sizeof round);
        int rc = c->removes ? t_del(c->s, key) : t_put(c->s, key, text, 0);

        if (rc == 0) {
            atomic_fetch_add(&c->won[round], 1);
            atomic_store(&c->winner[round], index);
        } else if (rc != (c->removes ? BLOB_NOT_FOUND : BLOB_EXISTS)) {
            abort();
        }
    }
}

static void of_many_at_once_one_puts_and_one_deletes(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        crowd *c = calloc(1, sizeof *c);

        T_SET(conditional, how == 0 ? S3SIM_IGNORES : how == 1 ? S3SIM_REFUSES : S3SIM_HONOURS);
        T_SET(latency_us, 300);
        assert_non_null(c);
        c->s = t_open();
        test_threads_run(THREADS, all_at_once, c);
        for (unsigned round = 0; round < ROUNDS; round++) {
            char text[2] = {(char)('0' + c->winner[round]), '\0'};

            assert_int_equal(c->won[round], 1);
            test_expect(c->s, blob_key_of(&round, sizeof round), text);
            c->won[round] = 0;
        }
        c->removes = true;
        test_threads_run(THREADS, all_at_once, c);
        for (unsigned round = 0; round < ROUNDS; round++)
            assert_int_equal(c->won[round], 1);
        assert_int_equal(test_len(c->s), 0);
        t_close(c->s);
        free(c);
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, t_setup, t_teardown)
    const struct CMUnitTest tests[] = {
        T(of_two_deletes_one_finds_nothing),
        T(puts_need_not_wait_for_a_delete_where_the_server_helps),
        T(all_changes_of_a_key_take_turns_where_it_does_not),
        T(a_wait_for_another_call_can_be_called_off),
        T(a_call_that_fails_lets_the_next_one_go),
        T(one_put_finds_out_and_the_others_do_not_wait),
        T(of_many_at_once_one_puts_and_one_deletes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
