/* What SM2 hashes with SM3: identities, messages, key streams, nonces. */
#include "sm2.h"

void sm2_za(uint8_t za[32], const sm2_public *key, const uint8_t *uid, size_t uid_size)
{
    /* a || b || x_G || y_G, GB/T 32918.5 */
    static const uint8_t curve[128] = {
        0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xfc, 0x28, 0xe9, 0xfa, 0x9e, 0x9d, 0x9f, 0x5e, 0x34, 0x4d, 0x5a, 0x9e, 0x4b, 0xcf,
        0x65, 0x09, 0xa7, 0xf3, 0x97, 0x89, 0xf5, 0x15, 0xab, 0x8f, 0x92, 0xdd, 0xbc, 0xbd, 0x41,
        0x4d, 0x94, 0x0e, 0x93, 0x32, 0xc4, 0xae, 0x2c, 0x1f, 0x19, 0x81, 0x19, 0x5f, 0x99, 0x04,
        0x46, 0x6a, 0x39, 0xc9, 0x94, 0x8f, 0xe3, 0x0b, 0xbf, 0xf2, 0x66, 0x0b, 0xe1, 0x71, 0x5a,
        0x45, 0x89, 0x33, 0x4c, 0x74, 0xc7, 0xbc, 0x37, 0x36, 0xa2, 0xf4, 0xf6, 0x77, 0x9c, 0x59,
        0xbd, 0xce, 0xe3, 0x6b, 0x69, 0x21, 0x53, 0xd0, 0xa9, 0x87, 0x7c, 0xc6, 0x2a, 0x47, 0x40,
        0x02, 0xdf, 0x32, 0xe5, 0x21, 0x39, 0xf0, 0xa0};
    const uint8_t bits[2] = {(uint8_t)(uid_size >> 5), (uint8_t)(uid_size << 3)};
    struct sm3_state hash;
    sm3_init(&hash);
    sm3_update(&hash, bits, sizeof bits);
    sm3_update(&hash, uid, uid_size);
    sm3_update(&hash, curve, sizeof curve);
    sm3_update(&hash, key->bytes + 1, 64);
    sm3_final(&hash, za);
}

void sm2_digest(uint8_t e[32], const uint8_t za[32], const uint8_t *data, size_t size)
{
    struct sm3_state hash;
    sm3_init(&hash);
    sm3_update(&hash, za, 32);
    sm3_update(&hash, data, size);
    sm3_final(&hash, e);
}

/* x || y is one block, so it is compressed once for the whole stream. */
uint64_t sm2_kdf_xor(uint8_t *out, const uint8_t xy[64], const uint8_t *in, size_t size)
{
    struct sm3_state prefix, hash;
    uint8_t counter[4], key[32], any = 0;
    uint32_t block = 0;
    sm3_init(&prefix);
    sm3_update(&prefix, xy, 64);
    while (size) {
        const size_t n = size < sizeof key ? size : sizeof key;
        store32_be(counter, ++block);
        hash = prefix;
        sm3_update(&hash, counter, sizeof counter);
        sm3_final(&hash, key);
        for (size_t i = 0; i < n; i++) {
            any |= key[i];
            *out++ = *in++ ^ key[i];
        }
        size -= n;
    }
    wipe(&prefix, sizeof prefix);
    wipe(key, sizeof key);
    return sm2_mask_nonzero(any);
}

void sm2_c3(uint8_t c3[32], const uint8_t xy[64], const uint8_t *message, size_t size)
{
    struct sm3_state hash;
    sm3_init(&hash);
    sm3_update(&hash, xy, 32);
    sm3_update(&hash, message, size);
    sm3_update(&hash, xy + 32, 32);
    sm3_final(&hash, c3);
}

/* ---- nonces ---- */

/* V = HMAC(K, V) */
static void step(sm2_nonces *state)
{
    struct hmac_sm3 hmac = state->keyed;
    sm3_update(&hmac.inner, state->v, 32);
    hmac_sm3_final(&hmac, state->v);
}

/* K = HMAC(K, V || separator || seed), V = HMAC(K, V) */
static void mix(sm2_nonces *state, uint8_t separator, const uint8_t *seed, size_t size)
{
    uint8_t key[32];
    sm3_update(&state->keyed.inner, state->v, 32);
    sm3_update(&state->keyed.inner, &separator, 1);
    sm3_update(&state->keyed.inner, seed, size);
    hmac_sm3_final(&state->keyed, key);
    hmac_sm3_init(&state->keyed, key, sizeof key);
    step(state);
    wipe(key, sizeof key);
}

void sm2_nonces_seed(uint8_t seed[96], const sm2_scalar *d, const uint8_t e[32],
                     const uint8_t fresh[32])
{
    sm2_scalar reduced;
    sm2_load256(reduced.v, e);
    sm2_scalar_reduce(&reduced, &reduced);
    sm2_scalar_to_bytes(seed, d);
    sm2_scalar_to_bytes(seed + 32, &reduced);
    memcpy(seed + 64, fresh, 32);
}

void sm2_nonces_start(sm2_nonces *state, const sm2_scalar *d, const uint8_t e[32],
                      const uint8_t fresh[32])
{
    static const uint8_t zeros[32];
    uint8_t seed[96];
    sm2_nonces_seed(seed, d, e, fresh);
    hmac_sm3_init(&state->keyed, zeros, sizeof zeros);
    memset(state->v, 1, 32);
    mix(state, 0, seed, sizeof seed);
    mix(state, 1, seed, sizeof seed);
    wipe(seed, sizeof seed);
}

void sm2_nonces_next(sm2_nonces *state, sm2_scalar *k, int first)
{
    if (!first)
        mix(state, 0, state->v, 0);
    step(state);
    sm2_load256(k->v, state->v);
}
