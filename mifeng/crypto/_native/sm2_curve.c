/* Which implementation of the group is used, and what all of them share. */
#include "sm2_curve.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

sm2_comb sm2_base_comb;
const struct sm2_curve *sm2_curve = &sm2_curve_portable;

#if defined(__x86_64__)
/* ADX by CPUID leaf 7 itself: clang's __builtin_cpu_supports does not know the name. Valgrind runs
 * the instructions and does not announce them. */
static int has_adx(void)
{
#if defined(MIFENG_CTGRIND)
    return 1;
#else
    unsigned a, b, c, d;
    __builtin_cpu_init();
    return __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_ADX);
#endif
}
#endif

static const struct sm2_curve *find(const char *name)
{
    const int automatic = strcmp(name, "auto") == 0 || strcmp(name, "single") == 0;
#if defined(__x86_64__)
    if (has_adx() && (automatic || strcmp(name, "adx") == 0))
        return &sm2_curve_adx;
#endif
    return automatic || strcmp(name, "portable") == 0 ? &sm2_curve_portable : NULL;
}

int sm2_curve_choose(const char *name)
{
    const sm2_affine base = {sm2_fe_gx, sm2_fe_gy};
    const struct sm2_curve *chosen = find(name);
    if (!chosen)
        return -1;
    sm2_curve = chosen;
    sm2_curve->comb(sm2_base_comb, &base);
    return 0;
}

uint64_t sm2_fe_from_bytes(sm2_fe *r, const uint8_t bytes[32])
{
    uint64_t less[4];
    sm2_load256(r->v, bytes);
    const uint64_t below = 0 - sm2_sub256(less, r->v, sm2_fe_p.v);
    sm2_curve->fe_mul(r, r, &sm2_fe_rr);
    return below;
}

void sm2_fe_to_bytes(uint8_t bytes[32], const sm2_fe *a)
{
    static const sm2_fe unit = {{1, 0, 0, 0}};
    sm2_fe plain;
    sm2_curve->fe_mul(&plain, a, &unit);
    sm2_store256(bytes, plain.v);
}
