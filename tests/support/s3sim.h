/* s3sim.h - an object store that speaks enough of the S3 API for s3store, in the test process, and that fails on demand.
 *
 * One bucket in memory, at http_server_url(s3sim_http(sim)), in path style and, for a Host that begins with "BUCKET.", in host
 * style. It knows PutObject (If-None-Match: *), GetObject, HeadObject, HeadBucket, DeleteObject and ListObjectsV2, and answers
 * as Amazon's does, with the errors below. Signatures are not checked (a real server does that), all else that a request must
 * carry is: a well-formed Authorization whose scope agrees with x-amz-date, host and every x-amz- field signed,
 * x-amz-content-sha256 that is the body's, path and query encoded as signatures have it.
 *
 * All functions may be called from any thread while requests are under way. Strings that are passed in are borrowed until
 * the sim stops. */
#ifndef S3SIM_H
#define S3SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpserver.h"

typedef struct s3sim s3sim;

/* ---- What it is, until it is told otherwise ---- */

typedef enum s3sim_conditional {
    S3SIM_HONOURS = 0, /* If-None-Match: *: 412 PreconditionFailed if there is an object */
    S3SIM_IGNORES,     /* overwrites */
    S3SIM_REFUSES      /* 501 NotImplemented */
} s3sim_conditional;

typedef struct s3sim_settings {
    const char *bucket; /* "bucket". Another name: 404 NoSuchBucket for this one */
    const char *region; /* "us-east-1". Another in the scope: 400 AuthorizationHeaderMalformed, which names this one */
    bool region_unsaid; /* ... but names none */
    const char *access_key;    /* "SIMACCESSKEY". Another: 403 InvalidAccessKeyId */
    const char *expired_token; /* NULL. x-amz-security-token is this: 400 ExpiredToken */
    s3sim_conditional conditional;
    int64_t clock_s;         /* 0. Its clock less the real one. Further off than 15 minutes: 403 RequestTimeTooSkewed */
    bool server_time_unsaid; /* ... without ServerTime in the error */
    bool date_unsaid;        /* no Date in any answer */
    unsigned page;           /* 1000. Objects in a page of a listing, at most */
    bool plus;               /* encoding-type=url: a blank is "+" instead of "%20" */
    bool not_encoded;        /* encoding-type=url is ignored, as old servers do */
    size_t chunk;            /* 0. Answers in XML come chunked, in chunks of so many bytes */
    bool objects_too;        /* ... objects too */
    uint64_t size_max;       /* 5 GiB. A larger object: 400 EntityTooLarge, once its body was read */
    bool size_early;         /* ... before its body was read, which stays unread */
    uint64_t quota;          /* UINT64_MAX. More bytes in all: 403 QuotaExceeded */
    uint64_t latency_us;     /* 0. Before the answer to every request, after the work */
    bool unchecked;          /* x-amz-content-sha256 is believed: faster, for benchmarks */
    bool not_logged;
} s3sim_settings;

s3sim *s3sim_start(void);
s3sim *s3sim_start_ipv6(void);
void s3sim_stop(s3sim *sim); /* at once, whatever is under way. NULL is fine */

s3sim_settings s3sim_get(s3sim *sim);
void s3sim_set(s3sim *sim, const s3sim_settings *settings); /* for requests that are read from now on */

const char *s3sim_url(s3sim *sim);   /* the endpoint */
http_server *s3sim_http(s3sim *sim); /* for its counts, hang_up_idle, down and up. Gates 8 and up are the tests' */

/* ---- What it holds ---- */

/* As another client would, past all settings. name: a string; bytes of SIZE_MAX size: a string too. */
void s3sim_put(s3sim *sim, const char *name, const void *bytes, size_t size);
bool s3sim_remove(s3sim *sim, const char *name); /* was it there? */
/* A copy, ended by a zero and to be freed; NULL: there is none. size may be NULL. */
char *s3sim_copy(s3sim *sim, const char *name, size_t *size);
bool s3sim_has(s3sim *sim, const char *name);
uint64_t s3sim_count(s3sim *sim);      /* objects */
uint64_t s3sim_bytes(s3sim *sim);      /* of all of them */
uint64_t s3sim_writes(s3sim *sim);     /* objects written so far by requests, over others or not */
uint64_t s3sim_overwrites(s3sim *sim); /* ... over another */

/* ---- What goes wrong ---- */

typedef enum s3sim_act {
    /* Nothing is done ... */
    S3SIM_ANSWER = 0,    /* this error: status, code, message */
    S3SIM_RAW,           /* these bytes are sent, then the connection is finished */
    S3SIM_HANG_UP,       /* no answer: closed after the request was read */
    S3SIM_RESET,         /* ... reset */
    S3SIM_ANSWER_EARLY,  /* the error before the body is read, which stays unread; the connection stays open */
    S3SIM_HANG_UP_EARLY, /* closed (thus reset) before the body is read */
    S3SIM_READ_NOTHING,  /* the body is not read and nothing is sent, until the sim stops */
    S3SIM_STALL,         /* waits until s3sim_release, then all goes on as if nothing had been */
    S3SIM_LATE,          /* reset without an answer; done when s3sim_carry_out is called */
    /* The work is done, then ... */
    S3SIM_DONE_HANG_UP, /* no answer: closed */
    S3SIM_DONE_RESET,   /* ... reset */
    S3SIM_DONE_ANSWER,  /* this error all the same */
    S3SIM_DONE_STALL,   /* answered after s3sim_release only */
    S3SIM_DONE_TWICE,   /* answered, and done once more when s3sim_carry_out is called */
    S3SIM_DONE_CUT,     /* the answer's body ends after cut_at bytes: closed */
    S3SIM_DONE_CLOSE    /* answered in full, then closed without a word of it in the answer */
} s3sim_act;

typedef struct s3sim_fault {
    s3sim_act act;
    const char *method;   /* only these; NULL: any */
    const char *contains; /* only where this is part of path?query; NULL: any */
    unsigned skip;        /* not the first so many of those */
    unsigned count;       /* only so many of those; 0: all, until s3sim_clear */
    unsigned status;      /* ANSWER: 503 if 0 */
    const char *code;     /* ... "SlowDown" if NULL; "" means no XML at all: an empty body */
    const char *message;  /* ... */
    const char *fields;   /* ... more fields, each ended by \r\n: "Retry-After: 3\r\n" */
    const void *raw;      /* RAW */
    size_t raw_size;      /* ... 0: a string */
    size_t cut_at;
} s3sim_fault;

/* Adds a fault; for each request the first that fits is taken. Returns its number, for s3sim_hits. 32 at most at a time. */
unsigned s3sim_fail(s3sim *sim, const s3sim_fault *fault);
uint64_t s3sim_hits(s3sim *sim, unsigned number); /* how often it was taken */
void s3sim_clear(s3sim *sim);                     /* all of them; numbers begin anew. What is stalled stays so */

void s3sim_stalled_await(s3sim *sim, unsigned count); /* until so many requests are stalled */
void s3sim_release(s3sim *sim);                       /* those that are stalled now, not later ones */
/* Does what LATE and TWICE left to do, in the order in which it came, whatever faults there are. Returns how many. */
unsigned s3sim_carry_out(s3sim *sim);

/* ---- What was asked ---- */

/* Requests that were read so far, faults included; method NULL: all. */
uint64_t s3sim_requests(s3sim *sim, const char *method);
void s3sim_requests_await(s3sim *sim, const char *method, uint64_t count);
void s3sim_writes_await(s3sim *sim, uint64_t writes);

typedef struct s3sim_entry {
    char method[8];
    const char *path, *query; /* as they came; valid until the sim stops or forgets */
    char host[128];
    uint64_t body_size;
    bool conditional; /* it had If-None-Match: * */
    bool first_byte;  /* it had Range: bytes=0-0 */
    unsigned status;  /* what was answered; 0: nothing, yet or ever */
    char code[48];    /* the error's code; "" */
} s3sim_entry;
/* The index-th request since the start or s3sim_forget; false: there is none. The first 100,000 are kept. */
bool s3sim_log(s3sim *sim, size_t index, s3sim_entry *out);
size_t s3sim_log_size(s3sim *sim);
void s3sim_forget(s3sim *sim); /* the log, the counts of requests and writes, http's counts */

#endif
