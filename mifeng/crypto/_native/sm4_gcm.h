/* SM4-GCM over a key stream and carry-less GHASH; what the vector paths have in common.
 *
 * Included after sm4_sliced_keystream.h, or something else that defines
 *   BATCH, V_BYTES        the bytes of a batch; the blocks that are computed together
 *   struct context        with `powers` for GHASH, filled by init_cipher but for `powers`
 *   keystream()           key stream, added to input; with GHASH of a batch on the way
 *
 * While a batch of key stream is computed, GHASH absorbs a batch of ciphertext that is already
 * there: when opening, the one the key stream is for, when sealing, the one before. The two use
 * different units of the processor.
 *
 * A batch begins at a multiple of V_BYTES, so of the first one, which begins at 0, block 0 goes
 * unused, block 1 is the mask of the tag and block 2 the first of the message (SP 800-38D, 7.1).
 */
#ifndef MIFENG_SM4_GCM_H
#define MIFENG_SM4_GCM_H

/* The three kernels. They stay functions of their own so that tests/native/disassembly.py can look
 * at what the compiler made of them. */
#define KERNEL static __attribute__((noinline))

KERNEL void keystream_one(const struct context *c, const struct nonce_words *nonce,
                          uint32_t counter, uint8_t *out)
{
    keystream(c, nonce, counter, out, NULL, 1, NULL, NULL);
}

KERNEL void keystream_batch(const struct context *c, const struct nonce_words *nonce,
                            uint32_t counter, uint8_t *out)
{
    keystream(c, nonce, counter, out, NULL, STREAMS, NULL, NULL);
}

KERNEL void crypt_and_hash_batch(const struct context *c, const struct nonce_words *nonce,
                                 uint32_t counter, uint8_t *out, const uint8_t *in, G1 *hash,
                                 const uint8_t *absorbed)
{
    keystream(c, nonce, counter, out, in, STREAMS, hash, absorbed);
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

/* XOR of at most a batch. */
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

/* Whole batches; the key stream of the first is at `counter`, and `key` has room for one. */
ALWAYS_INLINE G1 whole_batches(const struct context *c, const struct nonce_words *nonce, G1 hash,
                               uint32_t counter, const uint8_t *in, uint8_t *out, size_t batches,
                               uint8_t *key, int opening)
{
    for (size_t i = 0; i < batches; i++) {
        if (opening || i > 0) {
            crypt_and_hash_batch(c, nonce, counter, out, in, &hash, opening ? in : out - BATCH);
        } else {
            keystream_batch(c, nonce, counter, key);
            xor_some(out, in, key, BATCH);
        }
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
    hash = whole_batches(c, &nonce, hash, counter, in, out, batches, key, opening);
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
    init_cipher(c, key);
    slice_nonce(&nonce, zero);
    keystream_one(c, &nonce, 0, blocks);
    ghash_expand(&c->powers, blocks);
    wipe(blocks, sizeof blocks);
}

#endif
