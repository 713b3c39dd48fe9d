/* cli.h - what the files of the wbstore command share.
 *
 * The command is a host program like any other: it uses the public headers only. One struct cli holds all there is of a
 * run; it is made in main and handed down. Nothing is global. */
#ifndef CLI_H
#define CLI_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include <wbstore/wbstore.h>

/* Exit codes, documented in the help text. When several apply the gravest wins: see cli_worsen. */
enum {
    CLI_OK = 0,
    CLI_NO = 1,      /* a blob was not found or is damaged; a file changed or vanished while it was put */
    CLI_USAGE = 2,   /* the command line is wrong; nothing was done */
    CLI_FAILED = 3,  /* a file could not be read or written, a store could not do its work */
    CLI_WAITING = 4, /* accepted and safe in the buffer, not all of it in the base */
    CLI_SIGNAL = 128 /* plus the number of the signal that stopped the run; never given to cli_worsen */
};

/* Options, as bits: each verb says which it takes. */
enum {
    CLI_OPT_BASE = 1u << 0,
    CLI_OPT_BUFFER = 1u << 1,
    CLI_OPT_NO_SYNC = 1u << 2,
    CLI_OPT_TIMEOUT = 1u << 3,
    CLI_OPT_OUTPUT = 1u << 4,
    CLI_OPT_JSON = 1u << 5,
    CLI_OPT_HELP = 1u << 6,
    CLI_OPT_VERSION = 1u << 7,
    CLI_OPT_RECURSIVE = 1u << 8,
    CLI_OPT_BASE_TOO = 1u << 9
};
#define CLI_OPT_EVERYWHERE (CLI_OPT_BASE | CLI_OPT_BUFFER | CLI_OPT_HELP | CLI_OPT_VERSION)

typedef struct cli cli;
typedef struct cli_place cli_place;

typedef struct cli_verb {
    const char *name;
    unsigned options; /* beyond CLI_OPT_EVERYWHERE */
    size_t operands_min, operands_max;
    bool needs_buffer;   /* a buffer's folder that is not there is a mistake, not an empty buffer */
    void (*run)(cli *c); /* notes what went wrong with cli_worsen */
    const char *help;
} cli_verb;

typedef struct cli_options {
    unsigned given; /* CLI_OPT_ bits */
    const char *base, *buffer, *output;
    int64_t timeout_ms;
    char **operands; /* borrowed strings in an array of its own */
    size_t count;
} cli_options;

struct cli {
    const cli_verb *verb; /* NULL until known */
    cli_options options;
    blob_ctx *ctx;               /* ends with SIGINT or SIGTERM */
    int worst;                   /* exit code so far */
    bool stopped;                /* a signal cut the work short */
    bool out_failed;             /* standard output is gone; said once */
    bool base_left;              /* it is still open, and may be at work */
    blob_s3store_transport *tls; /* for https://; NULL: not wanted so far */
    pthread_mutex_t console;     /* guards what follows, and the order of lines on standard error */
    size_t bar_width;            /* columns of the progress bar that is on the screen; 0: none */
};

/* options.c: 0, or CLI_USAGE with the reason on standard error. The operands are freed with cli_options_free. */
int cli_options_parse(cli *c, int argc, char **argv);
void cli_options_free(cli_options *options);

/* help.c */
const cli_verb *cli_verb_find(const char *name); /* NULL: none */
void cli_help(cli *c);                           /* of c->verb, or of the whole */

/* say.c: messages are one line, "wbstore: VERB: ...", with control characters made visible. */
void cli_say(cli *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_say_status(cli *c, const char *what, int status, const char *next);
void cli_say_stopped(cli *c, const char *done, char **names, size_t count); /* names were not done */
const char *cli_advice(int status);                                         /* what to do about a store's status */
void cli_worsen(cli *c, int code);
bool cli_ended(cli *c);                      /* a signal came: what was under way is cut short */
void cli_escape(FILE *to, const char *text); /* control characters made visible */
int cli_flush(cli *c); /* standard output: 0, or CLI_FAILED, said once. Call it right after printing */

/* json.c */
void cli_json_string(FILE *to, const char *text); /* a byte that is no UTF-8 becomes U+FFFD */
/* "FIELD":"..." and, only if name is not UTF-8, "FIELD_hex" with its bytes. */
void cli_json_name(FILE *to, const char *field, const char *name);

/* scheme.c: what the command can do with each kind of store. A kind that cannot do something has NULL there. Those that
 * lie in a folder can be a buffer or a base, the others a base only. */
typedef struct cli_scheme {
    const char *prefix; /* of its names, with the colon */
    const char *rest;   /* what follows that, for messages */
    const char *kind;   /* what it is, with its article */
    int (*open)(cli *c, blob_store **out, const char *name);
    int (*open_beside)(cli *c, blob_store **out,
                       const char *name);       /* to read, a host may have it open; NULL: may not */
    bool (*owns)(int folder, const char *name); /* a name in a folder that tells of it; NULL: it lies in none */
    /* Is all there that it takes to open it, beside its name? 0, or CLI_USAGE, said. Asks no network. */
    int (*check)(cli *c, const char *what, const cli_place *place);
    int (*oldest_ms)(blob_store *s, const char *dir, blob_ctx *ctx, int64_t *out); /* age; -1: not known, or no blob */
    bool (*place)(blob_key key, char *name, size_t room); /* the file in the folder that is this blob; false: none */
    int (*info)(blob_store *s, blob_logstore_info *out);
    int (*findings)(blob_store *s, blob_ctx *ctx, unsigned verify,
                    int (*fn)(void *arg, const blob_logstore_finding *finding), void *arg);
    int (*salvage)(blob_store *s, blob_ctx *ctx, blob_key key, blob **out);
} cli_scheme;
extern const cli_scheme cli_schemes[];
extern const size_t cli_schemes_count;

/* url.c: stores by name. */
struct cli_place {
    const char *url;  /* as given */
    const char *name; /* within url, behind the scheme */
    const char *dir;  /* likewise; NULL: it lies in no folder */
    const cli_scheme *scheme;
};
/* plain: the prefix of what a folder without one is, if there is no store in it yet. 0 or CLI_USAGE. */
int cli_place_parse(cli *c, const char *what, const char *url, const char *plain, cli_place *out);
const char *cli_place_folder(const char *url);  /* the folder that a name means; NULL: none. Says nothing */
bool cli_place_missing(const cli_place *place); /* its folder is not there */
bool cli_place_bare(const cli_place *place);    /* its folder is there, and no store in it */
bool cli_place_same(const char *dir, const char *other);

/* s3.c: object storage. */
int cli_s3_check(cli *c, const char *what, const cli_place *place);
int cli_s3_open(cli *c, blob_store **out, const char *name);

/* idle.c: the base for commands that read. Opened when first asked, never made, sends nothing. */
int cli_idle_new(cli *c, blob_store **out, const cli_place *place);

/* session.c: the stores of a run. */
typedef enum cli_mode {
    CLI_BUFFER_ONLY, /* no base, no wrapper; cas is the buffer with content addresses */
    CLI_LOOKING,     /* the buffer alone, to read: beside a host that has it open, where the buffer allows that */
    CLI_LOOKING_TWO, /* likewise, and the base is named: cli_session_look_base opens it */
    CLI_READING,     /* a wrapper over both that sends nothing */
    CLI_SENDING      /* a wrapper over both that does its work */
} cli_mode;
typedef struct cli_session {
    cli *c;
    cli_place buffer_place, base_place;
    blob_store *buffer, *base, *cas;
    wbstore *w; /* NULL without a base; cas too in CLI_LOOKING */
} cli_session;
/* A store to read or remove from, not made where there is none. beside: only to read, while a host may have it open. */
int cli_open_existing(cli *c, blob_store **out, const cli_place *place, bool beside);
/* 0, or an exit code, said but not noted. Close it in any case. */
int cli_session_open(cli_session *s, cli *c, cli_mode mode);
int cli_session_look_base(cli_session *s); /* opens the base to read, and makes none; likewise */
void cli_session_close(cli_session *s);

/* interrupt.c: SIGINT and SIGTERM end a context. */
typedef struct cli_interrupt cli_interrupt;
int cli_interrupt_new(cli_interrupt **out, blob_ctx *ctx);
int cli_interrupt_signal(const cli_interrupt *i); /* the signal that came; 0: none */
void cli_interrupt_free(cli_interrupt *i);

/* input.c: a whole file in memory, and whether it changed meanwhile. follow false: not through a symbolic link. 0 or a
 * negative errno, -ECANCELED when ctx ended. *data is the caller's to free. */
typedef struct cli_input {
    unsigned char *data;
    size_t size;
    bool changed;
} cli_input;
int cli_read_file(blob_ctx *ctx, const char *name, bool follow, cli_input *in);

/* tree.c: every plain file in a folder and in those below it, by name. What is skipped is said; what cannot be read is
 * said and noted. false: fn wanted no more, or a signal came. */
typedef bool cli_tree_fn(cli_session *s, const char *path);
bool cli_tree_walk(cli_session *s, const char *folder, cli_tree_fn *fn);
bool cli_is_folder(const char *path);
void cli_say_vanished(cli *c, const char *path); /* and notes it */

/* output.c: 0 or a negative errno. */
int cli_write_file(const char *name, const void *data, size_t size);
int cli_write_new(const char *name, const void *data, size_t size); /* -EEXIST: it is there, and not the same */
int cli_make_folder(const char *name);                              /* and its parents */
int cli_sync_folder(const char *name);

/* progress.c: a bar on standard error while w drains; nothing where that is no terminal. */
typedef struct cli_progress cli_progress;
cli_progress *cli_progress_start(cli *c, wbstore *w); /* NULL: no bar */
void cli_progress_stop(cli_progress *p, bool done);

/* figures.c: how sending went, on standard output. */
void cli_figures(const wbstore_stats *stats);
void cli_figures_json(const wbstore_stats *stats);            /* the fields, without braces */
void cli_bytes_text(char *text, size_t room, uint64_t bytes); /* "3.4 MiB" */

/* record.c: how the last sending from the buffer in dir went. */
void cli_record_write(const char *dir, const wbstore_stats *stats);
bool cli_record_read(const char *dir, wbstore_stats *stats, int64_t *age_ms); /* false: there is none */

/* drain.c */
/* Until the base has everything; says and notes what is left. *end: the wrapper's last figures. */
void cli_drain(cli_session *s, wbstore_stats *end);
void cli_on_event(void *arg, const wbstore_event *event);
/* Ends the wrapper; says how many blobs wait, and what sync does with them ("sends"). */
void cli_say_waiting(cli_session *s, const char *why, const char *does);

/* key.c: keys as people type and read them, and what to say of them. */
#define CLI_KEY_TEXT (2 * BLOB_KEY_MAX + 1)
const char *cli_key_text(blob_key key, char text[CLI_KEY_TEXT]);                               /* returns text */
int cli_key_parse(cli *c, const char *text, unsigned char bytes[BLOB_KEY_MAX], blob_key *key); /* 0, or CLI_USAGE */
bool cli_key_matches(blob_key key, const blob *b); /* a key that is no address can hold any bytes */
/* A get that is BLOB_CORRUPT also if the bytes do not hash to their address; then *out is there nevertheless. */
int cli_get_checked(blob_store *s, blob_ctx *ctx, blob_key key, blob **out);
bool cli_is_damage(const cli_place *place, int status); /* of a get there: about the blob, not the store */
void cli_say_not_found(cli_session *s, const char *text, blob_key key);

/* The verbs. */
void cli_put(cli *c);
void cli_sync(cli *c);
void cli_get(cli *c);
void cli_ls(cli *c);
void cli_rm(cli *c);
void cli_status(cli *c);
void cli_verify(cli *c);
void cli_export(cli *c);

#endif
