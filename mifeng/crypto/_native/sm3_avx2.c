/* SM3 on AVX2: eight messages at once. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("avx2,bmi,bmi2")

typedef __m256i V;
#define LANES 8
#define V_ADD(a, b) _mm256_add_epi32(a, b)
#define V_ROTL(x, n) (_mm256_slli_epi32(x, n) | _mm256_srli_epi32(x, 32 - (n)))
#define V_SET1(word) _mm256_set1_epi32((int)(word))
#define V_STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#define V_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define V_MAJORITY(a, b, c) (((a) & (b)) | (((a) | (b)) & (c)))
#define V_CHOOSE(a, b, c) ((((b) ^ (c)) & (a)) ^ (c))

/* Two 8x8 transpositions, of the first and of the last eight words. */
ALWAYS_INLINE void load_words(V w[16], const unsigned char *const *blocks)
{
    const V reversal = _mm256_broadcastsi128_si256(
        _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
    for (int half = 0; half < 16; half += 8) {
        V a[8], b[8];
        for (int i = 0; i < 8; i++)
            a[i] = _mm256_shuffle_epi8(
                _mm256_loadu_si256((const __m256i *)(blocks[i] + 4 * half)), reversal);
        for (int i = 0; i < 8; i += 4) {
            V t0 = _mm256_unpacklo_epi32(a[i], a[i + 1]);
            V t1 = _mm256_unpackhi_epi32(a[i], a[i + 1]);
            V t2 = _mm256_unpacklo_epi32(a[i + 2], a[i + 3]);
            V t3 = _mm256_unpackhi_epi32(a[i + 2], a[i + 3]);
            b[i] = _mm256_unpacklo_epi64(t0, t2);
            b[i + 1] = _mm256_unpackhi_epi64(t0, t2);
            b[i + 2] = _mm256_unpacklo_epi64(t1, t3);
            b[i + 3] = _mm256_unpackhi_epi64(t1, t3);
        }
        for (int i = 0; i < 4; i++) {
            w[half + i] = _mm256_permute2x128_si256(b[i], b[4 + i], 0x20);
            w[half + 4 + i] = _mm256_permute2x128_si256(b[i], b[4 + i], 0x31);
        }
    }
}

#include "sm3_lanes.h"

#define X_ROTL(x, n) (_mm_slli_epi32(x, n) | _mm_srli_epi32(x, 32 - (n)))
#define X_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#include "sm3_compress_x86.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

const struct sm3_path sm3_avx2 = {
    "bmi2", "avx2, 8 lanes", "avx2", usable, compress, LANES, digest_lanes};
#else
typedef int not_on_this_architecture;
#endif
