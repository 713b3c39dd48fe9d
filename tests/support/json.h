/* json.h - is this text one JSON value, by the letter of RFC 8259? */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

bool json_valid(const char *text, size_t size);

#endif
