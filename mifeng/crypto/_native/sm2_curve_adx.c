/* The SM2 group for x86-64 with BMI2, ADX and AVX2. */
#if defined(__x86_64__)
#include "sm2_field_adx.h"

#define SM2_CURVE sm2_curve_adx
#define SM2_CURVE_NAME "adx"
#define SM2_VECTOR_BYTES 32
#define SM2_SCAN_TARGET __attribute__((target("avx2")))
#include "sm2_curve_body.h"
#else
typedef int sm2_no_adx_here;
#endif
