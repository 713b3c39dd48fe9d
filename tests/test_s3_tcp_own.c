/* test_s3_tcp_own.c - a connection that met itself is none: where nobody listens the system may give a socket that very
 * port as its own, and what is connected then talks to itself and keeps the port from the server. */
#include "s3net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

static bool meets_itself;

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

/* The port that it is to connect to becomes its own: by chance the system does the same. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (meets_itself)
        assert_int_equal(bind(fd, address, size), 0);
    return __real_connect(fd, address, size);
}

/* An address of this machine that nobody listens on, and that no other test uses. */
static struct sockaddr_in nobodys(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof in;

    in.sin_addr.s_addr = htonl(0x7f5b1707);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    close(fd);
    return in;
}

static void a_connection_that_met_itself_is_refused(void **state)
{
    const blob_s3store_transport *tcp = blob_s3store_tcp();
    struct sockaddr_in in = nobodys();
    const struct sockaddr *address = (const struct sockaddr *)&in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    void *c;

    (void)state;
    meets_itself = true;
    assert_int_equal(connect(fd, address, sizeof in), 0); /* so it is with sockets */
    close(fd);
    in = nobodys(); /* the other is still remembered */
    test_status(tcp->connect(tcp->arg, NULL, T_LONG_MS, "some.name", address, sizeof in, &c), BLOB_UNAVAILABLE);
    assert_null(c);
    t_says("cannot connect");
    t_says("refused");
    meets_itself = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_that_met_itself_is_refused, t_setup, t_teardown),
    };

    return cmocka_run_group_tests_name("s3_tcp_own", tests, NULL, NULL);
}
