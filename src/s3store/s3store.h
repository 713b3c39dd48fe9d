/* s3store.h - what the parts of s3store share: text, signatures, the readers of XML, and the store itself. */
#ifndef WB_S3STORE_H
#define WB_S3STORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wbstore/stores.h>

#include "s3store/net.h"

/* ---- Text that grows (text.c) ---- */

/* All zero is empty. A failure to grow is remembered and makes all that follows do nothing. */
typedef struct s3_text {
    char *data; /* ended by a zero, NULL while nothing was added */
    size_t size, room;
    bool failed;
} s3_text;

void s3_text_add(s3_text *t, const char *string);
void s3_text_add_bytes(s3_text *t, const void *bytes, size_t size);
void s3_text_add_hex(s3_text *t, const void *bytes, size_t size); /* lower case */
void s3_text_add_number(s3_text *t, uint64_t number);
/* Percent-encodes what is not A-Z a-z 0-9 - . _ ~, upper-case digits; a slash stays if keep_slash. As signatures want it. */
void s3_text_add_encoded(s3_text *t, const void *bytes, size_t size, bool keep_slash);
void s3_text_free(s3_text *t);          /* wiped first: it may have held a secret */
void s3_wipe(void *bytes, size_t size); /* not to be optimised away */

/* ---- Signature version 4 (sign.c) ---- */

/* A set of credentials; immutable, counted, wiped when the last hold goes (credentials.c). */
typedef struct s3_credentials {
    atomic_uint refs;
    char *access_key, *secret_key, *session_token; /* session_token NULL: none */
} s3_credentials;

typedef struct s3_field {
    const char *name; /* lower case */
    const char *value;
} s3_field;

/* What is signed. */
typedef struct s3_request {
    const char *method;
    const char *path;       /* encoded: "/bucket/name" */
    const char *query;      /* encoded, sorted, without "?"; "" */
    const s3_field *fields; /* sorted by name, all signed, host among them; values without outer blanks */
    size_t fields_count;
    const char *payload_hash; /* hex, or UNSIGNED-PAYLOAD */
} s3_request;

#define S3_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* The value of the Authorization field, added to out: for this region and the second now_s, which x-amz-date among the fields must
 * agree with (s3_sign_time makes it). */
void s3_sign(s3_text *out, const s3_request *request, const s3_credentials *credentials, const char *region,
             int64_t now_s);
void s3_sign_time(int64_t now_s, char stamp[17]); /* "20130524T000000Z" */
/* False: more data than S3_HMAC_DATA_MAX, and out is zero. out may be where key is. */
#define S3_HMAC_DATA_MAX 1024
bool s3_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, unsigned char out[32]);

int s3_credentials_new(s3_credentials **out, const char *access_key, const char *secret_key,
                       const char *session_token); /* -EINVAL: see blob_s3store_set_credentials */
s3_credentials *s3_credentials_ref(s3_credentials *c);
void s3_credentials_unref(s3_credentials *c); /* NULL is fine */

/* ---- Answers in XML (document.c, by xml.h) ---- */

/* An error's own words; "" where it has none. */
typedef struct s3_error {
    char code[64];     /* "NoSuchKey" */
    char message[160]; /* for people, cut at a character */
    char region[64];   /* AuthorizationHeaderMalformed and redirects name it */
    char endpoint[128];
    int64_t server_time_s; /* RequestTimeTooSkewed; -1: none */
} s3_error;

/* Reads an error document; true if it is one (whatever it has no room for is left out), false: something else. */
bool s3_xml_error(blob_view document, s3_error *out);

#define S3_TOKEN_MAX 4096 /* longer ones are left out; they are some hundred bytes as a rule */
/* A page of a listing. entry is called for each object in the order in which they come: its name (decoded, if the page says
 * it is url-encoded), not ended by a zero, and its size (UINT64_MAX: none given); another answer than 0 ends the page with that.
 * -EBADMSG: this is no whole, well-formed ListBucketResult, which is seen before the first entry; or an object's name or size
 * makes no sense, and entries came before. */
typedef struct s3_page {
    bool truncated;           /* there are more */
    char token[S3_TOKEN_MAX]; /* with which to ask for them */
    size_t token_size;        /* 0: none */
    int (*entry)(void *arg, const char *name, size_t name_size, uint64_t size);
    void *arg;
} s3_page;
int s3_xml_list(blob_view document, s3_page *page);

/* ---- The store ---- */

#define S3_PREFIX_MAX 512
#define S3_PUT_MAX (UINT64_C(5) << 30)  /* what one request can send */
#define S3_ERROR_MAX ((size_t)64 << 10) /* of an answer that is no success so much is read */

/* Does the server honour If-None-Match: *? */
enum { S3_HONOURS_NOT = -1, S3_HONOURS_UNKNOWN = 0, S3_HONOURS = 1, S3_HONOURS_ASKED = 2 /* one put is finding out */ };

/* What follows the prefix in an object's name: lower-case hex, "-" for the empty key. */
typedef struct s3_name {
    char text[2 * BLOB_KEY_MAX + 1];
} s3_name;
void s3_name_of(blob_key key, s3_name *name);

typedef struct s3_hand { /* one call at a time on a key, where a call is more than one request (hand.c) */
    blob_key key;
    struct s3_hand *next;
} s3_hand;

/* Legend: (c) constant while it is open; (m) under mutex; (a) atomic. */
typedef struct s3store {
    blob_store store;
    s3_net net;              /* its own locks */
    char *authority;         /* c: what Host says */
    char *base;              /* c: encoded path up to the name: "/bucket/PREFIX" or "/PREFIX" */
    char *bucket_path;       /* c: "/bucket" or "/" */
    char *where;             /* c: for messages: "http://host:port/bucket" */
    char *prefix;            /* c: as it is */
    const blob_hash *hash;   /* c */
    bool keys_are_sha256;    /* c */
    uint64_t blob_bytes_max; /* c */
    int64_t in_doubt_ms;     /* c */
    pthread_mutex_t mutex;
    pthread_cond_t hands_cond;      /* a hand was dropped */
    s3_hand *hands;                 /* m */
    s3_credentials *credentials;    /* m */
    char region[64];                /* m: may be corrected */
    s3_name said_no;                /* m: the key for which the server did not honour If-None-Match; "": none */
    _Atomic int64_t clock_offset_s; /* a: the server's clock less ours, where that was too far off */
    _Atomic int64_t bucket_seen_ns; /* a: when an answer last showed that the bucket is there; 0: never */
    atomic_int conditional;         /* a: S3_HONOURS ... */
} s3store;

/* Reads and checks the options (*known: with the defaults), and sets the constants and the region of s, which is all zero but
 * for its ops; s3_options_free frees them, after a failure too. Says what is wrong. (options.c) */
typedef struct s3_endpoint {
    char host[512]; /* to connect to: a name, or digits without brackets */
    char port[6];
} s3_endpoint;
int s3_options_read(s3store *s, const blob_s3store_options *from, blob_s3store_options *known, s3_endpoint *endpoint);
void s3_options_free(s3store *s);

/* Waits for the hand on a key and takes it; hand and key stay where they are until it is dropped. */
int s3_hand_take(s3store *s, blob_ctx *ctx, s3_hand *hand, blob_key key);
void s3_hand_drop(s3store *s, s3_hand *hand);

/* One request of S3 and its answer (call.c). */
typedef struct s3_call {
    /* what is asked */
    const char *method;
    const char *name;  /* of the object, as s3_name has it; NULL: the bucket itself */
    const char *query; /* encoded, sorted; NULL: none */
    blob_view body;
    const char *payload_hash; /* hex; NULL: it has no body, and no Content-Length */
    bool if_none_match;       /* If-None-Match: * */
    bool first_byte;          /* a GET of no more than that */
    uint64_t answer_max;
    /* what came */
    s3_head head;
    blob *answer;   /* of a success; NULL: none */
    s3_error error; /* of anything else */
    bool repeated;  /* as in s3_exchange */
    bool open;      /* something of it that got no whole answer may have reached the server, and still be carried out */
} s3_call;

/* Signs and sends it, and corrects clock and region where the answer says so. 0: there is an answer, whatever it says;
 * else as s3_exchange_run. To be ended in any case. */
int s3_call_run(s3store *s, blob_ctx *ctx, s3_call *c);
void s3_call_end(s3_call *c);
/* For what changes something: the status of a call that ended with rc, its answer included. If a copy of the request may
 * still be carried out, whatever rc says is not final: BLOB_UNAVAILABLE. */
int s3_call_settle(const s3store *s, const s3_call *c, int rc);

/* What an answer other than the one hoped for means, with its words in the thread's error detail (answer.c). Never 0. For some
 * it asks whether the bucket is there. */
int s3_answer(s3store *s, blob_ctx *ctx, const s3_call *c);

/* The operations (read.c, put.c, list.c). */
int s3_get(blob_store *store, blob_ctx *ctx, blob_key key, blob **out);
int s3_size(blob_store *store, blob_ctx *ctx, blob_key key, uint64_t *out);
int s3_put(blob_store *store, blob_ctx *ctx, blob_key key, blob_view data, unsigned flags);
int s3_del(blob_store *store, blob_ctx *ctx, blob_key key, unsigned flags);
int s3_list(blob_store *store, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg);
int s3_len(blob_store *store, blob_ctx *ctx, uint64_t *out);
int s3_cas_key(blob_store *store, blob_ctx *ctx, blob_view data, blob_address *out);
int s3_cas_put(blob_store *store, blob_ctx *ctx, blob_view data, blob_address *out);

s3store *s3_of(blob_store *store);

#endif
