/* The SM3 compression function on one stream, its message expanded in vectors: general registers
 * and vector registers have units of their own, and the rounds alone fill the former.
 *
 * Three words are expanded at a time, because each needs the one three places before. Group k
 * holds W_(3k-2) .. W_3k in lanes 1 to 3, so of the five words that go into W_j, those 3, 6 and 9
 * places back are whole groups, and those 13 and 16 back one shuffle of two. (The grouping by
 * threes is Jussi Kivilinna's, libgcrypt, 2021.) A file that includes this defines
 *   X_ROTL(x, n), X_XOR3(a, b, c)
 */
#ifndef MIFENG_SM3_COMPRESS_X86_H
#define MIFENG_SM3_COMPRESS_X86_H

#include "sm3_compress.h"
#include "target.h"

#define X_STRADDLE(a, b)                                                                           \
    _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(a), _mm_castsi128_ps(b),                      \
                                    _MM_SHUFFLE(2, 1, 3, 3)))

ALWAYS_INLINE __m128i expand_group(const __m128i *g) /* g[0] is group k - 6 */
{
    __m128i x = X_XOR3(X_STRADDLE(g[0], g[1]), g[3], X_ROTL(g[5], 15));
    x = X_XOR3(x, X_ROTL(x, 15), X_ROTL(x, 23));
    return X_XOR3(x, X_ROTL(X_STRADDLE(g[1], g[2]), 7), g[4]);
}

#define X_WORD(j) ((j) ? word[((j) + 2) / 3][1 + ((j) + 2) % 3] : word[1][0])

/* As sums, whose two terms the compiler may add up apart; ANDN is one of BMI's. */
#define X_FF(j, x, y, z) ((j) < 16 ? (x) ^ (y) ^ (z) : ((x) & (y)) + (((x) ^ (y)) & (z)))
#define X_GG(j, x, y, z) ((j) < 16 ? (x) ^ (y) ^ (z) : ((x) & (y)) + (~(x) & (z)))

/* What is ready early is added up early; compilers order sums so that more of them wait for E. */
#define X_ORDER(x) __asm__("" : "+r"(x))

#define X_ROUND(j, a, b, c, d, e, f, g, h)                                                         \
    do {                                                                                           \
        if ((j) % 3 == 0 && (j) >= 6 && (j) <= 57) {                                               \
            group[(j) / 3 + 4] = expand_group(&group[(j) / 3 - 2]);                                \
            _mm_store_si128((__m128i *)word[(j) / 3 + 4], group[(j) / 3 + 4]);                     \
        }                                                                                          \
        uint32_t wj = X_WORD(j), a12 = rotl32(a, 12), early = a12 + SM3_T(j);                      \
        d += X_FF(j, a, b, c) + (wj ^ X_WORD((j) + 4));                                          \
        h += X_GG(j, e, f, g) + wj;                                                              \
        X_ORDER(early);                                                                          \
        X_ORDER(d);                                                                              \
        X_ORDER(h);                                                                              \
        uint32_t ss1 = rotl32(early + e, 7);                                                       \
        d += ss1 ^ a12;                                                                            \
        h += ss1;                                                                                  \
        b = rotl32(b, 9);                                                                          \
        f = rotl32(f, 19);                                                                         \
        h = SM3_P0(h);                                                                             \
    } while (0)

#define X_FOUR_ROUNDS(j)                                                                           \
    X_ROUND((j), a, b, c, d, e, f, g, h);                                                          \
    X_ROUND((j) + 1, d, a, b, c, h, e, f, g);                                                      \
    X_ROUND((j) + 2, c, d, a, b, g, h, e, f);                                                      \
    X_ROUND((j) + 3, b, c, d, a, f, g, h, e)

#define X_SIXTEEN_ROUNDS(j)                                                                        \
    X_FOUR_ROUNDS(j);                                                                              \
    X_FOUR_ROUNDS((j) + 4);                                                                        \
    X_FOUR_ROUNDS((j) + 8);                                                                        \
    X_FOUR_ROUNDS((j) + 12)

static void compress(uint32_t v[8], const uint8_t *blocks, size_t count)
{
    const __m128i reversal = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _Alignas(16) uint32_t word[24][4];
    for (; count; count--, blocks += SM3_BLOCK_SIZE) {
        uint32_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
        __m128i group[24];
        for (int k = 1; k <= 5; k++) {
            group[k] = _mm_loadu_si128((const __m128i *)(blocks + 12 * (k - 1)));
            group[k] = _mm_shuffle_epi8(group[k], reversal);
            _mm_store_si128((__m128i *)word[k], group[k]);
        }
        group[0] = _mm_shuffle_epi32(group[1], 0);
        X_SIXTEEN_ROUNDS(0);
        X_SIXTEEN_ROUNDS(16);
        X_SIXTEEN_ROUNDS(32);
        X_SIXTEEN_ROUNDS(48);
        v[0] ^= a;
        v[1] ^= b;
        v[2] ^= c;
        v[3] ^= d;
        v[4] ^= e;
        v[5] ^= f;
        v[6] ^= g;
        v[7] ^= h;
    }
    wipe(word, sizeof word);
}

#endif
