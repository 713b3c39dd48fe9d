/* httpclient.h - a client of plain sockets that knows nothing, for the tests of the servers that test clients. */
#ifndef HTTPCLIENT_H
#define HTTPCLIENT_H

#include "httpserver.h"
#include "testutil.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connected socket, or a negated errno. */
static inline int c_connect(unsigned port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

static inline void c_send(int fd, const char *text)
{
    size_t size = strlen(text);

    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), size);
}

/* Everything up to the end, with a zero behind it; errno where that was a reset. */
static inline int c_read_all(int fd, char *text, size_t room)
{
    size_t size = 0;
    ssize_t got;

    while ((got = recv(fd, text + size, room - 1 - size, 0)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    return got < 0 ? errno : 0;
}

/* Exactly this, and then the end. */
static inline void c_expect_all(int fd, const char *text)
{
    char got[4096];

    assert_int_equal(c_read_all(fd, got, sizeof got), 0);
    assert_string_equal(got, text);
    close(fd);
}

/* This comes next. */
static inline void c_expect(int fd, const char *text)
{
    char got[4096];
    size_t size = strlen(text);

    assert_int_equal(recv(fd, got, size, MSG_WAITALL), size);
    assert_memory_equal(got, text, size);
}

#endif
