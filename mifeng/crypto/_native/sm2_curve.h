/* The SM2 curve y^2 = x^3 - 3x + b and its group, chosen once for the processor. */
#ifndef MIFENG_SM2_CURVE_H
#define MIFENG_SM2_CURVE_H

#include "sm2_field.h"

typedef struct {
    sm2_fe x, y;
} sm2_affine;

/* Homogeneous: (X/Z, Y/Z), and (0 : 1 : 0) for the point at infinity. */
typedef struct {
    sm2_fe x, y, z;
} sm2_point;

/* Multiples of G for fixed-base multiplication: [i][j] is (j + 1) * 2^(SM2_COMB_BITS * i) * G.
 * 37 windows of 64 affine points, 148 KiB, all public, computed when the module is loaded. */
#define SM2_COMB_BITS 7
#define SM2_COMB_WINDOWS 37
#define SM2_COMB_POINTS (1 << (SM2_COMB_BITS - 1))
typedef sm2_affine sm2_comb[SM2_COMB_WINDOWS][SM2_COMB_POINTS];
extern sm2_comb sm2_base_comb;

/* One implementation. Scalars are four limbs, any value below 2^256. Everything runs in time that
 * depends on no argument, except what is named public. Results may overlap arguments. */
struct sm2_curve {
    const char *name;
    void (*fe_mul)(sm2_fe *r, const sm2_fe *a, const sm2_fe *b);
    void (*fe_sqr)(sm2_fe *r, const sm2_fe *a);
    void (*fe_add)(sm2_fe *r, const sm2_fe *a, const sm2_fe *b);
    void (*fe_sub)(sm2_fe *r, const sm2_fe *a, const sm2_fe *b);
    void (*fe_inv)(sm2_fe *r, const sm2_fe *a); /* 0 gives 0 */
    void (*add)(sm2_point *r, const sm2_point *p, const sm2_point *q);
    void (*base_mul)(sm2_point *r, const uint64_t k[4]);
    void (*point_mul)(sm2_point *r, const sm2_affine *p, const uint64_t k[4]);
    /* u*G + v*P in variable time: for public values */
    void (*public_double_mul)(sm2_point *r, const uint64_t u[4], const sm2_affine *p,
                              const uint64_t v[4]);
    /* Fills a comb of the given point; for public points. */
    void (*comb)(sm2_comb table, const sm2_affine *p);
    /* All ones if the point is not at infinity; else zero, and r is (0, 0). */
    uint64_t (*to_affine)(sm2_affine *r, const sm2_point *p);
    /* All ones if y^2 = x^3 - 3x + b; the coordinates are reduced, in Montgomery form. */
    uint64_t (*on_curve)(const sm2_affine *p);
};

extern const struct sm2_curve sm2_curve_portable;
#if defined(__x86_64__)
extern const struct sm2_curve sm2_curve_adx;
#endif

/* The implementation in use. Points at the portable one until sm2_curve_choose was called. */
extern const struct sm2_curve *sm2_curve;

/* Chooses an implementation and computes G's comb, once per process: "portable", "adx", or the best
 * there is for "auto" and "single". 0, or -1 if this processor has no such path. Not to be called
 * while others compute. */
int sm2_curve_choose(const char *name);

/* Coordinates to and from 32 big-endian bytes. Reading gives all ones, or zero if not below p. */
uint64_t sm2_fe_from_bytes(sm2_fe *r, const uint8_t bytes[32]);
void sm2_fe_to_bytes(uint8_t bytes[32], const sm2_fe *a);

#endif
