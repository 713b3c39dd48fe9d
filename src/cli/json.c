/* json.c - what --json prints: one object on a line, and in it strings that any reader of JSON takes.
 *
 * JSON is UTF-8, and a name of a file is any bytes but two. A byte that belongs to no UTF-8 becomes U+FFFD, for people
 * to read; where the bytes themselves matter a second field has them, as hexadecimal digits. */
#include "cli/cli.h"

#include <string.h>

/* Bytes of the UTF-8 sequence that text begins with; 0 if it is none. */
static size_t json_utf8(const unsigned char *text)
{
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = *text < 0x80 ? 1 : *text >= 0xf0 && *text < 0xf8 ? 4 : *text >= 0xe0 ? 3 : *text >= 0xc0 ? 2 : 0;
    unsigned point = size == 1 ? *text : *text & (0x7fu >> size);

    if (*text >= 0xf8)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3fu);
    }
    if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return size;
}

void cli_json_string(FILE *to, const char *text)
{
    const unsigned char *c = (const unsigned char *)text;

    putc('"', to);
    while (*c != '\0') {
        size_t size = json_utf8(c);

        if (size == 0) {
            fputs("\\ufffd", to);
            c++;
            continue;
        }
        if (*c == '"' || *c == '\\')
            fprintf(to, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(to, "\\u%04x", *c);
        else
            fwrite(c, 1, size, to);
        c += size;
    }
    putc('"', to);
}

void cli_json_name(FILE *to, const char *field, const char *name)
{
    const unsigned char *c = (const unsigned char *)name;
    size_t size;

    fprintf(to, "\"%s\":", field);
    cli_json_string(to, name);
    while (*c != '\0' && (size = json_utf8(c)) > 0)
        c += size;
    if (*c == '\0')
        return;
    fprintf(to, ",\"%s_hex\":\"", field);
    for (c = (const unsigned char *)name; *c != '\0'; c++)
        fprintf(to, "%02x", *c);
    putc('"', to);
}
