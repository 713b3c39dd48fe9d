/* cephrig.c - see cephrig.h. */
#include "cephrig.h"
#include "testutil.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const cephrig_variables[] = {"WBSTORE_CEPH", "S3_ENDPOINT",   "S3_BUCKET",
                                                "S3_REGION",    "S3_ACCESS_KEY", "S3_SECRET_KEY"};

static const char *cephrig_variable(const char *name)
{
    const char *value = getenv(name);

    assert_non_null(value);
    return value;
}

bool cephrig_present(void)
{
    for (size_t i = 0; i < sizeof cephrig_variables / sizeof cephrig_variables[0]; i++)
        if (getenv(cephrig_variables[i]) == NULL) {
            printf("skipped: %s is not set; `tests/ceph.sh start`, then `eval \"$(tests/ceph.sh env)\"`\n",
                   cephrig_variables[i]);
            return false;
        }
    return true;
}

/* Runs a program to its end and returns its exit code. What it prints goes to a file; NULL: nowhere. */
static int cephrig_spawn(const char *const *args, const char *output)
{
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output != NULL ? output : "/dev/null",
                                                      O_WRONLY | O_CREAT | O_TRUNC, 0600),
                     0);
    assert_int_equal(posix_spawnp(&pid, args[0], &actions, NULL, (char *const *)(uintptr_t)args, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000;
}

void cephrig_run(const char *verb, const char *name)
{
    const char *const args[] = {"bash", cephrig_variable("WBSTORE_CEPH"), verb, name, NULL};

    assert_int_equal(cephrig_spawn(args, NULL), 0);
}

blob_store *cephrig_open(const char *prefix)
{
    blob_s3store_options o = blob_s3store_options_default();
    blob_store *s = NULL;

    o.endpoint = cephrig_variable("S3_ENDPOINT");
    o.bucket = cephrig_variable("S3_BUCKET");
    o.region = cephrig_variable("S3_REGION");
    o.access_key = cephrig_variable("S3_ACCESS_KEY");
    o.secret_key = cephrig_variable("S3_SECRET_KEY");
    o.prefix = prefix;
    o.keys_are_sha256 = 1;
    o.connect_timeout_ms = 2000;
    o.idle_timeout_ms = 4000;
    test_ok(blob_s3store_open(&s, &o));
    return s;
}

bool cephrig_curl_has(const char *name, const void *bytes, size_t size)
{
    char url[1024], user[256], sigv4[128], output[] = "/tmp/cephrig-XXXXXX";
    const char *const args[] = {
        "curl", "-sSf", "--noproxy", "*", "-m", "60", "--user", user, "--aws-sigv4", sigv4,
        /* of no bytes: curl leaves it out, which the gateway does not take */
        "-H", "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", url, NULL};
    int fd = mkstemp(output);
    void *got = malloc(size + 1);
    bool same;

    assert_true(fd >= 0);
    assert_non_null(got);
    snprintf(url, sizeof url, "%s/%s/%s", cephrig_variable("S3_ENDPOINT"), cephrig_variable("S3_BUCKET"), name);
    snprintf(user, sizeof user, "%s:%s", cephrig_variable("S3_ACCESS_KEY"), cephrig_variable("S3_SECRET_KEY"));
    snprintf(sigv4, sizeof sigv4, "aws:amz:%s:s3", cephrig_variable("S3_REGION"));
    same =
        cephrig_spawn(args, output) == 0 && read(fd, got, size + 1) == (ssize_t)size && memcmp(got, bytes, size) == 0;
    free(got);
    close(fd);
    unlink(output);
    return same;
}
