/* The SM4 key schedule with AES-NI: an S-box look-up without a table in memory.
 *
 * SM4's and AES's S-boxes are both an inversion in GF(2^8) between affine maps, so an affine map
 * before and one after AESENCLAST turn the one into the other; each map is two byte shuffles by
 * nibble. With the word in all four columns AESENCLAST's ShiftRows moves nothing.
 * (Markku-Juhani Saarinen, "sm4ni", 2018.)
 */
#ifndef MIFENG_SM4_X86_KEY_H
#define MIFENG_SM4_X86_KEY_H

#include "core.h"
#include "target.h"
#define SM4_NIBBLE_TABLES
#include "sm4_constants.h"

ALWAYS_INLINE __m128i nibble_map(__m128i x, const uint8_t low[16], const uint8_t high[16])
{
    const __m128i mask = _mm_set1_epi8(15);
    __m128i l = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)low), x & mask);
    __m128i h = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)high),
                                 _mm_srli_epi16(x, 4) & mask);
    return l ^ h;
}

ALWAYS_INLINE __m128i rotl_words(__m128i x, int n)
{
    return _mm_slli_epi32(x, n) | _mm_srli_epi32(x, 32 - n);
}

/* Four copies of each byte of every round key, in the basis of the byte-sliced rounds: P·rk + p.
 * GB/T 32907-2016, 7.3. */
static inline void sm4_x86_round_keys(uint32_t sliced[32][4], const uint8_t key[16])
{
    static const uint32_t fk[4] = {0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc};
    const __m128i each_byte_four_times =
        _mm_set_epi8(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m128i k[4];
    for (int i = 0; i < 4; i++)
        k[i] = _mm_set1_epi32((int)(load32_be(key + 4 * i) ^ fk[i]));
    for (int i = 0; i < 32; i++) {
        uint32_t ck = 0;
        for (int j = 0; j < 4; j++)
            ck = ck << 8 | (uint32_t)((4 * i + j) * 7 & 0xff);
        __m128i t = k[(i + 1) & 3] ^ k[(i + 2) & 3] ^ k[(i + 3) & 3] ^ _mm_set1_epi32((int)ck);
        t = nibble_map(t, SM4_TO_FIELD_LOW, SM4_TO_FIELD_HIGH);
        t = _mm_aesenclast_si128(t ^ _mm_set1_epi8(SM4_P_CONSTANT), _mm_setzero_si128());
        t = nibble_map(t, SM4_AES_S_LOW, SM4_AES_S_HIGH);
        k[i & 3] ^= t ^ rotl_words(t, 13) ^ rotl_words(t, 23);
        t = nibble_map(k[i & 3], SM4_TO_FIELD_LOW, SM4_TO_FIELD_HIGH);
        t = _mm_shuffle_epi8(t ^ _mm_set1_epi8(SM4_P_CONSTANT), each_byte_four_times);
        _mm_storeu_si128((__m128i *)sliced[i], t);
    }
}

#endif
