/* SM2 public-key encryption, GB/T 32918.4-2016, as C1 || C3 || C2 of the current edition.
 * Step numbers are the standard's (A: 6.1, B: 7.1). */
#include "sm2.h"

int sm2_encrypt_finish(uint8_t *out, const sm2_scalar *k, const uint8_t c1[64],
                       const uint8_t xy[64], const uint8_t *message, size_t size)
{
    uint64_t less[4];
    uint64_t good = ~sm2_scalar_zero_mask(k) & (0 - sm2_sub256(less, k->v, sm2_order.v));
    wipe(less, sizeof less);
    out[0] = 4;
    memcpy(out + 1, c1, 64);
    /* A5, A6: C2 = M ^ KDF(x2 || y2), again with another k if the stream is zero. A7: C3 */
    good &= sm2_kdf_xor(out + SM2_OVERHEAD, xy, message, size);
    sm2_c3(out + 65, xy, message, size);
    SM2_NOW_PUBLIC(&good, sizeof good);
    if (!good) {
        wipe(out, SM2_OVERHEAD + size); /* the message is in clear there */
        return -1;
    }
    SM2_NOW_PUBLIC(out, SM2_OVERHEAD + size);
    return 0;
}

int sm2_encrypt_with_nonce(uint8_t *out, const sm2_public *key, const uint8_t *message, size_t size,
                           const sm2_scalar *k)
{
    sm2_point points[2];
    uint8_t xy[2][64];
    /* A2: C1 = k*G. A3: h*P is P, and not infinity: checked when the key was read. A4: k*P */
    sm2_curve->base_mul(&points[0], k->v);
    sm2_curve->point_mul(&points[1], &key->point, k->v);
    sm2_points_to_bytes(xy, points, 2);
    const int failed = sm2_encrypt_finish(out, k, xy[0], xy[1], message, size);
    wipe(points, sizeof points);
    wipe(xy, sizeof xy);
    return failed;
}

int sm2_encrypt(uint8_t *out, const sm2_public *key, const uint8_t *message, size_t size)
{
    sm2_scalar k;
    int failed;
    do {
        if (sm2_random_scalars(&k, 1))
            return -1;
        failed = sm2_encrypt_with_nonce(out, key, message, size, &k);
    } while (failed);
    wipe(&k, sizeof k);
    sm2_burn_stack(SM2_SINGLE_PAGES);
    return 0;
}

int sm2_decrypt_finish(uint8_t *out, const uint8_t xy[64], const uint8_t *ciphertext, size_t size)
{
    uint8_t c3[32], differ = 0;
    /* B4, B5, B6 without an early end: one failure, at one time */
    const uint64_t stream = sm2_kdf_xor(out, xy, ciphertext + SM2_OVERHEAD, size);
    sm2_c3(c3, xy, out, size);
    for (int i = 0; i < 32; i++)
        differ |= c3[i] ^ ciphertext[65 + i];
    uint64_t good = stream & sm2_mask_zero(differ);
    SM2_NOW_PUBLIC(&good, sizeof good);
    wipe(c3, sizeof c3);
    if (!good) {
        wipe(out, size);
        return -1;
    }
    return 0;
}

int sm2_decrypt(uint8_t *out, const sm2_private *key, const uint8_t *ciphertext, size_t size)
{
    sm2_affine c1;
    sm2_point shared;
    uint8_t xy[64];
    /* B1, B2: C1 is a point of the curve, and with cofactor 1 of the group */
    if (ciphertext[0] != 4 || sm2_point_from_bytes(&c1, ciphertext + 1)) {
        wipe(out, size);
        return -1;
    }
    /* B3: d*C1. Not at infinity, as 0 < d < n. */
    sm2_curve->point_mul(&shared, &c1, key->d.v);
    sm2_points_to_bytes(&xy, &shared, 1);
    const int failed = sm2_decrypt_finish(out, xy, ciphertext, size);
    wipe(&shared, sizeof shared);
    wipe(xy, sizeof xy);
    sm2_burn_stack(SM2_SINGLE_PAGES);
    return failed;
}
