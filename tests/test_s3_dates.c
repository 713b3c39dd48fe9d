/* Dates as HTTP and S3 write them are read in all their forms, and nothing else is taken for one. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "testutil.h"
#include "s3store/net.h"

#define SIZE(array) (sizeof(array) / sizeof *(array))
#define NOV_6_1994 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, RFC 9110's example */
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

typedef struct dated {
    const char *text;
    int64_t seconds;
} dated;

static const dated http[] = {
    {DATE, NOV_6_1994},
    {"Sunday, 06-Nov-94 08:49:37 GMT", NOV_6_1994},
    {"Sun Nov  6 08:49:37 1994", NOV_6_1994},
    {"Wed Nov 16 08:49:37 1994", NOV_6_1994 + 10 * 86400},
    {"Xxx, 06 nOV 1994 08:49:37 GMT", NOV_6_1994}, /* which day it is called is told by the rest */
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Tuesday, 19-Jan-38 03:14:08 GMT", INT64_C(1) << 31},
    {"Thursday, 01-Jan-70 00:00:01 GMT", 1},
    {"Thursday, 31-Dec-69 23:59:59 GMT", 3155759999},
    {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    {"", -1},
    {"Sun", -1},
    {"Su, 06-Nov-94 08:49:37 GMT", -1},
    {"Su Nov  6 08:49:37 1994", -1},
    {"Su, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:37", -1},
    {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
    {"Sun, 06 Nov 1994 08:49:37 +0000", -1},
    {DATE " ", -1},
    {" " DATE, -1},
    {"Sun 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nox 1994 08:49:37 GMT", -1},
    {"Sun, 06 No", -1},
    {"Sun, 06-Nov-94 08:49:37 GMT", -1},
    {"Sunday, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov 94 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 8:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:49 GMT", -1},
    {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
    {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
    {"Wed, 29 Feb 1995 08:49:37 GMT", -1},
    {"Mon, 29 Feb 2100 08:49:37 GMT", -1},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Sun Nov  6 08:49:37 94", -1},
    {"Sun Nov 6 08:49:37 1994", -1},
    {"Sun Nov  6 08:49:37 1994 GMT", -1},
    {"784111777", -1},
};
static const dated iso[] = {
    {"1994-11-06T08:49:37Z", NOV_6_1994},
    {"1994-11-06T08:49:37.000Z", NOV_6_1994},
    {"1994-11-06T08:49:37.999999999Z", NOV_6_1994},
    {"1970-01-01T00:00:00Z", 0},
    {"1994-11-06T08:49:37", -1},
    {"1994-11-06T08:49:37+00:00", -1},
    {"1994-11-06 08:49:37Z", -1},
    {"1994-11-06T08:49Z", -1},
    {"1994-13-06T08:49:37Z", -1},
    {"1994-00-06T08:49:37Z", -1},
    {"19941106T084937Z", -1},
    {"1994-11-06T08:49:37Zx", -1},
    {"", -1},
};

static void dates_are_read_in_all_their_forms(void **state)
{
    (void)state;
    for (size_t form = 0; form < 2; form++) {
        for (size_t i = 0; i < (form == 0 ? SIZE(http) : SIZE(iso)); i++) {
            const char *text = form == 0 ? http[i].text : iso[i].text;
            int64_t want = form == 0 ? http[i].seconds : iso[i].seconds, got;
            char *exact = malloc(strlen(text) + 1);

            assert_non_null(exact);
            memcpy(exact + 1, text, strlen(text)); /* no zero at its end */
            got = (form == 0 ? s3_http_date : s3_iso_date)(exact + 1, strlen(text));
            free(exact);
            if (got != want)
                fail_msg("%lld of \"%s\"", (long long)got, text);
        }
    }
}

static void every_day_is_counted_as_libc_counts_it(void **state)
{
    (void)state;
    for (int64_t second = 0; second < 253402300800; second += 86400 - 7 * (second % 3)) {
        time_t t = (time_t)second;
        struct tm tm;

        assert_non_null(gmtime_r(&t, &tm));
        if (s3_utc((unsigned)tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday, (unsigned)tm.tm_hour,
                   (unsigned)tm.tm_min, (unsigned)tm.tm_sec) != second)
            fail_msg("%lld", (long long)second);
    }
    test_status((int)s3_utc(10000, 1, 1, 0, 0, 0), -1);
    test_status((int)s3_utc(0, 1, 1, 0, 0, 0), -1);
    test_status((int)s3_utc(2000, 0, 1, 0, 0, 0), -1);
    test_status((int)s3_utc(2000, 13, 1, 0, 0, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_read_in_all_their_forms),
        cmocka_unit_test(every_day_is_counted_as_libc_counts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
