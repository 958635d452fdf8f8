/* Arithmetic modulo the order of the SM2 group. A signature needs one multiplication here and a key
 * one inversion, so this is plain C11. */
#include "sm2_scalar.h"

const sm2_scalar sm2_order = {{UINT64_C(0x53bbf40939d54123), UINT64_C(0x7203df6b21c6052b),
                               UINT64_MAX, UINT64_C(0xfffffffeffffffff)}};
static const sm2_scalar montgomery_square = {
    {UINT64_C(0x901192af7c114f20), UINT64_C(0x3464504ade6fa2fa), UINT64_C(0x620fc84c3affe0d4),
     UINT64_C(0x1eb5e412a22b3d3b)}}; /* 2^512 mod n */
static const uint64_t minus_inverse = UINT64_C(0x327f9e8872350975); /* -1/n mod 2^64 */

void sm2_scalar_reduce(sm2_scalar *r, const sm2_scalar *a)
{
    sm2_reduce_once(r->v, 0, a->v, sm2_order.v);
}

void sm2_scalar_add(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b)
{
    uint64_t sum[4];
    const uint64_t carry = sm2_add256(sum, a->v, b->v);
    sm2_reduce_once(r->v, carry, sum, sm2_order.v);
}

void sm2_scalar_sub(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b)
{
    uint64_t less[4], more[4];
    uint64_t mask = 0 - sm2_sub256(less, a->v, b->v);
    __asm__("" : "+r"(mask));
    for (int i = 0; i < 4; i++)
        more[i] = sm2_order.v[i] & mask;
    sm2_add256(r->v, less, more);
}

/* Montgomery multiplication, one limb of b at a time ("CIOS": Koc, Acar and Kaliski, 1996). */
void sm2_scalar_montmul(sm2_scalar *r, const sm2_scalar *a, const sm2_scalar *b)
{
    uint64_t t[6] = {0};
    for (int i = 0; i < 4; i++) {
        sm2_u128 sum = 0;
        for (int j = 0; j < 4; j++) {
            sum = (sm2_u128)a->v[j] * b->v[i] + t[j] + (uint64_t)(sum >> 64);
            t[j] = (uint64_t)sum;
        }
        sum = (sm2_u128)t[4] + (uint64_t)(sum >> 64);
        t[4] = (uint64_t)sum;
        t[5] = (uint64_t)(sum >> 64);
        const uint64_t m = t[0] * minus_inverse;
        sum = (sm2_u128)m * sm2_order.v[0] + t[0];
        for (int j = 1; j < 4; j++) {
            sum = (sm2_u128)m * sm2_order.v[j] + t[j] + (uint64_t)(sum >> 64);
            t[j - 1] = (uint64_t)sum;
        }
        sum = (sm2_u128)t[4] + (uint64_t)(sum >> 64);
        t[3] = (uint64_t)sum;
        t[4] = t[5] + (uint64_t)(sum >> 64);
    }
    sm2_reduce_once(r->v, t[4], t, sm2_order.v);
}

void sm2_scalar_to_montgomery(sm2_scalar *r, const sm2_scalar *a)
{
    sm2_scalar_montmul(r, a, &montgomery_square);
}

/* a^(n - 2), four bits of the exponent at a time. The exponent is public: it is the curve's. */
void sm2_scalar_invert(sm2_scalar *r, const sm2_scalar *a)
{
    static const sm2_scalar one = {{1, 0, 0, 0}};
    sm2_scalar powers[16], result;
    sm2_scalar_to_montgomery(&powers[0], &one);
    for (int i = 1; i < 16; i++)
        sm2_scalar_montmul(&powers[i], &powers[i - 1], a);
    result = powers[0];
    for (int i = 63; i >= 0; i--) {
        const uint64_t limb = sm2_order.v[i / 16] - (i < 16 ? 2 : 0);
        for (int j = 0; j < 4; j++)
            sm2_scalar_montmul(&result, &result, &result);
        sm2_scalar_montmul(&result, &result, &powers[limb >> (4 * (i % 16)) & 15]);
    }
    *r = result;
    wipe(powers, sizeof powers);
    wipe(&result, sizeof result);
}

uint64_t sm2_scalar_zero_mask(const sm2_scalar *a)
{
    return sm2_mask_zero(a->v[0] | a->v[1] | a->v[2] | a->v[3]);
}

uint64_t sm2_scalar_equal_mask(const sm2_scalar *a, const sm2_scalar *b)
{
    return sm2_mask_zero((a->v[0] ^ b->v[0]) | (a->v[1] ^ b->v[1]) | (a->v[2] ^ b->v[2]) |
                         (a->v[3] ^ b->v[3]));
}

uint64_t sm2_scalar_from_bytes(sm2_scalar *r, const uint8_t bytes[32])
{
    uint64_t less[4];
    sm2_load256(r->v, bytes);
    uint64_t below = 0 - sm2_sub256(less, r->v, sm2_order.v);
    __asm__("" : "+r"(below));
    return below;
}

void sm2_scalar_to_bytes(uint8_t bytes[32], const sm2_scalar *a) { sm2_store256(bytes, a->v); }
