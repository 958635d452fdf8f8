/* SM4-GCM on AVX2 with GFNI and VPCLMULQDQ, VEX-encoded: Alder Lake and its like. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("avx2,gfni,vpclmulqdq,aes,pclmul,ssse3,sse4.1")

#include "sm4_x86_key.h"

typedef __m256i V;
typedef uint32_t V_KEY;
#define V_ROUND_KEY(p) _mm256_set1_epi32((int)*(p))
#define V_SBOX(t, w, u)                                                                            \
    ((w) = _mm256_gf2p8affineinv_epi64_epi8(t, _mm256_set1_epi64x(SM4_GFNI_W), SM4_KAPPA),         \
     (u) = _mm256_gf2p8affineinv_epi64_epi8(t, _mm256_set1_epi64x(SM4_GFNI_U), 0))
#define V_TO_FIELD(x) _mm256_gf2p8affine_epi64_epi8(x, _mm256_set1_epi64x(SM4_GFNI_P), 0)
#define V_FROM_FIELD(x)                                                                            \
    _mm256_gf2p8affine_epi64_epi8(x, _mm256_set1_epi64x((long long)SM4_GFNI_P_INVERSE), 0)
#include "sm4_avx2.h"

#include "ghash_x86.h"

typedef __m256i G;
#define G_LANES 2
#define G_MULTIPLY(a, b, halves) _mm256_clmulepi64_epi128(a, b, halves)
#define G_XOR3 V_XOR3
#define G_LOAD V_LOAD
#define G_REVERSE(x) _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(G1_REVERSAL))
#define G_FIRST(x) _mm256_zextsi128_si256(x)
#define G_SHIFT_LEFT(x) _mm256_bslli_epi128(x, 8)
#define G_SHIFT_RIGHT(x) _mm256_bsrli_epi128(x, 8)
#define G_SUM(x) (_mm256_castsi256_si128(x) ^ _mm256_extracti128_si256(x, 1))

#define STREAMS 1
#define POWERS 32
#define ROUND_KEYS(sliced, key) sm4_x86_round_keys(sliced, key)
#include "sm4_sliced_keystream.h"

#include "sm4_gcm.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("gfni") &&
           __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul");
}

const struct sm4_path sm4_avx2_gfni = {"avx2-gfni", usable, sizeof(struct context),
                                       init,        seal,   open};
#else
typedef int not_on_this_architecture;
#endif
