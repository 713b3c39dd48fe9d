/* command.c - see command.h. The build says where the command is. */
#include "command.h"
#include "testutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wbstore/stores.h>

const char *command_program = WBSTORE_COMMAND;
uid_t command_user;

/* theirs becomes the child's end, ours the test's. */
static void command_stream(int given, bool input, int *theirs, int *ours)
{
    int ends[2];

    *theirs = given;
    *ours = -1;
    if (given != COMMAND_PIPE)
        return;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    *theirs = ends[input ? 0 : 1];
    *ours = ends[input ? 1 : 0];
}

void command_start(command *c, int in, int out, int err, const char *const *args)
{
    const int given[3] = {in, out, err};
    const char *argv[300] = {"wbstore"};
    int theirs[3], *const ours[3] = {&c->in, &c->out, &c->err};
    int self = command_user != 0 && geteuid() == 0 ? open(command_program, O_RDONLY | O_CLOEXEC) : -1;
    size_t count = 0;

    for (; args[count] != NULL; count++) {
        assert_true(count + 2 < sizeof argv / sizeof argv[0]);
        argv[count + 1] = args[count];
    }
    for (int fd = 0; fd < 3; fd++)
        command_stream(given[fd], fd == 0, &theirs[fd], ours[fd]);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies of its watchdog leaves none behind */
        signal(SIGPIPE, SIG_DFL);         /* as a shell starts it; the test ignores it */
        for (int fd = 0; fd < 3; fd++)
            if (theirs[fd] == COMMAND_CLOSED)
                close(fd);
            else if (dup2(theirs[fd], fd) < 0)
                _exit(126);
        if (self >= 0 && (setgroups(0, NULL) != 0 || setgid(command_user) != 0 || setuid(command_user) != 0))
            _exit(125);
        if (self >= 0) /* its path may lead through folders that the user may not enter */
            fexecve(self, (char *const *)(uintptr_t)argv, environ);
        execv(command_program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    for (int fd = 0; fd < 3; fd++)
        if (given[fd] == COMMAND_PIPE)
            close(theirs[fd]);
    if (self >= 0)
        close(self);
}

void command_read_until(int fd, const char *text, char *seen, size_t room)
{
    size_t used = strlen(seen);

    while (strstr(seen, text) == NULL) {
        ssize_t got = read(fd, seen + used, room - used - 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            print_error("the end came before: %s\n-- after:\n%s\n", text, seen);
        assert_true(got > 0);
        used += (size_t)got;
        seen[used] = '\0';
    }
}

void command_read_line(command *c, char *line, size_t room)
{
    size_t used = 0;

    for (;;) {
        char one;
        ssize_t got = read(c->out, &one, 1);

        if (got < 0 && errno == EINTR)
            continue;
        assert_int_equal(got, 1);
        if (one == '\n')
            break;
        assert_true(used + 1 < room);
        line[used++] = one;
    }
    line[used] = '\0';
}

typedef struct command_text {
    char *bytes;
    size_t size, room;
} command_text;

/* false: the end. */
static bool command_take(int fd, command_text *text)
{
    ssize_t got;

    if (text->room - text->size < 4096) {
        text->room = text->room * 2 + 8192;
        text->bytes = realloc(text->bytes, text->room);
        assert_non_null(text->bytes);
    }
    got = read(fd, text->bytes + text->size, text->room - text->size - 1);
    if (got > 0)
        text->size += (size_t)got;
    text->bytes[text->size] = '\0';
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Feeds and drains all three pipes at once: none can block the command for ever. */
static void command_pump(command *c, const char *input, size_t left, command_text *out, command_text *err)
{
    while (c->in >= 0 || c->out >= 0 || c->err >= 0) {
        struct pollfd fds[3] = {{c->in, POLLOUT, 0}, {c->out, POLLIN, 0}, {c->err, POLLIN, 0}};

        if (left == 0 && c->in >= 0) {
            close(c->in);
            c->in = -1;
            continue;
        }
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[0].revents != 0) {
            ssize_t put = write(c->in, input, left < 4096 ? left : 4096);

            input += put > 0 ? put : 0;
            left = put > 0 ? left - (size_t)put : 0; /* it reads no more */
        }
        if (fds[1].revents != 0 && !command_take(c->out, out)) {
            close(c->out);
            c->out = -1;
        }
        if (fds[2].revents != 0 && !command_take(c->err, err)) {
            close(c->err);
            c->err = -1;
        }
    }
}

static void command_collect(command *c, command_end *end, const void *input, size_t size)
{
    command_text out = {0}, err = {0};
    int status;

    command_pump(c, input, size, &out, &err);
    while (waitpid(c->pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    command_end_free(end);
    end->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    end->out = out.bytes != NULL ? out.bytes : calloc(1, 1);
    end->out_size = out.size;
    end->err = err.bytes != NULL ? err.bytes : calloc(1, 1);
    end->err_size = err.size;
    assert_true(end->out != NULL && end->err != NULL);
}

void command_finish(command *c, command_end *end)
{
    command_collect(c, end, NULL, 0);
}

void command_run(command_end *end, const void *input, size_t size, const char *const *args)
{
    command c;

    command_start(&c, COMMAND_PIPE, COMMAND_PIPE, COMMAND_PIPE, args);
    command_collect(&c, end, input, size);
}

void command_end_free(command_end *end)
{
    free(end->out);
    free(end->err);
    memset(end, 0, sizeof *end);
}

void command_expect(const command_end *end, int want, const char *file, int line)
{
    if (end->code == want)
        return;
    print_error("exit code %d, not %d\n-- output:\n%s\n-- errors:\n%s\n", end->code, want, end->out, end->err);
    _fail(file, line);
}

void command_says(const command_end *end, const char *text, const char *file, int line)
{
    if (strstr(end->err, text) != NULL)
        return;
    print_error("it did not say: %s\n-- but:\n%s\n", text, end->err);
    _fail(file, line);
}

static int command_setup_over(void **state, const char *buffer)
{
    test_watchdog(120);
    signal(SIGPIPE, SIG_IGN);
    if ((*state = test_dir_make()) == NULL || chdir(*state) != 0)
        return -1;
    return setenv("WBSTORE_BASE", "base", 1) != 0 || setenv("WBSTORE_BUFFER", buffer, 1) != 0;
}

int command_setup(void **state)
{
    return command_setup_over(state, "buffer");
}

int command_setup_files(void **state)
{
    return command_setup_over(state, "file:buffer");
}

const char *buffer_url(void)
{
    const char *url = getenv("WBSTORE_BUFFER");

    assert_non_null(url);
    return url;
}

bool buffer_is_log(void)
{
    return strncmp(buffer_url(), "file:", 5) != 0;
}

const char *of_buffer(const char *before, const char *after)
{
    static char text[1024];

    snprintf(text, sizeof text, "%s%s%s", before, buffer_url(), after);
    return text;
}

blob_store *buffer_open(void)
{
    blob_store *s = NULL;

    test_ok(buffer_is_log() ? blob_logstore_open(&s, "buffer", NULL) : blob_filestore_open(&s, "buffer", NULL));
    return s;
}

int command_teardown(void **state)
{
    int rc = chdir("/");

    test_dir_remove(*state);
    test_watchdog(0);
    return rc;
}

void put_text(blob_store *s, const char *text)
{
    unsigned char address[BLOB_ADDRESS_MAX];

    blob_hash_sha256()->digest(text, strlen(text), address);
    test_put(s, blob_key_of(address, blob_hash_sha256()->size), text);
}

void file_make(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(name, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void file_text(const char *name, const char *text)
{
    file_make(name, text, strlen(text));
}

void *file_read(const char *name, size_t *size)
{
    command_text text = {0};
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    *size = 0;
    if (fd < 0)
        return NULL;
    while (command_take(fd, &text))
        ;
    close(fd);
    *size = text.size;
    return text.bytes;
}

bool file_exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

size_t folder_count(const char *name)
{
    DIR *folder = opendir(name);
    size_t count = 0;

    if (folder == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(folder);
    return count;
}

static bool is_segment(const char *name)
{
    return strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ".log") == 0;
}

static bool is_log(const char *dir)
{
    DIR *folder = opendir(dir);
    bool found = false;

    if (folder == NULL)
        return false;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        found = found || is_segment(entry->d_name);
    closedir(folder);
    return found;
}

static size_t blobs_in_log(const char *dir)
{
    blob_logstore_options options = blob_logstore_options_default();
    blob_store *s = NULL;
    uint64_t count;

    options.read_only = 1;
    test_ok(blob_logstore_open(&s, dir, &options));
    test_ok(blob_store_len(s, NULL, &count));
    test_ok(blob_store_close(s, NULL));
    return (size_t)count;
}

size_t blobs_in(const char *store)
{
    size_t count = 0;
    char name[256];

    if (is_log(store))
        return blobs_in_log(store);

    for (unsigned fan = 0; fan < 256; fan++) {
        snprintf(name, sizeof name, "%s/%02x", store, fan);
        count += folder_count(name);
    }
    return count;
}

static size_t damage_file(const char *name, const void *bytes, size_t size)
{
    size_t there, count = 0;
    unsigned char *all = file_read(name, &there), *at = all;
    int fd = open(name, O_WRONLY | O_CLOEXEC);

    assert_true(all != NULL && fd >= 0 && size > 0);
    while ((at = memmem(at, there - (size_t)(at - all), bytes, size)) != NULL) {
        unsigned char flipped = at[size / 2] ^ 0x20;

        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)(at - all + (ptrdiff_t)(size / 2))), 1);
        at += size;
        count++;
    }
    close(fd);
    free(all);
    return count;
}

size_t damage_log(const char *dir, const void *bytes, size_t size)
{
    DIR *folder = opendir(dir);
    size_t count = 0;
    char path[512];

    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (is_segment(entry->d_name))
            count += damage_file(path, bytes, size);
    }
    closedir(folder);
    return count;
}

void damage_in(const char *store, const char *text)
{
    if (is_log(store)) {
        assert_true(damage_log(store, text, strlen(text)) > 0);
        return;
    }
    assert_int_equal(chmod(file_of(store, text), 0644), 0);
    assert_int_equal(damage_file(file_of(store, text), text, strlen(text)), 1);
}

const char *address_of(const char *text)
{
    static char hex[2 * BLOB_ADDRESS_MAX + 1];
    unsigned char bytes[BLOB_ADDRESS_MAX];

    blob_hash_sha256()->digest(text, strlen(text), bytes);
    blob_key_hex(blob_key_of(bytes, blob_hash_sha256()->size), hex);
    return hex;
}

const char *file_of(const char *store, const char *text)
{
    static char path[512];
    const char *address = address_of(text);

    snprintf(path, sizeof path, "%s/%.2s/%s", store, address, address);
    return path;
}

static const char *fan_of(const char *text)
{
    static char path[16];

    snprintf(path, sizeof path, "base/%.2s", address_of(text));
    return path;
}

void block_base(const char *text)
{
    assert_true(mkdir("base", 0777) == 0 || file_exists("base"));
    file_text(fan_of(text), "");
}

void unblock_base(const char *text)
{
    assert_int_equal(unlink(fan_of(text)), 0);
}
