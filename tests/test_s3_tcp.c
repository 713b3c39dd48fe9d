/* test_s3_tcp.c - blob_s3store_tcp: what the table of a transport promises, kept by plain TCP. */
#include "s3net_test.h"

#include "blob/ctx.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static struct sockaddr_in address_of(const http_server *s)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(s))};

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return in;
}

static int dial(blob_ctx *ctx, int64_t timeout_ms, void **connection)
{
    const blob_s3store_transport *tcp = blob_s3store_tcp();
    struct sockaddr_in in = address_of(t_server);

    return tcp->connect(tcp->arg, ctx, timeout_ms, "some.name", (const struct sockaddr *)&in, sizeof in, connection);
}

static void *dial_script(const http_step *steps)
{
    static const http_step *one[1];
    void *c;

    one[0] = steps;
    t_server = http_server_start_script(one, 1);
    test_ok(dial(NULL, T_LONG_MS, &c));
    return c;
}

static int read_some(void *c, blob_ctx *ctx, int64_t timeout_ms, char *data, size_t size, size_t *done)
{
    *done = 77;
    return blob_s3store_tcp()->read(c, ctx, timeout_ms, data, size, done);
}

static int write_some(void *c, blob_ctx *ctx, int64_t timeout_ms, const char *data, size_t size, size_t *done)
{
    *done = 77;
    return blob_s3store_tcp()->write(c, ctx, timeout_ms, data, size, done);
}

static void hang_up(void *c)
{
    blob_s3store_tcp()->close(c);
}

/* ---- Bytes ---- */

static void the_table_is_whole(void **state)
{
    const blob_s3store_transport *tcp = blob_s3store_tcp();

    (void)state;
    assert_int_equal(tcp->struct_size, sizeof *tcp);
    assert_string_equal(tcp->scheme, "http");
    tcp->close(NULL);
}

static void bytes_go_both_ways_and_end(void **state)
{
    static const http_step steps[] = {HTTP_READ_BYTES(5), HTTP_SEND("abc"), HTTP_FINISH, HTTP_END};
    void *c = dial_script(steps);
    char bytes[8];
    size_t done;

    (void)state;
    test_ok(write_some(c, NULL, T_LONG_MS, "hello", 5, &done));
    assert_int_equal(done, 5);
    test_ok(read_some(c, NULL, T_LONG_MS, bytes, 2, &done));
    assert_int_equal(done, 2);
    assert_memory_equal(bytes, "ab", 2);
    test_ok(read_some(c, NULL, T_LONG_MS, bytes, sizeof bytes, &done));
    assert_int_equal(done, 1);
    assert_memory_equal(bytes, "c", 1);
    for (int i = 0; i < 2; i++) {
        test_ok(read_some(c, NULL, T_LONG_MS, bytes, sizeof bytes, &done));
        assert_int_equal(done, 0);
    }
    hang_up(c);
}

static void a_write_may_be_of_a_part(void **state)
{
    static char many[32 << 20];
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    void *c = dial_script(steps);
    size_t done, sum = 0;
    int rc;

    (void)state;
    while ((rc = write_some(c, NULL, 0, many, sizeof many, &done)) == 0) {
        assert_in_range(done, 1, sizeof many);
        sum += done;
    }
    test_status(rc, -ETIMEDOUT);
    assert_int_equal(done, 0);
    assert_true(sum < 2 * sizeof many);
    hang_up(c);
}

/* ---- Descriptors ---- */

#define FDS_MAX 64

static int fds[FDS_MAX];
static struct rlimit fds_limit;

/* Takes all that there are. */
static void fds_take(void)
{
    struct rlimit few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &fds_limit), 0);
    few = fds_limit;
    few.rlim_cur = FDS_MAX;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int i = 0; i < FDS_MAX; i++)
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fds[FDS_MAX - 1], -1);
}

static void fds_give_back(void)
{
    for (int i = 0; i < FDS_MAX; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &fds_limit), 0);
}

/* Checks the sockets that are connected to the server's port; returns how many. */
static unsigned check_sockets(void)
{
    struct sockaddr_in there = {.sin_port = 0}, server = address_of(t_server);
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        socklen_t size = sizeof there;
        int on = 0;

        if (getpeername(fd, (struct sockaddr *)&there, &size) != 0 || there.sin_port != server.sin_port)
            continue;
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        size = sizeof on;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        assert_true(on != 0);
        count++;
    }
    return count;
}

static void sockets_are_not_inherited_and_do_not_dawdle(void **state)
{
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    void *c = dial_script(steps);

    (void)state;
    assert_int_equal(check_sockets(), 1);
    hang_up(c);
    assert_int_equal(check_sockets(), 0);
}

static void without_descriptors_there_is_no_connection(void **state)
{
    void *c = &c;
    int rc;

    (void)state;
    t_server = http_server_start_unwilling(HTTP_DEAF);
    fds_take();
    rc = dial(NULL, T_LONG_MS, &c);
    fds_give_back();
    test_status(rc, -EMFILE); /* which says nothing about the server */
    assert_null(c);
}

/* ---- Failures ---- */

static void a_refusal_says_who_refused(void **state)
{
    char where[64];
    void *c = &c;

    (void)state;
    t_server = http_server_start_unwilling(HTTP_REFUSES);
    test_status(dial(NULL, T_LONG_MS, &c), BLOB_UNAVAILABLE);
    assert_null(c);
    snprintf(where, sizeof where, "some.name:%u (127.0.0.1): ", http_server_port(t_server));
    t_says(where);
    t_says("refused");
}

static void a_reset_is_unavailable_and_raises_no_signal(void **state)
{
    static const http_step steps[] = {HTTP_READ_BYTES(1), HTTP_RESET, HTTP_END};
    void *c = dial_script(steps);
    char bytes[8];
    size_t done;
    int rc;

    (void)state;
    test_ok(write_some(c, NULL, T_LONG_MS, "x", 1, &done));
    test_status(read_some(c, NULL, T_LONG_MS, bytes, sizeof bytes, &done), BLOB_UNAVAILABLE);
    t_says("some.name");
    t_says("reset");
    assert_int_equal(done, 0);
    rc = write_some(c, NULL, T_LONG_MS, "x", 1, &done);
    test_status(rc, BLOB_UNAVAILABLE);
    assert_int_equal(done, 0);
    hang_up(c);
}

/* ---- Time ---- */

static void no_time_is_no_wait_and_no_failure_with_words(void **state)
{
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    void *c = dial_script(steps);
    char bytes[8];
    size_t done;

    (void)state;
    (void)blob_fail(-EBUSY, 0, "what was said before");
    test_status(read_some(c, NULL, 0, bytes, sizeof bytes, &done), -ETIMEDOUT);
    assert_int_equal(done, 0);
    t_says("what was said before");
    hang_up(c);
}

static void a_timeout_says_what_was_waited_for(void **state)
{
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    void *c = dial_script(steps);
    char bytes[8];
    size_t done;

    (void)state;
    test_status(read_some(c, NULL, 20, bytes, sizeof bytes, &done), -ETIMEDOUT);
    t_says("could not read within 20 ms");
    hang_up(c);
}

static void connecting_has_a_limit(void **state)
{
    void *c = &c;

    (void)state;
    t_server = http_server_start_unwilling(HTTP_FULL);
    test_status(dial(NULL, 20, &c), -ETIMEDOUT);
    assert_null(c);
    t_says("could not connect within 20 ms");
}

/* Even where it need not wait. */
static void what_has_ended_does_nothing(void **state)
{
    static const http_step steps[] = {HTTP_SEND("abc"), HTTP_STALL, HTTP_END};
    blob_ctx *cancelled = new_ctx(NULL), *late = new_timeout(NULL, 0);
    void *c = dial_script(steps), *none = &c;
    char bytes[8];
    size_t done;

    (void)state;
    blob_ctx_cancel(cancelled);
    test_ok(read_some(c, NULL, T_LONG_MS, bytes, 1, &done)); /* the others are there */
    test_status(read_some(c, cancelled, T_LONG_MS, bytes, 1, &done), -ECANCELED);
    test_status(read_some(c, late, 0, bytes, 1, &done), -ETIMEDOUT);
    test_status(write_some(c, cancelled, 0, "x", 1, &done), -ECANCELED);
    test_status(write_some(c, late, T_LONG_MS, "x", 1, &done), -ETIMEDOUT);
    test_status(dial(cancelled, T_LONG_MS, &none), -ECANCELED);
    assert_null(none);
    test_ok(read_some(c, NULL, T_LONG_MS, bytes, 8, &done));
    assert_int_equal(done, 2);
    hang_up(c);
    blob_ctx_free(cancelled);
    blob_ctx_free(late);
}

/* A wait that watches ctx has nothing to watch it with. */
static void without_descriptors_a_cancel_is_noticed_too(void **state)
{
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    void *c = dial_script(steps);
    blob_ctx *parent = new_ctx(NULL), *ctx = new_timeout(parent, T_LONG_MS);
    pthread_t thread;
    char bytes[8];
    size_t done;
    int rc;

    (void)state;
    http_server_accepted_await(t_server, 1);
    fds_take();
    assert_int_equal(blob_ctx_fd(ctx), -EMFILE);
    test_thread_start(&thread, cancel_run, parent);
    rc = read_some(c, ctx, T_LONG_MS, bytes, sizeof bytes, &done);
    test_thread_join(thread);
    fds_give_back();
    test_status(rc, -ECANCELED);
    hang_up(c);
    blob_ctx_free(ctx);
    blob_ctx_free(parent);
}

/* ---- Signals ---- */

static void ignore(int number)
{
    (void)number;
}

typedef struct pelter {
    pthread_t reader;
    atomic_bool done;
} pelter;

static void *pelt(void *arg)
{
    pelter *p = arg;

    for (int i = 0; i < 200; i++) {
        pthread_kill(p->reader, SIGUSR1);
        poll(NULL, 0, 1);
    }
    http_server_gate_open(t_server, 0);
    while (!p->done)
        pthread_kill(p->reader, SIGUSR1);
    return NULL;
}

static void signals_of_the_hosts_do_not_end_a_wait(void **state)
{
    static const http_step steps[] = {HTTP_GATE(0), HTTP_SEND("abc"), HTTP_STALL, HTTP_END};
    struct sigaction action = {.sa_handler = ignore}, before; /* without SA_RESTART */
    pelter p = {.reader = pthread_self(), .done = false};
    void *c = dial_script(steps);
    pthread_t thread;
    char bytes[8];
    size_t done;
    int rc;

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    test_thread_start(&thread, pelt, &p);
    rc = read_some(c, NULL, T_LONG_MS, bytes, sizeof bytes, &done);
    p.done = true;
    test_thread_join(thread);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    test_ok(rc);
    assert_int_equal(done, 3);
    hang_up(c);
}

/* Nor do they make it longer. */
static void *pelt_on(void *arg)
{
    pelter *p = arg;

    while (!p->done) {
        pthread_kill(p->reader, SIGUSR1);
        poll(NULL, 0, 1);
    }
    return NULL;
}

static void nor_do_they_prolong_it(void **state)
{
    static const http_step steps[] = {HTTP_STALL, HTTP_END};
    struct sigaction action = {.sa_handler = ignore}, before;
    pelter p = {.reader = pthread_self(), .done = false};
    void *c = dial_script(steps);
    pthread_t thread;
    char bytes[8];
    size_t done;
    int rc;

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    test_thread_start(&thread, pelt_on, &p);
    rc = read_some(c, NULL, 100, bytes, sizeof bytes, &done);
    p.done = true;
    test_thread_join(thread);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    test_status(rc, -ETIMEDOUT);
    hang_up(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_table_is_whole, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(bytes_go_both_ways_and_end, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_write_may_be_of_a_part, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(sockets_are_not_inherited_and_do_not_dawdle, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(without_descriptors_there_is_no_connection, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_refusal_says_who_refused, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_reset_is_unavailable_and_raises_no_signal, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(no_time_is_no_wait_and_no_failure_with_words, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(a_timeout_says_what_was_waited_for, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(connecting_has_a_limit, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(what_has_ended_does_nothing, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(without_descriptors_a_cancel_is_noticed_too, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(signals_of_the_hosts_do_not_end_a_wait, t_setup, t_teardown),
        cmocka_unit_test_setup_teardown(nor_do_they_prolong_it, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_tcp", tests, NULL, NULL);
}
