/* s3_rounds.c - see s3_rounds.h.
 *
 * The answerer is tests/support's httpserver, which takes a request with one call of the system and answers with
 * another. It knows one object, the first one: a put of that is refused because it is there, which tells an s3store all
 * that it wants to know about a server, and what was sent for it is kept for the limit to send. */
#include "s3_rounds.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "httpserver.h"

/* ---- running ---- */

typedef struct runner {
    log_target *target;
    pthread_barrier_t *start;
    unsigned thread;
    size_t count;
    int64_t cpu_ns, ended_ns;
} runner;

static int64_t runner_cpu_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static void *runner_main(void *arg)
{
    unsigned char bytes[SBENCH_SIZE];
    uint64_t random = 1;
    runner *r = arg;

    for (size_t i = 0; i < sizeof bytes; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(random >> 56);
    }
    pthread_barrier_wait(r->start);
    r->cpu_ns = runner_cpu_ns();
    for (size_t i = 0; i < r->count; i++) {
        bench_payload(bytes, sizeof bytes, (uint64_t)r->thread << 48 | i);
        r->target->put(r->target, r->thread, bytes, sizeof bytes);
    }
    r->cpu_ns = runner_cpu_ns() - r->cpu_ns;
    r->ended_ns = bench_now_ns();
    return NULL;
}

sbench_result sbench_run(log_target *t, unsigned threads, size_t count)
{
    runner runners[SBENCH_THREADS_MAX];
    pthread_t ids[SBENCH_THREADS_MAX];
    int64_t begun, ended = 0, cpu_ns = 0;
    pthread_barrier_t start;
    double seconds;

    if (threads > SBENCH_THREADS_MAX || pthread_barrier_init(&start, NULL, threads + 1) != 0)
        abort();
    for (unsigned i = 0; i < threads; i++) {
        runners[i] = (runner){.target = t, .start = &start, .thread = i};
        runners[i].count = count / threads + (i < count % threads);
        if (pthread_create(&ids[i], NULL, runner_main, &runners[i]) != 0)
            abort();
    }
    begun = bench_now_ns(); /* they may be off before this thread is awake */
    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        cpu_ns += runners[i].cpu_ns;
        ended = runners[i].ended_ns > ended ? runners[i].ended_ns : ended;
    }
    pthread_barrier_destroy(&start);
    seconds = (double)(ended - begun) / 1e9;
    return (sbench_result){(double)count / seconds, (double)cpu_ns / 1e3 / (double)count, seconds};
}

/* ---- the server ---- */

struct sbench_answerer {
    http_server *http;
    uint64_t delay_us;
    pthread_mutex_t mutex;
    char *request; /* mutex: as it came, head and body */
    size_t request_size;
};

static void first_key(unsigned char key[LOG_KEY_SIZE])
{
    memset(key, 0xff, LOG_KEY_SIZE);
}

static bool is_first(const char *path)
{
    size_t size = strlen(path), digits = 2 * LOG_KEY_SIZE;

    return size > digits && strspn(path + size - digits, "f") == digits;
}

static void keep_request(sbench_answerer *a, const http_request *request)
{
    pthread_mutex_lock(&a->mutex);
    a->request_size = request->head_size + request->body_size;
    a->request = realloc(a->request, a->request_size);
    if (a->request == NULL)
        abort();
    memcpy(a->request, request->head, request->head_size);
    memcpy(a->request + request->head_size, request->body, request->body_size);
    pthread_mutex_unlock(&a->mutex);
}

static void handle(void *arg, const http_request *request, http_answer *answer)
{
    sbench_answerer *a = arg;

    /* There is a bucket, and nothing in it. */
    answer->status = request->method[0] == 'P' || strchr(request->path + 1, '/') == NULL ? 200 : 404;
    if (request->method[0] == 'P' && is_first(request->path)) {
        keep_request(a, request);
        answer->status = 412;
    }
    strcpy(answer->fields, "ETag: \"0cc175b9c0f1b6a831c399e269772661\"\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
                           "x-amz-request-id: tx00000a1b2c3d4e5f60718-0069a0b1c2-1001-default\r\n");
    answer->delay_us = a->delay_us;
}

sbench_answerer *sbench_answerer_start(uint64_t delay_us)
{
    sbench_answerer *a = calloc(1, sizeof *a);

    if (a == NULL || pthread_mutex_init(&a->mutex, NULL) != 0)
        abort();
    a->delay_us = delay_us;
    a->http = http_server_start(&(http_handler){.arg = a, .handle = handle}, false);
    return a;
}

void sbench_answerer_stop(sbench_answerer *a)
{
    http_server_stop(a->http);
    pthread_mutex_destroy(&a->mutex);
    free(a->request);
    free(a);
}

/* ---- a store ---- */

typedef struct store_target {
    log_target target;
    blob_store *store;
    unsigned flags;
    struct {
        uint64_t n;
        char apart[64 - sizeof(uint64_t)]; /* from the next thread's */
    } keys[SBENCH_THREADS_MAX];
} store_target;

static void store_put(log_target *target, unsigned thread, const unsigned char *bytes, size_t size)
{
    store_target *t = (store_target *)(void *)target;
    unsigned char key[LOG_KEY_SIZE];

    log_key(key, thread, t->keys[thread].n++);
    bench_check(blob_store_put(t->store, NULL, blob_key_of(key, sizeof key), blob_view_of(bytes, size), t->flags),
                "put");
}

static void store_close(log_target *target)
{
    store_target *t = (store_target *)(void *)target;

    blob_store_close(t->store, NULL);
    free(t);
}

static void store_remove(log_target *target, unsigned thread, const unsigned char *bytes, size_t size)
{
    store_target *t = (store_target *)(void *)target;
    unsigned char key[LOG_KEY_SIZE];

    (void)bytes, (void)size;
    if (t->keys[thread].n == 0)
        return;
    log_key(key, thread, --t->keys[thread].n);
    bench_check(blob_store_delete(t->store, NULL, blob_key_of(key, sizeof key), 0), "delete");
}

void sbench_store_empty(log_target *target, unsigned threads)
{
    store_target *t = (store_target *)(void *)target;
    unsigned char key[LOG_KEY_SIZE];
    uint64_t most = 0;

    for (unsigned i = 0; i < threads; i++)
        most = t->keys[i].n > most ? t->keys[i].n : most;
    target->put = store_remove;
    (void)sbench_run(target, threads, (size_t)most * threads);
    target->put = store_put;
    first_key(key);
    bench_check(blob_store_delete(t->store, NULL, blob_key_of(key, sizeof key), 0), "delete");
}

log_target *sbench_store_open(const blob_s3store_options *options, unsigned flags)
{
    store_target *t = calloc(1, sizeof *t);
    unsigned char bytes[SBENCH_SIZE] = {0}, key[LOG_KEY_SIZE];
    int rc;

    if (t == NULL)
        abort();
    t->target = (log_target){store_put, store_close};
    t->flags = flags;
    bench_check(blob_s3store_open(&t->store, options), "open");
    first_key(key);
    rc = blob_store_put(t->store, NULL, blob_key_of(key, sizeof key), blob_view_of(bytes, sizeof bytes), 0);
    bench_check(rc == BLOB_EXISTS ? 0 : rc, "put");
    return &t->target;
}

log_target *sbench_answered_open(sbench_answerer *a)
{
    blob_s3store_options options = blob_s3store_options_default();

    options.endpoint = http_server_url(a->http);
    options.bucket = "bucket";
    options.access_key = "AKIDEXAMPLEEXAMPLE00";
    options.secret_key = "a secret of forty characters, as they are";
    return sbench_store_open(&options, 0);
}

/* ---- the limit ---- */

typedef struct raw_target {
    log_target target;
    char *request;
    size_t size;
    int sockets[SBENCH_THREADS_MAX];
    unsigned threads;
} raw_target;

static void raw_put(log_target *target, unsigned thread, const unsigned char *bytes, size_t size)
{
    const raw_target *t = (raw_target *)(void *)target;
    int fd = t->sockets[thread];
    char answer[2048];
    ssize_t got = 0, more;

    (void)bytes, (void)size;
    for (size_t at = 0; at < t->size; at += (size_t)more)
        if ((more = send(fd, t->request + at, t->size - at, MSG_NOSIGNAL)) <= 0)
            abort();
    do {
        if ((more = recv(fd, answer + got, sizeof answer - (size_t)got, 0)) <= 0)
            abort();
        got += more;
    } while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4) != 0);
}

static void raw_close(log_target *target)
{
    raw_target *t = (raw_target *)(void *)target;

    for (unsigned i = 0; i < t->threads; i++)
        close(t->sockets[i]);
    free(t->request);
    free(t);
}

static int raw_connect(unsigned port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        abort();
    return fd;
}

log_target *sbench_raw_open(sbench_answerer *a, unsigned threads)
{
    raw_target *t = calloc(1, sizeof *t);
    char *name;

    if (t == NULL || threads > SBENCH_THREADS_MAX)
        abort();
    t->target = (log_target){raw_put, raw_close};
    t->threads = threads;
    pthread_mutex_lock(&a->mutex);
    t->size = a->request_size;
    t->request = malloc(t->size + 1);
    if (t->request == NULL || a->request == NULL)
        abort();
    memcpy(t->request, a->request, t->size);
    pthread_mutex_unlock(&a->mutex);
    t->request[t->size] = '\0';
    name = strstr(t->request, "ffff");
    if (name == NULL)
        abort();
    name[0] = '0'; /* not the first object, but one that can be put */
    for (unsigned i = 0; i < threads; i++)
        t->sockets[i] = raw_connect(http_server_port(a->http));
    return &t->target;
}
