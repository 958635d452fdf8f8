/* The SM2 group in C11, for every processor with 64-bit integers. */
#include "sm2_field_portable.h"

#define SM2_CURVE sm2_curve_portable
#define SM2_CURVE_NAME "portable"
#define SM2_VECTOR_BYTES 16
#define SM2_SCAN_TARGET
#include "sm2_curve_body.h"
