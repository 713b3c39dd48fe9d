/* s3_test.h - what the tests of s3store share: a simulated server and stores on it, and short forms of the calls. */
#ifndef S3_TEST_H
#define S3_TEST_H

#include "s3sim.h"
#include "testutil.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wbstore/stores.h>
#include "s3store/s3store.h"

#define T_ACCESS_KEY "SIMACCESSKEY"
#define T_SECRET_KEY "the-secret-of-the-tests/+="

static s3sim *t_sim;

static inline int t_setup(void **state)
{
    (void)state;
    test_watchdog(120);
    t_sim = s3sim_start();
    return 0;
}

static inline int t_teardown(void **state)
{
    (void)state;
    s3sim_stop(t_sim);
    t_sim = NULL;
    return 0;
}

/* Options for the server; the limits are so long that they end nothing by chance. */
static inline blob_s3store_options t_options(void)
{
    blob_s3store_options o = blob_s3store_options_default();

    o.endpoint = t_sim != NULL ? s3sim_url(t_sim) : "http://127.0.0.1:9";
    o.bucket = "bucket";
    o.access_key = T_ACCESS_KEY;
    o.secret_key = T_SECRET_KEY;
    o.idle_timeout_ms = o.total_timeout_ms = o.connect_timeout_ms = 100000;
    return o;
}

static inline blob_store *t_open_as(const blob_s3store_options *o)
{
    blob_store *s = NULL;

    test_ok(blob_s3store_open(&s, o));
    assert_non_null(s);
    return s;
}

static inline blob_store *t_open(void)
{
    blob_s3store_options o = t_options();

    return t_open_as(&o);
}

static inline void t_close(blob_store *s)
{
    test_ok(blob_store_close(s, NULL));
}

/* Changes one setting: T_SET(conditional, S3SIM_IGNORES). */
#define T_SET(field, value)                                                                                            \
    do {                                                                                                               \
        s3sim_settings settings_ = s3sim_get(t_sim);                                                                   \
        settings_.field = (value);                                                                                     \
        s3sim_set(t_sim, &settings_);                                                                                  \
    } while (0)

/* Adds a fault: T_FAIL(.method = "PUT", .status = 503). */
#define T_FAIL(...) s3sim_fail(t_sim, &(s3sim_fault){__VA_ARGS__})

static inline int t_put(blob_store *s, blob_key key, const char *text, unsigned flags)
{
    return blob_store_put(s, NULL, key, blob_view_of(text, strlen(text)), flags);
}

static inline int t_get(blob_store *s, blob_key key)
{
    blob *b = NULL;
    int rc = blob_store_get(s, NULL, key, &b);

    blob_unref(b);
    return rc;
}

static inline int t_size(blob_store *s, blob_key key)
{
    uint64_t size;

    return blob_store_size(s, NULL, key, &size);
}

static inline int t_len(blob_store *s)
{
    uint64_t count;

    return blob_store_len(s, NULL, &count);
}

static inline int t_del(blob_store *s, blob_key key)
{
    return blob_store_delete(s, NULL, key, 0);
}

/* What the thread's error detail must say. */
static inline blob_error t_expect_words(int status, const char *words)
{
    blob_error error;

    blob_last_error(&error);
    assert_int_equal(error.status, status);
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    return error;
}

/* The requests since the last time, each by its method, conditional ones with a "*": "HEAD PUT* PUT*". */
static inline void t_expect_requests(const char *wanted)
{
    char said[1000] = "";
    s3sim_entry entry;

    for (size_t i = 0; s3sim_log(t_sim, i, &entry); i++) {
        assert_true(strlen(said) + 12 < sizeof said);
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s%s%s", i > 0 ? " " : "", entry.method,
                 entry.conditional ? "*" : "");
    }
    assert_string_equal(said, wanted);
    s3sim_forget(t_sim);
}

/* A store that knows that the bucket is there and whether If-None-Match is honoured; nothing is left of how it came to know. */
static inline void t_warm(blob_store *s)
{
    test_ok(t_put(s, test_key("warm"), "warm", 0));
    test_ok(t_del(s, test_key("warm")));
    s3sim_forget(t_sim);
}

#endif
