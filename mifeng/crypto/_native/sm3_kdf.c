/* HMAC-SM3 (RFC 2104) and HKDF-SM3 (RFC 5869). */
#include "sm3_kdf.h"

void hmac_sm3_init(struct hmac_sm3 *hmac, const uint8_t *key, size_t size)
{
    uint8_t block[SM3_BLOCK_SIZE] = {0};
    if (size > SM3_BLOCK_SIZE) {
        sm3_init(&hmac->inner);
        sm3_update(&hmac->inner, key, size);
        sm3_final(&hmac->inner, block);
    } else if (size) {
        memcpy(block, key, size);
    }
    for (int i = 0; i < SM3_BLOCK_SIZE; i++)
        block[i] ^= 0x36;
    sm3_init(&hmac->inner);
    sm3_update(&hmac->inner, block, sizeof block);
    for (int i = 0; i < SM3_BLOCK_SIZE; i++)
        block[i] ^= 0x36 ^ 0x5c;
    sm3_init(&hmac->outer);
    sm3_update(&hmac->outer, block, sizeof block);
    wipe(block, sizeof block);
}

void hmac_sm3_final(struct hmac_sm3 *hmac, uint8_t tag[SM3_DIGEST_SIZE])
{
    sm3_final(&hmac->inner, tag);
    sm3_update(&hmac->outer, tag, SM3_DIGEST_SIZE);
    sm3_final(&hmac->outer, tag);
}

void hkdf_sm3_extract(const uint8_t *salt, size_t salt_size, const uint8_t *ikm, size_t ikm_size,
                      uint8_t prk[SM3_DIGEST_SIZE])
{
    struct hmac_sm3 hmac;
    hmac_sm3_init(&hmac, salt, salt_size);
    sm3_update(&hmac.inner, ikm, ikm_size);
    hmac_sm3_final(&hmac, prk);
}

void hkdf_sm3_expand(const uint8_t *prk, size_t prk_size, const uint8_t *info, size_t info_size,
                     uint8_t *out, size_t size)
{
    struct hmac_sm3 keyed, hmac;
    uint8_t t[SM3_DIGEST_SIZE];
    hmac_sm3_init(&keyed, prk, prk_size);
    for (uint8_t counter = 1; size; counter++) {
        size_t n = size < sizeof t ? size : sizeof t;
        hmac = keyed;
        if (counter > 1)
            sm3_update(&hmac.inner, t, sizeof t);
        sm3_update(&hmac.inner, info, info_size);
        sm3_update(&hmac.inner, &counter, 1);
        hmac_sm3_final(&hmac, t);
        memcpy(out, t, n);
        out += n;
        size -= n;
    }
    wipe(&keyed, sizeof keyed);
    wipe(&hmac, sizeof hmac);
    wipe(t, sizeof t);
}
