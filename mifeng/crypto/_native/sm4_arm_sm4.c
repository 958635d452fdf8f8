/* SM4-GCM on AArch64 with the SM4 instructions (FEAT_SM4: Neoverse N2 and V2, Kunpeng 920).
 *
 * SM4E does four rounds on one block, SM4EKEY gives four round keys; sixteen blocks side by side
 * hide their latency. Clang gives the intrinsics to single functions from version 16. */
#if defined(__aarch64__) && (!defined(__clang__) || __clang_major__ >= 16)
#include "target.h"

#ifdef __clang__
MIFENG_TARGET("aes,sm4")
#else
MIFENG_TARGET("arch=armv8.2-a+crypto+sm4")
#endif

#include <arm_neon.h>

#include "core.h"

typedef uint8x16_t V;
#define V_BYTES 16 /* blocks computed together */
#define V_LOAD(p) vld1q_u8(p)
#define V_STORE(p, x) vst1q_u8(p, x)

#include "ghash_arm.h"

#define POWERS 16
#include "ghash_clmul.h"

enum { BATCH = V_BYTES * 16 };
#define STREAMS 1

struct context {
    uint32x4_t round_keys[8];
    struct ghash_powers powers;
};

struct nonce_words {
    uint32x4_t words; /* counter 0 */
};

ALWAYS_INLINE void slice_nonce(struct nonce_words *n, const uint8_t nonce[12])
{
    uint8_t block[16] = {0};
    memcpy(block, nonce, 12);
    n->words = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block)));
}

/* GB/T 32907-2016, 7.3; CK_i is the bytes 4i+j times 7. */
static void init_cipher(struct context *c, const uint8_t key[16])
{
    static const uint32_t fk[4] = {0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc};
    uint32x4_t k = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(key))) ^ vld1q_u32(fk);
    for (int i = 0; i < 8; i++) {
        uint32_t ck[4] = {0};
        for (int j = 0; j < 16; j++)
            ck[j / 4] = ck[j / 4] << 8 | (uint32_t)((16 * i + j) * 7 & 0xff);
        k = vsm4ekeyq_u32(k, vld1q_u32(ck));
        c->round_keys[i] = k;
    }
}

ALWAYS_INLINE void keystream(const struct context *c, const struct nonce_words *nonce,
                             uint32_t counter, uint8_t *out, const uint8_t *in, int states,
                             G1 *hash, const uint8_t *absorbed)
{
    uint32x4_t block[V_BYTES];
    struct ghash_sum sum = {G1_ZERO, G1_ZERO, G1_ZERO};
    (void)states;
    for (uint32_t i = 0; i < V_BYTES; i++)
        block[i] = vsetq_lane_u32(counter + i, nonce->words, 3);
    for (int r = 0; r < 8; r++) {
        for (int i = 2 * r; absorbed && i < 2 * r + 2; i++) {
            G x = G_REVERSE(G_LOAD(absorbed + 16 * i));
            ghash_add(&sum, i ? x : x ^ *hash, c->powers.power[i]);
        }
        for (int i = 0; i < V_BYTES; i++)
            block[i] = vsm4eq_u32(block[i], c->round_keys[r]);
    }
    if (absorbed)
        *hash = ghash_finish(&sum);
    for (int i = 0; i < V_BYTES; i++) {
        V x = reverse_bytes(vreinterpretq_u8_u32(block[i])); /* words in reverse, big-endian */
        V_STORE(out + 16 * i, in ? x ^ V_LOAD(in + 16 * i) : x);
    }
}

#include "sm4_gcm.h"

MIFENG_TARGET_END

#include "arm_features.h"

static int usable(void) { return arm_has_sm4(); }

const struct sm4_path sm4_arm_sm4 = {"arm-sm4", usable, sizeof(struct context), init, seal, open};
#elif defined(__aarch64__)
#include "core.h"

static int usable(void) { return 0; }

const struct sm4_path sm4_arm_sm4 = {"arm-sm4", usable, 0, NULL, NULL, NULL};
#else
typedef int not_on_this_architecture;
#endif
