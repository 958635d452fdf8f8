/* The field of sm2_field.h, eight elements at a time, in the vector operations of sm2_lanes.h.
 *
 * A field element is five limbs of 52 bits in Montgomery form with radix 2^260. Where sm2_field.h
 * keeps every element below p, here each has a bound, a small multiple of p that is written next
 * to it. A limb is "carried" if it is in [0, 2^52): products read carried limbs, sums and
 * differences are plain lane-wise and leave limbs that may be larger or negative.
 *
 *   product of a < A*p and b < B*p:  < (A*B/16 + 1)*p, carried, as 2^260/p > 16; A*B <= 64 here
 *   carry(v), 0 <= v < 16*p:         the same value, carried
 *   reduce(v), -64*p <= v < 64*p:    the same residue, below 1.0001*p, carried
 */
#ifndef MIFENG_SM2_LANES_FIELD_H
#define MIFENG_SM2_LANES_FIELD_H

#include "sm2_lanes.h"

typedef struct {
    lanes v[5];
} fe8;

#define MASK52 ((UINT64_C(1) << 52) - 1)

/* p = 2^256 - 2^224 - 2^96 + 2^64 - 1 in limbs of 52 bits; 1 and b in Montgomery form. */
static const uint64_t p52[5] = {UINT64_C(0xfffffffffffff), UINT64_C(0xff00000000fff),
                                UINT64_C(0xfffffffffffff), UINT64_C(0xfffffffffffff),
                                UINT64_C(0xfffffffeffff)};
static const uint64_t one52[5] = {0x10, UINT64_C(0xffffffff0000), 0, 0, 0x100000};
static const uint64_t b52[5] = {UINT64_C(0x30632bc0dd422), UINT64_C(0xb09b537ab70d2),
                                UINT64_C(0xa51c3c71cf379), UINT64_C(0x2c8527981505e),
                                UINT64_C(0x40fe188da20e)};

LANES_INLINE void fe8_all(fe8 *r, const uint64_t limbs[5])
{
    for (int i = 0; i < 5; i++)
        r->v[i] = lanes_all(limbs[i]);
}

LANES_INLINE void fe8_add(fe8 *r, const fe8 *a, const fe8 *b)
{
    for (int i = 0; i < 5; i++)
        r->v[i] = lanes_add(a->v[i], b->v[i]);
}

LANES_INLINE void fe8_sub(fe8 *r, const fe8 *a, const fe8 *b)
{
    for (int i = 0; i < 5; i++)
        r->v[i] = lanes_sub(a->v[i], b->v[i]);
}

LANES_INLINE void fe8_add_multiple_of_p(fe8 *a, unsigned times)
{
    for (int i = 0; i < 5; i++)
        a->v[i] = lanes_add(a->v[i], lanes_all(p52[i] * times));
}

LANES_INLINE void fe8_choose(fe8 *r, lanes_mask m, const fe8 *no, const fe8 *yes)
{
    for (int i = 0; i < 5; i++)
        r->v[i] = lanes_choose(m, no->v[i], yes->v[i]);
}

LANES_INLINE void carry(fe8 *a)
{
    const lanes mask = lanes_all(MASK52);
    for (int i = 0; i < 4; i++) {
        a->v[i + 1] = lanes_add(a->v[i + 1], lanes_right_signed(a->v[i], 52));
        a->v[i] = lanes_and(a->v[i], mask);
    }
}

/* With q the part from 2^256 up, v - q*p = (v mod 2^256) + q*(2^224 + 2^96 - 2^64 + 1). The 64*p
 * make q positive, so that q*2^224 outweighs the carries that q, read before carrying, misses. */
LANES_INLINE void reduce(fe8 *a)
{
    fe8_add_multiple_of_p(a, 64);
    const lanes q = lanes_right_signed(a->v[4], 48);
    a->v[4] = lanes_and(a->v[4], lanes_all((UINT64_C(1) << 48) - 1));
    a->v[0] = lanes_add(a->v[0], q);
    a->v[1] = lanes_add(a->v[1], lanes_sub(lanes_left(q, 44), lanes_left(q, 12)));
    a->v[4] = lanes_add(a->v[4], lanes_left(q, 16));
    carry(a);
}

/* Ten columns to five limbs. As p = -1 modulo 2^52, the multiple of p that clears a column is its
 * low part m, and (p + 1)/2^52 = 2^12 - 2^44 + 2^156*(2^48 - 2^16). The first difference is taken
 * as 2^52 - 2^44 + 2^12, less the 2^52, to have factors that are not negative. */
LANES_INLINE void montgomery(fe8 *r, lanes t[10])
{
    const lanes mask = lanes_all(MASK52);
    const lanes low = lanes_all((UINT64_C(1) << 52) - (UINT64_C(1) << 44) + (1 << 12));
    const lanes high = lanes_all((UINT64_C(1) << 48) - (1 << 16));
#define STEP(i)                                                                                    \
    do {                                                                                           \
        const lanes m = lanes_and(t[i], mask);                                                     \
        t[i + 1] = lanes_add(t[i + 1], lanes_right_signed(t[i], 52));                              \
        t[i + 1] = lanes_multiply_low(t[i + 1], m, low);                                           \
        t[i + 2] = lanes_sub(lanes_multiply_high(t[i + 2], m, low), m);                            \
        t[i + 4] = lanes_multiply_low(t[i + 4], m, high);                                          \
        t[i + 5] = lanes_multiply_high(t[i + 5], m, high);                                         \
    } while (0)
    STEP(0);
    STEP(1);
    STEP(2);
    STEP(3);
    STEP(4);
    for (int i = 0; i < 5; i++)
        r->v[i] = t[5 + i];
    carry(r);
}

#define PRODUCT(i, j)                                                                              \
    t[i + j] = lanes_multiply_low(t[i + j], a->v[i], b->v[j]);                                     \
    t[i + j + 1] = lanes_multiply_high(t[i + j + 1], a->v[i], b->v[j])
#define PRODUCT_ROW(i)                                                                             \
    PRODUCT(i, 0);                                                                                 \
    PRODUCT(i, 1);                                                                                 \
    PRODUCT(i, 2);                                                                                 \
    PRODUCT(i, 3);                                                                                 \
    PRODUCT(i, 4)

LANES_TARGET static __attribute__((noinline)) void fe8_mul(fe8 *r, const fe8 *a, const fe8 *b)
{
    lanes t[10];
    for (int i = 0; i < 10; i++)
        t[i] = lanes_all(0);
    PRODUCT_ROW(0);
    PRODUCT_ROW(1);
    PRODUCT_ROW(2);
    PRODUCT_ROW(3);
    PRODUCT_ROW(4);
    montgomery(r, t);
}

/* The ten mixed products once, doubled, and the five squares. */
LANES_TARGET static __attribute__((noinline)) void fe8_sqr(fe8 *r, const fe8 *a)
{
    const fe8 *b = a;
    lanes t[10];
    for (int i = 0; i < 10; i++)
        t[i] = lanes_all(0);
    PRODUCT(0, 1);
    PRODUCT(0, 2);
    PRODUCT(0, 3);
    PRODUCT(0, 4);
    PRODUCT(1, 2);
    PRODUCT(1, 3);
    PRODUCT(1, 4);
    PRODUCT(2, 3);
    PRODUCT(2, 4);
    PRODUCT(3, 4);
    for (int i = 1; i < 9; i++)
        t[i] = lanes_add(t[i], t[i]);
    PRODUCT(0, 0);
    PRODUCT(1, 1);
    PRODUCT(2, 2);
    PRODUCT(3, 3);
    PRODUCT(4, 4);
    montgomery(r, t);
}

#endif
