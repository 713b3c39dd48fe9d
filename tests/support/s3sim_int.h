/* s3sim_int.h - what the parts of s3sim share: the sim and a request's way through it (s3sim.c), its faults, counts and log
 * (s3sim_control.c), its objects (s3sim_objects.c), what is asked of a request (s3sim_check.c), and what requests do
 * (s3sim_work.c, s3sim_list.c). */
#ifndef S3SIM_INT_H
#define S3SIM_INT_H

#include "s3sim.h"

#include <pthread.h>
#include <stdatomic.h>

#define SIM_NAME_MAX 1024 /* bytes of an object's name, as S3 has it */
#define SIM_FAULTS_MAX 32
#define SIM_LOG_MAX 100000
#define SIM_METHODS 5 /* GET HEAD PUT DELETE, and all others */

/* Immutable and counted, so that it can be sent while another takes its place. */
typedef struct sim_object {
    atomic_uint refs;
    int64_t changed_s;
    char etag[35]; /* quotes included */
    char *bytes;
    size_t size;
    size_t name_size;
    char name[]; /* ended by a zero */
} sim_object;

sim_object *sim_object_new(const char *name, size_t name_size, const void *bytes, size_t size, int64_t changed_s);
void sim_object_unref(sim_object *o);

/* Sorted by name, by bytes. */
typedef struct sim_objects {
    sim_object **list;
    size_t count, room;
    uint64_t bytes;
} sim_objects;

size_t sim_objects_find(const sim_objects *all, const char *name, size_t name_size,
                        bool *found);                  /* or where it would be */
bool sim_objects_set(sim_objects *all, sim_object *o); /* takes the reference; true: in the place of another */
void sim_objects_remove(sim_objects *all, size_t at);
void sim_objects_free(sim_objects *all);

/* A change: what a PUT or DELETE comes to, once it is known to be one. */
typedef struct sim_change {
    struct sim_change *next;
    sim_object *put; /* NULL: a delete */
    bool conditional;
    size_t name_size;
    char name[SIM_NAME_MAX];
} sim_change;

typedef struct sim_fault {
    s3sim_fault fault;
    uint64_t seen, hits;
} sim_fault;

typedef struct sim_logged {
    s3sim_entry entry;
    char *text; /* path, zero, query, zero */
} sim_logged;

/* Legend: (c) constant after the start; (m) under mutex. */
struct s3sim {
    http_server *http; /* c */
    pthread_mutex_t mutex;
    pthread_cond_t changed;           /* anything under m that someone waits for */
    s3sim_settings settings;          /* m */
    sim_objects objects;              /* m */
    uint64_t writes, overwrites;      /* m */
    sim_fault faults[SIM_FAULTS_MAX]; /* m */
    unsigned faults_count;            /* m */
    sim_change *late, **late_end;     /* m: what carry_out does */
    bool stopping;                    /* m */
    unsigned stalled;                 /* m */
    uint64_t releases;                /* m */
    uint64_t requests[SIM_METHODS];   /* m */
    sim_logged *log;                  /* m */
    size_t log_count, log_room;       /* m */
    uint64_t forgotten;               /* m: how often */
};

/* One request, from its head to the last byte of its answer. */
typedef struct sim_call {
    s3sim *sim;
    const http_request *request;
    http_answer *answer;
    s3sim_settings settings; /* as they were when it came */
    s3sim_fault fault;
    bool faulty;      /* there is one */
    int64_t now_s;    /* on the sim's clock */
    size_t log_index; /* SIZE_MAX: not logged */
    uint64_t forgotten;
    sim_object *object; /* being sent */
    char *text;         /* being sent */
    char code[48];      /* of the error that is answered; "" */
    size_t name_size;   /* 0: it is the bucket that is meant */
    char name[SIM_NAME_MAX + 1];
} sim_call;

/* s3sim_control.c */
void sim_note_locked(sim_call *call);       /* that it came: the log, the counts; and what is to go wrong with it */
void sim_note_answer(const sim_call *call); /* what it is answered */
void sim_late_locked(s3sim *sim, sim_change *change); /* for carry_out; NULL is fine */
void sim_stall(s3sim *sim);                           /* until it is released or stopped */
void sim_forget_locked(s3sim *sim);

/* s3sim_check.c */
bool sim_check(sim_call *call); /* false: refused, the answer is set */
/* Percent-decodes size bytes into out, where there is room for as many. Only what a signature's canonical form has:
 * unreserved characters as they are (a slash if slashes), all else as %XX. false: something else. */
bool sim_decode(const char *text, size_t size, bool slashes, char *out, size_t *out_size);

/* s3sim_work.c */
void sim_work(sim_call *call);   /* does what is asked and sets the answer */
void sim_common(sim_call *call); /* the fields that every answer has */
bool sim_asks_first_byte(const http_request *r);
/* Makes a change out of a PUT or DELETE of an object, to be done later; NULL: it is something else. */
sim_change *sim_change_of(const sim_call *call);
void sim_change_free(sim_change *change);
/* Does it and uses it up; the status that it would be answered with. mutex held. */
unsigned sim_change_do_locked(s3sim *sim, sim_change *change);
/* An answer of the error; more: further elements. A code of "": no body. */
void sim_error(sim_call *call, unsigned status, const char *code, const char *message, const char *more);
void sim_fields(sim_call *call, const char *format, ...) __attribute__((format(printf, 2, 3))); /* one more line */
void sim_body(sim_call *call, char *text, size_t size); /* of XML; to be freed */
void sim_time_text(int64_t now_s, char text[32]);       /* "2013-05-24T00:00:00.000Z" */

/* s3sim_list.c */
void sim_list(sim_call *call);

#endif
