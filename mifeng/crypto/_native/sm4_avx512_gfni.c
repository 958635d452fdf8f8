/* SM4-GCM on AVX-512 with GFNI and VPCLMULQDQ: Ice Lake, Sapphire Rapids, Zen 4 and later.
 *
 * GF2P8AFFINEINVQB is an inversion in AES's field and an affine map behind it: with the state in
 * the image of P, an SM4 S-box and its share of the linear layer are one instruction. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx2,gfni,vpclmulqdq,aes,pclmul,ssse3,sse4.1")

#include "sm4_x86_key.h"

typedef __m512i V;
typedef uint32_t V_KEY;
#define V_BYTES 64
#define V_XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define V_ROUND_KEY(p) _mm512_set1_epi32((int)*(p))
#define V_SBOX(t, w, u)                                                                            \
    ((w) = _mm512_gf2p8affineinv_epi64_epi8(t, _mm512_set1_epi64(SM4_GFNI_W), SM4_KAPPA),          \
     (u) = _mm512_gf2p8affineinv_epi64_epi8(t, _mm512_set1_epi64(SM4_GFNI_U), 0))
#define V_TO_FIELD(x)                                                                              \
    _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64(SM4_GFNI_P), 0)
#define V_FROM_FIELD(x)                                                                            \
    _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64((long long)SM4_GFNI_P_INVERSE), 0)
#define V_UNPACK(half, bits, a, b) _mm512_unpack##half##_epi##bits(a, b)
#define V_SET1(byte) _mm512_set1_epi8(byte)
#define V_LOAD(p) _mm512_loadu_si512(p)
#define V_STORE(p, x) _mm512_storeu_si512(p, x)

#include "ghash_x86.h"

typedef __m512i G;
#define G_LANES 4
#define POWERS 64
#define G_MULTIPLY(a, b, halves) _mm512_clmulepi64_epi128(a, b, halves)
#define G_XOR3 V_XOR3
#define G_LOAD(p) _mm512_loadu_si512(p)
#define G_REVERSE(x) _mm512_shuffle_epi8(x, _mm512_broadcast_i32x4(G1_REVERSAL))
#define G_FIRST(x) _mm512_zextsi128_si512(x)
#define G_SHIFT_LEFT(x) _mm512_bslli_epi128(x, 8)
#define G_SHIFT_RIGHT(x) _mm512_bsrli_epi128(x, 8)

ALWAYS_INLINE G1 sum_of_lanes(__m512i x)
{
    __m256i y = _mm512_castsi512_si256(x) ^ _mm512_extracti64x4_epi64(x, 1);
    return _mm256_castsi256_si128(y) ^ _mm256_extracti128_si256(y, 1);
}
#define G_SUM(x) sum_of_lanes(x)

#define STREAMS 2
#define ROUND_KEYS(sliced, key) sm4_x86_round_keys(sliced, key)
#include "sm4_sliced_keystream.h"

#include "sm4_gcm.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("gfni") && __builtin_cpu_supports("vpclmulqdq") &&
           __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}

const struct sm4_path sm4_avx512_gfni = {"avx512-gfni", usable, sizeof(struct context),
                                         init,          seal,   open};
#else
typedef int not_on_this_architecture;
#endif
