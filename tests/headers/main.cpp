/* main.cpp - a C++ host: the headers have C linkage, and what they define inline may be in many translation units. */
#include <wbstore/wbstore.h>

#include <cstring>

int main()
{
    const wbstore_options options = wbstore_options_default();
    const blob_filestore_options file_options = blob_filestore_options_default();
    unsigned char bytes[2];
    char hex[2 * BLOB_ADDRESS_MAX + 1];
    std::size_t size;
    blob_address address = blob_address();
    blob_ctx *ctx;
    blob *b;

    if (options.struct_size != sizeof options || file_options.struct_size != sizeof file_options)
        return 1;
    if (blob_key_from_hex("c0de", bytes, sizeof bytes, &size) != 0 || size != 2)
        return 2;
    std::memcpy(address.bytes, bytes, size);
    address.size = size;
    blob_key_hex(blob_address_key(&address), hex);
    if (std::strcmp(hex, "c0de") != 0)
        return 3;
    if (blob_new_copy(&b, "host", 4) != 0 || b->size != 4)
        return 4;
    blob_unref(b);
    if (blob_ctx_new(&ctx, NULL) != 0)
        return 5;
    blob_ctx_free(ctx);
    return blob_store_close(NULL, NULL) == 0 || std::strlen(wbstore_version()) == 0;
}
