/* key.c - keys as people type and read them: the hexadecimal digits of an address. Keys of other lengths are taken
 * too, for a store may hold what the command did not put there, and ls shows it. The empty key has no digits: it has a
 * name, which is no hexadecimal. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>

static const char key_empty[] = "empty-key";

const char *cli_key_text(blob_key key, char text[CLI_KEY_TEXT])
{
    if (key.size > 0)
        blob_key_hex(key, text);
    else
        memcpy(text, key_empty, sizeof key_empty);
    return text;
}

int cli_key_parse(cli *c, const char *text, unsigned char bytes[BLOB_KEY_MAX], blob_key *key)
{
    size_t size = 0;

    if (strcmp(text, key_empty) == 0) {
        *key = blob_key_of(bytes, 0);
        return 0;
    }
    if (text[0] == '\0' || blob_key_from_hex(text, bytes, BLOB_KEY_MAX, &size) != 0) {
        cli_say(c, "%s: not an address: give its 64 hexadecimal digits, as put and ls print them", text);
        return CLI_USAGE;
    }
    *key = blob_key_of(bytes, size);
    return 0;
}

void cli_say_not_found(cli_session *s, const char *text, blob_key key)
{
    if (key.size == blob_hash_sha256()->size || key.size == 0)
        cli_say(s->c, "%s: not found in %s or %s: `wbstore ls` lists what is there", text, s->buffer_place.url,
                s->base_place.url);
    else
        cli_say(s->c, "%s: not found: an address has %zu hexadecimal digits, this has %zu", text,
                2 * blob_hash_sha256()->size, strlen(text));
}

/* What a disk does not give may be gone, and others may be there. A server's answer that makes no sense says nothing of
 * the blob: a proxy or a login page may have come in between. */
bool cli_is_damage(const cli_place *place, int status)
{
    return status == BLOB_CORRUPT || (status == -EIO && place->dir != NULL);
}

int cli_get_checked(blob_store *s, blob_ctx *ctx, blob_key key, blob **out)
{
    int rc = blob_store_get(s, ctx, key, out);

    if (rc == 0 && !cli_key_matches(key, *out))
        rc = blob_fail(BLOB_CORRUPT, 0, "its bytes do not hash to its address");
    return rc;
}

bool cli_key_matches(blob_key key, const blob *b)
{
    unsigned char address[BLOB_ADDRESS_MAX];

    if (key.size != blob_hash_sha256()->size)
        return true;
    blob_hash_sha256()->digest(b->data, b->size, address);
    return memcmp(address, key.data, key.size) == 0;
}
