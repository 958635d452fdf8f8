/* SM3 on AVX-512: sixteen messages at once. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("avx512f,avx512bw,avx512vl,avx2,bmi,bmi2")

typedef __m512i V;
#define LANES 16
#define V_ADD(a, b) _mm512_add_epi32(a, b)
#define V_ROTL(x, n) _mm512_rol_epi32(x, n)
#define V_SET1(word) _mm512_set1_epi32((int)(word))
#define V_STORE(p, x) _mm512_storeu_si512(p, x)
/* The last operand of a ternary operation is its truth table: bit 4a + 2b + c. */
#define V_XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define V_MAJORITY(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#define V_CHOOSE(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xca)

/* A 16x16 transposition: words within 16 bytes first, then the 16-byte lanes. */
ALWAYS_INLINE void load_words(V w[16], const unsigned char *const *blocks)
{
    const V reversal = _mm512_broadcast_i32x4(
        _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    V a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(blocks[i]), reversal);
    for (int i = 0; i < 16; i += 4) {
        V t0 = _mm512_unpacklo_epi32(a[i], a[i + 1]), t1 = _mm512_unpackhi_epi32(a[i], a[i + 1]);
        V t2 = _mm512_unpacklo_epi32(a[i + 2], a[i + 3]);
        V t3 = _mm512_unpackhi_epi32(a[i + 2], a[i + 3]);
        b[i] = _mm512_unpacklo_epi64(t0, t2);
        b[i + 1] = _mm512_unpackhi_epi64(t0, t2);
        b[i + 2] = _mm512_unpacklo_epi64(t1, t3);
        b[i + 3] = _mm512_unpackhi_epi64(t1, t3);
    }
    for (int i = 0; i < 4; i++) {
        V t0 = _mm512_shuffle_i32x4(b[i], b[4 + i], 0x88);
        V t1 = _mm512_shuffle_i32x4(b[i], b[4 + i], 0xdd);
        V t2 = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0x88);
        V t3 = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0xdd);
        w[i] = _mm512_shuffle_i32x4(t0, t2, 0x88);
        w[4 + i] = _mm512_shuffle_i32x4(t1, t3, 0x88);
        w[8 + i] = _mm512_shuffle_i32x4(t0, t2, 0xdd);
        w[12 + i] = _mm512_shuffle_i32x4(t1, t3, 0xdd);
    }
}

#include "sm3_lanes.h"

#define X_ROTL(x, n) _mm_rol_epi32(x, n)
#define X_XOR3(a, b, c) _mm_ternarylogic_epi32(a, b, c, 0x96)
#include "sm3_compress_x86.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("avx512vl");
}

const struct sm3_path sm3_avx512 = {
    "bmi2", "avx512, 16 lanes", "avx512", usable, compress, LANES, digest_lanes};
#else
typedef int not_on_this_architecture;
#endif
