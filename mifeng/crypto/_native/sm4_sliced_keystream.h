/* Key stream from byte-sliced rounds, with GHASH woven in.
 *
 * STREAMS independent byte-sliced states go through the rounds together, to fill the time in
 * which one state waits for its own S-boxes; a batch is STREAMS * V_BYTES blocks.
 * ROUND_KEYS(sliced, key) is the key schedule that suits V_KEY.
 */
#ifndef MIFENG_SM4_SLICED_KEYSTREAM_H
#define MIFENG_SM4_SLICED_KEYSTREAM_H

#include "ghash_clmul.h"
#include "sm4_byteslice.h"

enum { BATCH = STREAMS * V_BYTES * 16, PARTS = BATCH / 16 / POWERS, ABSORBED = BATCH / 16 / 8 };

struct context {
    _Alignas(64) V_KEY round_keys[32][4];
    struct ghash_powers powers;
};

static void init_cipher(struct context *c, const uint8_t key[16])
{
    ROUND_KEYS(c->round_keys, key);
}

/* `states` states' worth of key stream to out, added to `in` if that is not NULL. On the way *hash
 * absorbs a batch of blocks if `absorbed` is not NULL. */
ALWAYS_INLINE void keystream(const struct context *c, const struct nonce_words *nonce,
                             uint32_t counter, uint8_t *out, const uint8_t *in, int states,
                             G1 *hash, const uint8_t *absorbed)
{
    struct word w[STREAMS][4];
    for (int s = 0; s < states; s++) {
        for (int i = 0; i < 3; i++)
            w[s][i] = nonce->word[i];
        slice_counter(&w[s][3], counter + (uint32_t)s * V_BYTES);
    }
    for (int part = 0; part < PARTS; part++) {
        struct ghash_sum sum = {0};
        const uint8_t *power = c->powers.power[0];
        const int first = part * 32 / PARTS;
#pragma GCC unroll 8 /* both compilers leave fewer values in memory */
        for (int r = first; r < first + 32 / PARTS; r += 4) {
            for (int i = 0; absorbed && i < ABSORBED; i += G_LANES) {
                G blocks = G_REVERSE(G_LOAD(absorbed));
                if (i == 0 && r == first)
                    blocks ^= G_FIRST(*hash);
                ghash_add(&sum, blocks, power);
                absorbed += 16 * G_LANES;
                power += 16 * G_LANES;
            }
            two_rounds(w, states, 0, 2, &c->round_keys[r]);
            two_rounds(w, states, 2, 0, &c->round_keys[r + 2]);
        }
        if (absorbed)
            *hash = ghash_finish(&sum);
    }
    for (int s = 0; s < states; s++)
        store_blocks(out + s * V_BYTES * 16, in ? in + s * V_BYTES * 16 : NULL, w[s]);
}

#endif
