/* Every code path this processor has, against the standards' examples and against reference.h.
 *
 *   test_core [path]      one path, or all that run here; prints what it did, exits 0 or 1
 *   MIFENG_BRIEF=1        fewer and shorter messages, for emulated processors
 *   MIFENG_LONG=1         also a message of 256 MiB + 5, so that the counter carries into its
 *                         highest byte
 */
#include "core.h"
#include "reference.h"

static uint64_t seed = 0x9e3779b97f4a7c15;
static int failures;

static uint64_t random64(void) /* xorshift64*: reproducible, nothing more is asked of it */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1d;
}

static void fill(uint8_t *p, size_t n)
{
    while (n--)
        *p++ = (uint8_t)(random64() >> 56);
}

static void check(int good, const char *what, const char *path, size_t a, size_t b)
{
    if (!good && failures++ < 20)
        printf("FAILED %s: %s (%zu, %zu)\n", path, what, a, b);
}

static void *new_context(const struct sm4_path *path, const uint8_t key[16])
{
    void *context = NULL;
    if (posix_memalign(&context, SM4_CONTEXT_ALIGNMENT, path->context_size))
        abort();
    path->init(context, key);
    return context;
}

static void drop_context(const struct sm4_path *path, void *context)
{
    wipe(context, path->context_size);
    free(context);
}

/* RFC 8998, A.1; and GB/T 32907-2016, example 1, for the reference. */
static void examples(const struct sm4_path *path)
{
    static const uint8_t key[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                    0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    static const uint8_t block[16] = {0x68, 0x1e, 0xdf, 0x34, 0xd2, 0x06, 0x96, 0x5e,
                                      0x86, 0xb3, 0xe9, 0x4f, 0x53, 0x6e, 0x42, 0x46};
    static const uint8_t nonce[12] = {0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0xab, 0xcd};
    static const uint8_t aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
    static const uint8_t pattern[8] = {0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0xee, 0xaa};
    static const uint8_t ciphertext[64] = {
        0x17, 0xf3, 0x99, 0xf0, 0x8c, 0x67, 0xd5, 0xee, 0x19, 0xd0, 0xdc, 0x99, 0x69,
        0xc4, 0xbb, 0x7d, 0x5f, 0xd4, 0x6f, 0xd3, 0x75, 0x64, 0x89, 0x06, 0x91, 0x57,
        0xb2, 0x82, 0xbb, 0x20, 0x07, 0x35, 0xd8, 0x27, 0x10, 0xca, 0x5c, 0x22, 0xf0,
        0xcc, 0xfa, 0x7c, 0xbf, 0x93, 0xd4, 0x96, 0xac, 0x15, 0xa5, 0x68, 0x34, 0xcb,
        0xcf, 0x98, 0xc3, 0x97, 0xb4, 0x02, 0x4a, 0x26, 0x91, 0x23, 0x3b, 0x8d};
    static const uint8_t tag[16] = {0x83, 0xde, 0x35, 0x41, 0xe4, 0xc2, 0xb5, 0x81,
                                    0x77, 0xe0, 0x65, 0xa9, 0xbf, 0x7b, 0x62, 0xec};
    uint8_t plain[64], out[64], got[16];
    reference_sm4(key, key, got);
    check(!memcmp(got, block, 16), "GB/T 32907 example 1", "reference", 0, 0);
    for (int i = 0; i < 64; i++)
        plain[i] = pattern[i / 8];
    void *context = new_context(path, key);
    struct sm4_message m = {nonce, aad, sizeof aad, plain, 64, out, got};
    path->seal(context, &m);
    check(!memcmp(out, ciphertext, 64) && !memcmp(got, tag, 16), "RFC 8998 A.1", path->name, 0, 0);
    drop_context(path, context);
}

/* Seals and opens one message; both must be what the reference says. */
static void one_message(const struct sm4_path *path, size_t size, size_t aad_size, size_t from,
                        size_t to, int in_place)
{
    uint8_t key[16], nonce[12], tag[16], expected_tag[16];
    uint8_t *buffer = malloc(2 * (size + 192) + aad_size + 64), *expected = malloc(size + 1);
    uint8_t *in = buffer + from, *aad = buffer + 2 * (size + 192);
    uint8_t *out = in_place ? in : buffer + size + 192 + to;
    uint8_t *plain = malloc(size + 1);
    if (!buffer || !expected || !plain)
        abort();
    fill(key, 16);
    fill(nonce, 12);
    fill(plain, size);
    fill(aad, aad_size);
    memcpy(in, plain, size);
    memset(out + size, 0x5a, 64);
    reference_seal(key, nonce, aad, aad_size, plain, size, expected, expected_tag);
    void *context = new_context(path, key);
    struct sm4_message m = {nonce, aad, aad_size, in, size, out, tag};
    path->seal(context, &m);
    check(!memcmp(out, expected, size), "ciphertext", path->name, size, aad_size);
    check(!memcmp(tag, expected_tag, 16), "tag", path->name, size, aad_size);
    check(out[size] == 0x5a && out[size + 63] == 0x5a, "wrote too far", path->name, size, to);
    memset(tag, 0, 16);
    m.in = out;
    m.out = in_place ? out : in;
    path->open(context, &m);
    check(!memcmp(m.out, plain, size), "plaintext", path->name, size, aad_size);
    check(!memcmp(tag, expected_tag, 16), "tag on opening", path->name, size, aad_size);
    drop_context(path, context);
    free(buffer);
    free(expected);
    free(plain);
}

/* One long message against the portable path, by its tag and its bytes. */
static void long_message(const struct sm4_path *path, const struct sm4_path *portable, size_t size)
{
    uint8_t key[16], nonce[12], tags[3][16];
    uint8_t *in = malloc(size), *out = malloc(size), *other = malloc(size);
    if (!in || !out || !other)
        abort();
    fill(key, 16);
    fill(nonce, 12);
    for (size_t i = 0; i < size; i++)
        in[i] = (uint8_t)(i * 0x9d >> 3);
    void *context = new_context(path, key), *second = new_context(portable, key);
    struct sm4_message m = {nonce, key, 7, in, size, out, tags[0]};
    path->seal(context, &m);
    m.out = other;
    m.tag = tags[1];
    portable->seal(second, &m);
    check(!memcmp(out, other, size) && !memcmp(tags[0], tags[1], 16), "long", path->name, size, 0);
    m.in = m.out = out;
    m.tag = tags[2];
    path->open(context, &m);
    check(!memcmp(out, in, size) && !memcmp(tags[0], tags[2], 16), "long open", path->name, size, 0);
    drop_context(path, context);
    drop_context(portable, second);
    free(in);
    free(out);
    free(other);
}

static void sm4(const struct sm4_path *path, const struct sm4_path *portable)
{
    examples(path);
    if (getenv("MIFENG_BRIEF")) {
        for (size_t size = 0; size <= 4400; size += 1 + size / 7)
            one_message(path, size, size % 200, size % 64, 0, size & 1);
        return;
    }
    for (size_t size = 0; size <= 600; size++)
        one_message(path, size, size % 37, size % 64, size * 7 % 64, size & 1);
    for (size_t size = 601; size <= 4096; size += 1 + random64() % 37)
        one_message(path, size, size % 53, size % 64, size * 5 % 64, size & 1);
    for (size_t aad = 0; aad <= 300; aad++)
        one_message(path, aad % 19, aad, 0, 0, 0);
    for (size_t aad = 1000; aad <= 1100; aad++)
        one_message(path, 33, aad, 3, 5, 0);
    for (size_t from = 0; from < 64; from++)
        one_message(path, 2100 + from, 13, from, 63 - from, 0);
    long_message(path, portable, 70000);
    long_message(path, portable, (1 << 20) + 4096 + 11);
    if (getenv("MIFENG_LONG"))
        long_message(path, portable, ((size_t)1 << 28) + 5);
}

static void sm3(const struct sm3_path *path)
{
    static uint8_t data[SM3_MAX_LANES * 5000];
    uint8_t expected[32], digest[SM3_MAX_LANES][32];
    fill(data, sizeof data);
    for (size_t size = 0; size <= 1000; size++) {
        struct sm3_state state;
        sm3_init(&state);
        sm3_update(&state, data, size / 3);
        sm3_update(&state, data + size / 3, size - size / 3);
        sm3_final(&state, digest[0]);
        reference_sm3(data, size, expected);
        check(!memcmp(digest[0], expected, 32), "SM3", path->name, size, 0);
    }
    for (size_t size = 0; path->lanes && size <= 4200; size += size < 260 ? 1 : 13) {
        const uint8_t *message[SM3_MAX_LANES];
        for (int i = 0; i < path->lanes; i++)
            message[i] = data + 4999 * i;
        path->digest_lanes(message, size, digest);
        for (int i = 0; i < path->lanes; i++) {
            reference_sm3(message[i], size, expected);
            check(!memcmp(digest[i], expected, 32), "lanes", path->lanes_name, size, (size_t)i);
        }
    }
}

int main(int argc, char **argv)
{
    const struct sm4_path *const *path = mifeng_sm4_paths;
    const struct sm4_path *portable = NULL;
    const char *wanted = argc > 1 ? argv[1] : NULL, *wrong = mifeng_choose_paths(NULL);
    if (wrong) {
        printf("no path: %s\n", wrong);
        return 1;
    }
    for (; *path; path++)
        portable = *path; /* the last */
    reference_prepare();
    int ran = 0;
    for (path = mifeng_sm4_paths; *path; path++) {
        if ((wanted && strcmp(wanted, (*path)->name)) || !(*path)->usable())
            continue;
        printf("sm4 %s\n", (*path)->name);
        fflush(stdout);
        sm4(*path, portable);
        ran++;
    }
    for (const struct sm3_path *const *p = mifeng_sm3_paths; !wanted && *p; p++) {
        if (!(*p)->usable())
            continue;
        printf("sm3 %s; many: %s\n", (*p)->name, (*p)->lanes_name);
        sm3(*p);
    }
    printf("%s\n", failures ? "FAILED" : ran ? "all good" : "nothing to run");
    return failures || !ran;
}
