/* test_example_epoll.c - the example host around epoll keeps its word: it accepts while the base hangs, and says that a
 * blob is safe only when the base has it, told by the library alone. */
#include "example_epoll.h"
#include "testfault.h"
#include "testutil.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <wbstore/stores.h>

/* The host looks at its safe ticket only when there is an event, a client's or the library's. */
#define TOLD (-1)

/* Whether the host is refused clients for want of a descriptor, and how often it was. */
static atomic_bool refuse;
static atomic_uint refused;
int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    if (!atomic_load(&refuse))
        return __real_accept4(fd, address, size, flags);
    atomic_fetch_add(&refused, 1);
    errno = EMFILE;
    return -1;
}

typedef struct rig {
    char *dir, path[100];
    int listener, stop;
    blob_store *memory, *cas, *buffer;
    blob_faultstore *base;
    example_options options;
    pthread_t thread;
    int served;
    example_host *left;
} rig;

static void *serve(void *arg)
{
    rig *r = arg;

    r->served = example_serve(r->listener, r->stop, blob_faultstore_store(r->base), r->buffer, &r->options, &r->left);
    return NULL;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void start_with(rig *r, example_options options)
{
    struct sockaddr_un address;

    memset(r, 0, sizeof *r);
    assert_non_null(r->dir = test_dir_make());
    snprintf(r->path, sizeof r->path, "%s/socket", r->dir);
    address = address_of(r->path);
    r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(r->listener >= 0);
    assert_int_equal(bind(r->listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(r->listener, 8), 0);
    assert_true((r->stop = eventfd(0, EFD_CLOEXEC)) >= 0);
    test_ok(blob_memstore_new(&r->memory));
    test_ok(blob_hashcas_new(&r->cas, r->memory, blob_hash_sha256()));
    test_ok(test_faultstore_new(&r->base, r->cas));
    test_ok(blob_memstore_new(&r->buffer));
    r->options = options;
    test_thread_start(&r->thread, serve, r);
}

static void start(rig *r, uint64_t blobs_max, int look_ms)
{
    start_with(r, (example_options){.blobs_max = blobs_max, .look_ms = look_ms});
}

static void stop_with(rig *r, int status)
{
    const uint64_t one = 1;

    assert_int_equal(write(r->stop, &one, sizeof one), sizeof one);
    test_thread_join(r->thread);
    test_status(r->served, status);
    assert_true((r->left != NULL) == (status != 0));
}

static void stop(rig *r)
{
    stop_with(r, 0);
}

static void end(rig *r)
{
    test_ok(blob_store_close(blob_faultstore_store(r->base), NULL));
    test_ok(blob_store_close(r->cas, NULL));
    test_ok(blob_store_close(r->memory, NULL));
    test_ok(blob_store_close(r->buffer, NULL));
    close(r->listener);
    close(r->stop);
    test_dir_remove(r->dir);
}

typedef struct pending {
    blob_store *memory;
    uint64_t count;
} pending;

static int count_pending(void *arg, blob_key key, uint64_t size)
{
    pending *p = arg;

    (void)size;
    p->count += !test_has(p->memory, key);
    return 0;
}

/* The blobs that there are, each once: one that the end of the host met between its two stores may be in both. */
static uint64_t blobs_of(const rig *r)
{
    pending p = {.memory = r->memory};

    test_ok(blob_store_list(r->buffer, NULL, blob_key_of(NULL, 0), count_pending, &p));
    return test_len(r->memory) + p.count;
}

static int client(const rig *r)
{
    struct sockaddr_un address = address_of(r->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_bytes(int fd, const void *data, size_t size)
{
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void send_blob(int fd, const char *text)
{
    unsigned char frame[256] = {0, 0, 0, (unsigned char)strlen(text)};

    assert_true(strlen(text) < 200);
    memcpy(frame + 4, text, strlen(text));
    send_bytes(fd, frame, 4 + strlen(text));
}

/* Waits for the next line. */
static void read_line(int fd, char *line, size_t room)
{
    size_t used = 0;

    for (;;) {
        ssize_t got = recv(fd, line + used, 1, 0);

        if (got < 0 && errno == EINTR)
            continue;
        assert_int_equal(got, 1);
        if (line[used] == '\n')
            break;
        assert_true(++used + 1 < room);
    }
    line[used] = '\0';
}

/* The next line begins so. */
static void expect(int fd, const char *want)
{
    char line[512];

    read_line(fd, line, sizeof line);
    if (strncmp(line, want, strlen(want)) != 0)
        print_error("not \"%s\" but \"%s\"\n", want, line);
    assert_int_equal(strncmp(line, want, strlen(want)), 0);
}

/* Likewise, behind any number of those that begin so. */
static void expect_behind(int fd, const char *others, const char *want)
{
    char line[512];

    do
        read_line(fd, line, sizeof line);
    while (strncmp(line, want, strlen(want)) != 0 && strncmp(line, others, strlen(others)) == 0);
    assert_int_equal(strncmp(line, want, strlen(want)), 0);
}

#define UPLOADS (BLOB_FAULT_PUT | BLOB_FAULT_CAS_PUT)

/* The base's put of this blob hangs. */
static blob_faultstore_rule *hold(rig *r, const char *text)
{
    unsigned char bytes[BLOB_ADDRESS_MAX];
    blob_key key = blob_key_of(bytes, blob_hash_sha256()->size);

    blob_hash_sha256()->digest(text, strlen(text), bytes);
    return blob_faultstore_hold(r->base, UPLOADS, &key, BLOB_FAULT_BEFORE);
}

static void blobs_are_accepted_while_the_base_hangs_and_safe_once_it_has_them(void **state)
{
    blob_faultstore_rule *gate;
    int one, other;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    gate = blob_faultstore_hold(r.base, UPLOADS, NULL, BLOB_FAULT_BEFORE);
    one = client(&r);
    other = client(&r);
    send_blob(one, "abc");
    expect(one, "accepted 1 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    test_ok(blob_faultstore_wait_held(gate, 1)); /* from here on the base hangs */
    send_blob(one, "def");
    send_blob(other, "ghi");
    expect(one, "accepted 2 "); /* and not "safe 1", which would come before it */
    expect(other, "accepted 1 ");
    send_blob(one, "");
    expect(one, "accepted 3 ");
    assert_int_equal(test_len(r.memory), 0);
    blob_faultstore_lift(gate);
    expect_behind(one, "safe ", "safe 3");
    expect(other, "safe 1");
    assert_int_equal(test_len(r.memory), 4);
    close(one);
    close(other);
    stop(&r);
    end(&r);
}

/* No blob that came later may be told as safe for one that the base has not got. */
static void safe_is_said_of_no_blob_that_the_base_has_not_got(void **state)
{
    blob_faultstore_rule *gate;
    int fd;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    gate = hold(&r, "abc");
    fd = client(&r);
    send_blob(fd, "abc");
    expect(fd, "accepted 1 ");
    test_ok(blob_faultstore_wait_held(gate, 1));
    send_blob(fd, "def");
    expect(fd, "accepted 2 ");
    test_ok(blob_faultstore_wait_calls(r.base, BLOB_FAULT_PUT, 1)); /* the second went past it */
    send_blob(fd, "ghi");
    expect(fd, "accepted 3 "); /* still nothing is safe */
    blob_faultstore_lift(gate);
    expect(fd, "safe ");
    close(fd);
    stop(&r);
    assert_int_equal(blobs_of(&r), 3);
    end(&r);
}

/* A buffer that is never empty, and clients who send no more: then it is the host who must look. */
static void safe_is_said_while_other_blobs_are_pending(void **state)
{
    blob_faultstore_rule *first, *second;
    int fd;
    rig r;

    (void)state;
    start(&r, 0, 1);
    first = hold(&r, "abc");
    second = hold(&r, "def");
    fd = client(&r);
    send_blob(fd, "abc");
    send_blob(fd, "def");
    expect(fd, "accepted 1 ");
    expect(fd, "accepted 2 ");
    test_ok(blob_faultstore_wait_held(first, 1));
    test_ok(blob_faultstore_wait_held(second, 1));
    blob_faultstore_lift(first);
    expect(fd, "safe 1");
    blob_faultstore_lift(second);
    expect(fd, "safe 2");
    close(fd);
    stop(&r);
    end(&r);
}

static void a_full_buffer_is_told_and_emptied_takes_again(void **state)
{
    blob_faultstore_rule *gate;
    int fd;
    rig r;

    (void)state;
    start(&r, 2, TOLD);
    gate = blob_faultstore_hold(r.base, UPLOADS, NULL, BLOB_FAULT_BEFORE);
    fd = client(&r);
    send_blob(fd, "abc");
    send_blob(fd, "def");
    send_blob(fd, "ghi");
    expect(fd, "accepted 1 ");
    expect(fd, "accepted 2 ");
    expect(fd, "full 3"); /* and the loop went on */
    blob_faultstore_lift(gate);
    expect(fd, "safe ");
    send_blob(fd, "ghi");
    expect_behind(fd, "safe ", "accepted 4");
    close(fd);
    stop(&r);
    end(&r);
}

/* Sent in pieces, many in one, and cut off in the middle: blobs are blobs. */
static void blobs_are_told_apart_however_their_bytes_come(void **state)
{
    static const unsigned char two[] = {0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c'};
    static const unsigned char huge[] = {0xff, 0xff, 0xff, 0xff, 'x'};
    char nothing;
    int fd, bad, cut;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    fd = client(&r);
    for (size_t i = 0; i + 1 < sizeof two; i++)
        send_bytes(fd, two + i, 1);
    expect(fd, "accepted 1 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    cut = client(&r);
    send_bytes(cut, two, 4);
    close(cut);
    bad = client(&r);
    send_bytes(bad, huge, sizeof huge);
    assert_int_equal(recv(bad, &nothing, 1, 0), 0); /* hung up */
    close(bad);
    close(fd);
    stop(&r);
    assert_int_equal(blobs_of(&r), 1);
    end(&r);
}

/* What was accepted and not sent waits in the buffer when the host ends, whatever the base does. */
static void a_host_that_ends_while_the_base_hangs_keeps_what_it_accepted(void **state)
{
    int fd;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    blob_faultstore_hold(r.base, UPLOADS, NULL, BLOB_FAULT_BEFORE);
    fd = client(&r);
    send_blob(fd, "abc");
    send_blob(fd, "def");
    expect(fd, "accepted 1 ");
    expect(fd, "accepted 2 ");
    stop(&r);
    assert_int_equal(test_len(r.buffer), 2);
    assert_int_equal(test_len(r.memory), 0);
    close(fd);
    end(&r);
}

/* The base heeds no cancel. The host says so and does not wait; who can, finishes it later. */
static void an_end_that_the_base_holds_up_is_told_in_time(void **state)
{
    blob_faultstore_rule *gate;
    int fd;
    rig r;

    (void)state;
    start_with(&r, (example_options){.look_ms = TOLD, .close_ms = 1});
    gate = blob_faultstore_add(r.base,
                               &(blob_faultstore_fault){.ops = UPLOADS, .action = BLOB_FAULT_HOLD, .ignore_ctx = 1});
    fd = client(&r);
    send_blob(fd, "abc");
    expect(fd, "accepted 1 ");
    test_ok(blob_faultstore_wait_held(gate, 1));
    stop_with(&r, -ETIMEDOUT);
    assert_int_equal(test_len(r.buffer), 1);
    blob_faultstore_lift(gate);
    example_free(r.left);
    assert_true(test_len(r.memory) + test_len(r.buffer) >= 1);
    close(fd);
    end(&r);
}

/* Nothing is safe behind a parked blob: what waits for that is bounded by client. */
static void what_waits_behind_a_parked_blob_has_a_bound(void **state)
{
    blob_faultstore_rule *refusal;
    int fd, other;
    rig r;

    (void)state;
    start_with(&r, (example_options){.look_ms = TOLD, .waits_max = 2});
    refusal = blob_faultstore_fail(r.base, UPLOADS, BLOB_REJECTED, 0);
    fd = client(&r);
    other = client(&r);
    send_blob(fd, "abc");
    expect(fd, "accepted 1 ");
    test_ok(blob_faultstore_wait_hits(refusal, 1));
    send_blob(fd, "def");
    expect(fd, "accepted 2 ");
    send_blob(fd, "ghi");
    expect(fd, "full 3");
    send_blob(other, "ghi");
    expect(other, "accepted 1 ");
    close(fd);
    close(other);
    stop(&r);
    assert_int_equal(test_len(r.buffer), 3);
    end(&r);
}

static void a_client_that_sends_no_more_still_hears_what_is_safe(void **state)
{
    blob_faultstore_rule *gate;
    int fd, other;
    char nothing;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    gate = blob_faultstore_hold(r.base, UPLOADS, NULL, BLOB_FAULT_BEFORE);
    fd = client(&r);
    send_blob(fd, "abc");
    expect(fd, "accepted 1 ");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    other = client(&r);
    send_blob(other, "def");
    expect(other, "accepted 1 "); /* by now the host has seen it */
    blob_faultstore_lift(gate);
    expect_behind(fd, "accepted ", "safe 1");
    assert_int_equal(recv(fd, &nothing, 1, 0), 0); /* that was all */
    close(fd);
    close(other);
    stop(&r);
    end(&r);
}

/* With no descriptor left the host accepts nobody, serves on, and does not spin. */
static void who_there_is_no_descriptor_for_waits_and_the_loop_sleeps(void **state)
{
    int one, other;
    rig r;

    (void)state;
    start(&r, 0, TOLD);
    one = client(&r);
    send_blob(one, "abc");
    expect(one, "accepted 1 ");
    atomic_store(&refuse, true);
    other = client(&r);
    for (unsigned i = 0; i < 50; i++) {
        send_blob(one, "def");
        expect_behind(one, "safe ", "accepted ");
    }
    assert_int_equal(atomic_load(&refused), 1);
    atomic_store(&refuse, false);
    close(one); /* leaves room: now it is asked again */
    send_blob(other, "ghi");
    expect(other, "accepted 1 ");
    close(other);
    stop(&r);
    end(&r);
}

static int setup(void **state)
{
    (void)state;
    test_watchdog(60);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_watchdog(0);
    return 0;
}

#define PROMISE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROMISE(blobs_are_accepted_while_the_base_hangs_and_safe_once_it_has_them),
        PROMISE(safe_is_said_of_no_blob_that_the_base_has_not_got),
        PROMISE(safe_is_said_while_other_blobs_are_pending),
        PROMISE(a_full_buffer_is_told_and_emptied_takes_again),
        PROMISE(blobs_are_told_apart_however_their_bytes_come),
        PROMISE(a_host_that_ends_while_the_base_hangs_keeps_what_it_accepted),
        PROMISE(an_end_that_the_base_holds_up_is_told_in_time),
        PROMISE(what_waits_behind_a_parked_blob_has_a_bound),
        PROMISE(a_client_that_sends_no_more_still_hears_what_is_safe),
        PROMISE(who_there_is_no_descriptor_for_waits_and_the_loop_sleeps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
