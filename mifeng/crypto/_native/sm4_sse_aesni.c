/* SM4-GCM on SSSE3, AES-NI and PCLMULQDQ: x86 without AVX2. The S-box is that of
 * sm4_avx2_aesni.c. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "target.h"

MIFENG_TARGET("aes,pclmul,ssse3,sse4.1")

#include "sm4_x86_key.h"

typedef __m128i V;
typedef uint32_t V_KEY;

ALWAYS_INLINE V table(const uint8_t bytes[16]) { return _mm_loadu_si128((const __m128i *)bytes); }

ALWAYS_INLINE void sbox(V t, V *w, V *u)
{
    V s = _mm_shuffle_epi8(t, table(SM4_UNDO_SHIFT_ROWS));
    s = _mm_aesenclast_si128(s, _mm_setzero_si128());
    V low = s & _mm_set1_epi8(15), high = _mm_srli_epi16(s, 4) & _mm_set1_epi8(15);
    *w = _mm_shuffle_epi8(table(SM4_AES_W_LOW), low) ^
         _mm_shuffle_epi8(table(SM4_AES_W_HIGH), high);
    *u = _mm_shuffle_epi8(table(SM4_AES_U_LOW), low) ^
         _mm_shuffle_epi8(table(SM4_AES_U_HIGH), high);
}

#define V_BYTES 16
#define V_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define V_ROUND_KEY(p) _mm_set1_epi32((int)*(p))
#define V_SBOX(t, w, u) sbox(t, &(w), &(u))
#define V_TO_FIELD(x) nibble_map(x, SM4_TO_FIELD_LOW, SM4_TO_FIELD_HIGH)
#define V_FROM_FIELD(x) nibble_map(x, SM4_FROM_FIELD_LOW, SM4_FROM_FIELD_HIGH)
#define V_UNPACK(half, bits, a, b) _mm_unpack##half##_epi##bits(a, b)
#define V_SET1(byte) _mm_set1_epi8(byte)
#define V_LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define V_STORE(p, x) _mm_storeu_si128((__m128i *)(p), x)

#include "ghash_x86.h"
#include "ghash_x86_one.h"

#define STREAMS 1
#define POWERS 16
#define ROUND_KEYS(sliced, key) sm4_x86_round_keys(sliced, key)
#include "sm4_sliced_keystream.h"

#include "sm4_gcm.h"

MIFENG_TARGET_END

static int usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
           __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
}

const struct sm4_path sm4_sse_aesni = {"sse-aesni", usable, sizeof(struct context),
                                       init,        seal,   open};
#else
typedef int not_on_this_architecture;
#endif
