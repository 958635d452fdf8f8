/* The operations of ghash_clmul.h on AArch64: PMULL, one block at a time. */
#ifndef MIFENG_GHASH_ARM_H
#define MIFENG_GHASH_ARM_H

typedef uint8x16_t G1;
#define G1_ZERO vdupq_n_u8(0)
#define G1_FOLD vreinterpretq_u8_u64(vsetq_lane_u64(0xc200000000000000, vdupq_n_u64(0), 0))
#define G1_HALF(x, i) ((poly64_t)vgetq_lane_u64(vreinterpretq_u64_u8(x), i))
#define G1_MULTIPLY(a, b, halves)                                                                  \
    vreinterpretq_u8_p128(vmull_p64(G1_HALF(a, (halves) & 1), G1_HALF(b, (halves) >> 4)))
#define G1_SWAP(x) vextq_u8(x, x, 8)
#define G1_SHIFT_LEFT(x) vextq_u8(vdupq_n_u8(0), x, 8)
#define G1_SHIFT_RIGHT(x) vextq_u8(x, vdupq_n_u8(0), 8)
#define G1_LOAD(p) vld1q_u8(p)
#define G1_STORE(p, x) vst1q_u8(p, x)

ALWAYS_INLINE uint8x16_t reverse_bytes(uint8x16_t x)
{
    x = vrev64q_u8(x);
    return vextq_u8(x, x, 8);
}
#define G1_REVERSE(x) reverse_bytes(x)

typedef uint8x16_t G;
#define G_LANES 1
#define G_MULTIPLY G1_MULTIPLY
#define G_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define G_LOAD G1_LOAD
#define G_REVERSE G1_REVERSE
#define G_FIRST(x) (x)
#define G_SHIFT_LEFT G1_SHIFT_LEFT
#define G_SHIFT_RIGHT G1_SHIFT_RIGHT
#define G_SUM(x) (x)

#endif
