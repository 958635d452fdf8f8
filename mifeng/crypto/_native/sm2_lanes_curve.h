/* Eight scalar multiplications side by side. */
#ifndef MIFENG_SM2_LANES_CURVE_H
#define MIFENG_SM2_LANES_CURVE_H

#include "sm2_curve.h"
#include "sm2_scalar.h"

#define SM2_LANES 8

/* Whether this processor has the instructions. */
int sm2_lanes_usable(void);

/* A comb of a public point for eight lanes: limbs of 52 bits, one kind of limb after another, so
 * that a row of 64 entries is eight vectors. 37 windows, 10 limbs, 64 entries: 185 KiB. */
typedef uint64_t sm2_lanes_comb[SM2_COMB_WINDOWS][10][SM2_COMB_POINTS];

/* From the comb of the scalar code. */
void sm2_lanes_convert_comb(sm2_lanes_comb r, const sm2_comb table);
/* r[i] = k[i] * (the comb's point); k[i] below 2^256. */
void sm2_lanes_comb_mul(sm2_point r[SM2_LANES], const sm2_lanes_comb table,
                        const sm2_scalar k[SM2_LANES]);
/* r[i] = k[i] * p[i]; k[i] below 2^256. */
void sm2_lanes_point_mul(sm2_point r[SM2_LANES], const sm2_affine p[SM2_LANES],
                         const sm2_scalar k[SM2_LANES]);

#endif
