/* Eight 64-bit lanes: the vector operations that sm2_lanes.c is written in.
 *
 * On x86-64 they are AVX-512 with IFMA (52-bit multiply and add). With MIFENG_EMULATE_LANES they
 * are plain C, so that the same kernels can be run under valgrind, sanitizers and on any machine.
 * Masks choose lanes; no operation turns a lane or a mask into a branch or an address. */
#ifndef MIFENG_SM2_LANES_H
#define MIFENG_SM2_LANES_H

#include "core.h"

#define LANES 8

#ifdef MIFENG_EMULATE_LANES

#define LANES_TARGET
#define LANES_INLINE static inline

typedef struct {
    uint64_t lane[LANES];
} lanes;
typedef lanes lanes_mask; /* all ones or zero */

#define LANES_EACH(expression)                                                                     \
    lanes r;                                                                                       \
    for (int i = 0; i < LANES; i++)                                                                \
        r.lane[i] = (expression);                                                                  \
    return r

static inline uint64_t lanes_spread(uint64_t x)
{
    uint64_t bit = (x | (0 - x)) >> 63;
    __asm__("" : "+r"(bit));
    return 0 - bit;
}

LANES_INLINE lanes lanes_load(const void *p)
{
    lanes r;
    memcpy(&r, p, sizeof r);
    return r;
}
LANES_INLINE void lanes_store(void *p, lanes a) { memcpy(p, &a, sizeof a); }
LANES_INLINE lanes lanes_all(uint64_t x) { LANES_EACH(x); }
LANES_INLINE lanes lanes_add(lanes a, lanes b) { LANES_EACH(a.lane[i] + b.lane[i]); }
LANES_INLINE lanes lanes_sub(lanes a, lanes b) { LANES_EACH(a.lane[i] - b.lane[i]); }
LANES_INLINE lanes lanes_and(lanes a, lanes b) { LANES_EACH(a.lane[i] & b.lane[i]); }
LANES_INLINE lanes lanes_or(lanes a, lanes b) { LANES_EACH(a.lane[i] | b.lane[i]); }
LANES_INLINE lanes lanes_xor(lanes a, lanes b) { LANES_EACH(a.lane[i] ^ b.lane[i]); }
LANES_INLINE lanes lanes_left(lanes a, unsigned n) { LANES_EACH(a.lane[i] << n); }
LANES_INLINE lanes lanes_right(lanes a, unsigned n) { LANES_EACH(a.lane[i] >> n); }
LANES_INLINE lanes lanes_right_signed(lanes a, unsigned n)
{
    LANES_EACH(a.lane[i] >> n | (0 - (a.lane[i] >> 63)) << (64 - n));
}
static inline uint64_t lanes_product(uint64_t a, uint64_t b, unsigned shift)
{
    const uint64_t mask = (UINT64_C(1) << 52) - 1;
    __extension__ const unsigned __int128 product = (unsigned __int128)(a & mask) * (b & mask);
    return (uint64_t)(product >> shift) & mask;
}
LANES_INLINE lanes lanes_multiply_low(lanes s, lanes a, lanes b)
{
    LANES_EACH(s.lane[i] + lanes_product(a.lane[i], b.lane[i], 0));
}
LANES_INLINE lanes lanes_multiply_high(lanes s, lanes a, lanes b)
{
    LANES_EACH(s.lane[i] + lanes_product(a.lane[i], b.lane[i], 52));
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b)
{
    LANES_EACH(~lanes_spread(a.lane[i] ^ b.lane[i]));
}
LANES_INLINE lanes_mask lanes_any_bit(lanes a, lanes b)
{
    LANES_EACH(lanes_spread(a.lane[i] & b.lane[i]));
}
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b) { return lanes_or(a, b); }
LANES_INLINE lanes_mask lanes_mask_none(void) { return lanes_all(0); }
LANES_INLINE lanes lanes_choose(lanes_mask m, lanes no, lanes yes)
{
    LANES_EACH(no.lane[i] ^ (m.lane[i] & (no.lane[i] ^ yes.lane[i])));
}
/* table[at], at in [0, 15], by reading all sixteen */
LANES_INLINE lanes lanes_pick16(const uint64_t table[16], lanes at)
{
    lanes r = lanes_all(0);
    for (uint64_t j = 0; j < 16; j++)
        for (int i = 0; i < LANES; i++)
            r.lane[i] |= table[j] & ~lanes_spread((at.lane[i] & 15) ^ j);
    return r;
}

#else

#include <immintrin.h>

#define LANES_TARGET __attribute__((target("avx512f,avx512dq,avx512ifma")))
#define LANES_INLINE static inline LANES_TARGET __attribute__((always_inline))

typedef __m512i lanes;
typedef __mmask8 lanes_mask;

LANES_INLINE lanes lanes_load(const void *p) { return _mm512_loadu_si512(p); }
LANES_INLINE void lanes_store(void *p, lanes a) { _mm512_storeu_si512(p, a); }
LANES_INLINE lanes lanes_all(uint64_t x) { return _mm512_set1_epi64((long long)x); }
LANES_INLINE lanes lanes_add(lanes a, lanes b) { return _mm512_add_epi64(a, b); }
LANES_INLINE lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_epi64(a, b); }
LANES_INLINE lanes lanes_and(lanes a, lanes b) { return _mm512_and_si512(a, b); }
LANES_INLINE lanes lanes_or(lanes a, lanes b) { return _mm512_or_si512(a, b); }
LANES_INLINE lanes lanes_xor(lanes a, lanes b) { return _mm512_xor_si512(a, b); }
LANES_INLINE lanes lanes_left(lanes a, unsigned n) { return _mm512_slli_epi64(a, n); }
LANES_INLINE lanes lanes_right(lanes a, unsigned n) { return _mm512_srli_epi64(a, n); }
LANES_INLINE lanes lanes_right_signed(lanes a, unsigned n) { return _mm512_srai_epi64(a, n); }
LANES_INLINE lanes lanes_multiply_low(lanes s, lanes a, lanes b)
{
    return _mm512_madd52lo_epu64(s, a, b);
}
LANES_INLINE lanes lanes_multiply_high(lanes s, lanes a, lanes b)
{
    return _mm512_madd52hi_epu64(s, a, b);
}
LANES_INLINE lanes_mask lanes_equal(lanes a, lanes b) { return _mm512_cmpeq_epi64_mask(a, b); }
LANES_INLINE lanes_mask lanes_any_bit(lanes a, lanes b) { return _mm512_test_epi64_mask(a, b); }
LANES_INLINE lanes_mask lanes_mask_or(lanes_mask a, lanes_mask b) { return (lanes_mask)(a | b); }
LANES_INLINE lanes_mask lanes_mask_none(void) { return 0; }
LANES_INLINE lanes lanes_choose(lanes_mask m, lanes no, lanes yes)
{
    return _mm512_mask_mov_epi64(no, m, yes);
}
LANES_INLINE lanes lanes_pick16(const uint64_t table[16], lanes at)
{
    return _mm512_permutex2var_epi64(lanes_load(table), at, lanes_load(table + 8));
}

#endif
#endif
