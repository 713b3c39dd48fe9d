/* test_oom_s3.c - each thing that a call of s3store asks the system for is refused: for the calls themselves, and for the
 * thread that looks up a name. */
#include "oom_test.h"
#include "s3sim.h"

static s3sim *sim;
static bool by_name;

static void begin_sim(void)
{
    sim = s3sim_start();
}

static void end_sim(void)
{
    s3sim_stop(sim);
}

static int open_s3(life *l, blob_store **out)
{
    blob_s3store_options o = blob_s3store_options_default();
    char endpoint[64];
    int rc;

    (void)l;
    snprintf(endpoint, sizeof endpoint, "http://%s:%u", by_name ? "localhost" : "127.0.0.1",
             http_server_port(s3sim_http(sim)));
    o.endpoint = endpoint;
    o.bucket = "bucket";
    o.prefix = "some/";
    o.access_key = "SIMACCESSKEY";
    o.secret_key = "secret";
    o.idle_timeout_ms = o.total_timeout_ms = o.connect_timeout_ms = 100000;
    rc = blob_s3store_open(out, &o);
    if (rc == 0 && (rc = blob_s3store_set_credentials(*out, "SIMACCESSKEY", "another", "token")) != 0) {
        blob_store_close(*out, NULL);
        *out = NULL;
    }
    return rc;
}

static const breed s3 = {.name = "s3store",
                         .open = open_s3,
                         .lasting = true,
                         .has_cas = true,
                         .is_far = true,
                         .at_least = 30,
                         .begin = begin_sim,
                         .end = end_sim};

static void s3store_refuses_cleanly(void **state)
{
    (void)state;
    by_name = false;
    in_every_way(&s3);
}

static void a_lookup_that_cannot_begin_is_a_clean_refusal(void **state)
{
    (void)state;
    by_name = true;
    lives(&s3, (scarce_plan){.kinds = SCARCE_THREADS});
    lives(&s3, (scarce_plan){.kinds = SCARCE_THREADS, .count = SCARCE_FOR_GOOD});
    lives(&s3, (scarce_plan){.kinds = SCARCE_MEMORY, .count = SCARCE_FOR_GOOD});
}

/* It fails the call that waits for it, which says for want of what. */
static void what_the_lookup_of_a_name_lacks_is_told(void **state)
{
    (void)state;
    by_name = true;
    for (unsigned kinds = SCARCE_MEMORY; kinds <= SCARCE_LOCKS; kinds <<= 1) {
        lives(&s3, (scarce_plan){.kinds = kinds, .whose = SCARCE_LIBRARYS});
        lives(&s3, (scarce_plan){.kinds = kinds, .whose = SCARCE_LIBRARYS, .count = SCARCE_FOR_GOOD});
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(s3store_refuses_cleanly),
        TEST(a_lookup_that_cannot_begin_is_a_clean_refusal),
        TEST(what_the_lookup_of_a_name_lacks_is_told),
    };

    return cmocka_run_group_tests_name("s3store, and nothing to work with", tests, NULL, NULL);
}
