/* The one-block operations of ghash_clmul.h on x86: PCLMULQDQ, SSSE3. */
#ifndef MIFENG_GHASH_X86_H
#define MIFENG_GHASH_X86_H

typedef __m128i G1;
#define G1_ZERO _mm_setzero_si128()
#define G1_FOLD _mm_set_epi64x(0, (long long)0xc200000000000000)
#define G1_MULTIPLY(a, b, halves) _mm_clmulepi64_si128(a, b, halves)
#define G1_SWAP(x) _mm_shuffle_epi32(x, 0x4e)
#define G1_SHIFT_LEFT(x) _mm_slli_si128(x, 8)
#define G1_SHIFT_RIGHT(x) _mm_srli_si128(x, 8)
#define G1_LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define G1_STORE(p, x) _mm_storeu_si128((__m128i *)(p), x)
#define G1_REVERSAL _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define G1_REVERSE(x) _mm_shuffle_epi8(x, G1_REVERSAL)

#endif
