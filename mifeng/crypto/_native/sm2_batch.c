/* Many SM2 operations in one call. */
#include "sm2_batch.h"

int sm2_batch_choose(const char *name) { return sm2_curve_choose(name); }

int sm2_lanes_active(void) { return 0; }

int sm2_sign_batch(uint8_t (*signatures)[64], const sm2_private *key, const uint8_t (*es)[32],
                   size_t count)
{
    uint8_t fresh[32];
    for (size_t i = 0; i < count; i++) {
        if (sm2_random(fresh, sizeof fresh))
            return -1;
        sm2_sign(signatures[i], key, es[i], fresh);
    }
    wipe(fresh, sizeof fresh);
    return 0;
}

void sm2_verify_batch(sm2_verification *work, size_t count)
{
    for (size_t i = 0; i < count; i++)
        work[i].valid = work[i].signature && !sm2_verify(work[i].key, work[i].e, work[i].signature);
}

int sm2_encrypt_batch(sm2_encryption *work, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (sm2_encrypt(work[i].out, work[i].key, work[i].message, work[i].size))
            return -1;
    return 0;
}

void sm2_decrypt_batch(sm2_decryption *work, const sm2_private *key, size_t count)
{
    for (size_t i = 0; i < count; i++)
        work[i].valid = work[i].size && !sm2_decrypt(work[i].out, key, work[i].ciphertext,
                                                     work[i].size);
}
