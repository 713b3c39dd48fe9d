/* text.c - text that grows: requests, names and signatures are put together in it.
 *
 * Who writes a request adds a dozen pieces and asks once, at the end, whether all of them found memory. What it held may
 * have been a secret, so bytes that it leaves behind, when it grows too, are wiped. */
#include "s3store/s3store.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_ROOM_MIN 256

void s3_wipe(void *bytes, size_t size)
{
    if (size > 0)
        explicit_bzero(bytes, size);
}

/* Makes room for size more bytes and the zero. Not with realloc: that leaves the old bytes where they were. */
static bool text_reserve(s3_text *t, size_t size)
{
    size_t room = t->room > 0 ? t->room : TEXT_ROOM_MIN;
    char *data;

    if (t->failed || size >= SIZE_MAX / 2 - t->size) {
        t->failed = true;
        return false;
    }
    if (t->size + size < t->room)
        return true;
    while (room <= t->size + size)
        room *= 2;
    if ((data = malloc(room)) == NULL) {
        t->failed = true;
        return false;
    }
    if (t->size > 0)
        memcpy(data, t->data, t->size);
    s3_wipe(t->data, t->size);
    free(t->data);
    t->data = data;
    t->room = room;
    return true;
}

void s3_text_add_bytes(s3_text *t, const void *bytes, size_t size)
{
    if (!text_reserve(t, size))
        return;
    if (size > 0)
        memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = '\0';
}

void s3_text_add(s3_text *t, const char *string)
{
    s3_text_add_bytes(t, string, strlen(string));
}

void s3_text_add_hex(s3_text *t, const void *bytes, size_t size)
{
    if (size > SIZE_MAX / 4)
        t->failed = true;
    if (t->failed || !text_reserve(t, 2 * size))
        return;
    blob_key_hex(blob_key_of(bytes, size), t->data + t->size);
    t->size += 2 * size;
}

void s3_text_add_number(s3_text *t, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    s3_text_add_bytes(t, digits + at, sizeof digits - at);
}

/* Not isalnum: what it says depends on the locale. */
static bool text_is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void s3_text_add_encoded(s3_text *t, const void *bytes, size_t size, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *from = bytes;

    if (size > SIZE_MAX / 8)
        t->failed = true;
    if (t->failed || !text_reserve(t, 3 * size))
        return;
    for (size_t i = 0; i < size; i++) {
        if (text_is_unreserved(from[i]) || (from[i] == '/' && keep_slash)) {
            t->data[t->size++] = (char)from[i];
        } else {
            t->data[t->size++] = '%';
            t->data[t->size++] = digits[from[i] >> 4];
            t->data[t->size++] = digits[from[i] & 15];
        }
    }
    t->data[t->size] = '\0';
}

void s3_text_free(s3_text *t)
{
    s3_wipe(t->data, t->size);
    free(t->data);
    *t = (s3_text){0};
}
