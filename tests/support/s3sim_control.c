/* s3sim_control.c - what goes wrong in s3sim when a test says so, and what the test can see: faults, stalls, late work,
 * counts and the log. */
#include "s3sim_int.h"

#include "httpserver_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the log and the counts ---------------------------------------------------------------------------------- */

static unsigned sx_method(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], method) == 0)
            return i;
    return SIM_METHODS - 1;
}

static void sx_log_locked(s3sim *sim, sim_call *call)
{
    const http_request *r = call->request;
    const char *host = http_request_field(r, "host");
    size_t path_size = strlen(r->path) + 1, query_size = strlen(r->query) + 1;
    sim_logged *l;

    call->log_index = SIZE_MAX;
    call->forgotten = sim->forgotten;
    if (call->settings.not_logged || sim->log_count == SIM_LOG_MAX)
        return;
    if (sim->log_count == sim->log_room) {
        sim->log_room = sim->log_room > 0 ? 2 * sim->log_room : 64;
        sim->log = hs_need(realloc(sim->log, sim->log_room * sizeof *sim->log));
    }
    call->log_index = sim->log_count++;
    l = &sim->log[call->log_index];
    memset(l, 0, sizeof *l);
    l->text = hs_need(malloc(path_size + query_size));
    memcpy(l->text, r->path, path_size);
    memcpy(l->text + path_size, r->query, query_size);
    l->entry.path = l->text;
    l->entry.query = l->text + path_size;
    l->entry.body_size = r->length;
    l->entry.conditional = http_request_field(r, "if-none-match") != NULL;
    l->entry.first_byte = sim_asks_first_byte(r);
    snprintf(l->entry.method, sizeof l->entry.method, "%.7s", r->method);
    snprintf(l->entry.host, sizeof l->entry.host, "%.127s", host != NULL ? host : "");
}

void sim_note_answer(const sim_call *call)
{
    s3sim *sim = call->sim;

    pthread_mutex_lock(&sim->mutex);
    if (call->log_index < sim->log_count && call->forgotten == sim->forgotten) {
        s3sim_entry *e = &sim->log[call->log_index].entry;
        e->status = call->answer->status;
        memcpy(e->code, call->code, sizeof e->code);
    }
    pthread_mutex_unlock(&sim->mutex);
}

void sim_forget_locked(s3sim *sim)
{
    for (size_t i = 0; i < sim->log_count; i++)
        free(sim->log[i].text);
    sim->log_count = 0;
    sim->forgotten++;
    sim->writes = sim->overwrites = 0;
    memset(sim->requests, 0, sizeof sim->requests);
}

void s3sim_forget(s3sim *sim)
{
    pthread_mutex_lock(&sim->mutex);
    sim_forget_locked(sim);
    pthread_mutex_unlock(&sim->mutex);
    http_server_counts_reset(sim->http);
}

bool s3sim_log(s3sim *sim, size_t index, s3sim_entry *out)
{
    bool is;

    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&sim->mutex);
    is = index < sim->log_count;
    if (is)
        *out = sim->log[index].entry;
    pthread_mutex_unlock(&sim->mutex);
    return is;
}

size_t s3sim_log_size(s3sim *sim)
{
    size_t size;

    pthread_mutex_lock(&sim->mutex);
    size = sim->log_count;
    pthread_mutex_unlock(&sim->mutex);
    return size;
}

static uint64_t sx_requests_locked(const s3sim *sim, const char *method)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < SIM_METHODS; i++)
        if (method == NULL || i == sx_method(method))
            count += sim->requests[i];
    return count;
}

uint64_t s3sim_requests(s3sim *sim, const char *method)
{
    uint64_t count;

    pthread_mutex_lock(&sim->mutex);
    count = sx_requests_locked(sim, method);
    pthread_mutex_unlock(&sim->mutex);
    return count;
}

void s3sim_requests_await(s3sim *sim, const char *method, uint64_t count)
{
    pthread_mutex_lock(&sim->mutex);
    while (sx_requests_locked(sim, method) < count)
        pthread_cond_wait(&sim->changed, &sim->mutex);
    pthread_mutex_unlock(&sim->mutex);
}

void s3sim_writes_await(s3sim *sim, uint64_t writes)
{
    pthread_mutex_lock(&sim->mutex);
    while (sim->writes < writes)
        pthread_cond_wait(&sim->changed, &sim->mutex);
    pthread_mutex_unlock(&sim->mutex);
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

unsigned s3sim_fail(s3sim *sim, const s3sim_fault *fault)
{
    unsigned number;

    pthread_mutex_lock(&sim->mutex);
    if (sim->faults_count == SIM_FAULTS_MAX)
        hs_die("too many faults");
    number = sim->faults_count++;
    sim->faults[number] = (sim_fault){.fault = *fault};
    pthread_mutex_unlock(&sim->mutex);
    return number;
}

uint64_t s3sim_hits(s3sim *sim, unsigned number)
{
    uint64_t hits;

    pthread_mutex_lock(&sim->mutex);
    hits = number < sim->faults_count ? sim->faults[number].hits : 0;
    pthread_mutex_unlock(&sim->mutex);
    return hits;
}

void s3sim_clear(s3sim *sim)
{
    pthread_mutex_lock(&sim->mutex);
    sim->faults_count = 0;
    pthread_mutex_unlock(&sim->mutex);
}

static bool sx_fits(const s3sim_fault *f, const http_request *r, const char *target)
{
    return (f->method == NULL || strcmp(f->method, r->method) == 0) &&
           (f->contains == NULL || strstr(target, f->contains) != NULL);
}

static void sx_pick_locked(s3sim *sim, sim_call *call)
{
    const http_request *r = call->request;
    char target[HTTP_HEAD_MAX + 2] = "";

    if (sim->faults_count > 0)
        snprintf(target, sizeof target, "%s?%s", r->path, r->query);
    for (unsigned i = 0; i < sim->faults_count; i++) {
        sim_fault *f = &sim->faults[i];
        if (!sx_fits(&f->fault, r, target) || (f->fault.count > 0 && f->hits == f->fault.count) ||
            f->seen++ < f->fault.skip)
            continue;
        f->hits++;
        call->fault = f->fault;
        call->faulty = true;
        return;
    }
}

void sim_note_locked(sim_call *call)
{
    s3sim *sim = call->sim;

    sim->requests[sx_method(call->request->method)]++;
    sx_log_locked(sim, call);
    sx_pick_locked(sim, call);
    pthread_cond_broadcast(&sim->changed);
}

/* ---- stalls and late work ------------------------------------------------------------------------------------ */

void sim_stall(s3sim *sim)
{
    uint64_t releases;

    pthread_mutex_lock(&sim->mutex);
    releases = sim->releases;
    sim->stalled++;
    pthread_cond_broadcast(&sim->changed);
    while (releases == sim->releases && !sim->stopping)
        pthread_cond_wait(&sim->changed, &sim->mutex);
    pthread_mutex_unlock(&sim->mutex);
}

void s3sim_stalled_await(s3sim *sim, unsigned count)
{
    pthread_mutex_lock(&sim->mutex);
    while (sim->stalled < count)
        pthread_cond_wait(&sim->changed, &sim->mutex);
    pthread_mutex_unlock(&sim->mutex);
}

void s3sim_release(s3sim *sim)
{
    pthread_mutex_lock(&sim->mutex);
    sim->releases++;
    sim->stalled = 0; /* at once: what stalls from here on is another's */
    pthread_cond_broadcast(&sim->changed);
    pthread_mutex_unlock(&sim->mutex);
}

void sim_late_locked(s3sim *sim, sim_change *change)
{
    if (change == NULL)
        return;
    *sim->late_end = change;
    sim->late_end = &change->next;
    pthread_cond_broadcast(&sim->changed);
}

unsigned s3sim_carry_out(s3sim *sim)
{
    unsigned count = 0;
    sim_change *change;

    pthread_mutex_lock(&sim->mutex);
    for (; (change = sim->late) != NULL; count++) {
        sim->late = change->next;
        (void)sim_change_do_locked(sim, change);
    }
    sim->late_end = &sim->late;
    pthread_mutex_unlock(&sim->mutex);
    return count;
}
