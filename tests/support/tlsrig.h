/* tlsrig.h - a TLS server in the test process, certificates made while it runs, and wires that fail to the byte.
 *
 * The server is OpenSSL too, loaded as wbstore-tls loads it; where there is none the tests are skipped. Certificates are
 * made in memory. What cannot go wrong in a working test aborts with a line on stderr. */
#ifndef TLSRIG_H
#define TLSRIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wbstore/stores.h>

#define TLSRIG_SKIP 77 /* the exit code of a test that leaves itself out */

/* Loads OpenSSL, with the host's own configuration replaced by one that allows everything; once a process, first of all.
 * false: it is not there, said on stderr. min: the oldest TLS that this configuration allows, "TLSv1" say. */
bool tlsrig_load(const char *min);

/* Leaves an error in this thread's queue, as a host might that uses OpenSSL itself. */
void tlsrig_err(void);

/* ---- Certificates ---- */

typedef struct tlsrig_cert tlsrig_cert;

typedef struct tlsrig_ask {
    const char *name;  /* its subject */
    const char *alt;   /* "DNS:localhost,IP:127.0.0.1"; NULL: none */
    bool ca;           /* may sign others */
    long from_s, to_s; /* valid from and to, seconds from now; both 0: now */
} tlsrig_ask;
tlsrig_cert *tlsrig_cert_new(const tlsrig_ask *ask, const tlsrig_cert *issuer); /* issuer NULL: signed by itself */
void tlsrig_cert_free(tlsrig_cert *c);
void tlsrig_cert_write(const tlsrig_cert *c, const char *path); /* PEM, without its key */
unsigned long tlsrig_cert_hash(const tlsrig_cert *c);           /* what names it in a ca_dir */

/* ---- A server ---- */

typedef struct tlsrig tlsrig;
typedef struct tlsrig_peer tlsrig_peer;

typedef struct tlsrig_service {
    const tlsrig_cert *cert;
    const tlsrig_cert *between;               /* an intermediate to send along; NULL: none */
    int version;                              /* 0x0302: TLS 1.1, and so on, and nothing else; 0: any */
    bool bare;                                /* no TLS at all: serve has the socket as it is */
    void (*serve)(void *arg, tlsrig_peer *p); /* once a connection, on a thread of its own; then it is closed */
    void *arg;
} tlsrig_service;
tlsrig *tlsrig_start(const tlsrig_service *service); /* copied; on 127.0.0.1 */
void tlsrig_stop(tlsrig *r);                         /* ends its connections. NULL is fine */
unsigned tlsrig_port(const tlsrig *r);
/* Waits until so many connections have been served to their end, and how many of them shook hands. */
void tlsrig_await(tlsrig *r, unsigned served);
unsigned tlsrig_shaken(tlsrig *r);

/* For serve. */
size_t tlsrig_read(tlsrig_peer *p, void *data, size_t size); /* 1 to size; 0: no more */
bool tlsrig_read_all(tlsrig_peer *p, void *data, size_t size);
bool tlsrig_write(tlsrig_peer *p, const void *data, size_t size);
void tlsrig_farewell(tlsrig_peer *p);               /* TLS's own end; without it closing is a cut */
bool tlsrig_ended_well(const tlsrig_peer *p);       /* the client said farewell */
const char *tlsrig_name(const tlsrig_peer *p);      /* which the client asked for; NULL: none */
void tlsrig_reset(tlsrig_peer *p);                  /* closing will be a reset */
void tlsrig_ask_again(tlsrig_peer *p);              /* asks for a new handshake (TLS 1.2) */
void tlsrig_forward(tlsrig_peer *p, unsigned port); /* to and from a server in the clear on 127.0.0.1, till both end */

/* ---- Services ---- */

void tlsrig_echo(void *arg, tlsrig_peer *p); /* takes a uint64_t and that many bytes, and gives the bytes back; again */
void tlsrig_silent(void *arg, tlsrig_peer *p); /* waits for the client to end */

/* ---- Wires ---- */

typedef enum tlsrig_then { TLSRIG_ENDS, TLSRIG_BREAKS, TLSRIG_STALLS } tlsrig_then;

/* TCP, but a read or write moves at most so many bytes at a time, and after so many in all something happens. It keeps count
 * over all of its connections. Not for several threads. */
typedef struct tlsrig_wire {
    blob_s3store_transport transport; /* fill in the rest after tlsrig_wire_init */
    size_t read_piece, write_piece;   /* SIZE_MAX: any */
    uint64_t read_left, write_left;   /* UINT64_MAX: no end */
    tlsrig_then then;
    int64_t patience_ms;  /* a read waits no longer for bytes; 0: as long as its caller will */
    uint64_t flip;        /* this byte that is read, counted from now, is changed; UINT64_MAX: none */
    uint64_t read, wrote; /* bytes so far */
    unsigned writes;      /* calls that wrote something */
    unsigned open;        /* connections */
} tlsrig_wire;
void tlsrig_wire_init(tlsrig_wire *w);

/* ---- A client ---- */

/* Connects to 127.0.0.1 as if that were host. */
int tlsrig_dial(const blob_s3store_transport *t, blob_ctx *ctx, int64_t timeout_ms, const char *host, unsigned port,
                void **connection);
/* Writes or reads all of it. Reading: *done tells how much came before the end or failure. */
int tlsrig_send(const blob_s3store_transport *t, void *connection, const void *data, size_t size);
int tlsrig_take(const blob_s3store_transport *t, void *connection, void *data, size_t size, size_t *done);
/* An echo of this many bytes, there and back and compared: 0, a failure's status, or -EIO where other bytes came. */
int tlsrig_round_trip(const blob_s3store_transport *t, void *connection, uint64_t seed, size_t size);

#endif
