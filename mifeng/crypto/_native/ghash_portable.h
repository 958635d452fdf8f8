/* GHASH (SP 800-38D, 6.4) with integer multiplication only, in constant time.
 *
 * A block is held as the 128-bit big-endian integer it spells. GHASH numbers bits from the other
 * end, so a carry-less product comes out shifted by one place; H is multiplied by x beforehand to
 * make up for it, and the reduction works upwards from the low end (Gueron, Kounavis: "Intel
 * carry-less multiplication instruction and its usage for computing the GCM mode", 2014).
 *
 * Carry-less from ordinary multiplication: keep every fifth bit of both factors. A product bit
 * then collects at most 13 ones and its carries stay below the next bit kept, five places up.
 * (The idea with four classes is Thomas Pornin's, BearSSL "ghash_ctmul64"; five let one 64x64
 * multiplication deliver both halves of its product.)
 */
#ifndef MIFENG_GHASH_PORTABLE_H
#define MIFENG_GHASH_PORTABLE_H

#include "core.h"

struct ghash_element {
    uint64_t low, high;
};

static const uint64_t every_fifth[5] = {0x1084210842108421, 0x2108421084210842, 0x4210842108421084,
                                        0x8421084210842108, 0x0842108421084210};

static inline void multiply64_carryless(uint64_t a, uint64_t b, uint64_t *low, uint64_t *high)
{
    uint64_t l = 0, h = 0;
    for (int k = 0; k < 5; k++) {
        unsigned __int128 sum = 0;
        for (int i = 0; i < 5; i++)
            sum ^= (unsigned __int128)(a & every_fifth[i]) * (b & every_fifth[(k + 5 - i) % 5]);
        l |= (uint64_t)sum & every_fifth[k];
        h |= (uint64_t)(sum >> 64) & every_fifth[(k + 1) % 5]; /* 64 = 4 mod 5 */
    }
    *low = l;
    *high = h;
}

/* H times x, modulo x^128 + x^127 + x^126 + x^121 + 1. */
static inline struct ghash_element ghash_key(const uint8_t h[16])
{
    uint64_t high = load64_be(h), low = load64_be(h + 8), carry = high >> 63;
    high = high << 1 | low >> 63;
    low = low << 1;
    return (struct ghash_element){low ^ carry, high ^ (carry * 0xc200000000000000)};
}

static inline struct ghash_element ghash_multiply(struct ghash_element a, struct ghash_element b)
{
    uint64_t v0, v1, v2, v3, m0, m1;
    multiply64_carryless(a.low, b.low, &v0, &v1);
    multiply64_carryless(a.high, b.high, &v2, &v3);
    multiply64_carryless(a.low ^ a.high, b.low ^ b.high, &m0, &m1); /* Karatsuba's middle */
    m0 ^= v0 ^ v2;
    m1 ^= v1 ^ v3;
    v1 ^= m0;
    v2 ^= m1;
    v2 ^= v0 ^ v0 >> 1 ^ v0 >> 2 ^ v0 >> 7;
    v1 ^= v0 << 63 ^ v0 << 62 ^ v0 << 57;
    v3 ^= v1 ^ v1 >> 1 ^ v1 >> 2 ^ v1 >> 7;
    v2 ^= v1 << 63 ^ v1 << 62 ^ v1 << 57;
    return (struct ghash_element){v2, v3};
}

/* Absorbs data, the last block filled up with zeros. */
static inline struct ghash_element ghash_absorb(struct ghash_element sum, struct ghash_element key,
                                                const uint8_t *data, size_t size)
{
    for (; size >= 16; data += 16, size -= 16) {
        sum.high ^= load64_be(data);
        sum.low ^= load64_be(data + 8);
        sum = ghash_multiply(sum, key);
    }
    if (size) {
        uint8_t last[16] = {0};
        memcpy(last, data, size);
        sum.high ^= load64_be(last);
        sum.low ^= load64_be(last + 8);
        sum = ghash_multiply(sum, key);
    }
    return sum;
}

#endif
