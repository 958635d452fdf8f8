/* The SM2 group, eight points at a time, in the vector operations of sm2_lanes.h.
 *
 * The field and the bounds noted at every value are explained in sm2_lanes_field.h. */
#include "sm2_lanes_curve.h"

#if defined(__x86_64__) || defined(MIFENG_EMULATE_LANES)

#include "sm2_lanes_field.h"

typedef struct {
    fe8 x, y, z; /* < 4p, carried */
} point8;

/* ---- the group law: the formulas of sm2_curve_body.h, with bounds ---- */

/* x, y < 6p, z < 4p, xy, yz, xz < 6p, all carried. */
LANES_TARGET static void add_products(point8 *r, const fe8 *x, const fe8 *y, const fe8 *z,
                                      const fe8 *xy, const fe8 *yz, const fe8 *xz)
{
    fe8 b, plus, minus, t, u, w;
    fe8_all(&b, b52);
    fe8_mul(&t, &b, z); /* < 2p */
    fe8_sub(&t, xz, &t);
    fe8_add(&u, &t, &t);
    fe8_add(&t, &t, &u); /* -6p .. 18p */
    fe8_sub(&minus, y, &t);
    reduce(&minus);
    fe8_add(&plus, y, &t);
    reduce(&plus);
    fe8_mul(&u, &b, xz); /* < 2p */
    fe8_add(&t, z, z);
    fe8_add(&t, &t, z);
    fe8_sub(&u, &u, &t);
    fe8_sub(&u, &u, x); /* -18p .. 2p */
    fe8_add(&w, &u, &u);
    fe8_add(&u, &u, &w);
    reduce(&u); /* 3(b*xz - 3z - x) */
    fe8_add(&w, x, x);
    fe8_add(&w, &w, x);
    fe8_sub(&w, &w, &t);
    reduce(&w); /* 3(x - z) */
    fe8 a, c;
    fe8_mul(&a, yz, &u);
    fe8_mul(&c, &w, &u);
    fe8_mul(&r->y, &plus, &minus);
    fe8_add(&r->y, &r->y, &c);
    carry(&r->y);
    fe8_mul(&c, xy, &plus);
    fe8_sub(&r->x, &c, &a);
    fe8_add_multiple_of_p(&r->x, 2);
    carry(&r->x);
    fe8_mul(&a, yz, &minus);
    fe8_mul(&c, xy, &w);
    fe8_add(&r->z, &a, &c);
    carry(&r->z);
}

/* a1*b2 + a2*b1 < 1.0001p, given a = a1*a2, b = b1*b2 < 6p and all others < 4p */
LANES_INLINE void cross(fe8 *r, const fe8 *a1, const fe8 *b1, const fe8 *a2, const fe8 *b2,
                        const fe8 *a, const fe8 *b)
{
    fe8 s, t;
    fe8_add(&s, a1, b1);
    carry(&s);
    fe8_add(&t, a2, b2);
    carry(&t);
    fe8_mul(&s, &s, &t); /* < 5p */
    fe8_sub(&s, &s, a);
    fe8_sub(r, &s, b);
    reduce(r);
}

LANES_TARGET static void add8(point8 *r, const point8 *p, const point8 *q)
{
    fe8 x, y, z, xy, yz, xz;
    fe8_mul(&x, &p->x, &q->x);
    fe8_mul(&y, &p->y, &q->y);
    fe8_mul(&z, &p->z, &q->z);
    cross(&xy, &p->x, &p->y, &q->x, &q->y, &x, &y);
    cross(&yz, &p->y, &p->z, &q->y, &q->z, &y, &z);
    cross(&xz, &p->x, &p->z, &q->x, &q->z, &x, &z);
    add_products(r, &x, &y, &z, &xy, &yz, &xz);
}

/* (qx, qy) is a point, its coordinates < 4p */
LANES_TARGET static void add_affine8(point8 *r, const point8 *p, const fe8 *qx, const fe8 *qy)
{
    fe8 x, y, z, xy, yz, xz;
    fe8_mul(&x, &p->x, qx);
    fe8_mul(&y, &p->y, qy);
    cross(&xy, &p->x, &p->y, qx, qy, &x, &y);
    fe8_mul(&yz, qy, &p->z);
    fe8_add(&yz, &yz, &p->y);
    carry(&yz);
    fe8_mul(&xz, qx, &p->z);
    fe8_add(&xz, &xz, &p->x);
    carry(&xz);
    z = p->z;
    add_products(r, &x, &y, &z, &xy, &yz, &xz);
}

/* r = 2^times * p by Jacobian doublings. `finite` says which lanes are not at infinity. */
LANES_TARGET static void double_times8(point8 *r, lanes_mask finite, int times)
{
    fe8 x, y, z, t, u, v, m, one;
    fe8_all(&one, one52);
    fe8_sqr(&t, &r->z);
    fe8_mul(&x, &r->x, &r->z);
    fe8_mul(&y, &r->y, &t);
    fe8_choose(&x, finite, &one, &x);
    fe8_choose(&y, finite, &one, &y);
    z = r->z;
    fe8 zero;
    for (int i = 0; i < 5; i++)
        zero.v[i] = lanes_all(0);
    fe8_choose(&z, finite, &zero, &z);
    /* x, y < 2p and z < 4p before and after each step */
    while (times--) {
        fe8_sqr(&t, &z); /* < 2p */
        fe8_mul(&z, &y, &z);
        fe8_add(&z, &z, &z);
        carry(&z);
        fe8_add(&u, &x, &t);
        carry(&u); /* < 4p */
        fe8_sub(&v, &x, &t);
        fe8_add_multiple_of_p(&v, 2);
        carry(&v);           /* < 4p */
        fe8_mul(&u, &u, &v); /* < 2p */
        fe8_add(&m, &u, &u);
        fe8_add(&m, &m, &u);
        carry(&m); /* < 6p */
        fe8_sqr(&t, &y);
        fe8_add(&t, &t, &t);
        carry(&t); /* < 4p */
        fe8_mul(&u, &x, &t);
        fe8_add(&u, &u, &u); /* < 4p */
        fe8_sqr(&t, &t);
        fe8_add(&t, &t, &t); /* < 4p */
        fe8_sqr(&x, &m);     /* < 4p */
        fe8_sub(&x, &x, &u);
        fe8_sub(&x, &x, &u);
        reduce(&x);
        fe8_sub(&u, &u, &x);
        fe8_add_multiple_of_p(&u, 2);
        carry(&u);           /* < 6p */
        fe8_mul(&u, &u, &m); /* < 4p */
        fe8_sub(&y, &u, &t);
        reduce(&y);
    }
    fe8_sqr(&t, &z);
    fe8_mul(&r->x, &x, &z);
    r->y = y;
    fe8_mul(&r->z, &t, &z);
}

/* ---- in and out ---- */

LANES_INLINE void transpose(lanes limbs[4], const void *values, size_t stride)
{
    uint64_t columns[4][LANES], value[4];
    for (int i = 0; i < LANES; i++) {
        memcpy(value, (const uint8_t *)values + (size_t)i * stride, sizeof value);
        for (int j = 0; j < 4; j++)
            columns[j][i] = value[j];
    }
    for (int j = 0; j < 4; j++)
        limbs[j] = lanes_load(columns[j]);
    wipe(columns, sizeof columns);
    wipe(value, sizeof value);
}

/* Four limbs of 64 bits, Montgomery radix 2^256, to five of 52, radix 2^260: times 16. */
LANES_INLINE void widen(fe8 *r, const lanes w[4])
{
    const lanes mask = lanes_all(MASK52);
    r->v[0] = lanes_and(w[0], mask);
    r->v[1] = lanes_and(lanes_or(lanes_right(w[0], 52), lanes_left(w[1], 12)), mask);
    r->v[2] = lanes_and(lanes_or(lanes_right(w[1], 40), lanes_left(w[2], 24)), mask);
    r->v[3] = lanes_and(lanes_or(lanes_right(w[2], 28), lanes_left(w[3], 36)), mask);
    r->v[4] = lanes_right(w[3], 16);
    for (int i = 0; i < 5; i++)
        r->v[i] = lanes_left(r->v[i], 4);
    reduce(r);
}

LANES_INLINE void narrow(uint64_t columns[4][LANES], const fe8 *a)
{
    fe8 t = *a;
    reduce(&t);
    lanes_store(columns[0], lanes_or(t.v[0], lanes_left(t.v[1], 52)));
    lanes_store(columns[1], lanes_or(lanes_right(t.v[1], 12), lanes_left(t.v[2], 40)));
    lanes_store(columns[2], lanes_or(lanes_right(t.v[2], 24), lanes_left(t.v[3], 28)));
    lanes_store(columns[3], lanes_or(lanes_right(t.v[3], 36), lanes_left(t.v[4], 16)));
}

/* The limbs are taken over as they are: they stand for 16 times the coordinate in the scalar code's
 * Montgomery form, but for all three coordinates alike, and that is the same point. */
LANES_TARGET static void take_points(sm2_point r[LANES], const point8 *p)
{
    uint64_t columns[3][4][LANES];
    narrow(columns[0], &p->x);
    narrow(columns[1], &p->y);
    narrow(columns[2], &p->z);
    for (int i = 0; i < LANES; i++) {
        sm2_fe *const coordinates[3] = {&r[i].x, &r[i].y, &r[i].z};
        for (int c = 0; c < 3; c++) {
            uint64_t v[4];
            for (int j = 0; j < 4; j++)
                v[j] = columns[c][j][i];
            sm2_reduce_once(coordinates[c]->v, 0, v, sm2_fe_p.v);
            wipe(v, sizeof v);
        }
    }
    wipe(columns, sizeof columns);
}

/* Booth's recoding as in sm2_curve_body.h, of the scalars shifted left by one, in six limbs. */
LANES_INLINE void shift_scalars(lanes doubled[6], const sm2_scalar k[LANES])
{
    lanes w[4];
    transpose(w, k, sizeof *k);
    doubled[0] = lanes_left(w[0], 1);
    for (int i = 1; i < 4; i++)
        doubled[i] = lanes_or(lanes_left(w[i], 1), lanes_right(w[i - 1], 63));
    doubled[4] = lanes_right(w[3], 63);
    doubled[5] = lanes_all(0);
}

LANES_INLINE lanes recode(lanes_mask *negative, const lanes doubled[6], int width, int at)
{
    const unsigned bit = (unsigned)(width * at), limb = bit / 64, shift = bit % 64;
    const lanes all = lanes_all((UINT64_C(2) << width) - 1);
    lanes bits = lanes_right(doubled[limb], shift);
    if (shift)
        bits = lanes_or(bits, lanes_left(doubled[limb + 1], 64 - shift));
    bits = lanes_and(bits, all);
    *negative = lanes_any_bit(bits, lanes_all(UINT64_C(1) << width));
    bits = lanes_choose(*negative, bits, lanes_sub(all, bits));
    return lanes_add(lanes_right(bits, 1), lanes_and(bits, lanes_all(1)));
}

/* y = -y in the chosen lanes; < 4p before and after */
LANES_INLINE void negate(fe8 *y, lanes_mask mask)
{
    fe8 t;
    for (int i = 0; i < 5; i++)
        t.v[i] = lanes_sub(lanes_all(p52[i] * 4), y->v[i]);
    carry(&t);
    fe8_choose(y, mask, y, &t);
}

LANES_INLINE void choose_point(point8 *r, lanes_mask m, const point8 *no, const point8 *yes)
{
    fe8_choose(&r->x, m, &no->x, &yes->x);
    fe8_choose(&r->y, m, &no->y, &yes->y);
    fe8_choose(&r->z, m, &no->z, &yes->z);
}

LANES_INLINE void set_infinity(point8 *r)
{
    for (int i = 0; i < 5; i++)
        r->x.v[i] = r->z.v[i] = lanes_all(0);
    fe8_all(&r->y, one52);
}

/* ---- multiplication ---- */

/* table[digit] for digits in [0, 63]: four picks out of sixteen, and three choices among them */
LANES_INLINE lanes pick64(const uint64_t table[64], lanes digit)
{
    const lanes_mask bit4 = lanes_any_bit(digit, lanes_all(16));
    const lanes_mask bit5 = lanes_any_bit(digit, lanes_all(32));
    const lanes a = lanes_pick16(table, digit), b = lanes_pick16(table + 16, digit);
    const lanes c = lanes_pick16(table + 32, digit), d = lanes_pick16(table + 48, digit);
    return lanes_choose(bit5, lanes_choose(bit4, a, b), lanes_choose(bit4, c, d));
}

LANES_TARGET void sm2_lanes_comb_mul(sm2_point r[SM2_LANES], const sm2_lanes_comb table,
                                     const sm2_scalar k[SM2_LANES])
{
    lanes doubled[6];
    lanes_mask negative;
    point8 sum, next;
    shift_scalars(doubled, k);
    set_infinity(&sum);
    for (int i = 0; i < SM2_COMB_WINDOWS; i++) {
        const lanes digit = recode(&negative, doubled, SM2_COMB_BITS, i);
        const lanes_mask none = lanes_equal(digit, lanes_all(0));
        const lanes at = lanes_and(lanes_sub(digit, lanes_all(1)), lanes_all(SM2_COMB_POINTS - 1));
        fe8 x, y;
        for (int j = 0; j < 5; j++) {
            x.v[j] = pick64(table[i][j], at);
            y.v[j] = pick64(table[i][5 + j], at);
        }
        negate(&y, negative);
        add_affine8(&next, &sum, &x, &y);
        choose_point(&sum, none, &next, &sum);
    }
    take_points(r, &sum);
    wipe(doubled, sizeof doubled);
    wipe(&sum, sizeof sum);
    wipe(&next, sizeof next);
}

#define WINDOW_BITS 5
#define WINDOWS 52
#define WINDOW_POINTS 16

/* entry = table[digit - 1], or infinity for digit 0; every entry is read */
LANES_TARGET static void scan8(point8 *entry, const point8 table[WINDOW_POINTS], lanes digit)
{
    set_infinity(entry);
    for (unsigned j = 0; j < WINDOW_POINTS; j++)
        choose_point(entry, lanes_equal(digit, lanes_all(j + 1)), entry, &table[j]);
}

LANES_TARGET void sm2_lanes_point_mul(sm2_point r[SM2_LANES], const sm2_affine p[SM2_LANES],
                                      const sm2_scalar k[SM2_LANES])
{
    lanes doubled[6], w[4];
    lanes_mask negative, finite = lanes_mask_none();
    point8 table[WINDOW_POINTS], sum, entry;
    shift_scalars(doubled, k);
    transpose(w, &p->x, sizeof *p);
    widen(&table[0].x, w);
    transpose(w, &p->y, sizeof *p);
    widen(&table[0].y, w);
    fe8_all(&table[0].z, one52);
    for (int i = 1; i < WINDOW_POINTS; i++)
        add_affine8(&table[i], &table[i - 1], &table[0].x, &table[0].y);
    set_infinity(&sum);
    for (int i = WINDOWS - 1; i >= 0; i--) {
        const lanes digit = recode(&negative, doubled, WINDOW_BITS, i);
        scan8(&entry, table, digit);
        negate(&entry.y, negative);
        if (i != WINDOWS - 1)
            double_times8(&sum, finite, WINDOW_BITS);
        add8(&sum, &sum, &entry);
        /* What stands above a window is not zero once a digit was not, and it is less than the
         * order until the last window: so this is whether the sum is a point to be doubled. */
        finite = lanes_mask_or(finite, lanes_any_bit(digit, digit));
    }
    take_points(r, &sum);
    wipe(doubled, sizeof doubled);
    wipe(table, sizeof table);
    wipe(&sum, sizeof sum);
    wipe(&entry, sizeof entry);
}

void sm2_lanes_convert_comb(sm2_lanes_comb r, const sm2_comb table)
{
    for (int i = 0; i < SM2_COMB_WINDOWS; i++) {
        for (int j = 0; j < SM2_COMB_POINTS; j++) {
            const sm2_fe *const coordinates[2] = {&table[i][j].x, &table[i][j].y};
            for (int c = 0; c < 2; c++) {
                sm2_fe t = *coordinates[c];
                for (int k = 0; k < 4; k++) /* times 16: radix 2^256 to 2^260 */
                    sm2_curve->fe_add(&t, &t, &t);
                for (int limb = 0; limb < 5; limb++) {
                    const int word = 52 * limb / 64, shift = 52 * limb % 64;
                    uint64_t v = t.v[word] >> shift;
                    if (shift > 12 && word < 3)
                        v |= t.v[word + 1] << (64 - shift);
                    r[i][5 * c + limb][j] = v & MASK52;
                }
            }
        }
    }
}

#ifdef MIFENG_EMULATE_LANES
int sm2_lanes_usable(void) { return 1; }
#else
int sm2_lanes_usable(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512ifma");
}
#endif

#else /* no such processor: never called, as sm2_lanes_usable says no */

int sm2_lanes_usable(void) { return 0; }

void sm2_lanes_convert_comb(sm2_lanes_comb r, const sm2_comb table)
{
    (void)r;
    (void)table;
}

void sm2_lanes_comb_mul(sm2_point r[SM2_LANES], const sm2_lanes_comb table,
                        const sm2_scalar k[SM2_LANES])
{
    (void)r;
    (void)table;
    (void)k;
}

void sm2_lanes_point_mul(sm2_point r[SM2_LANES], const sm2_affine p[SM2_LANES],
                         const sm2_scalar k[SM2_LANES])
{
    (void)r;
    (void)p;
    (void)k;
}

#endif
