/* SM4-GCM over byte-sliced rounds and carry-less GHASH; what the vector paths have in common.
 *
 * STREAMS independent byte-sliced states go through the rounds together, to fill the time in
 * which one state waits for its own S-boxes; a batch is STREAMS * V_BYTES blocks. While a batch
 * of key stream is computed, GHASH absorbs a batch of ciphertext that is already there: when
 * opening, the one the key stream is for, when sealing, the one before. The two use different
 * units of the processor.
 *
 * A batch begins at a multiple of V_BYTES, so of the first one, which begins at 0, block 0 goes
 * unused, block 1 is the mask of the tag and block 2 the first of the message (SP 800-38D, 7.1).
 */
#ifndef MIFENG_SM4_WIDE_H
#define MIFENG_SM4_WIDE_H

#include "ghash_clmul.h"
#include "sm4_byteslice.h"

enum { BATCH = STREAMS * V_BYTES * 16, PARTS = BATCH / 16 / POWERS, ABSORBED = BATCH / 16 / 8 };

struct context {
    _Alignas(64) V_KEY round_keys[32][4];
    struct ghash_powers powers;
};

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

static __attribute__((noinline)) void keystream_one(const struct context *c,
                                                    const struct nonce_words *nonce,
                                                    uint32_t counter, uint8_t *out)
{
    keystream(c, nonce, counter, out, NULL, 1, NULL, NULL);
}

static __attribute__((noinline)) void keystream_batch(const struct context *c,
                                                      const struct nonce_words *nonce,
                                                      uint32_t counter, uint8_t *out)
{
    keystream(c, nonce, counter, out, NULL, STREAMS, NULL, NULL);
}

/* At least `blocks` blocks of key stream. */
ALWAYS_INLINE void keystream_for(const struct context *c, const struct nonce_words *nonce,
                                 uint32_t counter, uint8_t *out, size_t blocks)
{
    if (blocks <= V_BYTES)
        keystream_one(c, nonce, counter, out);
    else
        keystream_batch(c, nonce, counter, out);
}

/* XOR of less than a batch. */
ALWAYS_INLINE void xor_some(uint8_t *out, const uint8_t *in, const uint8_t *key, size_t size)
{
    size_t i = 0;
    for (; i + V_BYTES <= size; i += V_BYTES)
        V_STORE(out + i, V_LOAD(in + i) ^ V_LOAD(key + i));
    for (; i + 8 <= size; i += 8) {
        uint64_t a, b;
        memcpy(&a, in + i, 8);
        memcpy(&b, key + i, 8);
        a ^= b;
        memcpy(out + i, &a, 8);
    }
    for (; i < size; i++)
        out[i] = in[i] ^ key[i];
}

/* Whole batches; the key stream of the first is at `counter`. */
ALWAYS_INLINE G1 whole_batches(const struct context *c, const struct nonce_words *nonce, G1 hash,
                               uint32_t counter, const uint8_t *in, uint8_t *out, size_t batches,
                               int opening)
{
    for (size_t i = 0; i < batches; i++) {
        if (!opening && i == 0)
            keystream(c, nonce, counter, out, in, STREAMS, NULL, NULL);
        else
            keystream(c, nonce, counter, out, in, STREAMS, &hash, opening ? in : out - BATCH);
        counter += BATCH / 16;
        in += BATCH;
        out += BATCH;
    }
    if (!opening && batches)
        hash = ghash_bytes(&c->powers, hash, out - BATCH, BATCH);
    return hash;
}

ALWAYS_INLINE void gcm(const struct context *c, const struct sm4_message *m, int opening)
{
    _Alignas(64) uint8_t key[BATCH];
    uint8_t mask[16];
    struct nonce_words nonce;
    const uint8_t *in = m->in;
    uint8_t *out = m->out;
    size_t left = m->size;
    uint32_t counter = BATCH / 16;
    const struct ghash_powers *powers = &c->powers;

    slice_nonce(&nonce, m->nonce);
    keystream_for(c, &nonce, 0, key, left / 16 + 3);
    memcpy(mask, key + 16, 16);
    G1 hash = ghash_bytes(powers, G1_ZERO, m->aad, m->aad_size);

    size_t n = left < BATCH - 32 ? left : BATCH - 32;
    if (opening)
        hash = ghash_bytes(powers, hash, in, n);
    xor_some(out, in, key + 32, n);
    if (!opening)
        hash = ghash_bytes(powers, hash, out, n);
    in += n;
    out += n;
    left -= n;

    size_t batches = left / BATCH;
    hash = whole_batches(c, &nonce, hash, counter, in, out, batches, opening);
    counter += (uint32_t)batches * (BATCH / 16);
    in += batches * BATCH;
    out += batches * BATCH;
    left -= batches * BATCH;
    if (left) {
        keystream_for(c, &nonce, counter, key, (left + 15) / 16);
        if (opening)
            hash = ghash_bytes(powers, hash, in, left);
        xor_some(out, in, key, left);
        if (!opening)
            hash = ghash_bytes(powers, hash, out, left);
    }

    uint8_t block[16 * G_LANES] = {0};
    store64_be(block, (uint64_t)m->aad_size * 8);
    store64_be(block + 8, (uint64_t)m->size * 8);
    hash = ghash_some(powers, hash, block, 1);
    G1_STORE(m->tag, G1_REVERSE(hash) ^ G1_LOAD(mask));
    wipe(key, sizeof key);
    wipe(mask, sizeof mask);
}

static void seal(const void *context, const struct sm4_message *m) { gcm(context, m, 0); }
static void open(const void *context, const struct sm4_message *m) { gcm(context, m, 1); }

static void init(void *context, const uint8_t key[16])
{
    static const uint8_t zero[12];
    struct context *c = context;
    struct nonce_words nonce;
    _Alignas(64) uint8_t blocks[V_BYTES * 16];
    ROUND_KEYS(c->round_keys, key);
    slice_nonce(&nonce, zero);
    keystream_one(c, &nonce, 0, blocks);
    ghash_expand(&c->powers, blocks);
    wipe(blocks, sizeof blocks);
}

#endif
