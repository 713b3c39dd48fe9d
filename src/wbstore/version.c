/* version.c - which library is linked, for hosts that load it at run time. */
#include <wbstore/wbstore.h>

#define VERSION_TEXT_(n) #n
#define VERSION_TEXT(n) VERSION_TEXT_(n)

const char *wbstore_version(void)
{
    return VERSION_TEXT(WBSTORE_VERSION_MAJOR) "." VERSION_TEXT(WBSTORE_VERSION_MINOR) "." VERSION_TEXT(
        WBSTORE_VERSION_PATCH);
}
