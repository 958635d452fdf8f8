/* The field in C11 with 128-bit products: every processor, and the one to read. */
#ifndef MIFENG_SM2_FIELD_PORTABLE_H
#define MIFENG_SM2_FIELD_PORTABLE_H

#include "sm2_field.h"

static inline void fe_add(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    uint64_t sum[4];
    uint64_t carry = sm2_add256(sum, a->v, b->v);
    sm2_reduce_once(r->v, carry, sum, sm2_fe_p.v);
}

static inline void fe_sub(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    uint64_t less[4];
    uint64_t mask = 0 - sm2_sub256(less, a->v, b->v);
    __asm__("" : "+r"(mask));
    const uint64_t p[4] = {mask, mask & SM2_P1, mask, mask & SM2_P3};
    sm2_add256(r->v, less, p);
}

/* Montgomery's reduction of an eight-limb product. As p = -1 modulo 2^64, the multiple of p that
 * clears the lowest limb m is m itself, and (m + m*p) / 2^64 = m * (2^192 - 2^160 - 2^32 + 1) takes
 * two shifts and no multiplication. (Gueron and Krasnov, "Fast prime field elliptic-curve
 * cryptography with 256-bit primes", 2015, for P-256; the SM2 prime has the same property.)
 *
 * The four low limbs are folded by themselves: after each step they are a value below 2^256 again,
 * and after four they are at most p, so only one addition to the high half carries. */
#define SM2_FOLD(t0, t1, t2, t3)                                                                   \
    do {                                                                                           \
        const uint64_t m = t0, up = m << 32, down = m >> 32;                                       \
        sm2_u128 sum = (sm2_u128)t1 + m;                                                           \
        t1 = (uint64_t)sum;                                                                        \
        sum = (sm2_u128)t2 + (uint64_t)(sum >> 64);                                                \
        t2 = (uint64_t)sum;                                                                        \
        sum = (sm2_u128)t3 + (uint64_t)(sum >> 64);                                                \
        t3 = (uint64_t)sum;                                                                        \
        t0 = m + (uint64_t)(sum >> 64);                                                            \
        sum = (sm2_u128)t1 - up;                                                                   \
        t1 = (uint64_t)sum;                                                                        \
        sum = (sm2_u128)t2 - down - (uint64_t)(sum >> 127);                                        \
        t2 = (uint64_t)sum;                                                                        \
        sum = (sm2_u128)t3 - up - (uint64_t)(sum >> 127);                                          \
        t3 = (uint64_t)sum;                                                                        \
        t0 -= down + (uint64_t)(sum >> 127);                                                       \
    } while (0)

static inline void fe_reduce(sm2_fe *r, const uint64_t t[8])
{
    uint64_t a[4] = {t[0], t[1], t[2], t[3]};
    SM2_FOLD(a[0], a[1], a[2], a[3]);
    SM2_FOLD(a[1], a[2], a[3], a[0]);
    SM2_FOLD(a[2], a[3], a[0], a[1]);
    SM2_FOLD(a[3], a[0], a[1], a[2]);
    const uint64_t carry = sm2_add256(a, a, t + 4);
    sm2_reduce_once(r->v, carry, a, sm2_fe_p.v);
}

/* (t[4]..t[0]) += a * b; t[4] is new. */
static inline void fe_row(uint64_t t[5], const sm2_fe *a, uint64_t b)
{
    sm2_u128 sum = (sm2_u128)a->v[0] * b + t[0];
    t[0] = (uint64_t)sum;
    sum = (sm2_u128)a->v[1] * b + t[1] + (uint64_t)(sum >> 64);
    t[1] = (uint64_t)sum;
    sum = (sm2_u128)a->v[2] * b + t[2] + (uint64_t)(sum >> 64);
    t[2] = (uint64_t)sum;
    sum = (sm2_u128)a->v[3] * b + t[3] + (uint64_t)(sum >> 64);
    t[3] = (uint64_t)sum;
    t[4] = (uint64_t)(sum >> 64);
}

static __attribute__((noinline)) void fe_mul(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    uint64_t t[8] = {0};
    fe_row(t, a, b->v[0]);
    fe_row(t + 1, a, b->v[1]);
    fe_row(t + 2, a, b->v[2]);
    fe_row(t + 3, a, b->v[3]);
    fe_reduce(r, t);
}

static inline void fe_sqr(sm2_fe *r, const sm2_fe *a) { fe_mul(r, a, a); }

#endif
