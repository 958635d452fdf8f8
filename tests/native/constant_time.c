/* Secrets made undefined for valgrind, in the manner of Adam Langley's ctgrind: memcheck then
 * reports every branch on a secret and every address computed from one.
 *
 *   valgrind --error-exitcode=1 constant_time [path]
 *
 * Key, plaintext and ciphertext are secret; nonce, associated data and all lengths are public.
 * Valgrind does not know GFNI or AVX-512: those files are compiled for this test with
 * emulated_intrinsics.h in front, which does the same in plain C.
 */
#include <valgrind/memcheck.h>

#include "core.h"

static uint8_t data[3000], out[3000 + 16], aad[77], nonce[12] = {7};

static void hide(void *p, size_t n) { (void)VALGRIND_MAKE_MEM_UNDEFINED(p, n); }
static void show(void *p, size_t n) { (void)VALGRIND_MAKE_MEM_DEFINED(p, n); }

static void sm4(const struct sm4_path *path)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 64, 200, 255, 500, 992, 1024, 2100, 3000};
    uint8_t key[16] = {1, 2, 3}, tag[16], received[16] = {9};
    void *context = NULL;
    if (posix_memalign(&context, SM4_CONTEXT_ALIGNMENT, path->context_size))
        abort();
    hide(key, sizeof key);
    path->init(context, key);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sm4_message m = {nonce, aad, i * 6, data, sizes[i], out, tag};
        hide(data, sizeof data);
        path->seal(context, &m);
        m.in = out;
        path->open(context, &m);
        int differ = differ16(tag, received); /* that the tag is wrong is public, no more */
        show(&differ, sizeof differ);
        if (!differ)
            abort();
    }
    wipe(context, path->context_size);
    free(context);
}

static void sm3(const struct sm3_path *path)
{
    uint8_t digests[SM3_MAX_LANES][32];
    const uint8_t *message[SM3_MAX_LANES];
    struct sm3_state state;
    hide(data, sizeof data);
    sm3_init(&state);
    sm3_update(&state, data, 777);
    sm3_final(&state, digests[0]);
    for (int i = 0; i < path->lanes; i++)
        message[i] = data + i;
    if (path->lanes)
        path->digest_lanes(message, 700, digests);
}

int main(int argc, char **argv)
{
    int ran = 0;
    if (!RUNNING_ON_VALGRIND) {
        printf("to be run under valgrind\n");
        return 2;
    }
    for (const struct sm4_path *const *p = mifeng_sm4_paths; *p; p++) {
        if ((argc > 1 && strcmp(argv[1], (*p)->name)) || !(*p)->usable())
            continue;
        printf("sm4 %s\n", (*p)->name);
        fflush(stdout);
        sm4(*p);
        ran++;
    }
    for (const struct sm3_path *const *p = mifeng_sm3_paths; *p; p++) {
        if (!(*p)->usable())
            continue;
        printf("sm3 %s; many: %s\n", (*p)->name, (*p)->lanes_name);
        fflush(stdout);
        sm3(*p);
    }
    return ran ? 0 : 2;
}
