/* httpserver.h - an HTTP server in the test process, for tests and benchmarks of a client: one that follows a script to the
 * byte, or one that asks a function for each answer.
 *
 * It listens on the loopback at a port that the system picks, and has a thread for each connection. Nothing in it waits for
 * time to pass unless told to (delay_us); whatever is under way, http_server_stop ends it at once and joins all threads.
 * What cannot go wrong in a working test (no socket, no memory) aborts with a line on stderr. */
#ifndef HTTPSERVER_H
#define HTTPSERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_server http_server;

/* ---- Requests ---- */

#define HTTP_HEAD_MAX 16384
#define HTTP_FIELDS_MAX 64

typedef struct http_field {
    const char *name, *value; /* the value without outer blanks */
} http_field;

/* A request as it came. What it points to is valid as long as the function that was handed it runs, or, from
 * http_server_request, until the server stops. */
typedef struct http_request {
    const char *method, *path, *query; /* path up to "?", query behind it or ""; both still encoded */
    const char *head;                  /* all bytes of it, the empty line included, not ended by a zero */
    size_t head_size;
    const void *body; /* NULL where it has not been read */
    size_t body_size;
    uint64_t length;     /* what Content-Length says; 0 where there is none */
    bool has_length;     /* there is one */
    bool expects;        /* Expect: 100-continue, which this server never sends */
    unsigned connection; /* on the how-manieth accepted connection, from 0 */
    unsigned number;     /* the how-manieth on that, from 0 */
    unsigned fields_count;
    http_field fields[HTTP_FIELDS_MAX];
} http_request;

/* The value of the first field of that name, in any case; NULL: none. */
const char *http_request_field(const http_request *request, const char *name);

/* ---- A script ---- */

/* What to do on a connection, one after the other. At the end of its steps it is closed. */
typedef enum http_step_kind {
    HTTP_STEP_END = 0,
    HTTP_STEP_READ,       /* a whole request, head and body */
    HTTP_STEP_READ_HEAD,  /* a head only; the body stays where it is */
    HTTP_STEP_READ_BYTES, /* so many bytes, whatever they are; they are not kept */
    HTTP_STEP_SEND,       /* bytes, in pieces of number bytes each (0: in one). The client may find several at once */
    HTTP_STEP_GATE,       /* wait until the test opens this gate */
    HTTP_STEP_STALL,      /* do nothing until the server stops */
    HTTP_STEP_FINISH, /* send the end, and read what comes until the client has ended too: loses nothing on the way */
    HTTP_STEP_CLOSE,  /* close; the system resets the connection if something had not been read */
    HTTP_STEP_RESET   /* reset it */
} http_step_kind;

typedef struct http_step {
    http_step_kind kind;
    const char *bytes; /* borrowed until stop */
    size_t size;
    size_t number;
} http_step;

/* Steps, to be written in an array: { HTTP_READ, HTTP_SEND("HTTP/1.1 200 OK\r\n..."), HTTP_END }. */
/* clang-format off */
#define HTTP_END                  {HTTP_STEP_END, NULL, 0, 0}
#define HTTP_READ                 {HTTP_STEP_READ, NULL, 0, 0}
#define HTTP_READ_HEAD            {HTTP_STEP_READ_HEAD, NULL, 0, 0}
#define HTTP_READ_BYTES(n)        {HTTP_STEP_READ_BYTES, NULL, 0, (n)}
#define HTTP_SEND(literal)        {HTTP_STEP_SEND, (literal), sizeof(literal) - 1, 0}
#define HTTP_PIECES(literal, n)   {HTTP_STEP_SEND, (literal), sizeof(literal) - 1, (n)}
#define HTTP_SEND_BYTES(p, bytes) {HTTP_STEP_SEND, (p), (bytes), 0}
#define HTTP_GATE(n)              {HTTP_STEP_GATE, NULL, 0, (n)}
#define HTTP_STALL                {HTTP_STEP_STALL, NULL, 0, 0}
#define HTTP_FINISH               {HTTP_STEP_FINISH, NULL, 0, 0}
#define HTTP_CLOSE                {HTTP_STEP_CLOSE, NULL, 0, 0}
#define HTTP_RESET                {HTTP_STEP_RESET, NULL, 0, 0}
/* clang-format on */

/* Starts a server for count connections: the first that is accepted follows script[0], and so on; any more are reset. A
 * connection that the client ends, or whose request cannot be read, is closed. All is borrowed until stop. */
http_server *http_server_start_script(const http_step *const *script, size_t count);

/* The request that was read index-th (from 0), on whatever connection; waits for it. NULL: the server is stopping. */
const http_request *http_server_request(http_server *s, size_t index);

/* ---- A handler ---- */

typedef enum http_after {
    HTTP_AFTER_KEEP = 0, /* wait for the next request */
    HTTP_AFTER_FINISH,   /* these as in a script */
    HTTP_AFTER_CLOSE,
    HTTP_AFTER_RESET,
    HTTP_AFTER_STALL /* read nothing and send nothing until the client has ended, or the server stops */
} http_after;

/* What to answer; all zero but for what the handler sets. Content-Length and, if the connection is not kept, Connection: close
 * are added; the answer to a HEAD has a length but no body, a 204 or 304 has neither. */
typedef struct http_answer {
    unsigned status;   /* 0: nothing is sent */
    char fields[1024]; /* more fields, each ended by \r\n */
    const void *body;  /* valid until release is called */
    size_t body_size;
    size_t chunk;    /* the body is sent chunked, in chunks of this many bytes; 0: not */
    bool cut;        /* ... */
    size_t cut_at;   /* only so much of the body is sent (never the end of a chunked one), then comes after */
    bool silent;     /* no Connection: close, whatever comes after */
    const void *raw; /* sent instead of all that; valid until release is called */
    size_t raw_size;
    uint64_t delay_us; /* before the first byte */
    http_after after;
    void (*release)(void *arg); /* called when the answer has gone, or will not; NULL: nothing to do */
    void *release_arg;
} http_answer;

typedef struct http_handler {
    void *arg;
    /* Asked when the head has come, before the body is read. true: this is the answer, and the body is not read (so the
     * connection is not kept, if there is one). NULL: never. */
    bool (*early)(void *arg, const http_request *request, http_answer *answer);
    /* Asked when the whole request is there, with the answer as early left it; so early can leave something in release_arg,
     * and release is called even if the request never gets whole. Called from many threads. */
    void (*handle)(void *arg, const http_request *request, http_answer *answer);
} http_handler;

http_server *http_server_start(const http_handler *handler, bool ipv6); /* handler is copied */

/* ---- Servers that do not serve ---- */

typedef enum http_unwilling {
    HTTP_DEAF,   /* listens but accepts nothing: a connect goes well, and then nothing comes */
    HTTP_FULL,   /* its queue is full: a connect waits for ever */
    HTTP_REFUSES /* nobody listens at this port, and nobody else gets it */
} http_unwilling;
http_server *http_server_start_unwilling(http_unwilling how);

/* ---- All of them ---- */

unsigned http_server_port(const http_server *s);
const char *http_server_url(const http_server *s); /* "http://127.0.0.1:PORT", "http://[::1]:PORT" */

/* Ends everything and frees it. NULL is fine. */
void http_server_stop(http_server *s);

/* Refuses connections from now on, and resets those that are there, whatever they do; up: at the same port again. */
void http_server_down(http_server *s);
void http_server_up(http_server *s);

/* Closes the connections that wait for a request, as servers do after a while. Returns how many. The client may have an
 * answer a moment before the connection counts as idle: see http_server_idle_await. */
unsigned http_server_hang_up_idle(http_server *s);

/* Gates are closed until they are opened. A handler passes them with http_server_pass: it waits until the gate is open; false:
 * the server stops. */
#define HTTP_GATES 16
void http_server_gate_open(http_server *s, unsigned gate);
void http_server_gate_shut(http_server *s, unsigned gate);
void http_server_gate_await(http_server *s, unsigned gate, unsigned count); /* until so many wait at it, or it stops */
bool http_server_pass(http_server *s, unsigned gate);

/* For a handler: waits this long; false: the server stops. */
bool http_server_wait_us(http_server *s, uint64_t us);

typedef struct http_counts {
    unsigned accepted;    /* connections so far */
    unsigned connections; /* open now, as far as the server knows */
    unsigned most;        /* open at once, at most, since the last http_server_counts_reset */
    unsigned idle;        /* of them waiting for a request */
    uint64_t requests;    /* read so far (a head only counts too) */
    unsigned cut;         /* requests that the client left unfinished */
    unsigned malformed;   /* what came and was no request */
} http_counts;
http_counts http_server_counts(http_server *s);
void http_server_counts_reset(http_server *s); /* all but connections and idle */
/* Wait until so many were accepted; until so many are open; until at least so many are idle. */
void http_server_accepted_await(http_server *s, unsigned accepted);
void http_server_connections_await(http_server *s, unsigned connections);
void http_server_idle_await(http_server *s, unsigned idle);

#endif
