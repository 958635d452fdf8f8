/* The group law and scalar multiplication, written once over fe_add, fe_sub, fe_mul and fe_sqr.
 * sm2_curve_portable.c and sm2_curve_adx.c each define those, SM2_CURVE (the table to define),
 * SM2_CURVE_NAME, SM2_VECTOR_BYTES and SM2_SCAN_TARGET, and include this.
 *
 * Why no case is exceptional. What leaves this file, and every sum in a fixed-base multiplication,
 * is homogeneous, and added with the complete formulas of Renes, Costello and Batina, "Complete
 * addition formulas for prime order elliptic curves" (2016), for a = -3: valid for every pair of
 * points. Inside point_mul, where doublings dominate, points are Jacobian; why the cheaper
 * addition there meets no exception is said there. */

#include "sm2_curve.h"

/* ---- field: what is built from the four operations ---- */

static void fe_sqr_times(sm2_fe *r, const sm2_fe *a, int times)
{
    fe_sqr(r, a);
    while (--times)
        fe_sqr(r, r);
}

/* a^(p - 2). From the top, p - 2 is 31 ones, a zero, four times 32 ones, 32 zeros, 32 ones, and
 * 30 ones, a zero, a one. ones_k stands for a^(2^k - 1). */
static void fe_inv(sm2_fe *r, const sm2_fe *a)
{
    sm2_fe ones3, ones15, ones30, ones32, t;
    fe_sqr(&t, a);
    fe_mul(&t, &t, a);
    fe_sqr(&t, &t);
    fe_mul(&ones3, &t, a);
    fe_sqr_times(&t, &ones3, 3);
    fe_mul(&t, &t, &ones3);
    fe_sqr_times(&ones15, &t, 6);
    fe_mul(&t, &ones15, &t);
    fe_sqr_times(&t, &t, 3);
    fe_mul(&ones15, &t, &ones3);
    fe_sqr_times(&t, &ones15, 15);
    fe_mul(&ones30, &t, &ones15);
    fe_sqr(&t, &ones30);
    fe_mul(&t, &t, a);
    fe_sqr(&ones32, &t);
    fe_mul(&ones32, &ones32, a);
    fe_sqr(&t, &t);
    for (int i = 0; i < 4; i++) {
        fe_sqr_times(&t, &t, 32);
        fe_mul(&t, &t, &ones32);
    }
    fe_sqr_times(&t, &t, 64);
    fe_mul(&t, &t, &ones32);
    fe_sqr_times(&t, &t, 30);
    fe_mul(&t, &t, &ones30);
    fe_sqr_times(&t, &t, 2);
    fe_mul(r, &t, a);
}

static uint64_t on_curve(const sm2_affine *p)
{
    sm2_fe left, right, t;
    fe_sqr(&left, &p->y);
    fe_sqr(&right, &p->x);
    fe_add(&t, &sm2_fe_one, &sm2_fe_one);
    fe_add(&t, &t, &sm2_fe_one);
    fe_sub(&right, &right, &t);
    fe_mul(&right, &right, &p->x);
    fe_add(&right, &right, &sm2_fe_b);
    return sm2_fe_equal_mask(&left, &right);
}

/* ---- the group law ---- */

static const sm2_point infinity = {
    {{0, 0, 0, 0}}, {{1, 0xffffffff, 0, UINT64_C(0x100000000)}}, {{0, 0, 0, 0}}};

/* The common end of algorithms 4 and 5: from the products x = X1*X2, y = Y1*Y2, z = Z1*Z2,
 * xy = X1*Y2 + X2*Y1, yz = Y1*Z2 + Y2*Z1, xz = X1*Z2 + X2*Z1. */
static inline void add_products(sm2_point *r, sm2_fe *x, sm2_fe *y, sm2_fe *z, const sm2_fe *xy,
                                const sm2_fe *yz, sm2_fe *xz)
{
    sm2_fe minus, plus, t;
    fe_mul(&t, &sm2_fe_b, z);
    fe_sub(&t, xz, &t);
    fe_add(&plus, &t, &t);
    fe_add(&t, &t, &plus);
    fe_sub(&minus, y, &t);
    fe_add(&plus, y, &t);
    fe_mul(xz, &sm2_fe_b, xz);
    fe_add(&t, z, z);
    fe_add(z, &t, z);
    fe_sub(xz, xz, z);
    fe_sub(xz, xz, x);
    fe_add(&t, xz, xz);
    fe_add(xz, &t, xz);
    fe_add(&t, x, x);
    fe_add(x, &t, x);
    fe_sub(x, x, z);
    fe_mul(y, yz, xz);
    fe_mul(&t, x, xz);
    fe_mul(&r->y, &plus, &minus);
    fe_add(&r->y, &r->y, &t);
    fe_mul(&t, xy, &plus);
    fe_sub(&r->x, &t, y);
    fe_mul(&t, yz, &minus);
    fe_mul(&r->z, xy, x);
    fe_add(&r->z, &t, &r->z);
}

/* r = a1*b2 + a2*b1, given a1*a2 and b1*b2, as (a1 + b1)*(a2 + b2) - a1*a2 - b1*b2 */
static inline void cross(sm2_fe *r, const sm2_fe *a1, const sm2_fe *b1, const sm2_fe *a2,
                         const sm2_fe *b2, const sm2_fe *a, const sm2_fe *b)
{
    sm2_fe s, t;
    fe_add(&s, a1, b1);
    fe_add(&t, a2, b2);
    fe_mul(&s, &s, &t);
    fe_add(&t, a, b);
    fe_sub(r, &s, &t);
}

/* Algorithm 4: any two points. */
static void point_add(sm2_point *r, const sm2_point *p, const sm2_point *q)
{
    sm2_fe x, y, z, xy, yz, xz;
    fe_mul(&x, &p->x, &q->x);
    fe_mul(&y, &p->y, &q->y);
    fe_mul(&z, &p->z, &q->z);
    cross(&xy, &p->x, &p->y, &q->x, &q->y, &x, &y);
    cross(&yz, &p->y, &p->z, &q->y, &q->z, &y, &z);
    cross(&xz, &p->x, &p->z, &q->x, &q->z, &x, &z);
    add_products(r, &x, &y, &z, &xy, &yz, &xz);
}

/* Algorithm 5: any point and one that is not at infinity. */
static void point_add_affine(sm2_point *r, const sm2_point *p, const sm2_affine *q)
{
    sm2_fe x, y, z, xy, yz, xz;
    fe_mul(&x, &p->x, &q->x);
    fe_mul(&y, &p->y, &q->y);
    cross(&xy, &p->x, &p->y, &q->x, &q->y, &x, &y);
    fe_mul(&yz, &q->y, &p->z);
    fe_add(&yz, &yz, &p->y);
    fe_mul(&xz, &q->x, &p->z);
    fe_add(&xz, &xz, &p->x);
    z = p->z;
    add_products(r, &x, &y, &z, &xy, &yz, &xz);
}

/* ---- the group law in Jacobian coordinates ---- */

/* (X/Z^2, Y/Z^3), and (1 : 1 : 0) for the point at infinity. */
typedef struct {
    sm2_fe x, y, z;
} jacobian;

/* An entry of a table: with Z^2 and Z^3. */
typedef struct {
    sm2_fe x, y, z, zz, zzz;
} cached;

#define JACOBIAN_ONE                                                                               \
    {                                                                                              \
        {                                                                                          \
            1, 0xffffffff, 0, UINT64_C(0x100000000)                                                \
        }                                                                                          \
    }
static const jacobian jacobian_infinity = {JACOBIAN_ONE, JACOBIAN_ONE, {{0, 0, 0, 0}}};
static const cached cached_infinity = {
    JACOBIAN_ONE, JACOBIAN_ONE, {{0, 0, 0, 0}}, {{0, 0, 0, 0}}, {{0, 0, 0, 0}}};

/* r = 2^times * r, at 4M + 4S each ("dbl-2001-b" of the Explicit-Formulas Database, with 2*Y*Z as a
 * product). The group's order is odd, so no point but infinity doubles to infinity, and infinity
 * does so here: (1 : 1 : 0) gives itself. */
static void jacobian_double(jacobian *r, int times)
{
    sm2_fe t, u, v, m;
    while (times--) {
        fe_sqr(&t, &r->z);
        fe_mul(&r->z, &r->y, &r->z);
        fe_add(&r->z, &r->z, &r->z); /* Z' = 2YZ */
        fe_add(&u, &r->x, &t);
        fe_sub(&v, &r->x, &t);
        fe_mul(&u, &u, &v);
        fe_add(&m, &u, &u);
        fe_add(&m, &m, &u); /* m = 3(X - Z^2)(X + Z^2) */
        fe_sqr(&t, &r->y);
        fe_add(&t, &t, &t); /* t = 2Y^2 */
        fe_mul(&u, &r->x, &t);
        fe_add(&u, &u, &u); /* u = 4XY^2 */
        fe_sqr(&t, &t);
        fe_add(&t, &t, &t); /* t = 8Y^4 */
        fe_sqr(&r->x, &m);
        fe_sub(&r->x, &r->x, &u);
        fe_sub(&r->x, &r->x, &u); /* X' = m^2 - 2u */
        fe_sub(&u, &u, &r->x);
        fe_mul(&u, &u, &m);
        fe_sub(&r->y, &u, &t); /* Y' = m(u - X') - t */
    }
}

/* r = p + q for p and q not at infinity, p != q, p != -q ("add-1998-cmo-2"), 11M + 3S. */
static void jacobian_add(jacobian *r, const jacobian *p, const cached *q)
{
    sm2_fe u, s, h, hh, d, t;
    fe_sqr(&t, &p->z);
    fe_mul(&h, &q->x, &t);
    fe_mul(&t, &t, &p->z);
    fe_mul(&d, &q->y, &t);
    fe_mul(&u, &p->x, &q->zz);
    fe_mul(&s, &p->y, &q->zzz);
    fe_sub(&h, &h, &u); /* X2*Z1^2 - X1*Z2^2 */
    fe_sub(&d, &d, &s); /* Y2*Z1^3 - Y1*Z2^3 */
    fe_mul(&t, &p->z, &q->z);
    fe_mul(&r->z, &t, &h);
    fe_sqr(&hh, &h);
    fe_mul(&h, &hh, &h);
    fe_mul(&u, &u, &hh);
    fe_sqr(&r->x, &d);
    fe_sub(&r->x, &r->x, &h);
    fe_sub(&r->x, &r->x, &u);
    fe_sub(&r->x, &r->x, &u);
    fe_sub(&u, &u, &r->x);
    fe_mul(&u, &u, &d);
    fe_mul(&s, &s, &h);
    fe_sub(&r->y, &u, &s);
}

static void to_homogeneous(sm2_point *r, const jacobian *p)
{
    sm2_fe t;
    fe_sqr(&t, &p->z);
    fe_mul(&r->x, &p->x, &p->z);
    fe_mul(&r->z, &t, &p->z);
    r->y = p->y;
}

static uint64_t to_affine(sm2_affine *r, const sm2_point *p)
{
    sm2_fe inverse;
    const uint64_t finite = ~sm2_fe_zero_mask(&p->z);
    fe_inv(&inverse, &p->z);
    fe_mul(&r->x, &p->x, &inverse);
    fe_mul(&r->y, &p->y, &inverse);
    return finite;
}

/* ---- secret digits ---- */

typedef uint32_t vector __attribute__((vector_size(SM2_VECTOR_BYTES), aligned(8), may_alias));
#define VECTORS(type) (sizeof(type) / sizeof(vector))

/* Booth's recoding: the signed digit of weight 2^(width * at), from width + 1 bits of the scalar,
 * the lowest of them shared with the digit below. The size is in [0, 2^(width - 1)]; the sign is a
 * mask. `doubled` is the scalar shifted left by one, in six limbs. */
static inline uint64_t recode(uint64_t *negative, const uint64_t doubled[6], int width, int at)
{
    const int bit = width * at, limb = bit / 64, shift = bit % 64;
    uint64_t bits = doubled[limb] >> shift | doubled[limb + 1] << 1 << (63 - shift);
    bits &= (UINT64_C(2) << width) - 1;
    uint64_t sign = 0 - (bits >> width);
    __asm__("" : "+r"(sign));
    bits = (bits & ~sign) | (((UINT64_C(2) << width) - 1 - bits) & sign);
    *negative = sign;
    return (bits >> 1) + (bits & 1);
}

static inline void shift_scalar(uint64_t doubled[6], const uint64_t k[4])
{
    doubled[0] = k[0] << 1;
    for (int i = 1; i < 4; i++)
        doubled[i] = k[i] << 1 | k[i - 1] >> 63;
    doubled[4] = k[3] >> 63;
    doubled[5] = 0;
}

static inline void negate(sm2_fe *y, uint64_t mask)
{
    static const sm2_fe zero = {{0, 0, 0, 0}};
    sm2_fe t;
    fe_sub(&t, &zero, y);
    sm2_fe_move(y, &t, mask);
}

/* r = table[digit - 1], or as it was if the digit is 0. Every entry is read. */
#define DEFINE_SCAN(name, type)                                                                    \
    SM2_SCAN_TARGET static void name(type *r, const type *table, unsigned entries, uint64_t digit) \
    {                                                                                              \
        vector found[VECTORS(type)], at = {0};                                                     \
        const vector wanted = at + (uint32_t)digit;                                                \
        for (size_t i = 0; i < VECTORS(type); i++)                                                 \
            found[i] = ((const vector *)r)[i] & (vector)(at == wanted);                            \
        for (const type *entry = table; entry != table + entries; entry++) {                       \
            at += 1;                                                                               \
            for (size_t i = 0; i < VECTORS(type); i++)                                             \
                found[i] |= ((const vector *)entry)[i] & (vector)(at == wanted);                   \
        }                                                                                          \
        for (size_t i = 0; i < VECTORS(type); i++)                                                 \
            ((vector *)r)[i] = found[i];                                                           \
    }
DEFINE_SCAN(scan_cached, cached)
DEFINE_SCAN(scan_affine, sm2_affine)

/* k*G with G's comb: one mixed addition for each window, thrown away where the digit is 0. */
static void base_mul(sm2_point *r, const uint64_t k[4])
{
    uint64_t doubled[6], negative;
    sm2_affine entry = {sm2_fe_one, sm2_fe_one};
    sm2_point sum = infinity, next;
    shift_scalar(doubled, k);
    for (int i = 0; i < SM2_COMB_WINDOWS; i++) {
        const uint64_t digit = recode(&negative, doubled, SM2_COMB_BITS, i);
        scan_affine(&entry, sm2_base_comb[i], SM2_COMB_POINTS, digit);
        negate(&entry.y, negative);
        point_add_affine(&next, &sum, &entry);
        const uint64_t take = sm2_mask_nonzero(digit);
        sm2_fe_move(&sum.x, &next.x, take);
        sm2_fe_move(&sum.y, &next.y, take);
        sm2_fe_move(&sum.z, &next.z, take);
    }
    *r = sum;
    wipe(doubled, sizeof doubled);
    wipe(&sum, sizeof sum);
    wipe(&next, sizeof next);
    wipe(&entry, sizeof entry);
}

#define WINDOW_BITS 5
#define WINDOWS 52
#define WINDOW_POINTS 16

/* table[i] = (i + 1) * p. The multiples of p up to 16 are distinct and not opposite. */
static void multiples(cached table[WINDOW_POINTS], const sm2_affine *p)
{
    table[0] = (cached){p->x, p->y, sm2_fe_one, sm2_fe_one, sm2_fe_one};
    for (int i = 1; i < WINDOW_POINTS; i++) {
        const cached *from = &table[i % 2 ? i / 2 : i - 1];
        jacobian next = {from->x, from->y, from->z};
        if (i % 2)
            jacobian_double(&next, 1);
        else
            jacobian_add(&next, &next, &table[0]);
        table[i] = (cached){.x = next.x, .y = next.y, .z = next.z};
        fe_sqr(&table[i].zz, &next.z);
        fe_mul(&table[i].zzz, &table[i].zz, &next.z);
    }
}

/* k*P with signed windows of five bits, from the top.
 *
 * Before the last window the sum is 32*A*P for an integer A with 32*A + 16 < n, and the entry is
 * d*P, |d| <= 16. If A and d are not 0, then 32*A is neither d nor -d modulo n, so the incomplete
 * addition is right; if one of them is 0, the other is taken instead. In the last window k = 32*A
 * + d may be anything, and the addition is complete. Three exceptions of jacobian_add are computed
 * and thrown away, all of them with a 0; none changes its course. */
static void point_mul(sm2_point *r, const sm2_affine *p, const uint64_t k[4])
{
    uint64_t doubled[6], negative, started = 0;
    cached table[WINDOW_POINTS], entry;
    jacobian sum = jacobian_infinity, next;
    sm2_point last;
    shift_scalar(doubled, k);
    multiples(table, p);
    for (int i = WINDOWS - 1; i >= 0; i--) {
        const uint64_t digit = recode(&negative, doubled, WINDOW_BITS, i);
        entry = cached_infinity;
        scan_cached(&entry, table, WINDOW_POINTS, digit);
        negate(&entry.y, negative);
        if (i != WINDOWS - 1)
            jacobian_double(&sum, WINDOW_BITS);
        if (i == 0)
            break;
        jacobian_add(&next, &sum, &entry);
        const uint64_t some = sm2_mask_nonzero(digit), both = started & some;
        sm2_fe_move(&sum.x, &next.x, both);
        sm2_fe_move(&sum.y, &next.y, both);
        sm2_fe_move(&sum.z, &next.z, both);
        sm2_fe_move(&sum.x, &entry.x, ~started);
        sm2_fe_move(&sum.y, &entry.y, ~started);
        sm2_fe_move(&sum.z, &entry.z, ~started);
        started |= some;
    }
    to_homogeneous(r, &sum);
    next = (jacobian){entry.x, entry.y, entry.z};
    to_homogeneous(&last, &next);
    point_add(r, r, &last);
    wipe(doubled, sizeof doubled);
    wipe(table, sizeof table);
    wipe(&sum, sizeof sum);
    wipe(&next, sizeof next);
    wipe(&entry, sizeof entry);
    wipe(&last, sizeof last);
}

/* ---- public values ---- */

static void public_double_mul(sm2_point *r, const uint64_t u[4], const sm2_affine *p,
                              const uint64_t v[4])
{
    uint64_t doubled[6], negative;
    point_mul(r, p, v);
    shift_scalar(doubled, u);
    for (int i = 0; i < SM2_COMB_WINDOWS; i++) {
        const uint64_t digit = recode(&negative, doubled, SM2_COMB_BITS, i);
        if (digit) {
            sm2_affine entry = sm2_base_comb[i][digit - 1];
            negate(&entry.y, negative);
            point_add_affine(r, r, &entry);
        }
    }
}

/* One inversion for a row of the table: the inverse of the product of all Z, taken apart from the
 * end (Montgomery's trick). No multiple below the group's order has Z = 0. */
static void to_affine_row(sm2_affine *r, const sm2_point *p)
{
    sm2_fe products[SM2_COMB_POINTS], inverse, z;
    products[0] = p[0].z;
    for (int i = 1; i < SM2_COMB_POINTS; i++)
        fe_mul(&products[i], &products[i - 1], &p[i].z);
    fe_inv(&inverse, &products[SM2_COMB_POINTS - 1]);
    for (int i = SM2_COMB_POINTS - 1; i >= 0; i--) {
        z = inverse;
        if (i)
            fe_mul(&z, &inverse, &products[i - 1]);
        fe_mul(&inverse, &inverse, &p[i].z);
        fe_mul(&r[i].x, &p[i].x, &z);
        fe_mul(&r[i].y, &p[i].y, &z);
    }
}

static void comb(sm2_comb table, const sm2_affine *p)
{
    sm2_point row[SM2_COMB_POINTS];
    row[0] = (sm2_point){p->x, p->y, sm2_fe_one};
    for (int i = 0; i < SM2_COMB_WINDOWS; i++) {
        for (int j = 1; j < SM2_COMB_POINTS; j++)
            point_add(&row[j], &row[j - 1], &row[0]);
        to_affine_row(table[i], row);
        point_add(&row[0], &row[SM2_COMB_POINTS - 1], &row[SM2_COMB_POINTS - 1]);
    }
}

const struct sm2_curve SM2_CURVE = {
    .name = SM2_CURVE_NAME,
    .fe_mul = fe_mul,
    .fe_sqr = fe_sqr,
    .fe_add = fe_add,
    .fe_sub = fe_sub,
    .fe_inv = fe_inv,
    .add = point_add,
    .base_mul = base_mul,
    .point_mul = point_mul,
    .public_double_mul = public_double_mul,
    .comb = comb,
    .to_affine = to_affine,
    .on_curve = on_curve,
};
