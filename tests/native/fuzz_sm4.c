/* libFuzzer harness: bytes become key, nonce, lengths and text; every path must seal alike, open
 * what it sealed, and refuse a tag with one bit changed.
 *
 *   clang -fsanitize=fuzzer,address ... fuzz_sm4.c; ./fuzz_sm4 -max_len=8192
 */
#include "core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 16 + 12 + 3)
        return -1;
    const uint8_t *key = data, *nonce = data + 16;
    size_t rest = size - 31, aad_size = (data[28] | (size_t)data[29] << 8) % (rest + 1);
    const uint8_t *aad = data + 31, *text = aad + aad_size;
    size_t text_size = rest - aad_size;
    uint8_t *first = NULL, first_tag[16];
    for (const struct sm4_path *const *path = mifeng_sm4_paths; *path; path++) {
        uint8_t *out = malloc(text_size + 1), tag[16], again[16];
        void *context = NULL;
        if (!(*path)->usable()) {
            free(out);
            continue;
        }
        if (!out || posix_memalign(&context, SM4_CONTEXT_ALIGNMENT, (*path)->context_size))
            abort();
        (*path)->init(context, key);
        struct sm4_message m = {nonce, aad, aad_size, text, text_size, out, tag};
        (*path)->seal(context, &m);
        if (first && (memcmp(first, out, text_size) || differ16(first_tag, tag)))
            abort();
        if (!first) {
            first = malloc(text_size + 1);
            if (!first)
                abort();
            memcpy(first, out, text_size);
            memcpy(first_tag, tag, 16);
        }
        m.in = out;
        m.tag = again;
        (*path)->open(context, &m);
        if (memcmp(out, text, text_size) || differ16(tag, again))
            abort();
        again[data[30] & 15] ^= (uint8_t)(1 << (data[30] >> 5));
        if (!differ16(tag, again))
            abort();
        free(context);
        free(out);
    }
    free(first);
    return 0;
}
