/* s3sim.c - s3sim and the way of a request through it; see s3sim.h.
 *
 * A request is met twice: when its head has come it is noted, gets the settings of that moment, and a fault may strike that
 * wants its body unread; when it is whole it is checked and does its work, around which the other faults strike. */
#include "s3sim_int.h"

#include "httpserver_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- a request's way ----------------------------------------------------------------------------------------- */

static void sm_over(void *arg)
{
    sim_call *call = arg;

    sim_object_unref(call->object);
    free(call->text);
    free(call);
}

/* No answer. */
static void sm_silence(sim_call *call, http_after after)
{
    call->answer->status = 0;
    call->answer->after = after;
}

static void sm_answer(sim_call *call)
{
    const s3sim_fault *f = &call->fault;
    char *fields = call->answer->fields;

    sim_error(call, f->status != 0 ? f->status : 503, f->code != NULL ? f->code : "SlowDown",
              f->message != NULL ? f->message : "Please reduce your request rate.", "");
    if (f->fields != NULL) {
        if (strlen(fields) + strlen(f->fields) >= sizeof call->answer->fields)
            hs_die("too many fields");
        memcpy(fields + strlen(fields), f->fields, strlen(f->fields) + 1);
    }
}

/* Faults that want the body unread; true: one did. */
static bool sm_fail_early(sim_call *call)
{
    if (!call->faulty)
        return false;
    switch (call->fault.act) {
    case S3SIM_ANSWER_EARLY:
        sm_answer(call);
        call->answer->after = HTTP_AFTER_STALL;
        call->answer->silent = true;
        return true;
    case S3SIM_HANG_UP_EARLY:
        sm_silence(call, HTTP_AFTER_CLOSE);
        return true;
    case S3SIM_READ_NOTHING:
        sm_silence(call, HTTP_AFTER_STALL);
        return true;
    default:
        return false;
    }
}

/* Faults instead of the work; true: one struck. */
static bool sm_fail_before(sim_call *call)
{
    const s3sim_fault *f = &call->fault;

    switch (f->act) {
    case S3SIM_ANSWER:
        sm_answer(call);
        return true;
    case S3SIM_RAW:
        call->answer->raw = f->raw;
        call->answer->raw_size = f->raw_size > 0 ? f->raw_size : strlen(f->raw);
        call->answer->after = HTTP_AFTER_FINISH;
        return true;
    case S3SIM_HANG_UP:
        sm_silence(call, HTTP_AFTER_CLOSE);
        return true;
    case S3SIM_RESET:
        sm_silence(call, HTTP_AFTER_RESET);
        return true;
    case S3SIM_STALL:
        sim_stall(call->sim);
        return false;
    default:
        return false;
    }
}

/* What a fault makes of the answer, once the work is done. */
static void sm_fail_after(sim_call *call)
{
    http_answer *a = call->answer;

    switch (call->fault.act) {
    case S3SIM_LATE:
    case S3SIM_DONE_RESET:
        sm_silence(call, HTTP_AFTER_RESET);
        break;
    case S3SIM_DONE_HANG_UP:
        sm_silence(call, HTTP_AFTER_CLOSE);
        break;
    case S3SIM_DONE_ANSWER:
        sm_answer(call);
        break;
    case S3SIM_DONE_STALL:
        sim_stall(call->sim);
        break;
    case S3SIM_DONE_CUT:
        a->cut = true;
        a->cut_at = call->fault.cut_at;
        a->after = HTTP_AFTER_CLOSE;
        a->silent = true;
        break;
    case S3SIM_DONE_CLOSE:
        a->after = HTTP_AFTER_CLOSE;
        a->silent = true;
        break;
    default:
        break;
    }
}

static bool sm_early(void *arg, const http_request *request, http_answer *answer)
{
    sim_call *call = hs_need(malloc(sizeof *call));
    bool early;

    memset(call, 0, offsetof(sim_call, name));
    call->sim = arg;
    call->request = request;
    call->answer = answer;
    answer->release = sm_over;
    answer->release_arg = call;
    pthread_mutex_lock(&call->sim->mutex);
    call->settings = call->sim->settings;
    sim_note_locked(call);
    pthread_mutex_unlock(&call->sim->mutex);
    call->now_s = (int64_t)time(NULL) + call->settings.clock_s;
    early = sm_fail_early(call);
    if (!early && call->settings.size_early && request->length > call->settings.size_max) {
        early = true;
        sim_error(call, 400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", "");
        answer->after = HTTP_AFTER_STALL;
    }
    if (early)
        sim_note_answer(call);
    return early;
}

static void sm_handle(void *arg, const http_request *request, http_answer *answer)
{
    sim_call *call = answer->release_arg;
    s3sim *sim = arg;
    bool later = call->faulty && (call->fault.act == S3SIM_LATE || call->fault.act == S3SIM_DONE_TWICE);

    (void)request;
    answer->delay_us = call->settings.latency_us;
    if (!call->faulty || !sm_fail_before(call)) {
        if (sim_check(call)) {
            if (later) {
                sim_change *change = sim_change_of(call);
                pthread_mutex_lock(&sim->mutex);
                sim_late_locked(sim, change);
                pthread_mutex_unlock(&sim->mutex);
            }
            if (!call->faulty || call->fault.act != S3SIM_LATE)
                sim_work(call);
        }
        if (call->faulty)
            sm_fail_after(call);
    }
    sim_note_answer(call);
}

/* ---- the sim ------------------------------------------------------------------------------------------------- */

static s3sim *sm_start(bool ipv6)
{
    s3sim *sim = hs_need(calloc(1, sizeof *sim));
    http_handler handler = {sim, sm_early, sm_handle};

    if (pthread_mutex_init(&sim->mutex, NULL) != 0 || pthread_cond_init(&sim->changed, NULL) != 0)
        hs_die("mutex");
    sim->late_end = &sim->late;
    sim->settings = (s3sim_settings){.bucket = "bucket",
                                     .region = "us-east-1",
                                     .access_key = "SIMACCESSKEY",
                                     .page = 1000,
                                     .size_max = UINT64_C(5) << 30,
                                     .quota = UINT64_MAX};
    sim->http = http_server_start(&handler, ipv6);
    return sim;
}

s3sim *s3sim_start(void)
{
    return sm_start(false);
}

s3sim *s3sim_start_ipv6(void)
{
    return sm_start(true);
}

void s3sim_stop(s3sim *sim)
{
    if (sim == NULL)
        return;
    pthread_mutex_lock(&sim->mutex);
    sim->stopping = true;
    pthread_cond_broadcast(&sim->changed);
    pthread_mutex_unlock(&sim->mutex);
    http_server_stop(sim->http);
    for (sim_change *next, *change = sim->late; change != NULL; change = next) {
        next = change->next;
        sim_change_free(change);
    }
    sim_objects_free(&sim->objects);
    sim_forget_locked(sim);
    free(sim->log);
    pthread_cond_destroy(&sim->changed);
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
}

s3sim_settings s3sim_get(s3sim *sim)
{
    s3sim_settings settings;

    pthread_mutex_lock(&sim->mutex);
    settings = sim->settings;
    pthread_mutex_unlock(&sim->mutex);
    return settings;
}

void s3sim_set(s3sim *sim, const s3sim_settings *settings)
{
    pthread_mutex_lock(&sim->mutex);
    sim->settings = *settings;
    pthread_mutex_unlock(&sim->mutex);
}

const char *s3sim_url(s3sim *sim)
{
    return http_server_url(sim->http);
}

http_server *s3sim_http(s3sim *sim)
{
    return sim->http;
}

/* ---- its objects --------------------------------------------------------------------------------------------- */

void s3sim_put(s3sim *sim, const char *name, const void *bytes, size_t size)
{
    sim_object *o =
        sim_object_new(name, strlen(name), bytes, size == SIZE_MAX ? strlen(bytes) : size, (int64_t)time(NULL));

    pthread_mutex_lock(&sim->mutex);
    (void)sim_objects_set(&sim->objects, o);
    pthread_mutex_unlock(&sim->mutex);
}

/* The object, or NULL, with a reference of the caller's; removed too, if so. */
static sim_object *sm_find(s3sim *sim, const char *name, bool removed)
{
    sim_object *o = NULL;
    bool found;
    size_t at;

    pthread_mutex_lock(&sim->mutex);
    at = sim_objects_find(&sim->objects, name, strlen(name), &found);
    if (found) {
        o = sim->objects.list[at];
        atomic_fetch_add(&o->refs, 1);
        if (removed)
            sim_objects_remove(&sim->objects, at);
    }
    pthread_mutex_unlock(&sim->mutex);
    return o;
}

bool s3sim_remove(s3sim *sim, const char *name)
{
    sim_object *o = sm_find(sim, name, true);
    bool was = o != NULL;

    sim_object_unref(o);
    return was;
}

bool s3sim_has(s3sim *sim, const char *name)
{
    sim_object *o = sm_find(sim, name, false);
    bool has = o != NULL;

    sim_object_unref(o);
    return has;
}

char *s3sim_copy(s3sim *sim, const char *name, size_t *size)
{
    sim_object *o = sm_find(sim, name, false);
    char *copy = NULL;

    if (o != NULL) {
        copy = hs_need(malloc(o->size + 1));
        memcpy(copy, o->bytes, o->size + 1);
    }
    if (size != NULL)
        *size = o != NULL ? o->size : 0;
    sim_object_unref(o);
    return copy;
}

static uint64_t sm_look(s3sim *sim, const uint64_t *at)
{
    uint64_t value;

    pthread_mutex_lock(&sim->mutex);
    value = *at;
    pthread_mutex_unlock(&sim->mutex);
    return value;
}

uint64_t s3sim_count(s3sim *sim)
{
    uint64_t count;

    pthread_mutex_lock(&sim->mutex);
    count = sim->objects.count;
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

uint64_t s3sim_bytes(s3sim *sim)
{
    return sm_look(sim, &sim->objects.bytes);
}

uint64_t s3sim_writes(s3sim *sim)
{
    return sm_look(sim, &sim->writes);
}

uint64_t s3sim_overwrites(s3sim *sim)
{
    return sm_look(sim, &sim->overwrites);
}
