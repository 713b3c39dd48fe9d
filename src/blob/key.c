/* key.c - keys: their order and their hexadecimal form. A key that cannot be, a size without bytes, counts as empty
 * here: these functions have no way to refuse it, and the dispatch that can does so. */
#include <wbstore/blob.h>

#include <errno.h>
#include <string.h>

static size_t key_size(blob_key key)
{
    return key.data != NULL ? key.size : 0;
}

int blob_key_compare(blob_key a, blob_key b)
{
    size_t a_size = key_size(a), b_size = key_size(b), common = a_size < b_size ? a_size : b_size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    if (order != 0)
        return order;
    return a_size < b_size ? -1 : a_size > b_size;
}

void blob_key_hex(blob_key key, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = key.data;
    size_t size = key_size(key);

    if (hex == NULL)
        return;
    for (size_t i = 0; i < size; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * size] = '\0';
}

static int key_nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int blob_key_from_hex(const char *hex, void *bytes, size_t room, size_t *size)
{
    unsigned char *to = bytes;
    size_t length, used = 0;

    if (size != NULL)
        *size = 0;
    if (hex == NULL || size == NULL || (bytes == NULL && room > 0))
        return blob_fail(-EINVAL, 0, "a hexadecimal key needs text, room and a size");
    length = strlen(hex);
    for (size_t i = 0; i < length; i++)
        if (key_nibble(hex[i]) < 0)
            return blob_fail(-EINVAL, 0, "not hexadecimal at position %zu", i);
    if (length % 2 != 0)
        return blob_fail(-EINVAL, 0, "an odd number of hexadecimal digits: %zu", length);
    if (length / 2 > room)
        return blob_fail(-ERANGE, 0, "%zu bytes of key do not fit into %zu", length / 2, room);
    for (; used < length / 2; used++)
        to[used] = (unsigned char)(key_nibble(hex[2 * used]) << 4 | key_nibble(hex[2 * used + 1]));
    *size = used;
    return 0;
}
