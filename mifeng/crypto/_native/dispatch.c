/* Which code path runs here: the best the processor has, or the one MIFENG_NATIVE names. */
#include "core.h"

extern const struct sm4_path sm4_avx512_gfni, sm4_avx2_gfni, sm4_avx2_aesni, sm4_sse_aesni;
extern const struct sm4_path sm4_arm_sm4, sm4_arm_aes;
extern const struct sm4_path sm4_portable;
extern const struct sm3_path sm3_avx512, sm3_avx2, sm3_arm;
extern const struct sm3_path sm3_portable;

const struct sm4_path *const mifeng_sm4_paths[] = {
#ifdef __x86_64__
    &sm4_avx512_gfni,
    &sm4_avx2_gfni,
    &sm4_avx2_aesni,
    &sm4_sse_aesni,
#elif defined(__aarch64__)
    &sm4_arm_sm4,
    &sm4_arm_aes,
#endif
    &sm4_portable,
    NULL,
};

const struct sm3_path *const mifeng_sm3_paths[] = {
#ifdef __x86_64__
    &sm3_avx512,
    &sm3_avx2,
#elif defined(__aarch64__)
    &sm3_arm,
#endif
    &sm3_portable,
    NULL,
};

static const struct sm4_path *sm4_chosen = &sm4_portable;
static const struct sm3_path *sm3_chosen = &sm3_portable;

const struct sm4_path *mifeng_sm4_path(void) { return sm4_chosen; }
const struct sm3_path *mifeng_sm3_path(void) { return sm3_chosen; }

/* Of the paths for SM3 the best that runs here; for the sake of tests, none with wider vectors
 * than an SM4 path that was asked for. */
static void choose_sm3(const char *wanted)
{
    for (const struct sm3_path *const *p = mifeng_sm3_paths; *p; p++) {
        if (wanted && (*p)->vector && strncmp(wanted, (*p)->vector, strlen((*p)->vector)))
            continue;
        if ((*p)->usable()) {
            sm3_chosen = *p;
            return;
        }
    }
}

const char *mifeng_choose_paths(const char *wanted)
{
    if (wanted && !*wanted)
        wanted = NULL;
    if (wanted && !strcmp(wanted, "off"))
        return "the native core is switched off";
    for (const struct sm4_path *const *p = mifeng_sm4_paths; *p; p++) {
        if (wanted && strcmp((*p)->name, wanted))
            continue;
        if ((*p)->usable()) {
            sm4_chosen = *p;
            choose_sm3(wanted);
            return NULL;
        }
        if (wanted)
            return "this processor lacks the instructions of the path asked for";
    }
    return "no such path";
}
