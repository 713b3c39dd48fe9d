/* s3sim_test.h - what the tests of s3sim share: a client that can say what is wrong, and hears everything. */
#ifndef S3SIM_TEST_H
#define S3SIM_TEST_H

#include "httpclient.h"
#include "s3sim.h"

#include <time.h>

/* A request; what is NULL or 0 is as it should be. */
typedef struct ask {
    const char *method, *target, *body;
    const char *condition, *range, *token, *key, *region, *hash, *host;
    const char *authorization; /* "": without */
    int64_t off_s;             /* how far off its clock is */
    size_t keep;               /* bytes of the body that are not sent */
} ask;

typedef struct answer {
    unsigned status; /* 0: none came, to the end */
    int error;       /* ... an errno */
    char head[2048];
    char body[8192]; /* as it came; a 0 behind it */
    bool closed;     /* Connection: close */
} answer;

static s3sim *sim;       /* the one of the test that runs */
static int link_fd = -1; /* kept between requests */
static answer got;

static inline int set_up(void **state)
{
    (void)state;
    test_watchdog(60);
    sim = s3sim_start();
    return 0;
}

static inline void hang_up(void)
{
    if (link_fd >= 0)
        close(link_fd);
    link_fd = -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    hang_up();
    s3sim_stop(sim);
    return 0;
}

static inline void say(const ask *a)
{
    const char *body = a->body != NULL ? a->body : "";
    time_t now = (time_t)((int64_t)time(NULL) + a->off_s);
    unsigned char digest[32];
    char hex[65], stamp[20], text[8192];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    blob_hash_sha256()->digest(body, strlen(body), digest);
    blob_key_hex(blob_key_of(digest, sizeof digest), hex);
    snprintf(text, sizeof text,
             "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %zu\r\nx-amz-date: %s\r\n"
             "x-amz-content-sha256: %s\r\n%s%s%s%s%s%s%s%s%s",
             a->method, a->target, a->host != NULL ? a->host : "127.0.0.1", strlen(body), stamp,
             a->hash != NULL ? a->hash : hex, a->condition != NULL ? "If-None-Match: " : "",
             a->condition != NULL ? a->condition : "", a->condition != NULL ? "\r\n" : "",
             a->range != NULL ? "Range: " : "", a->range != NULL ? a->range : "", a->range != NULL ? "\r\n" : "",
             a->token != NULL ? "x-amz-security-token: " : "", a->token != NULL ? a->token : "",
             a->token != NULL ? "\r\n" : "");
    if (a->authorization != NULL && a->authorization[0] == '\0')
        snprintf(text + strlen(text), sizeof text - strlen(text), "\r\n");
    else if (a->authorization != NULL)
        snprintf(text + strlen(text), sizeof text - strlen(text), "Authorization: %s\r\n\r\n", a->authorization);
    else
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "Authorization: AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/s3/aws4_request,"
                 "SignedHeaders=host;x-amz-content-sha256;x-amz-date%s,Signature=%064d\r\n\r\n",
                 a->key != NULL ? a->key : "SIMACCESSKEY", stamp, a->region != NULL ? a->region : "us-east-1",
                 a->token != NULL ? ";x-amz-security-token" : "", 0);
    snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s", (int)(strlen(body) - a->keep), body);
    if (link_fd < 0)
        link_fd = c_connect(http_server_port(s3sim_http(sim)));
    c_send(link_fd, text);
}

/* Reads an answer into got; the connection is closed if the server's end is. */
static inline unsigned hear(bool to_head)
{
    size_t have = 0, left = 0;
    const char *length;
    ssize_t n = 1;

    memset(&got, 0, sizeof got);
    while (n > 0 && strstr(got.head, "\r\n\r\n") == NULL)
        if ((n = recv(link_fd, got.head + have, 1, 0)) > 0)
            have++;
    got.error = n < 0 ? errno : 0;
    sscanf(got.head, "HTTP/1.1 %u ", &got.status);
    length = strstr(got.head, "Content-Length: ");
    if (length != NULL && !to_head)
        left = strtoul(length + strlen("Content-Length: "), NULL, 10);
    assert_true(left < sizeof got.body);
    have = 0;
    while (n > 0 && have < left)
        if ((n = recv(link_fd, got.body + have, left - have, 0)) > 0)
            have += (size_t)n;
    got.closed = strstr(got.head, "Connection: close") != NULL;
    if (n <= 0 || got.closed)
        hang_up();
    return got.status;
}

static inline unsigned do_ask(const ask *a)
{
    say(a);
    return hear(strcmp(a->method, "HEAD") == 0);
}
#define ASK(...) do_ask(&(ask){__VA_ARGS__})

static inline unsigned ask_get(const char *target)
{
    return ASK(.method = "GET", .target = target);
}

static inline unsigned ask_head(const char *target)
{
    return ASK(.method = "HEAD", .target = target);
}

static inline unsigned ask_put(const char *target, const char *body)
{
    return ASK(.method = "PUT", .target = target, .body = body);
}

static inline unsigned ask_delete(const char *target)
{
    return ASK(.method = "DELETE", .target = target);
}

static inline void expect_code(const char *code)
{
    char element[80];

    snprintf(element, sizeof element, "<Error><Code>%s</Code>", code);
    if (strstr(got.body, element) == NULL)
        fail_msg("not %s: %s%s", code, got.head, got.body);
}

/* A test of the group, with a sim of its own. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
