/* options.h - for constructors: taking an options struct of any age. */
#ifndef WB_OPTIONS_H
#define WB_OPTIONS_H

#include <stddef.h>

/* Copies the caller's options over to, which holds the defaults. A shorter struct (an older caller's) leaves the rest
 * at the defaults; a longer one (a newer caller's) is -EINVAL where it asks for something unknown here, or has no
 * struct_size. from_size: what its struct_size says. */
int wb_options_copy(void *to, size_t to_size, const void *from, size_t from_size);

#endif
