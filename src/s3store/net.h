/* net.h - s3store's way to the server: names, connections, and one request with its answer.
 *
 * This half knows HTTP and nothing of S3. A net belongs to one endpoint. */
#ifndef WB_S3STORE_NET_H
#define WB_S3STORE_NET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <wbstore/stores.h>

/* ---- An answer's head and its body's framing (http.c, chunks.c, date.c) ---- */

#define S3_HEAD_MAX 16384 /* bytes of a head, at most */

/* What of an answer's head matters. */
typedef struct s3_head {
    unsigned status; /* 100 to 599 */
    bool keep;       /* the connection may be used again after the body */
    bool bodiless;   /* nothing follows the head: 1xx, 204, 304, or the answer to a HEAD */
    bool chunked;    /* the body comes in chunks; else in length bytes; else, if neither, up to the end */
    bool has_length;
    uint64_t length; /* Content-Length; the answer to a HEAD has it, too */
    int64_t
        retry_after_ms; /* Retry-After in seconds or as a date (counted from Date, 0 without); 0: none; at most a day */
    int64_t date_s;     /* Date, since 1970; -1: none or not readable */
    char region[64];    /* x-amz-bucket-region; "" */
    char location[256]; /* Location, cut; "" */
    bool named;         /* x-amz-request-id or ETag: S3 itself answered, not something on the way */
} s3_head;

/* Reads a head from what has arrived so far. 0: complete, *used bytes of it; -EAGAIN: more is needed; -EBADMSG: this is
 * not HTTP/1.x, or its framing is not to be trusted (two lengths that differ, a length beside chunked, a coding other than
 * chunked, a folded line, a NUL, a 101, a 1xx with a body); -EMSGSIZE: longer than S3_HEAD_MAX. to_head: it answers a
 * HEAD. */
int s3_http_head(const char *bytes, size_t size, bool to_head, s3_head *out, size_t *used);

/* A chunked body, taken apart as it arrives. All zero is the start. */
typedef struct s3_chunks {
    unsigned char state;
    unsigned digits;
    unsigned line;    /* bytes of this line so far, extensions and trailers: bounded */
    unsigned trailer; /* bytes of all trailers so far: bounded */
    uint64_t left;    /* of this chunk */
} s3_chunks;

/* Takes from bytes the framing up to the next payload and says how much payload lies there: *skip bytes of framing, then
 * *payload bytes (0: more is needed, or the end). Call again with what lies behind them. 0: goes on; 1: the body has ended after
 * *skip bytes; -EBADMSG: not chunks. */
int s3_chunks_next(s3_chunks *c, const char *bytes, size_t size, size_t *skip, size_t *payload);

/* The name of a region, for it goes into requests and must not bring anything along: up to 63 of a-z A-Z 0-9 - _ .;
 * false, and out is "": it is none. */
bool s3_http_region(const char *text, size_t size, char out[64]);

/* An HTTP date in any of its three forms; seconds since 1970, -1: none of them. */
int64_t s3_http_date(const char *text, size_t size);
/* "2013-05-24T00:00:00Z", with or without fractions, which are cut. */
int64_t s3_iso_date(const char *text, size_t size);
/* The second of a date, 1970 to 9999, month and day from 1; -1: there is no such date. A second 60 is the next one. */
int64_t s3_utc(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second);

/* ---- The endpoint (options.c reads it) ---- */

typedef struct s3_limits {
    int64_t connect_ms, idle_ms, total_ms;
    uint64_t bytes_per_s_min;
} s3_limits;

typedef struct s3_conn s3_conn;
typedef struct s3_resolver s3_resolver;

/* Legend: (c) constant while it is open; (m) under mutex. */
typedef struct s3_net {
    const blob_s3store_transport *transport; /* c */
    char *host;                              /* c: a name, or digits without brackets */
    char port[6];                            /* c: decimal */
    s3_limits limits;                        /* c */
    unsigned kept_max;                       /* c */
    s3_resolver *resolver;                   /* c */
    pthread_mutex_t mutex;
    s3_conn *kept;       /* m: the one used last is first */
    unsigned kept_count; /* m */
} s3_net;

/* Copies host; transport outlives the net. No network is asked. */
int s3_net_open(s3_net *n, const blob_s3store_transport *transport, const char *host, const char *port,
                const s3_limits *limits, unsigned kept_max);
/* Closes the kept connections. No call may be under way. Waits for a lookup of the name that is. */
void s3_net_close(s3_net *n);

/* ---- Names (resolve.c) ---- */

typedef struct s3_address {
    struct sockaddr_storage at;
    socklen_t size;
    bool failed; /* the last one to try it did not get through; not a lookup's to set */
} s3_address;
#define S3_ADDRESSES_MAX 32 /* an endpoint of both families may well have eight of each */

/* Asks for the addresses of host, S3_ADDRESSES_MAX at most: 0, or one of getaddrinfo's codes. */
typedef int s3_lookup(void *arg, const char *host, const char *port, s3_address *out, size_t *count);

/* Legend: (c) constant; (m) under mutex; (t) the thread's while it runs, else under mutex. */
struct s3_resolver {
    char *host, *port; /* c */
    s3_lookup *lookup; /* c: getaddrinfo; a test may put something else here before the first call */
    void *lookup_arg;  /* c */
    int64_t fresh_ms;  /* c: how long a result is used */
    bool numeric;      /* c: digits, which found holds from the start */
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* a lookup has */
    pthread_t thread;     /* m: there is one to join ... */
    bool started;         /* m: ... if this says so, */
    bool running;         /* m: and it has not ended yet */
    uint64_t lookups;     /* m: that have ended */
    int failed;           /* m: what the last one ended with, 0 or getaddrinfo's code */
    int system_error;     /* m: errno of it, for EAI_SYSTEM */
    s3_address found[S3_ADDRESSES_MAX];
    size_t found_count; /* m: 0: nothing is known */
    int64_t until_ns;   /* m: found is used until then */
};

/* The addresses of the net's host, in the order to try them: as the system gives them, but those that failed last; digits
 * are not looked up. getaddrinfo runs in a thread of its own, one at a time for a net; callers wait for it as long as their
 * ctx (and until_ns on its clock) lets them, and share what it finds; what comes when nobody waits any more is kept for the
 * next. A result is used for some seconds; after a failure the next call asks anew. BLOB_UNAVAILABLE: no such name, or no
 * answer, with getaddrinfo's words; -ETIMEDOUT, -ECANCELED; -EAGAIN: no more threads. out: S3_ADDRESSES_MAX of them. */
int s3_resolve(s3_resolver *r, blob_ctx *ctx, int64_t until_ns, s3_address *out, size_t *count);
/* The next s3_resolve asks anew: at none of the addresses there was a server. */
void s3_resolver_forget(s3_resolver *r);
/* What became of a try to connect to one of its addresses. */
void s3_resolver_tell(s3_resolver *r, const s3_address *address, bool failed);
int s3_resolver_new(s3_resolver **out, const char *host, const char *port);
/* Joins its thread: a lookup that is under way is waited for, for nothing in the system can end it. */
void s3_resolver_free(s3_resolver *r);

/* ---- Connections (pool.c) ---- */

struct s3_conn {
    const blob_s3store_transport *transport;
    void *connection; /* the transport's */
    s3_conn *next;
    int64_t kept_ns; /* when it was put by, on wb_now_ns's clock */
    bool used;       /* it has carried an answer before: if it fails now before a byte came, the server had hung up */
    size_t have;     /* bytes in buffer that have arrived and are not consumed */
    size_t at;       /* where they begin */
    char buffer[S3_HEAD_MAX + 1];
};

/* A connection kept for longer than this is not used again: what is on the way may have forgotten it, and then a request
 * on it would come to nothing but a time limit. */
#define S3_KEPT_MS 60000

/* A kept connection, if there is one that the server has neither hung up nor spoken on since, or a new one (fresh: a new
 * one in any case), trying each address for connect_ms. What is not said of s3_resolve: the transport's failures, the last
 * address's with how many there were. */
int s3_conn_get(s3_net *n, blob_ctx *ctx, bool fresh, s3_conn **out);
/* For the next one; closed where there are enough, the oldest first. Nothing may be left to read or write on it. */
void s3_conn_keep(s3_net *n, s3_conn *c);
void s3_conn_close(s3_conn *c); /* NULL is fine */
/* Closes those that were put by before then. */
void s3_conn_distrust(s3_net *n, int64_t before_ns);

/* ---- One request and its answer (exchange.c) ---- */

typedef struct s3_exchange {
    /* what is sent */
    blob_view head; /* request line and fields, the empty line included */
    blob_view body;
    bool to_head;        /* it is a HEAD: the answer has no body */
    uint64_t answer_max; /* a longer body is -EFBIG ... */
    uint64_t
        error_max; /* ... and left unread where the answer is no 2xx: then answer is NULL, its status says enough */
    /* what came */
    s3_head answer_head;
    blob *answer;  /* the body, the caller's to blob_unref; NULL where there can be none, and on failure */
    bool begun;    /* a byte of the request may have reached the server: without an answer it is in doubt */
    bool repeated; /* sent on a kept connection first, then again: the answer may be about what the first did */
} s3_exchange;

/* Sends the request and reads the whole answer, whatever its status (1xx are passed over). On a kept connection that the
 * server had hung up, so that no byte of an answer came, it tries once more on a fresh one. An answer that comes before
 * the request is sent whole is taken, for a server that refuses a large body says so early and stops reading; unless it
 * claims success, which is -EIO. Limits: idle for each wait, total (and the time of the bytes so far, and of those that
 * the answer announces) for the attempt, which begins when there is a connection.
 *
 * A body ends where its length, its chunks, or else the connection do. Of the last kind nobody can tell whether it is
 * whole: has_length and chunked in answer_head say which it was. Memory: that of the answer, from its length at once
 * (within answer_max), else twice what has come at most; payload is copied once where it came along with the head or
 * between chunks, else not at all. What is sent is not copied, but for the first few KiB, which go out with the head.
 *
 * An answer in full is 0. BLOB_UNAVAILABLE: not connected, or cut off before the whole answer was there; -ETIMEDOUT: a
 * limit, or ctx's deadline, the text says which; -ECANCELED; -EIO: not HTTP, malformed; -EFBIG; -ENOMEM. */
int s3_exchange_run(s3_net *n, blob_ctx *ctx, s3_exchange *x);

#endif
