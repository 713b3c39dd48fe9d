/* command.h - runs the wbstore command and looks at what it said. Asserts with cmocka: for the main thread of a test.
 * */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <wbstore/blob_store.h>

typedef struct command {
    pid_t pid;
    int in, out, err; /* our ends of its pipes; -1: none */
} command;

typedef struct command_end {
    int code; /* its exit code; 1000 and the signal that killed it */
    char *out, *err;
    size_t out_size, err_size; /* a zero follows */
} command_end;

/* What the command gets as a standard stream, instead of a descriptor of the test's. */
#define COMMAND_PIPE (-1)
#define COMMAND_CLOSED (-2)

/* The program: WBSTORE_COMMAND, at first. */
extern const char *command_program;

/* Where the test is root, the command is started as this user. 0, as at first: as the test itself. */
extern uid_t command_user;

void command_start(command *c, int in, int out, int err, const char *const *args);
/* Reads on from fd, behind what `seen` has, until that is in it. The end of input before that fails the test. */
void command_read_until(int fd, const char *text, char *seen, size_t room);
void command_read_line(command *c, char *line, size_t room); /* of its output, without the end of line */
void command_finish(command *c, command_end *end);           /* closes its input, reads all, waits */

/* Runs it to its end. What the previous run left in *end is freed; begin with a zero one. */
void command_run(command_end *end, const void *input, size_t size, const char *const *args);
#define RUN(end, ...) command_run((end), NULL, 0, (const char *const[]){__VA_ARGS__, NULL})
#define START(c, ...)                                                                                                  \
    command_start((c), COMMAND_PIPE, COMMAND_PIPE, COMMAND_PIPE, (const char *const[]){__VA_ARGS__, NULL})

/* Asserts the exit code, and shows what was said if it is another. */
#define EXPECT(end, want) command_expect((end), (want), __FILE__, __LINE__)
void command_expect(const command_end *end, int want, const char *file, int line);
#define SAYS(end, text) command_says((end), (text), __FILE__, __LINE__) /* on standard error */
void command_says(const command_end *end, const char *text, const char *file, int line);
void command_end_free(command_end *end);

/* A folder of the test's own, which is the working folder meanwhile. WBSTORE_BASE and WBSTORE_BUFFER are "base" and
 * "buffer" in it: files, and a log. Or the buffer is "file:buffer", files too. */
int command_setup(void **state);
int command_setup_files(void **state);
int command_teardown(void **state);
#define PROMISE(test)                                                                                                  \
    {                                                                                                                  \
#test, test, command_setup, command_teardown, NULL                                                             \
    }
#define PROMISE_FILES(test)                                                                                            \
    {                                                                                                                  \
#test "_over_files", test, command_setup_files, command_teardown, NULL                                         \
    }
#define PROMISE_BOTH(test) PROMISE(test), PROMISE_FILES(test)

/* The buffer's name as the command says it, and this in the midst of a text; in a room that the next call uses again. */
const char *buffer_url(void);
const char *of_buffer(const char *before, const char *after);
bool buffer_is_log(void);
blob_store *buffer_open(void);                  /* as its host does */
void put_text(blob_store *s, const char *text); /* a blob that is this text, under its address */

/* Files in the working folder. */
void file_make(const char *name, const void *bytes, size_t size);
void file_text(const char *name, const char *text);
void *file_read(const char *name, size_t *size); /* NULL: not there */
bool file_exists(const char *name);
size_t folder_count(const char *name); /* entries but . and .. */
size_t blobs_in(const char *store);    /* of a store's folder; 0: not there */

/* Flips a byte of the blob that is this text, where its store in this folder has it. */
void damage_in(const char *store, const char *text);
/* Flips a byte in the middle of some bytes wherever a log's segments have them. How often: that is the result. */
size_t damage_log(const char *dir, const void *bytes, size_t size);

/* Puts a file where the base wants a folder: every upload of this blob fails until it is gone. */
void block_base(const char *text);
void unblock_base(const char *text);

/* The address of a text, and where a filestore keeps it. In a room that the next call uses again. */
const char *address_of(const char *text);
const char *file_of(const char *store, const char *text);

#endif
