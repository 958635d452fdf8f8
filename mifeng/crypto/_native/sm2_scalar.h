/* Arithmetic modulo n, the order of the SM2 group (GB/T 32918.5): private keys, nonces, signatures.
 *
 * A scalar is four 64-bit limbs, least significant first. Everything takes and gives scalars in
 * [0, n) unless said otherwise, in time that depends on none of them. */
#ifndef MIFENG_SM2_SCALAR_H
#define MIFENG_SM2_SCALAR_H

#include "sm2_field.h"

typedef struct {
    uint64_t v[4];
} sm2_scalar;

extern const sm2_scalar sm2_order;

/* r = (carry:a) mod n, for any a below 2^256 (which is below 2n). */
void sm2_scalar_reduce(sm2_scalar *r, const sm2_scalar *a);
void sm2_scalar_add(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b);
void sm2_scalar_sub(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b);
/* r = a * b / 2^256 mod n: plain if one of a and b is in Montgomery form. */
void sm2_scalar_montmul(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b);
void sm2_scalar_to_montgomery(sm2_scalar *r, const sm2_scalar *a);
/* 1 / a in Montgomery form, for a in Montgomery form; 0 for 0. */
void sm2_scalar_invert(sm2_scalar *r, const sm2_scalar *a);

/* All ones or zero. */
uint64_t sm2_scalar_zero_mask(const sm2_scalar *a);
uint64_t sm2_scalar_equal_mask(const sm2_scalar *a, const sm2_scalar *b);

/* Reads 32 big-endian bytes as they are: all ones if the value is below n, else zero. */
uint64_t sm2_scalar_from_bytes(sm2_scalar *r, const uint8_t bytes[32]);
void sm2_scalar_to_bytes(uint8_t bytes[32], const sm2_scalar *a);

#endif
