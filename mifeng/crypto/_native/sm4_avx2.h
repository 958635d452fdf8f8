/* The vector of sm4_byteslice.h on AVX2, all but the S-box. */
#define V_BYTES 32
#define V_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define V_UNPACK(half, bits, a, b) _mm256_unpack##half##_epi##bits(a, b)
#define V_SET1(byte) _mm256_set1_epi8(byte)
#define V_LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define V_STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
