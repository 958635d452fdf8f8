/* SM4-GCM on AVX2 and AES-NI: Haswell to Skylake, Zen to Zen 3.
 *
 * AESENCLAST is the inversion; what is affine around it is byte shuffles by nibble. The state is
 * kept where no map is needed before it (P, as everywhere), and of the map behind it, SM4's own
 * and AES's undone, both wanted images (times M0, times M3) are looked up by the same nibbles.
 * AESENCLAST's ShiftRows is undone by a shuffle before it. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("avx2,aes,pclmul,ssse3,sse4.1")

#include "sm4_x86_key.h"

typedef __m256i V;
typedef uint32_t V_KEY;

ALWAYS_INLINE V table(const uint8_t bytes[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
}

ALWAYS_INLINE V high_nibble(V x)
{
    return _mm256_srli_epi16(x, 4) & _mm256_set1_epi8(15);
}

ALWAYS_INLINE V map(V x, const uint8_t low[16], const uint8_t high[16])
{
    return _mm256_shuffle_epi8(table(low), x & _mm256_set1_epi8(15)) ^
           _mm256_shuffle_epi8(table(high), high_nibble(x));
}

ALWAYS_INLINE V aes_sbox(V x)
{
    x = _mm256_shuffle_epi8(x, table(SM4_UNDO_SHIFT_ROWS));
    __m128i low = _mm_aesenclast_si128(_mm256_castsi256_si128(x), _mm_setzero_si128());
    __m128i high = _mm_aesenclast_si128(_mm256_extracti128_si256(x, 1), _mm_setzero_si128());
    return _mm256_set_m128i(high, low);
}

ALWAYS_INLINE void sbox(V t, V *w, V *u)
{
    V s = aes_sbox(t), low = s & _mm256_set1_epi8(15), high = high_nibble(s);
    *w = _mm256_shuffle_epi8(table(SM4_AES_W_LOW), low) ^
         _mm256_shuffle_epi8(table(SM4_AES_W_HIGH), high);
    *u = _mm256_shuffle_epi8(table(SM4_AES_U_LOW), low) ^
         _mm256_shuffle_epi8(table(SM4_AES_U_HIGH), high);
}

#define V_ROUND_KEY(p) _mm256_set1_epi32((int)*(p))
#define V_SBOX(t, w, u) sbox(t, &(w), &(u))
#define V_TO_FIELD(x) map(x, SM4_TO_FIELD_LOW, SM4_TO_FIELD_HIGH)
#define V_FROM_FIELD(x) map(x, SM4_FROM_FIELD_LOW, SM4_FROM_FIELD_HIGH)
#include "sm4_avx2.h"

#include "ghash_x86.h"
#include "ghash_x86_one.h"

#define STREAMS 1
#define POWERS 32
#define ROUND_KEYS(sliced, key) sm4_x86_round_keys(sliced, key)
#include "sm4_sliced_keystream.h"

#include "sm4_gcm.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul");
}

const struct sm4_path sm4_avx2_aesni = {"avx2-aesni", usable, sizeof(struct context),
                                        init,         seal,   open};
#else
typedef int not_on_this_architecture;
#endif
