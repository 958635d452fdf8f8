/* Many SM2 operations in one call. Where the processor has AVX-512 IFMA, eight run side by side. */
#ifndef MIFENG_SM2_BATCH_H
#define MIFENG_SM2_BATCH_H

#include "sm2.h"
#include "sm2_lanes_curve.h"

typedef struct {
    const sm2_public *key;
    const uint8_t *signature; /* 64 bytes, or NULL for what is not even that long */
    const uint8_t *e;         /* 32 bytes */
    int valid;                /* written */
} sm2_verification;

typedef struct {
    const sm2_public *key;
    const uint8_t *message;
    size_t size;  /* at least 1 */
    uint8_t *out; /* SM2_OVERHEAD + size bytes, written */
} sm2_encryption;

typedef struct {
    const uint8_t *ciphertext; /* SM2_OVERHEAD + size bytes */
    size_t size;               /* of the plaintext; 0 for what is too short to be a ciphertext */
    uint8_t *out;              /* size bytes, written; zero if not valid */
    int valid;                 /* written */
} sm2_decryption;

/* "auto", "ifma" (eight side by side), "single" (the best one by one), "adx" or "portable": 0, or
 * -1 if this processor has no such path. */
int sm2_batch_choose(const char *name);
int sm2_lanes_active(void);
/* G's comb for sm2_lanes_comb_mul, where lanes are active. */
const sm2_lanes_comb *sm2_lanes_base(void);

/* 0, or -1 if the system gives no randomness. */
int sm2_sign_batch(uint8_t (*signatures)[64], const sm2_private *key, const uint8_t (*es)[32],
                   size_t count);
/* What it draws: for each of up to eight digests the first candidate of sm2_nonces_start and
 * sm2_nonces_next. */
void sm2_batch_nonces(sm2_scalar *k, const sm2_private *key, const uint8_t (*es)[32],
                      const uint8_t (*fresh)[32], size_t count);
void sm2_verify_batch(sm2_verification *work, size_t count);
int sm2_encrypt_batch(sm2_encryption *work, size_t count);
void sm2_decrypt_batch(sm2_decryption *work, const sm2_private *key, size_t count);

#endif
