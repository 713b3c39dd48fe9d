/* json.c - a strict JSON checker: one value, white space around it, strings of well-formed UTF-8, nothing else. */
#include "json.h"

#include <string.h>

typedef struct json_text {
    const unsigned char *at, *end;
    unsigned depth;
} json_text;

static bool json_value(json_text *t);

static int json_peek(const json_text *t)
{
    return t->at < t->end ? *t->at : -1;
}

static void json_space(json_text *t)
{
    while (t->at < t->end && strchr(" \t\r\n", *t->at) != NULL && *t->at != '\0')
        t->at++;
}

static bool json_take(json_text *t, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(t->end - t->at) < size || memcmp(t->at, word, size) != 0)
        return false;
    t->at += size;
    return true;
}

static size_t json_digits(json_text *t)
{
    const unsigned char *start = t->at;

    while (json_peek(t) >= '0' && json_peek(t) <= '9')
        t->at++;
    return (size_t)(t->at - start);
}

static bool json_number(json_text *t)
{
    (void)json_take(t, "-");
    if (!json_take(t, "0") && json_digits(t) == 0)
        return false;
    if (json_take(t, ".") && json_digits(t) == 0)
        return false;
    if (json_take(t, "e") || json_take(t, "E")) {
        if (!json_take(t, "+"))
            (void)json_take(t, "-");
        return json_digits(t) > 0;
    }
    return true;
}

static bool json_escape(json_text *t)
{
    t->at++;
    if (json_take(t, "u")) {
        for (int i = 0; i < 4; i++, t->at++)
            if (json_peek(t) <= 0 || strchr("0123456789abcdefABCDEF", json_peek(t)) == NULL)
                return false;
        return true;
    }
    if (json_peek(t) <= 0 || strchr("\"\\/bfnrt", json_peek(t)) == NULL)
        return false;
    t->at++;
    return true;
}

/* One character beyond ASCII: the table of RFC 3629, section 4. */
static bool json_utf8(json_text *t)
{
    static const struct {
        unsigned char first, last, low, high, more;
    } rows[] = {{0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1}, {0xe1, 0xec, 0x80, 0xbf, 1},
                {0xed, 0xed, 0x80, 0x9f, 1}, {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
                {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2}};
    int first = json_peek(t);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (first < rows[i].first || first > rows[i].last)
            continue;
        t->at++;
        if (json_peek(t) < rows[i].low || json_peek(t) > rows[i].high)
            return false;
        t->at++;
        for (unsigned more = rows[i].more; more > 0; more--, t->at++)
            if (json_peek(t) < 0x80 || json_peek(t) > 0xbf)
                return false;
        return true;
    }
    return false;
}

static bool json_string(json_text *t)
{
    if (!json_take(t, "\""))
        return false;
    while (json_peek(t) != '"') {
        int c = json_peek(t);

        if (c < 0x20)
            return false;
        if (c == '\\' ? !json_escape(t) : c >= 0x80 && !json_utf8(t))
            return false;
        if (c != '\\' && c < 0x80)
            t->at++;
    }
    t->at++;
    return true;
}

/* Members of an object or an array, up to its end. */
static bool json_members(json_text *t, bool named, const char *end)
{
    json_space(t);
    if (json_take(t, end))
        return true;
    do {
        json_space(t);
        if (named) {
            if (!json_string(t))
                return false;
            json_space(t);
            if (!json_take(t, ":"))
                return false;
        }
        if (!json_value(t))
            return false;
    } while (json_take(t, ","));
    return json_take(t, end);
}

static bool json_value(json_text *t)
{
    bool ok;

    if (++t->depth > 64)
        return false;
    json_space(t);
    if (json_take(t, "{"))
        ok = json_members(t, true, "}");
    else if (json_take(t, "["))
        ok = json_members(t, false, "]");
    else if (json_peek(t) == '"')
        ok = json_string(t);
    else
        ok = json_take(t, "null") || json_take(t, "true") || json_take(t, "false") || json_number(t);
    json_space(t);
    t->depth--;
    return ok;
}

bool json_valid(const char *text, size_t size)
{
    json_text t = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + size};

    return json_value(&t) && t.at == t.end;
}
