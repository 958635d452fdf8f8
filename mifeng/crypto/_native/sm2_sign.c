/* SM2 signatures, GB/T 32918.2-2016. Step numbers are the standard's (A: 6.1, B: 7.1). */
#include "sm2.h"

int sm2_sign_finish(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
                    const sm2_scalar *k, const uint8_t x1[32])
{
    sm2_scalar r, s, t, x;
    /* A5: r = e + x1 */
    sm2_load256(x.v, x1);
    sm2_scalar_reduce(&x, &x);
    sm2_load256(r.v, e);
    sm2_scalar_reduce(&r, &r);
    sm2_scalar_add(&r, &r, &x);
    /* A6: s = (k - r*d) / (1 + d) = (k + r) / (1 + d) - r */
    sm2_scalar_add(&t, k, &r);
    sm2_scalar_montmul(&s, &t, &key->inverse);
    sm2_scalar_sub(&s, &s, &r);
    uint64_t bad = sm2_scalar_zero_mask(k) | ~(0 - sm2_sub256(x.v, k->v, sm2_order.v));
    bad |= sm2_scalar_zero_mask(&r) | sm2_scalar_zero_mask(&t) | sm2_scalar_zero_mask(&s);
    SM2_NOW_PUBLIC(&bad, sizeof bad);
    wipe(&t, sizeof t);
    wipe(&x, sizeof x);
    if (bad)
        return -1;
    sm2_scalar_to_bytes(signature, &r);
    sm2_scalar_to_bytes(signature + 32, &s);
    SM2_NOW_PUBLIC(signature, 64);
    return 0;
}

int sm2_sign_with_nonce(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
                        const sm2_scalar *k)
{
    sm2_point point;
    uint8_t xy[64];
    /* A4: (x1, y1) = k*G */
    sm2_curve->base_mul(&point, k->v);
    sm2_points_to_bytes(&xy, &point, 1);
    const int failed = sm2_sign_finish(signature, key, e, k, xy);
    wipe(&point, sizeof point);
    wipe(xy, sizeof xy);
    return failed;
}

void sm2_sign(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
              const uint8_t fresh[32])
{
    sm2_nonces nonces;
    sm2_scalar k;
    int first = 1;
    sm2_nonces_start(&nonces, &key->d, e, fresh);
    do {
        sm2_nonces_next(&nonces, &k, first);
        first = 0;
    } while (sm2_sign_with_nonce(signature, key, e, &k));
    wipe(&nonces, sizeof nonces);
    wipe(&k, sizeof k);
    sm2_burn_stack(SM2_SINGLE_PAGES);
}

/* Whether the point's x is `x`, without a division: X = x * Z. */
static uint64_t has_x(const sm2_point *point, const uint64_t x[4])
{
    uint64_t less[4];
    sm2_fe t;
    if (!sm2_sub256(less, x, sm2_fe_p.v))
        return 0;
    memcpy(t.v, x, sizeof t.v);
    sm2_curve->fe_mul(&t, &t, &sm2_fe_rr);
    sm2_curve->fe_mul(&t, &t, &point->z);
    return sm2_fe_equal_mask(&t, &point->x);
}

int sm2_verify_start(sm2_scalar *s, sm2_scalar *t, const uint8_t signature[64])
{
    sm2_scalar r;
    /* B1, B2: r and s in [1, n - 1] */
    if (!sm2_scalar_from_bytes(&r, signature) || !sm2_scalar_from_bytes(s, signature + 32))
        return -1;
    if (sm2_scalar_zero_mask(&r) || sm2_scalar_zero_mask(s))
        return -1;
    /* B5: t = r + s, not 0 */
    sm2_scalar_add(t, &r, s);
    return sm2_scalar_zero_mask(t) ? -1 : 0;
}

int sm2_verify_finish(const sm2_point *point, const uint8_t e[32], const uint8_t signature[64])
{
    sm2_scalar r, x;
    if (sm2_fe_zero_mask(&point->z))
        return -1;
    /* B7: e + x1 = r mod n, so x1 is r - e or that plus n */
    sm2_load256(r.v, signature);
    sm2_load256(x.v, e);
    sm2_scalar_reduce(&x, &x);
    sm2_scalar_sub(&x, &r, &x);
    if (has_x(point, x.v))
        return 0;
    return !sm2_add256(x.v, x.v, sm2_order.v) && has_x(point, x.v) ? 0 : -1;
}

int sm2_verify(const sm2_public *key, const uint8_t e[32], const uint8_t signature[64])
{
    sm2_scalar s, t;
    sm2_point point;
    if (sm2_verify_start(&s, &t, signature))
        return -1;
    /* B6: (x1, y1) = s*G + t*P */
    sm2_curve->public_double_mul(&point, s.v, &key->point, t.v);
    return sm2_verify_finish(&point, e, signature);
}
