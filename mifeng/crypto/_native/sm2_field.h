/* Arithmetic modulo the SM2 prime p = 2^256 - 2^224 - 2^96 + 2^64 - 1 (GB/T 32918.5): what every
 * implementation of it shares.
 *
 * An element is four 64-bit limbs, least significant first, always in [0, p), and always in
 * Montgomery form: the limbs of `a` hold a * 2^256 mod p. Nothing here branches on a value or
 * indexes memory by one. */
#ifndef MIFENG_SM2_FIELD_H
#define MIFENG_SM2_FIELD_H

#include "core.h"

__extension__ typedef unsigned __int128 sm2_u128;

typedef struct {
    uint64_t v[4];
} sm2_fe;

#define SM2_P1 UINT64_C(0xffffffff00000000) /* limbs 0 and 2 of p are all ones */
#define SM2_P3 UINT64_C(0xfffffffeffffffff)

static const sm2_fe sm2_fe_p = {{UINT64_MAX, SM2_P1, UINT64_MAX, SM2_P3}};
static const sm2_fe sm2_fe_one = {{1, 0xffffffff, 0, UINT64_C(0x100000000)}}; /* 2^256 mod p */
static const sm2_fe sm2_fe_rr = {{UINT64_C(0x0000000200000003), UINT64_C(0x00000002ffffffff),
                                  UINT64_C(0x0000000100000001), UINT64_C(0x0000000400000002)}};
/* The curve's b, and the base point G. */
static const sm2_fe sm2_fe_b = {{UINT64_C(0x90d230632bc0dd42), UINT64_C(0x71cf379ae9b537ab),
                                 UINT64_C(0x527981505ea51c3c), UINT64_C(0x240fe188ba20e2c8)}};
static const sm2_fe sm2_fe_gx = {{UINT64_C(0x61328990f418029e), UINT64_C(0x3e7981eddca6c050),
                                  UINT64_C(0xd6a1ed99ac24c3c3), UINT64_C(0x91167a5ee1c13b05)}};
static const sm2_fe sm2_fe_gy = {{UINT64_C(0xc1354e593c2d0ddd), UINT64_C(0xc1f5e5788d3295fa),
                                  UINT64_C(0x8d4cfb066e2a48f8), UINT64_C(0x63cd65d481d735bd)}};

/* All ones where x is not zero, else zero. The empty asm keeps the compiler from learning that the
 * result has two values only, and from making a branch of it. */
static inline uint64_t sm2_mask_nonzero(uint64_t x)
{
    uint64_t bit = (x | (0 - x)) >> 63;
    __asm__("" : "+r"(bit));
    return 0 - bit;
}

static inline uint64_t sm2_mask_zero(uint64_t x) { return ~sm2_mask_nonzero(x); }

static inline uint64_t sm2_fe_zero_mask(const sm2_fe *a)
{
    return sm2_mask_zero(a->v[0] | a->v[1] | a->v[2] | a->v[3]);
}

static inline uint64_t sm2_fe_equal_mask(const sm2_fe *a, const sm2_fe *b)
{
    return sm2_mask_zero((a->v[0] ^ b->v[0]) | (a->v[1] ^ b->v[1]) | (a->v[2] ^ b->v[2]) |
                         (a->v[3] ^ b->v[3]));
}

/* r = mask ? a : r */
static inline void sm2_fe_move(sm2_fe *r, const sm2_fe *a, uint64_t mask)
{
    for (int i = 0; i < 4; i++)
        r->v[i] ^= mask & (r->v[i] ^ a->v[i]);
}

/* Four limbs from 32 big-endian bytes, and back. No reduction. */
static inline void sm2_load256(uint64_t v[4], const uint8_t bytes[32])
{
    for (int i = 0; i < 4; i++)
        v[i] = load64_be(bytes + 24 - 8 * i);
}

static inline void sm2_store256(uint8_t bytes[32], const uint64_t v[4])
{
    for (int i = 0; i < 4; i++)
        store64_be(bytes + 24 - 8 * i, v[i]);
}

/* r = a - b over 256 bits; the borrow, 0 or 1. */
static inline uint64_t sm2_sub256(uint64_t r[4], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        sm2_u128 t = (sm2_u128)a[i] - b[i] - borrow;
        r[i] = (uint64_t)t;
        borrow = (uint64_t)(t >> 64) & 1;
    }
    return borrow;
}

/* r = a + b over 256 bits; the carry, 0 or 1. */
static inline uint64_t sm2_add256(uint64_t r[4], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t carry = 0;
    for (int i = 0; i < 4; i++) {
        sm2_u128 t = (sm2_u128)a[i] + b[i] + carry;
        r[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    return carry;
}

/* r = (carry:a) - m if that is not negative, else a. */
static inline void sm2_reduce_once(uint64_t r[4], uint64_t carry, const uint64_t a[4],
                                   const uint64_t m[4])
{
    uint64_t less[4];
    uint64_t keep = 0 - (sm2_sub256(less, a, m) & (carry ^ 1));
    __asm__("" : "+r"(keep));
    for (int i = 0; i < 4; i++)
        r[i] = less[i] ^ (keep & (less[i] ^ a[i]));
}

#endif
