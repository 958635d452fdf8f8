/* HMAC-SM3 and HKDF-SM3 over core.h's hash. */
#ifndef MIFENG_SM3_KDF_H
#define MIFENG_SM3_KDF_H

#include "core.h"

#define HKDF_SM3_MAX (255 * SM3_DIGEST_SIZE)

struct hmac_sm3 {
    struct sm3_state inner, outer;
};

/* The message goes into `inner` by sm3_update; `final` erases both states. */
void hmac_sm3_init(struct hmac_sm3 *hmac, const uint8_t *key, size_t size);
void hmac_sm3_final(struct hmac_sm3 *hmac, uint8_t tag[SM3_DIGEST_SIZE]);

void hkdf_sm3_extract(const uint8_t *salt, size_t salt_size, const uint8_t *ikm, size_t ikm_size,
                      uint8_t prk[SM3_DIGEST_SIZE]);
/* At most HKDF_SM3_MAX bytes. */
void hkdf_sm3_expand(const uint8_t *prk, size_t prk_size, const uint8_t *info, size_t info_size,
                     uint8_t *out, size_t size);

#endif
