/* GFNI, VPCLMULQDQ and AVX-512 in plain C, for valgrind, which does not know them.
 *
 * Given to the compiler with -include in front of an unchanged kernel, this file takes the place
 * of target.h and of the intrinsics. A mistake here shows as a wrong ciphertext in test_core.
 * Nothing here branches on data, or indexes by data other than a shuffle's control, which in
 * these kernels is a constant: memcheck would tell. Lane order and bit order are those of
 * Intel's "Intrinsics Guide".
 */
#ifndef EMULATED_INTRINSICS_H
#define EMULATED_INTRINSICS_H

#define MIFENG_TARGET_H /* no per-function targets: baseline instructions and AES-NI only */
#define MIFENG_TARGET(features)
#define MIFENG_TARGET_END
#define ALWAYS_INLINE static __attribute__((unused)) /* inlining all this takes minutes */

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define __builtin_cpu_supports(feature) 1 /* emulated, they always are */

/* A type for 32 or 64 bytes, with ^ and & from the compiler's generic vectors. */
typedef long long emulated_z __attribute__((vector_size(64), aligned(64)));
typedef long long emulated_y __attribute__((vector_size(32), aligned(32)));
#define __m512i emulated_z
#define __m256i emulated_y

#define DEFINE_FOR(type, bits)                                                                     \
    ALWAYS_INLINE type load_##bits(const void *p)                                                  \
    {                                                                                              \
        type x;                                                                                    \
        memcpy(&x, p, sizeof x);                                                                   \
        return x;                                                                                  \
    }                                                                                              \
    ALWAYS_INLINE type affine_##bits(type x, uint64_t matrix, uint8_t constant, int inverse)       \
    {                                                                                              \
        uint8_t b[sizeof x];                                                                       \
        memcpy(b, &x, sizeof x);                                                                   \
        for (size_t i = 0; i < sizeof x; i++)                                                      \
            b[i] = affine_byte(inverse ? inverse_byte(b[i]) : b[i], matrix) ^ constant;            \
        return load_##bits(b);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type multiply_##bits(type x, type y, int halves)                                 \
    {                                                                                              \
        uint64_t a[sizeof x / 8], b[sizeof x / 8], c[sizeof x / 8];                                \
        memcpy(a, &x, sizeof x);                                                                   \
        memcpy(b, &y, sizeof y);                                                                   \
        for (size_t i = 0; i < sizeof x / 8; i += 2)                                               \
            carryless(a[i + (halves & 1)], b[i + (halves >> 4)], &c[i]);                           \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type unpack_##bits(type x, type y, size_t unit, int high)                        \
    {                                                                                              \
        uint8_t a[sizeof x], b[sizeof x], c[sizeof x];                                             \
        memcpy(a, &x, sizeof x);                                                                   \
        memcpy(b, &y, sizeof y);                                                                   \
        for (size_t lane = 0; lane < sizeof x; lane += 16)                                         \
            for (size_t i = 0; i < 8; i++) {                                                       \
                size_t from = lane + (high ? 8 : 0) + i;                                           \
                size_t to = lane + i / unit * 2 * unit + i % unit;                                 \
                c[to] = a[from];                                                                   \
                c[to + unit] = b[from];                                                            \
            }                                                                                      \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type shuffle_bytes_##bits(type x, type control)                                  \
    {                                                                                              \
        uint8_t a[sizeof x], b[sizeof x], c[sizeof x];                                             \
        memcpy(a, &x, sizeof x);                                                                   \
        memcpy(b, &control, sizeof x);                                                             \
        for (size_t i = 0; i < sizeof x; i++)                                                      \
            c[i] = a[(i & ~(size_t)15) + (b[i] & 15)];                                             \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type shift_lanes_##bits(type x, int by)                                          \
    {                                                                                              \
        uint8_t a[sizeof x], c[sizeof x];                                                          \
        memcpy(a, &x, sizeof x);                                                                   \
        for (int i = 0; i < (int)sizeof x; i++)                                                    \
            c[i] = (i & 15) - by < 0 || (i & 15) - by > 15 ? 0 : a[i - by];                        \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type repeat_##bits(const void *p, size_t size)                                   \
    {                                                                                              \
        uint8_t c[sizeof(type)];                                                                   \
        for (size_t i = 0; i < sizeof c; i += size)                                                \
            memcpy(c + i, p, size);                                                                \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type low_lane_##bits(__m128i x)                                                  \
    {                                                                                              \
        uint8_t c[sizeof(type)] = {0};                                                             \
        memcpy(c, &x, 16);                                                                         \
        return load_##bits(c);                                                                     \
    }                                                                                              \
    ALWAYS_INLINE type word_##bits(int32_t w) { return repeat_##bits(&w, 4); }                     \
    ALWAYS_INLINE type byte_##bits(int8_t b) { return repeat_##bits(&b, 1); }                      \
    ALWAYS_INLINE type quad_##bits(int64_t q) { return repeat_##bits(&q, 8); }                     \
    ALWAYS_INLINE type lane_##bits(__m128i x) { return repeat_##bits(&x, 16); }

/* Bit i of the result is the parity of byte 7-i of the matrix and x. */
ALWAYS_INLINE uint8_t affine_byte(uint8_t x, uint64_t matrix)
{
    uint8_t y = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t row = (uint8_t)(matrix >> (8 * (7 - i))) & x;
        row ^= row >> 4;
        row ^= row >> 2;
        row ^= row >> 1;
        y |= (uint8_t)((row & 1) << i);
    }
    return y;
}

ALWAYS_INLINE uint8_t field_product(uint8_t a, uint8_t b)
{
    uint8_t product = 0;
    for (int i = 0; i < 8; i++) {
        product ^= (uint8_t)(0 - (b >> i & 1)) & a;
        a = (uint8_t)(a << 1 ^ ((0 - (a >> 7)) & 0x1b));
    }
    return product;
}

/* x^254 in AES's field. */
ALWAYS_INLINE uint8_t inverse_byte(uint8_t x)
{
    uint8_t power = 1;
    for (int i = 0; i < 7; i++) {
        x = field_product(x, x);
        power = field_product(power, x);
    }
    return power;
}

ALWAYS_INLINE void carryless(uint64_t a, uint64_t b, uint64_t product[2])
{
    uint64_t low = 0, high = 0;
    for (int i = 0; i < 64; i++) {
        uint64_t mask = 0 - (b >> i & 1);
        low ^= a << i & mask;
        high ^= i ? a >> (64 - i) & mask : 0;
    }
    product[0] = low;
    product[1] = high;
}

DEFINE_FOR(emulated_z, 512)
DEFINE_FOR(emulated_y, 256)

ALWAYS_INLINE emulated_z ternary(emulated_z a, emulated_z b, emulated_z c, int table)
{
    emulated_z r = a ^ a;
    for (int i = 0; i < 8; i++)
        if (table >> i & 1)
            r |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return r;
}

ALWAYS_INLINE emulated_y half_of(emulated_z x, int which)
{
    uint8_t c[64];
    memcpy(c, &x, 64);
    return load_256(c + 32 * which);
}

ALWAYS_INLINE __m128i quarter_of(emulated_y x, int which)
{
    uint8_t c[32];
    memcpy(c, &x, 32);
    return _mm_loadu_si128((const __m128i *)(c + 16 * which));
}

/* SM3's lanes. */
ALWAYS_INLINE emulated_z add_words_512(emulated_z x, emulated_z y)
{
    uint32_t a[16], b[16];
    memcpy(a, &x, 64);
    memcpy(b, &y, 64);
    for (int i = 0; i < 16; i++)
        a[i] += b[i];
    return load_512(a);
}

ALWAYS_INLINE emulated_z rotate_words_512(emulated_z x, int n)
{
    uint32_t a[16];
    memcpy(a, &x, 64);
    for (int i = 0; i < 16; i++)
        a[i] = a[i] << n | a[i] >> (32 - n);
    return load_512(a);
}

ALWAYS_INLINE emulated_z shuffle_lanes_512(emulated_z x, emulated_z y, int control)
{
    uint8_t a[64], b[64], c[64];
    memcpy(a, &x, 64);
    memcpy(b, &y, 64);
    memcpy(c, a + 16 * (control & 3), 16);
    memcpy(c + 16, a + 16 * (control >> 2 & 3), 16);
    memcpy(c + 32, b + 16 * (control >> 4 & 3), 16);
    memcpy(c + 48, b + 16 * (control >> 6 & 3), 16);
    return load_512(c);
}

#define _mm_rol_epi32(x, n) (_mm_slli_epi32(x, n) | _mm_srli_epi32(x, 32 - (n)))
#define _mm_ternarylogic_epi32(a, b, c, table) ((a) ^ (b) ^ (c)) /* 0x96, its one use here */
#define _mm512_add_epi32 add_words_512
#define _mm512_rol_epi32 rotate_words_512
#define _mm512_shuffle_i32x4 shuffle_lanes_512
#define _mm512_ternarylogic_epi32 ternary
#define _mm512_set1_epi32 word_512
#define _mm512_set1_epi64 quad_512
#define _mm512_set1_epi8 byte_512
#define _mm512_gf2p8affineinv_epi64_epi8(x, m, c) affine_512(x, (uint64_t)(m)[0], c, 1)
#define _mm512_gf2p8affine_epi64_epi8(x, m, c) affine_512(x, (uint64_t)(m)[0], c, 0)
#define _mm512_clmulepi64_epi128 multiply_512
#define _mm512_unpacklo_epi8(a, b) unpack_512(a, b, 1, 0)
#define _mm512_unpackhi_epi8(a, b) unpack_512(a, b, 1, 1)
#define _mm512_unpacklo_epi16(a, b) unpack_512(a, b, 2, 0)
#define _mm512_unpackhi_epi16(a, b) unpack_512(a, b, 2, 1)
#define _mm512_unpacklo_epi32(a, b) unpack_512(a, b, 4, 0)
#define _mm512_unpackhi_epi32(a, b) unpack_512(a, b, 4, 1)
#define _mm512_unpacklo_epi64(a, b) unpack_512(a, b, 8, 0)
#define _mm512_unpackhi_epi64(a, b) unpack_512(a, b, 8, 1)
#define _mm512_loadu_si512 load_512
#define _mm512_storeu_si512(p, x)                                                                  \
    do {                                                                                           \
        emulated_z stored = (x);                                                                   \
        memcpy(p, &stored, 64);                                                                    \
    } while (0)
#define _mm512_shuffle_epi8 shuffle_bytes_512
#define _mm512_broadcast_i32x4 lane_512
#define _mm512_zextsi128_si512 low_lane_512
#define _mm512_bslli_epi128 shift_lanes_512
#define _mm512_bsrli_epi128(x, n) shift_lanes_512(x, -(n))
#define _mm512_castsi512_si256(x) half_of(x, 0)
#define _mm512_extracti64x4_epi64 half_of

#define _mm256_set1_epi32 word_256
#define _mm256_set1_epi64x quad_256
#define _mm256_set1_epi8 byte_256
#define _mm256_gf2p8affineinv_epi64_epi8(x, m, c) affine_256(x, (uint64_t)(m)[0], c, 1)
#define _mm256_gf2p8affine_epi64_epi8(x, m, c) affine_256(x, (uint64_t)(m)[0], c, 0)
#define _mm256_clmulepi64_epi128 multiply_256
#define _mm256_unpacklo_epi8(a, b) unpack_256(a, b, 1, 0)
#define _mm256_unpackhi_epi8(a, b) unpack_256(a, b, 1, 1)
#define _mm256_unpacklo_epi16(a, b) unpack_256(a, b, 2, 0)
#define _mm256_unpackhi_epi16(a, b) unpack_256(a, b, 2, 1)
#define _mm256_unpacklo_epi32(a, b) unpack_256(a, b, 4, 0)
#define _mm256_unpackhi_epi32(a, b) unpack_256(a, b, 4, 1)
#define _mm256_unpacklo_epi64(a, b) unpack_256(a, b, 8, 0)
#define _mm256_unpackhi_epi64(a, b) unpack_256(a, b, 8, 1)
#define _mm256_loadu_si256 load_256
#define _mm256_storeu_si256(p, x)                                                                  \
    do {                                                                                           \
        emulated_y stored = (x);                                                                   \
        memcpy(p, &stored, 32);                                                                    \
    } while (0)
#define _mm256_shuffle_epi8 shuffle_bytes_256
#define _mm256_broadcastsi128_si256 lane_256
#define _mm256_zextsi128_si256 low_lane_256
#define _mm256_bslli_epi128 shift_lanes_256
#define _mm256_bsrli_epi128(x, n) shift_lanes_256(x, -(n))
#define _mm256_castsi256_si128(x) quarter_of(x, 0)
#define _mm256_extracti128_si256 quarter_of

#endif
