/* status.c - what went wrong: names for status codes, and the error detail of each thread.
 *
 * The detail is the library's one piece of global state: a thread-local record of the most recent failing call. A
 * sequence number tells whether a call that failed has said why; if it has not, wb_status_settle replaces the older
 * call's words by the bare status, so that nobody reads last week's reason. */
#include "blob/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local struct {
    blob_error error;
    uint64_t sequence;
} status_detail;

static const char status_unknown[] = "unknown status";

static const char *status_of_errno(int error)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
    const char *text = strerrordesc_np(error);
    return text != NULL ? text : status_unknown;
#else
    /* Static text for codes that exist (41 and 58 do not); for others an old glibc writes into a buffer that all
     * threads share. */
    return error <= EHWPOISON && error != 41 && error != 58 ? strerror(error) : status_unknown;
#endif
}

const char *blob_strerror(int status)
{
    switch (status) {
    case 0:
        return "success";
    case BLOB_NOT_FOUND:
        return "not found";
    case BLOB_EXISTS:
        return "exists already";
    case BLOB_CLOSED:
        return "closed";
    case BLOB_CORRUPT:
        return "corrupt";
    case BLOB_UNAVAILABLE:
        return "unavailable";
    case BLOB_DENIED:
        return "access refused by the store";
    case BLOB_UNSUPPORTED:
        return "not supported by the store";
    case BLOB_FULL:
        return "full";
    case BLOB_REJECTED:
        return "rejected by the store";
    default:
        return status < 0 && status > -4096 ? status_of_errno(-status) : status_unknown;
    }
}

/* In parentheses, for .ci/analyzer.h has a macro of that name. */
int(blob_fail)(int status, int64_t retry_after_ms, const char *format, ...)
{
    blob_error *error = &status_detail.error;
    va_list args;

    if (status >= 0)
        return status;
    error->status = status;
    error->retry_after_ms = retry_after_ms > 0 ? retry_after_ms : 0;
    error->text[0] = '\0';
    status_detail.sequence++;
    if (format != NULL) {
        va_start(args, format);
        if (vsnprintf(error->text, sizeof error->text, format, args) < 0)
            error->text[0] = '\0';
        va_end(args);
    }
    /* One line, and safe to print: the words may come from a far side, which must not steer somebody's terminal. */
    for (char *c = error->text; *c != '\0'; c++)
        if ((*c > 0 && *c < ' ') || *c == '\x7f')
            *c = ' ';
    return status;
}

void blob_last_error(blob_error *out)
{
    if (out != NULL)
        *out = status_detail.error;
}

uint64_t wb_status_mark(void)
{
    return status_detail.sequence;
}

int wb_status_settle(uint64_t mark, int status)
{
    if (status < 0 && (status_detail.sequence == mark || status_detail.error.status != status))
        return blob_fail(status, 0, NULL);
    return status;
}

void wb_status_restore(const blob_error *error)
{
    status_detail.error = *error;
}
