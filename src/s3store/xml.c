/* xml.c - the reader behind xml.h.
 *
 * Once through the document, front to back; what comes next is one of a handful of events, and the stack of open tags
 * is all that it keeps. Text that is not asked for is not looked at. */
#include "s3store/xml.h"

#include <errno.h>
#include <string.h>

typedef enum xml_kind { XML_BAD, XML_START, XML_TEXT, XML_CDATA, XML_END, XML_DONE } xml_kind;

/* ---- The reader ---- */

/* No document has a zero in it (s3_xml_begin): it stands for the end. */
static char xml_peek(const s3_xml_reader *x)
{
    return (char)(x->at < x->end ? *x->at : '\0');
}

static bool xml_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool xml_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':' ||
           c == '-' || c == '.' || (unsigned char)c >= 0x80;
}

static size_t xml_skip_blanks(s3_xml_reader *x)
{
    const char *from = x->at;

    while (xml_is_blank(xml_peek(x)))
        x->at++;
    return (size_t)(x->at - from);
}

static bool xml_skip(s3_xml_reader *x, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(x->end - x->at) < size || memcmp(x->at, text, size) != 0)
        return false;
    x->at += size;
    return true;
}

/* Goes behind the next `text`; what stood before it is *before. */
static bool xml_skip_past(s3_xml_reader *x, const char *text, s3_xml_text *before)
{
    const char *found = memmem(x->at, (size_t)(x->end - x->at), text, strlen(text));

    if (found == NULL)
        return false;
    *before = (s3_xml_text){x->at, (size_t)(found - x->at)};
    x->at = found + strlen(text);
    return true;
}

static bool xml_name(s3_xml_reader *x, s3_xml_text *name)
{
    const char *from = x->at, first = xml_peek(x);

    if ((first >= '0' && first <= '9') || first == '-' || first == '.')
        return false;
    while (xml_is_name_char(xml_peek(x)))
        x->at++;
    *name = (s3_xml_text){from, (size_t)(x->at - from)};
    return name->size > 0;
}

static bool xml_is(s3_xml_text t, const char *word)
{
    return t.size == strlen(word) && memcmp(t.data, word, t.size) == 0;
}

bool s3_xml_is_named(s3_xml_text name, const char *word)
{
    const char *colon = memchr(name.data, ':', name.size);

    if (colon != NULL) {
        name.size -= (size_t)(colon + 1 - name.data);
        name.data = colon + 1;
    }
    return xml_is(name, word);
}

static bool xml_attribute(s3_xml_reader *x)
{
    s3_xml_text name;
    char quote;

    if (!xml_name(x, &name))
        return false;
    (void)xml_skip_blanks(x);
    if (!xml_skip(x, "="))
        return false;
    (void)xml_skip_blanks(x);
    quote = xml_peek(x);
    if (quote != '"' && quote != '\'')
        return false;
    for (x->at++; xml_peek(x) != quote; x->at++)
        if (xml_peek(x) == '<' || xml_peek(x) == '\0')
            return false;
    x->at++;
    return true;
}

/* Behind its "<". */
static xml_kind xml_start(s3_xml_reader *x)
{
    s3_xml_text name;
    size_t blanks;

    if ((x->rooted && x->depth == 0) || x->depth == S3_XML_DEPTH_MAX || !xml_name(x, &name))
        return XML_BAD;
    while ((blanks = xml_skip_blanks(x)), xml_peek(x) != '>' && xml_peek(x) != '/')
        if (blanks == 0 || !xml_attribute(x))
            return XML_BAD;
    x->empty = xml_skip(x, "/");
    if (!xml_skip(x, ">"))
        return XML_BAD;
    x->rooted = true;
    x->open[x->depth++] = name;
    return XML_START;
}

/* Behind its "</". The depth is left to the caller, who may still ask what ended. */
static xml_kind xml_end(s3_xml_reader *x)
{
    s3_xml_text name;

    if (x->depth == 0 || !xml_name(x, &name))
        return XML_BAD;
    (void)xml_skip_blanks(x);
    if (!xml_skip(x, ">") || name.size != x->open[x->depth - 1].size ||
        memcmp(name.data, x->open[x->depth - 1].data, name.size) != 0)
        return XML_BAD;
    return XML_END;
}

/* After XML_END the caller takes one off the depth. */
static xml_kind xml_next(s3_xml_reader *x, s3_xml_text *text)
{
    if (x->empty) {
        x->empty = false;
        return XML_END;
    }
    for (;;) {
        const char *from = x->at;

        if (x->depth == 0)
            (void)xml_skip_blanks(x);
        if (x->at == x->end)
            return x->depth == 0 && x->rooted ? XML_DONE : XML_BAD;
        if (xml_peek(x) != '<') {
            x->at = memchr(from, '<', (size_t)(x->end - from));
            if (x->depth == 0 || x->at == NULL)
                return XML_BAD;
            *text = (s3_xml_text){from, (size_t)(x->at - from)};
            return XML_TEXT;
        }
        if (xml_skip(x, "</"))
            return xml_end(x);
        if (xml_skip(x, "<!--")) {
            if (!xml_skip_past(x, "--", text) || !xml_skip(x, ">"))
                return XML_BAD;
        } else if (xml_skip(x, "<?")) {
            if (!xml_skip_past(x, "?>", text))
                return XML_BAD;
        } else if (xml_skip(x, "<![CDATA[")) {
            return x->depth > 0 && xml_skip_past(x, "]]>", text) ? XML_CDATA : XML_BAD;
        } else if (xml_skip(x, "<")) {
            return xml_start(x); /* "!" begins no name */
        }
    }
}

/* ---- Values ---- */

static void xml_add(s3_xml_want *w, const char *bytes, size_t size)
{
    size_t fits = w->room - w->size < size ? w->room - w->size : size;

    memcpy(w->data + w->size, bytes, fits);
    w->size += fits;
    w->cut |= fits < size;
}

/* c is at most 0x10ffff. */
static bool xml_add_char(s3_xml_want *w, uint32_t c)
{
    unsigned char b[4] = {(unsigned char)c, 0, 0, 0};
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
        return false;
    if (size > 1) {
        for (size_t i = size - 1; i > 0; i--, c >>= 6)
            b[i] = (unsigned char)(0x80 | (c & 0x3f));
        b[0] = (unsigned char)(0xf00 >> size | c); /* as many ones as bytes */
    }
    xml_add(w, (const char *)b, size);
    return true;
}

static int xml_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* What stands between "&" and ";". */
static bool xml_add_entity(s3_xml_want *w, s3_xml_text entity)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}};
    unsigned base = entity.size > 1 && entity.data[1] == 'x' ? 16 : 10;
    uint32_t c = 0;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (xml_is(entity, known[i].name))
            return xml_add_char(w, (unsigned char)known[i].c);
    if (entity.size == 0 || entity.data[0] != '#')
        return false;
    for (size_t i = base == 16 ? 2 : 1; i < entity.size; i++) {
        unsigned digit = (unsigned)xml_digit(entity.data[i]);

        if (digit >= base || (c = c * base + digit) > 0x10ffff)
            return false;
    }
    return xml_add_char(w, c); /* no digits: 0 */
}

static bool xml_add_text(s3_xml_want *w, s3_xml_text text)
{
    while (text.size > 0) {
        const char *mark = memchr(text.data, '&', text.size), *end;
        size_t plain = mark != NULL ? (size_t)(mark - text.data) : text.size;

        xml_add(w, text.data, plain);
        text = (s3_xml_text){text.data + plain, text.size - plain};
        if (mark == NULL)
            break;
        end = memchr(mark, ';', text.size);
        if (end == NULL || !xml_add_entity(w, (s3_xml_text){mark + 1, (size_t)(end - mark) - 1}))
            return false;
        text.size -= (size_t)(end + 1 - mark);
        text.data = end + 1;
    }
    return true;
}

static s3_xml_want *xml_wanted(const s3_xml_reader *x, s3_xml_want *wants, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (s3_xml_is_named(x->open[x->depth - 1], wants[i].name) &&
            (wants[i].parent == NULL ? x->depth == 2 : x->depth == 3 && s3_xml_is_named(x->open[1], wants[i].parent)))
            return &wants[i];
    return NULL;
}

bool s3_xml_begin(s3_xml_reader *x, blob_view document)
{
    *x = (s3_xml_reader){.at = document.data, .end = document.data};
    if (document.size == 0 || memchr(document.data, '\0', document.size) != NULL)
        return false;
    x->end += document.size;
    (void)xml_skip(x, "\xef\xbb\xbf");
    return true;
}

int s3_xml_child(s3_xml_reader *x, const char *root, s3_xml_want *wants, size_t count, s3_xml_text *child)
{
    s3_xml_want *target = NULL;
    s3_xml_text text = {0};

    for (;;) {
        switch (xml_next(x, &text)) {
        case XML_START:
            if (target != NULL || (x->depth == 1 && !s3_xml_is_named(x->open[0], root)))
                return -EBADMSG;
            if ((target = xml_wanted(x, wants, count)) != NULL && target->found)
                return -EBADMSG;
            if (target != NULL)
                target->found = true;
            break;
        case XML_TEXT:
            if (target != NULL && !xml_add_text(target, text))
                return -EBADMSG;
            break;
        case XML_CDATA:
            if (target != NULL)
                xml_add(target, text.data, text.size);
            break;
        case XML_END:
            target = NULL;
            if (x->depth-- == 2) {
                *child = x->open[1];
                return 1;
            }
            break;
        case XML_DONE:
            return 0;
        case XML_BAD:
            return -EBADMSG;
        }
    }
}
