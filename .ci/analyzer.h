/* analyzer.h - what clang-tidy's analyzer, which sees one source file at a time, has to be told: blob_fail returns the
 * status it is given. Without that every failed check seems to fall through to the pointer that it checked.
 * .ci/run puts this file before each source; no build does. */
#include <wbstore/blob.h>

#define blob_fail(status, ...) ((void)(blob_fail)((status), __VA_ARGS__), (status))
