/* SM4-GCM on AArch64 with the AES and PMULL instructions: nearly every 64-bit Arm processor.
 * The S-box is that of sm4_avx2_aesni.c: AESE is the inversion, TBL looks the affine maps up. */
#if defined(__aarch64__)
#include "target.h"

MIFENG_TARGET("+crypto")

#include <arm_neon.h>

#include "core.h"
#define SM4_NIBBLE_TABLES
#include "sm4_constants.h"

typedef uint8x16_t V;
typedef uint32_t V_KEY;

ALWAYS_INLINE V map(V x, const uint8_t low[16], const uint8_t high[16])
{
    return vqtbl1q_u8(vld1q_u8(low), x & vdupq_n_u8(15)) ^
           vqtbl1q_u8(vld1q_u8(high), vshrq_n_u8(x, 4));
}

ALWAYS_INLINE void sbox(V t, V *w, V *u)
{
    V s = vqtbl1q_u8(t, vld1q_u8(SM4_UNDO_SHIFT_ROWS));
    s = vaeseq_u8(s, vdupq_n_u8(0));
    V low = s & vdupq_n_u8(15), high = vshrq_n_u8(s, 4);
    *w = vqtbl1q_u8(vld1q_u8(SM4_AES_W_LOW), low) ^ vqtbl1q_u8(vld1q_u8(SM4_AES_W_HIGH), high);
    *u = vqtbl1q_u8(vld1q_u8(SM4_AES_U_LOW), low) ^ vqtbl1q_u8(vld1q_u8(SM4_AES_U_HIGH), high);
}

#define V_BYTES 16
#define V_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define V_ROUND_KEY(p) vreinterpretq_u8_u32(vdupq_n_u32(*(p)))
#define V_SBOX(t, w, u) sbox(t, &(w), &(u))
#define V_TO_FIELD(x) map(x, SM4_TO_FIELD_LOW, SM4_TO_FIELD_HIGH)
#define V_FROM_FIELD(x) map(x, SM4_FROM_FIELD_LOW, SM4_FROM_FIELD_HIGH)
#define ZIP_lo(bits, a, b)                                                                         \
    vreinterpretq_u8_u##bits(                                                                      \
        vzip1q_u##bits(vreinterpretq_u##bits##_u8(a), vreinterpretq_u##bits##_u8(b)))
#define ZIP_hi(bits, a, b)                                                                         \
    vreinterpretq_u8_u##bits(                                                                      \
        vzip2q_u##bits(vreinterpretq_u##bits##_u8(a), vreinterpretq_u##bits##_u8(b)))
#define vreinterpretq_u8_u8(x) (x)
#define V_UNPACK(half, bits, a, b) ZIP_##half(bits, a, b)
#define V_SET1(byte) vdupq_n_u8((uint8_t)(byte))
#define V_LOAD(p) vld1q_u8(p)
#define V_STORE(p, x) vst1q_u8(p, x)

/* The portable schedule, each byte taken to the basis of the rounds and copied four times. */
static void round_keys(uint32_t sliced[32][4], const uint8_t key[16])
{
    uint32_t words[32];
    uint8_t bytes[128];
    sm4_portable_round_keys(words, key);
    memcpy(bytes, words, sizeof bytes);
    for (int i = 0; i < 128; i += 16)
        vst1q_u8(bytes + i, V_TO_FIELD(vld1q_u8(bytes + i)) ^ vdupq_n_u8(SM4_P_CONSTANT));
    for (int i = 0; i < 128; i++)
        sliced[i / 4][i % 4] = 0x01010101u * bytes[i];
    wipe(words, sizeof words);
    wipe(bytes, sizeof bytes);
}

#include "ghash_arm.h"

#define STREAMS 1
#define POWERS 16
#define ROUND_KEYS(sliced, key) round_keys(sliced, key)
#include "sm4_sliced_keystream.h"

#include "sm4_gcm.h"

MIFENG_TARGET_END

#include "arm_features.h"

static int usable(void) { return arm_has_aes_and_pmull(); }

const struct sm4_path sm4_arm_aes = {"arm-aes", usable, sizeof(struct context), init, seal, open};
#else
typedef int not_on_this_architecture;
#endif
