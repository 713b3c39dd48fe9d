/* options.c - options structs grow at their end; callers and library may be of different age. */
#include "blob/options.h"

#include <errno.h>
#include <string.h>
#include <wbstore/blob.h>

int wb_options_copy(void *to, size_t to_size, const void *from, size_t from_size)
{
    const unsigned char *bytes = from;

    if (from_size < sizeof(size_t))
        return blob_fail(-EINVAL, 0, "options without their struct_size; begin from the _options_default function");
    for (size_t i = to_size; i < from_size; i++)
        if (bytes[i] != 0)
            return blob_fail(-EINVAL, 0, "options of a newer library: byte %zu asks for what this one does not know",
                             i);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 0;
}
