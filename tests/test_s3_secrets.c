/* test_s3_secrets.c - credentials of s3store: where they go, that they can be replaced while calls are under way, and that
 * nothing is left of them in messages or in memory that is given back.
 *
 * A transport in this file stands for the network, so that everything in the process that frees is the library (or knows no
 * secret); free and realloc are wrapped (see CMakeLists.txt) and look into what they are given, and malloc, so that all of
 * it was written to. */
#include "s3_test.h"

#include <malloc.h>

#define SECRET "the-secret/that+nobody=may-see"
#define TOKEN "the-token-that-goes-out-and-is-forgotten"
#define ACCESS "ACCESSKEYTOBEHIDDEN"
#define WORDS ACCESS "/20130524/" TOKEN

/* ---- memory that is given back ---- */

static atomic_uint leaks;
static _Atomic(void *) awaited; /* a block whose end is of interest ... */
static atomic_bool awaited_came;

void __real_free(void *block);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void __wrap_free(void *block);
void *__wrap_realloc(void *block, size_t size);

static void look_into(void *block)
{
    static const char *const words[] = {SECRET, TOKEN, ACCESS};
    size_t size = block != NULL ? malloc_usable_size(block) : 0;

    if (block != NULL && block == atomic_load(&awaited))
        atomic_store(&awaited_came, true);
    for (size_t i = 0; i < 3; i++)
        if (size > 0 && memmem(block, size, words[i], strlen(words[i])) != NULL)
            atomic_fetch_add(&leaks, 1);
}

void *__wrap_malloc(size_t size)
{
    return calloc(1, size);
}

void __wrap_free(void *block)
{
    look_into(block);
    __real_free(block);
}

void *__wrap_realloc(void *block, size_t size)
{
    size_t had = block != NULL ? malloc_usable_size(block) : 0;
    size_t has;

    look_into(block);
    block = __real_realloc(block, size);
    has = block != NULL ? malloc_usable_size(block) : 0;
    if (has > had)
        memset((char *)block + had, 0, has - had);
    return block;
}

/* ---- a network that answers everything alike ---- */

typedef struct wire {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned held; /* writes to be held up; then waiting counts them */
    unsigned waiting;
    const char *echo; /* the answer: one with the request's own words */
    char last[8192];  /* the head of the last request */
} wire;

static wire net;

typedef struct wire_end {
    bool asked;
} wire_end;

static int wire_connect(void *arg, blob_ctx *ctx, int64_t timeout_ms, const char *host, const struct sockaddr *address,
                        size_t address_size, void **connection)
{
    (void)arg;
    (void)ctx;
    (void)timeout_ms;
    (void)host;
    (void)address;
    (void)address_size;
    *connection = calloc(1, sizeof(wire_end));
    return *connection != NULL ? 0 : -ENOMEM;
}

static int wire_write(void *connection, blob_ctx *ctx, int64_t timeout_ms, const void *data, size_t size, size_t *done)
{
    wire_end *end = connection;

    (void)ctx;
    (void)timeout_ms;
    pthread_mutex_lock(&net.mutex);
    snprintf(net.last, sizeof net.last, "%.*s", (int)size, (const char *)data);
    if (net.held > 0) {
        net.waiting++;
        pthread_cond_broadcast(&net.changed);
        while (net.held > 0)
            pthread_cond_wait(&net.changed, &net.mutex);
        net.waiting--;
    }
    pthread_mutex_unlock(&net.mutex);
    end->asked = true;
    *done = size;
    return 0;
}

static int wire_read(void *connection, blob_ctx *ctx, int64_t timeout_ms, void *data, size_t size, size_t *done)
{
    wire_end *end = connection;
    const char *answer;

    (void)ctx;
    (void)timeout_ms;
    *done = 0;
    pthread_mutex_lock(&net.mutex);
    answer = net.echo != NULL ? net.echo : "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n";
    pthread_mutex_unlock(&net.mutex);
    if (!end->asked) /* after an echo: the end */
        return answer == net.echo ? 0 : -ETIMEDOUT;
    end->asked = false;
    *done = strlen(answer);
    if (*done > size)
        abort();
    memcpy(data, answer, *done);
    return 0;
}

static void wire_close(void *connection)
{
    free(connection);
}

static const blob_s3store_transport transport = {
    .struct_size = sizeof(blob_s3store_transport),
    .scheme = "http",
    .connect = wire_connect,
    .read = wire_read,
    .write = wire_write,
    .close = wire_close,
};

static void wire_hold(bool hold)
{
    pthread_mutex_lock(&net.mutex);
    net.held = hold;
    pthread_cond_broadcast(&net.changed);
    pthread_mutex_unlock(&net.mutex);
}

static void wire_await(unsigned waiting)
{
    pthread_mutex_lock(&net.mutex);
    while (net.waiting < waiting)
        pthread_cond_wait(&net.changed, &net.mutex);
    pthread_mutex_unlock(&net.mutex);
}

/* ---- the tests ---- */

static int set_up(void **state)
{
    (void)state;
    test_watchdog(120);
    memset(net.last, 0, sizeof net.last);
    net.echo = NULL;
    atomic_store(&leaks, 0);
    return 0;
}

static blob_store *open_with(const char *token)
{
    blob_s3store_options o = t_options();

    o.transport = &transport;
    o.access_key = ACCESS;
    o.secret_key = SECRET;
    o.session_token = token;
    return t_open_as(&o);
}

static void a_token_is_sent_and_signed_and_a_secret_is_not_sent(void **state)
{
    blob_store *s = open_with(TOKEN);

    (void)state;
    test_ok(t_put(s, test_key("k"), "bytes", BLOB_REPLACE));
    assert_non_null(strstr(net.last, "\r\nx-amz-security-token: " TOKEN "\r\n"));
    assert_non_null(strstr(net.last, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
    assert_non_null(strstr(net.last, "Credential=" ACCESS "/"));
    assert_null(strstr(net.last, SECRET));
    t_close(s);
    s = open_with("");
    test_ok(t_put(s, test_key("k"), "bytes", BLOB_REPLACE));
    assert_null(strstr(net.last, "security-token"));
    t_close(s);
}

static void credentials_are_wiped_before_their_memory_goes(void **state)
{
    blob_store *s = open_with(TOKEN);

    (void)state;
    for (int i = 0; i < 3; i++) {
        test_ok(t_put(s, test_key("k"), "bytes", BLOB_REPLACE));
        test_ok(blob_s3store_set_credentials(s, ACCESS, SECRET, TOKEN));
    }
    /* A kept connection has forgotten what went through it. */
    assert_non_null(s3_of(s)->net.kept);
    assert_null(memmem(s3_of(s)->net.kept->buffer, sizeof s3_of(s)->net.kept->buffer, TOKEN, strlen(TOKEN)));
    t_close(s);
    test_status(blob_s3store_set_credentials(NULL, ACCESS, SECRET, TOKEN), -EINVAL);
    assert_int_equal(atomic_load(&leaks), 0);
}

/* The check above sees something: this is what it would see. */
static void memory_that_is_not_wiped_is_noticed(void **state)
{
    char *copy = strdup("..." SECRET);

    (void)state;
    assert_non_null(copy);
    free(copy);
    assert_int_equal(atomic_load(&leaks), 1);
}

static void a_call_keeps_those_it_began_with_and_no_longer(void **state)
{
    blob_store *s = open_with(NULL);
    test_later later;

    (void)state;
    /* A replace holds no more than its own request. */
    s3_of(s)->conditional = S3_HONOURS;
    wire_hold(true);
    atomic_store(&awaited_came, false);
    atomic_store(&awaited, s3_of(s)->credentials->secret_key);
    test_put_later(&later, s, NULL, test_key("k"), "bytes");
    wire_await(1);
    test_ok(blob_s3store_set_credentials(s, "ANOTHER", SECRET, NULL)); /* waits for nobody */
    assert_false(atomic_load(&awaited_came));
    wire_hold(false);
    test_ok(test_later_join(&later));
    assert_true(atomic_load(&awaited_came));
    atomic_store(&awaited, NULL);
    test_ok(t_put(s, test_key("k"), "bytes", BLOB_REPLACE));
    assert_non_null(strstr(net.last, "Credential=ANOTHER/"));
    t_close(s);
    assert_int_equal(atomic_load(&leaks), 0);
}

static void no_message_repeats_them(void **state)
{
    static const char *const echoes[] = {
        "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n<Error><Code>No</Code><Message>" WORDS "</Message></Error>",
        "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n<Error><Code>" ACCESS "</Code></Error>",
        "HTTP/1.1 301 No\r\nLocation: http://" WORDS "\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 301 No\r\nConnection: close\r\n\r\n<Error><Code>No</Code><Endpoint>" WORDS "</Endpoint></Error>",
    };
    blob_store *s = open_with(TOKEN);
    blob_error e;

    (void)state;
    for (size_t i = 0; i < sizeof echoes / sizeof *echoes; i++) {
        net.echo = echoes[i];
        test_status(t_put(s, test_key("k"), "bytes", BLOB_REPLACE), BLOB_DENIED);
        e = t_expect_words(BLOB_DENIED, i < 2 ? ": 403" : ": 301");
        assert_null(strstr(e.text, ACCESS));
        assert_null(strstr(e.text, TOKEN));
    }
    /* What is refused is not repeated either. */
    test_status(blob_s3store_set_credentials(s, ACCESS, "line" SECRET "\n", NULL), -EINVAL);
    t_expect_words(-EINVAL, "secret_key");
    blob_last_error(&e);
    assert_null(strstr(e.text, SECRET));
    test_status(blob_s3store_set_credentials(s, ACCESS " ", SECRET, NULL), -EINVAL);
    blob_last_error(&e);
    assert_null(strstr(e.text, ACCESS));
    test_status(blob_s3store_set_credentials(s, NULL, SECRET, NULL), -EINVAL);
    test_status(blob_s3store_set_credentials(s, ACCESS, NULL, NULL), -EINVAL);
    /* The old ones are still there. */
    net.echo = NULL;
    test_ok(t_put(s, test_key("k"), "bytes", BLOB_REPLACE));
    assert_non_null(strstr(net.last, "Credential=" ACCESS "/"));
    t_close(s);
}

/* Messages are cut, and the beginning of a long token is as much of a secret. */
static void no_message_repeats_the_beginning_of_one(void **state)
{
    static const char *const formats[] = {
        "HTTP/1.1 403 No\r\nConnection: close\r\n\r\n<Error><Code>No</Code><Message>it was %s</Message></Error>",
        "HTTP/1.1 301 No\r\nLocation: http://%s\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 301 No\r\nConnection: close\r\n\r\n<Error><Code>No</Code><Endpoint>%s</Endpoint></Error>",
        "HTTP/1.1 301 No\r\nConnection: close\r\n\r\n<Error><Code>No</Code><Region>%.60s</Region></Error>",
        "HTTP/1.1 301 No\r\nx-amz-bucket-region: %.60s\r\nConnection: close\r\n\r\n",
    };
    char token[600], echo[900];
    blob_store *s;
    blob_error e;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof token; i++)
        token[i] = (char)('a' + i * i % 23 % 10 + i % 13);
    token[sizeof token - 1] = '\0';
    s = open_with(token);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        snprintf(echo, sizeof echo, formats[i], token);
        net.echo = echo;
        test_status(t_put(s, test_key("k"), "bytes", BLOB_REPLACE), BLOB_DENIED);
        e = t_expect_words(BLOB_DENIED, i == 0 ? ": 403" : ": 301");
        assert_null(memmem(e.text, strlen(e.text), token, 16));
        assert_non_null(strstr(net.last, "us-east-1")); /* nor is it taken for a region */
    }
    net.echo = NULL;
    t_close(s);
}

static void only_an_s3store_takes_them(void **state)
{
    blob_store *s;

    (void)state;
    test_ok(blob_memstore_new(&s));
    test_status(blob_s3store_set_credentials(s, ACCESS, SECRET, NULL), -EINVAL);
    t_close(s);
}

static void change_them(void *arg, unsigned index)
{
    static const char *const keys[] = {ACCESS "1", ACCESS "22", ACCESS "333"};

    for (unsigned i = 0; i < 200; i++) {
        if (index == 0) {
            if (blob_s3store_set_credentials(arg, keys[i % 3], SECRET, i % 2 == 0 ? TOKEN : NULL) != 0)
                abort();
        } else if (t_put(arg, blob_key_of(&index, sizeof index), "bytes", BLOB_REPLACE) != 0) {
            abort();
        }
    }
}

static void they_may_change_at_any_time(void **state)
{
    blob_store *s = open_with(TOKEN);

    (void)state;
    s3_of(s)->conditional = S3_HONOURS;
    test_threads_run(4, change_them, s);
    t_close(s);
    assert_int_equal(atomic_load(&leaks), 0);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup(test, set_up)
    const struct CMUnitTest tests[] = {
        T(a_token_is_sent_and_signed_and_a_secret_is_not_sent),
        T(credentials_are_wiped_before_their_memory_goes),
        T(memory_that_is_not_wiped_is_noticed),
        T(a_call_keeps_those_it_began_with_and_no_longer),
        T(no_message_repeats_them),
        T(no_message_repeats_the_beginning_of_one),
        T(only_an_s3store_takes_them),
        T(they_may_change_at_any_time),
    };

    pthread_mutex_init(&net.mutex, NULL);
    pthread_cond_init(&net.changed, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
