/* path.c - where the blob of a key lies.
 *
 *   DIR/LOCK                        locked while the store is open
 *   DIR/tmp/put-0123456789abcdef    blobs being written; whatever a crash leaves here goes at the next open
 *   DIR/empty-key                   the blob of the empty key
 *   DIR/ab/ab                       the blob of the key AB
 *   DIR/ab/abcdef...                of the key AB CD EF ..., up to 64 bytes: every content address
 *   DIR/ab/<128 digits>+/<digits>   of a longer key: 64 bytes, then the rest
 *   DIR/ab/<128 digits>+/<128 digits>+/<128 digits>+/<126 digits>     of the longest, 255 bytes
 *
 * A name is the lower-case hexadecimal of 1 to 64 bytes; a folder's is that of exactly 64 bytes and a '+'. The names
 * below the fan-out folder, put together, spell the key. Every key has one place and every place one key: a name that
 * is not of this form is foreign.
 *
 * Names sorted by strcmp are keys in order. Digits sort as the bytes they stand for, and a name before those that it
 * begins. Keys that go on after a name of 64 bytes are in the folder of that name, whose '+' puts it right after the
 * file and before the next name: so a sorted walk that enters folders where it meets them is a walk in key order. */
#include "filestore/filestore.h"

#include <stdio.h>
#include <string.h>

void wb_fs_path(fs_path *path, blob_key key)
{
    const unsigned char *bytes = key.data;
    size_t left = key.size;
    char *end = path->text;

    path->fan = left > 0 ? bytes[0] : FS_FAN_EMPTY;
    if (left > 0) {
        blob_key_hex(blob_key_of(bytes, 1), end);
        end += 2;
        *end++ = '/';
    }
    for (; left > FS_NAME_BYTES; left -= FS_NAME_BYTES, bytes += FS_NAME_BYTES) {
        blob_key_hex(blob_key_of(bytes, FS_NAME_BYTES), end);
        end += 2 * FS_NAME_BYTES;
        *end++ = '+';
        *end++ = '/';
    }
    path->name = end;
    if (left > 0)
        blob_key_hex(blob_key_of(bytes, left), end);
    else
        memcpy(end, FS_EMPTY_KEY, sizeof FS_EMPTY_KEY);
    if (key.size > 0) {
        memcpy(path->folder, path->text, (size_t)(end - path->text) - 1);
        path->folder[end - path->text - 1] = '\0';
    } else {
        memcpy(path->folder, ".", sizeof ".");
    }
}

fs_kind wb_fs_name_parse(const char *name, unsigned fan, unsigned char key[BLOB_KEY_MAX], size_t *size)
{
    size_t digits = strspn(name, "0123456789abcdef");
    size_t room = BLOB_KEY_MAX - *size, bytes = digits / 2;
    char hex[2 * FS_NAME_BYTES + 1];
    unsigned char *to = key + *size;
    bool folder;

    if (digits == 0 || digits % 2 != 0 || bytes > FS_NAME_BYTES || bytes > room)
        return FS_FOREIGN;
    folder = strcmp(name + digits, "+") == 0;
    /* A folder holds longer keys only: there is none where no byte may follow. */
    if (folder ? bytes != FS_NAME_BYTES || bytes == room : name[digits] != '\0')
        return FS_FOREIGN;
    memcpy(hex, name, digits);
    hex[digits] = '\0';
    if (blob_key_from_hex(hex, to, room, &bytes) != 0 || (*size == 0 && to[0] != fan))
        return FS_FOREIGN;
    *size += bytes;
    return folder ? FS_FOLDER : FS_BLOB;
}
