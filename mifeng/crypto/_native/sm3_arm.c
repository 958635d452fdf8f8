/* SM3 on AArch64's Advanced SIMD, which every AArch64 processor has: four messages at once. */
#if defined(__aarch64__)
#include <arm_neon.h>

#include "target.h"

typedef uint32x4_t V;
#define LANES 4
#define V_ADD(a, b) vaddq_u32(a, b)
#define V_ROTL(x, n) vsriq_n_u32(vshlq_n_u32(x, n), x, 32 - (n))
#define V_SET1(word) vdupq_n_u32(word)
#define V_STORE(p, x) vst1q_u32(p, x)
#define V_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define V_MAJORITY(a, b, c) vbslq_u32((a) ^ (b), c, a)
#define V_CHOOSE(a, b, c) vbslq_u32(a, b, c)

ALWAYS_INLINE void load_words(V w[16], const unsigned char *const *blocks)
{
    for (int k = 0; k < 16; k += 4) {
        V a[4];
        for (int i = 0; i < 4; i++)
            a[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(blocks[i] + 4 * k)));
        uint32x4x2_t x = vtrnq_u32(a[0], a[1]), y = vtrnq_u32(a[2], a[3]);
        w[k] = vcombine_u32(vget_low_u32(x.val[0]), vget_low_u32(y.val[0]));
        w[k + 1] = vcombine_u32(vget_low_u32(x.val[1]), vget_low_u32(y.val[1]));
        w[k + 2] = vcombine_u32(vget_high_u32(x.val[0]), vget_high_u32(y.val[0]));
        w[k + 3] = vcombine_u32(vget_high_u32(x.val[1]), vget_high_u32(y.val[1]));
    }
}

#include "sm3_lanes.h"

static int usable(void) { return 1; }

const struct sm3_path sm3_arm = {
    "portable", "neon, 4 lanes", "arm", usable, sm3_compress_portable, LANES, digest_lanes};
#else
typedef int not_on_this_architecture;
#endif
