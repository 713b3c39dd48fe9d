/* httpserver_int.h - what the parts of httpserver share: the server and its threads (httpserver.c), what happens on one
 * connection (httpserver_conn.c, httpserver_read.c), and all waits (httpserver_wait.c). */
#ifndef HTTPSERVER_INT_H
#define HTTPSERVER_INT_H

#include "httpserver.h"

#include <pthread.h>
#include <stdatomic.h>

/* Legend: (c) constant after the start; (m) under the server's mutex; (a) atomic; (t) its thread's own. */
typedef struct hs_conn {
    http_server *server;       /* c */
    struct hs_conn *next;      /* m */
    pthread_t thread;          /* c */
    unsigned number;           /* c */
    int fd;                    /* m: closed and -1 by its thread only; t */
    bool over;                 /* m: the thread has nothing left to do but to be joined */
    atomic_bool idle;          /* a: waits for the first byte of a request */
    char *buffer;              /* t */
    size_t room, have, at;     /* t: bytes at to have have arrived and are not used up */
    unsigned requests;         /* t */
    char split[HTTP_HEAD_MAX]; /* t: the head, cut into strings */
    http_request request;      /* t: points into split and buffer */
} hs_conn;

typedef struct hs_kept { /* a request of a script, for the test to look at */
    http_request request;
    struct hs_kept *next;
    char *bytes;
    char split[HTTP_HEAD_MAX];
} hs_kept;

struct http_server {
    http_handler handler;           /* c */
    const http_step *const *script; /* c: NULL: ask the handler */
    size_t script_count;            /* c */
    bool ipv6;                      /* c */
    unsigned port;                  /* c */
    char url[40];                   /* c */
    int stop_pipe[2];               /* c: the reading end is at its end once the server stops */
    int wake_pipe[2];               /* c: a byte in it makes the acceptor look up */
    pthread_t acceptor;             /* c */
    bool accepts;                   /* c: there is an acceptor */
    int queue[8];                   /* c: connections that fill the queue; -1 */
    pthread_mutex_t mutex;
    pthread_cond_t changed;        /* anything under m */
    int listener;                  /* c */
    bool down;                     /* m: the listener does not listen, and keeps its port */
    bool stopping;                 /* m */
    hs_conn *conns;                /* m */
    unsigned made;                 /* m: connections so far */
    http_counts counts;            /* m; but for requests */
    atomic_uint_fast64_t requests; /* a */
    atomic_uint idle_waiters;      /* a: who want to be told when a connection gets idle */
    bool open[HTTP_GATES];         /* m */
    unsigned waiting[HTTP_GATES];  /* m */
    hs_kept *kept, **kept_end;     /* m: in the order of arrival */
    size_t kept_count;             /* m */
};

typedef enum hs_read { HS_READ, HS_ENDED, HS_CUT, HS_MALFORMED } hs_read;

void hs_serve(hs_conn *c); /* all that happens on a connection, until it is to be closed */
/* Receives some more, with room for at least total bytes from at on. false: the client has ended, or it was cut. */
bool hs_more(hs_conn *c, size_t total);
hs_read hs_read_head(hs_conn *c);            /* into c->request; leaves it where it is */
bool hs_read_body(hs_conn *c);               /* of that head; uses both up */
void hs_set_reset(int fd);                   /* when it is closed it is reset */
void hs_unread(http_server *s, hs_read why); /* counts it */
void hs_idle(hs_conn *c);                    /* it waits for a request from here on */
void hs_await_stop(http_server *s);
void hs_await_end(const hs_conn *c); /* or until the client has ended, as far as is seen without reading */
_Noreturn void hs_die(const char *what);
void *hs_need(void *memory); /* not NULL, or the end */

#endif
