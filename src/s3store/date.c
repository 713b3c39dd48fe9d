/* date.c - dates as HTTP and S3 write them.
 *
 * The calendar is counted here: what libc has for it reads the time zone from the environment, and takes a lock. */
#include "s3store/net.h"

typedef struct date_cursor {
    const char *at, *end;
    bool failed;
} date_cursor;

static void date_skip(date_cursor *c, const char *text)
{
    for (; *text != '\0'; text++) {
        if (c->at == c->end || *c->at != *text)
            c->failed = true;
        else
            c->at++;
    }
}

/* Letters, at least three: a name of a day, whatever it is. How many? */
static unsigned date_skip_name(date_cursor *c)
{
    unsigned letters = 0;

    while (c->at < c->end && ((*c->at >= 'A' && *c->at <= 'Z') || (*c->at >= 'a' && *c->at <= 'z'))) {
        c->at++;
        letters++;
    }
    if (letters < 3)
        c->failed = true;
    return letters;
}

static unsigned date_digits(date_cursor *c, unsigned count)
{
    unsigned n = 0;

    for (; count > 0; count--) {
        if (c->at == c->end || (*c->at < '0' || *c->at > '9')) {
            c->failed = true;
            return 0;
        }
        n = n * 10 + (unsigned)(*c->at++ - '0');
    }
    return n;
}

static unsigned date_month(date_cursor *c)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    for (unsigned month = 0; c->end - c->at >= 3 && month < 12; month++) {
        const char *name = names + (size_t)3 * month;

        if ((c->at[0] | 32) == name[0] && (c->at[1] | 32) == name[1] && (c->at[2] | 32) == name[2]) {
            c->at += 3;
            return month + 1;
        }
    }
    c->failed = true;
    return 0;
}

typedef struct date_time {
    unsigned hour, minute, second;
} date_time;

static date_time date_clock(date_cursor *c)
{
    date_time t = {0};

    t.hour = date_digits(c, 2);
    date_skip(c, ":");
    t.minute = date_digits(c, 2);
    date_skip(c, ":");
    t.second = date_digits(c, 2);
    return t;
}

int64_t s3_utc(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute, unsigned second)
{
    static const unsigned before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    const unsigned past = year - 1;
    int64_t days;

    if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60)
        return -1;
    if (day > before[month] - before[month - 1] + (leap && month == 2))
        return -1;
    days = (int64_t)365 * (year - 1970) + (past / 4 - past / 100 + past / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    days += before[month - 1] + (leap && month > 2) + day - 1;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

int64_t s3_http_date(const char *text, size_t size)
{
    date_cursor c = {text, text + size, false};
    unsigned day, month, year, letters = date_skip_name(&c);
    date_time t;

    if (!c.failed && c.at < c.end && *c.at == ' ') { /* Sun Nov  6 08:49:37 1994 */
        date_skip(&c, " ");
        month = date_month(&c);
        date_skip(&c, " ");
        if (c.at < c.end && *c.at == ' ') {
            date_skip(&c, " ");
            day = date_digits(&c, 1);
        } else {
            day = date_digits(&c, 2);
        }
        date_skip(&c, " ");
        t = date_clock(&c);
        date_skip(&c, " ");
        year = date_digits(&c, 4);
    } else { /* Sun, 06 Nov 1994 08:49:37 GMT, or Sunday, 06-Nov-94 08:49:37 GMT */
        const char *between = letters == 3 ? " " : "-";

        date_skip(&c, ", ");
        day = date_digits(&c, 2);
        date_skip(&c, between);
        month = date_month(&c);
        date_skip(&c, between);
        year = date_digits(&c, letters == 3 ? 4 : 2);
        if (letters != 3)
            year += year < 70 ? 2000 : 1900;
        date_skip(&c, " ");
        t = date_clock(&c);
        date_skip(&c, " GMT");
    }
    return c.failed || c.at != c.end ? -1 : s3_utc(year, month, day, t.hour, t.minute, t.second);
}

int64_t s3_iso_date(const char *text, size_t size)
{
    date_cursor c = {text, text + size, false};
    unsigned year = date_digits(&c, 4), month, day;
    date_time t;

    date_skip(&c, "-");
    month = date_digits(&c, 2);
    date_skip(&c, "-");
    day = date_digits(&c, 2);
    date_skip(&c, "T");
    t = date_clock(&c);
    if (c.at < c.end && *c.at == '.')
        do
            c.at++;
        while (c.at < c.end && *c.at >= '0' && *c.at <= '9');
    date_skip(&c, "Z");
    return c.failed || c.at != c.end ? -1 : s3_utc(year, month, day, t.hour, t.minute, t.second);
}
