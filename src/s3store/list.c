/* list.c - list and len: pages of names, each asked for by the last name that was seen.
 *
 * S3 would give a token for the next page; the name does the same, is never stale, and lets a listing begin at any key.
 * That only holds while names ascend, so they are checked: a server that breaks the order would make us skip or repeat.
 * The token is for pages without a name: a server that has looked at much that is deleted may send one, and says there are
 * more.
 *
 * Names of the form that s3_name_of makes are keys. All others are foreign. */
#include "s3store/s3store.h"
#include "blob/store.h"

#include <errno.h>
#include <string.h>

#define LIST_PAGE_MAX                                                                                                  \
    ((uint64_t)16 << 20) /* 1,000 names of 1,024 bytes, each byte encoded, and what stands around them */
#define LIST_NAME_MAX 1024

/* A listing under way. */
typedef struct list_run {
    s3store *s;
    blob_ctx *ctx;
    blob_list_fn *fn;
    void *arg;
    size_t prefix_size;
    bool begins; /* nothing seen yet, and nowhere to begin: a name may be the prefix itself, as "folders" are */
    char last[LIST_NAME_MAX]; /* else the last name seen, or where to begin; prefix included */
    size_t last_size;
    char token[S3_TOKEN_MAX]; /* of the page before, which had no names */
    size_t token_size;        /* 0: it had some, or there was none */
    size_t seen;              /* names in this page */
    bool stopped;             /* fn did, or ctx: with `status` */
    int status;
} list_run;

/* -1: not a digit as we write it. */
static int list_nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* false: foreign. */
static bool list_read_key(const char *name, size_t size, unsigned char key[BLOB_KEY_MAX], size_t *key_size)
{
    *key_size = 0;
    if (size == 1 && name[0] == '-')
        return true;
    if (size == 0 || size % 2 != 0 || size / 2 > BLOB_KEY_MAX)
        return false;
    for (size_t i = 0; i < size; i += 2) {
        int high = list_nibble(name[i]), low = list_nibble(name[i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i / 2] = (unsigned char)(high << 4 | low);
    }
    *key_size = size / 2;
    return true;
}

/* The order of names is that of their bytes. */
static bool list_ascends(const list_run *l, const char *name, size_t size)
{
    return l->begins || blob_key_compare(blob_key_of(name, size), blob_key_of(l->last, l->last_size)) > 0;
}

static int list_entry(void *arg, const char *name, size_t name_size, uint64_t size)
{
    unsigned char key[BLOB_KEY_MAX];
    list_run *l = arg;
    size_t key_size;
    int verdict;

    l->stopped = true;
    if (name_size > LIST_NAME_MAX || name_size < l->prefix_size || memcmp(name, l->s->prefix, l->prefix_size) != 0)
        return l->status = blob_fail(-EIO, 0, "%s: a listing with a name that was not asked for", l->s->where);
    if (!list_ascends(l, name, name_size))
        return l->status = blob_fail(-EIO, 0, "%s: a listing that is not in order", l->s->where);
    memcpy(l->last, name, name_size);
    l->last_size = name_size;
    l->begins = false;
    l->seen++;
    if (list_read_key(name + l->prefix_size, name_size - l->prefix_size, key, &key_size)) {
        if ((l->status = blob_ctx_status(l->ctx)) != 0)
            return l->status;
        verdict = l->fn(l->arg, blob_key_of(key, key_size), size);
        if (verdict != 0) {
            l->status = wb_list_end(verdict);
            return -ECANCELED; /* to the reader of the page: no more of it */
        }
    }
    l->stopped = false;
    return 0;
}

/* The greatest text that is below every name of a key >= start: its digits with the last one lowered and "~", which is
 * above all digits; a last digit of 0 is left out, for names are of even length. start of size 0: before all. */
static void list_begin(list_run *l, blob_key start)
{
    static const char digits[] = "0123456789abcdef";
    s3_name name;
    char *digit;

    l->prefix_size = strlen(l->s->prefix);
    l->begins = start.size == 0;
    if (l->begins)
        return;
    memcpy(l->last, l->s->prefix, l->prefix_size);
    l->last_size = l->prefix_size;
    blob_key_hex(start, name.text);
    digit = name.text + 2 * start.size - 1;
    if (*digit == '0')
        *digit = '\0';
    else
        *digit = digits[list_nibble(*digit) - 1];
    memcpy(l->last + l->last_size, name.text, strlen(name.text));
    l->last_size += strlen(name.text);
    if (*digit != '\0')
        l->last[l->last_size++] = '~';
}

static void list_query(const list_run *l, s3_text *query)
{
    if (l->token_size > 0) {
        s3_text_add(query, "continuation-token=");
        s3_text_add_encoded(query, l->token, l->token_size, false);
        s3_text_add(query, "&");
    }
    s3_text_add(query, "encoding-type=url&list-type=2&max-keys=1000");
    if (l->prefix_size > 0) {
        s3_text_add(query, "&prefix=");
        s3_text_add_encoded(query, l->s->prefix, l->prefix_size, false);
    }
    if (!l->begins && l->token_size == 0) {
        s3_text_add(query, "&start-after=");
        s3_text_add_encoded(query, l->last, l->last_size, false);
    }
}

/* Asks for a page into *answer; NULL: an empty one. */
static int list_ask(list_run *l, blob **answer)
{
    s3_call c = {.method = "GET", .answer_max = LIST_PAGE_MAX};
    s3store *s = l->s;
    s3_text query = {0};
    int rc;

    list_query(l, &query);
    c.query = query.data;
    rc = query.failed ? blob_fail(-ENOMEM, 0, "%s: no memory for a listing", s->where) : s3_call_run(s, l->ctx, &c);
    if (rc == 0 && c.head.status != 200) {
        rc = s3_answer(s, l->ctx, &c);
    } else if (rc == 0) {
        *answer = c.answer;
        c.answer = NULL;
    }
    s3_call_end(&c);
    s3_text_free(&query);
    return rc;
}

/* How the next page is asked for; false: a server that gives no new token for an empty page would send it for ever. */
static bool list_gets_on(list_run *l, const s3_page *page)
{
    bool gets_on = l->seen > 0 || (page->token_size > 0 && (page->token_size != l->token_size ||
                                                            memcmp(page->token, l->token, l->token_size) != 0));

    l->token_size = l->seen > 0 ? 0 : page->token_size;
    memcpy(l->token, page->token, l->token_size);
    return gets_on;
}

static int list_page(list_run *l, bool *more)
{
    s3_page page = {.entry = list_entry, .arg = l};
    blob *answer = NULL;
    int rc = list_ask(l, &answer);

    *more = false;
    if (rc != 0)
        return rc;
    l->seen = 0;
    rc = s3_xml_list(answer != NULL ? blob_view_of(answer->data, answer->size) : blob_view_of(NULL, 0), &page);
    blob_unref(answer);
    if (l->stopped)
        return l->status;
    if (rc != 0)
        return blob_fail(-EIO, 0, "%s: an answer to a listing that is none, or not whole", l->s->where);
    if (page.truncated && !list_gets_on(l, &page))
        return blob_fail(-EIO, 0, "%s: a listing that does not get on", l->s->where);
    *more = page.truncated;
    return 0;
}

int s3_list(blob_store *store, blob_ctx *ctx, blob_key start, blob_list_fn *fn, void *arg)
{
    list_run l = {.s = s3_of(store), .ctx = ctx, .fn = fn, .arg = arg};
    bool more;
    int rc;

    list_begin(&l, start);
    do
        rc = list_page(&l, &more);
    while (rc == 0 && more);
    return rc;
}

static int list_count(void *arg, blob_key key, uint64_t size)
{
    (void)key;
    (void)size;
    ++*(uint64_t *)arg;
    return 0;
}

int s3_len(blob_store *store, blob_ctx *ctx, uint64_t *out)
{
    return s3_list(store, ctx, blob_key_of(NULL, 0), list_count, out);
}
