/* test_s3_tcp_unsent.c - blob_s3store_tcp: what a write has taken is on its way, but for little. Whoever limits how long no
 * byte may move must not be told of megabytes that move later, on a slow way, with nobody to see it. */
#include "s3net_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894B /* of linux/sockios.h, which not every libc has beside it */
#endif

#define WARM ((size_t)8 << 20)  /* read by the server first, so that the system has let its buffers grow */
#define UNSENT_MAX (512 * 1024) /* 64 KiB, and one packet or two of the loopback's */

/* The socket that is connected to the server's port. */
static int find_socket(void)
{
    struct sockaddr_in there = {.sin_port = 0};

    for (int fd = 0; fd < 256; fd++) {
        socklen_t size = sizeof there;

        if (getpeername(fd, (struct sockaddr *)&there, &size) == 0 &&
            there.sin_port == htons((uint16_t)http_server_port(t_server)))
            return fd;
    }
    fail_msg("no socket");
    return -1;
}

static void little_is_taken_that_cannot_be_sent(void **state)
{
    static char many[WARM];
    static const http_step steps[] = {HTTP_READ_BYTES(WARM), HTTP_STALL, HTTP_END};
    static const http_step *one[1] = {steps};
    const blob_s3store_transport *tcp = blob_s3store_tcp();
    struct sockaddr_in in = {.sin_family = AF_INET};
    size_t done, sum = 0;
    int unsent, rc;
    void *c;

    (void)state;
    t_server = http_server_start_script(one, 1);
    in.sin_port = htons((uint16_t)http_server_port(t_server));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    test_ok(tcp->connect(tcp->arg, NULL, T_LONG_MS, "some.name", (const struct sockaddr *)&in, sizeof in, &c));
    for (; sum < WARM; sum += done)
        test_ok(tcp->write(c, NULL, T_LONG_MS, many, WARM - sum, &done));
    while ((rc = tcp->write(c, NULL, 0, many, sizeof many, &done)) == 0)
        ;
    test_status(rc, -ETIMEDOUT);
    assert_int_equal(ioctl(find_socket(), SIOCOUTQNSD, &unsent), 0);
    assert_in_range(unsent, 0, UNSENT_MAX);
    tcp->close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(little_is_taken_that_cannot_be_sent, t_setup, t_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
