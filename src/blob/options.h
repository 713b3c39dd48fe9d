/* options.h - for constructors: taking an options struct of any age. Such structs grow at their end, and callers and library
 * may be of different age.
 *
 * It is in the header, for wbstore-tls, which takes options too, reaches only what libwbstore exports. */
#ifndef WB_OPTIONS_H
#define WB_OPTIONS_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <wbstore/blob.h>

#define OPTIONS_MAX 4096 /* bytes; none of any age have as many: what says so was never filled in */

/* Copies the caller's options over to, which holds the defaults. A shorter struct (an older caller's) leaves the rest
 * at the defaults; a longer one (a newer caller's) is -EINVAL where it asks for something unknown here, or its
 * struct_size cannot be. from_size: what its struct_size says. */
static inline int wb_options_copy(void *to, size_t to_size, const void *from, size_t from_size)
{
    const unsigned char *bytes = from;

    if (from_size < sizeof(size_t) || from_size > OPTIONS_MAX)
        return blob_fail(-EINVAL, 0, "options whose struct_size is %zu; begin from the _options_default function",
                         from_size);
    for (size_t i = to_size; i < from_size; i++)
        if (bytes[i] != 0)
            return blob_fail(-EINVAL, 0, "options of a newer library: byte %zu asks for what this one does not know",
                             i);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}

#endif
