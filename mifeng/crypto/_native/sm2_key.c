/* SM2 keys: made, read, checked (GB/T 32918.1-2016, 6.1 and 6.2). */
#include "sm2.h"

#include <errno.h>
#if defined(__linux__)
#include <sys/random.h>
#else
#include <unistd.h>
#endif

__attribute__((noinline)) void sm2_burn_stack(int pages)
{
    uint8_t page[4096];
    wipe(page, sizeof page);
    if (pages > 1)
        sm2_burn_stack(pages - 1);
    __asm__ volatile("" : : "r"(page) : "memory"); /* not a tail call: the frames add up */
}

int sm2_random(void *data, size_t size)
{
    uint8_t *p = data;
    while (size) {
        const size_t want = size < 256 ? size : 256; /* up to 256 is never cut short */
#if defined(__linux__)
        const ssize_t got = getrandom(p, want, 0);
#else
        const ssize_t got = getentropy(p, want) ? -1 : (ssize_t)want;
#endif
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        p += got;
        size -= (size_t)got;
    }
    return 0;
}

/* Whether a scalar is rejected says nothing about one that is accepted. */
static int accept(uint64_t mask)
{
    SM2_NOW_PUBLIC(&mask, sizeof mask);
    return mask != 0;
}

int sm2_random_scalars(sm2_scalar *k, size_t count)
{
    uint8_t bytes[32];
    if (sm2_random(k, count * sizeof *k))
        return -1;
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes, &k[i], sizeof bytes);
        uint64_t good = sm2_scalar_from_bytes(&k[i], bytes);
        good &= ~sm2_scalar_zero_mask(&k[i]);
        if (!accept(good) && sm2_random_scalars(&k[i], 1))
            return -1;
    }
    wipe(bytes, sizeof bytes);
    return 0;
}

static void finish_public(sm2_public *key)
{
    static const uint8_t default_uid[16] = {'1', '2', '3', '4', '5', '6', '7', '8',
                                            '1', '2', '3', '4', '5', '6', '7', '8'};
    sm2_za(key->za, key, default_uid, sizeof default_uid);
}

/* The checks, and what a key carries along. d + 1 = n would have no inverse. */
static int finish_private(sm2_private *key)
{
    static const sm2_scalar one = {{1, 0, 0, 0}};
    sm2_scalar next;
    sm2_point point;
    sm2_scalar_add(&next, &key->d, &one);
    if (!accept(~sm2_scalar_zero_mask(&key->d) & ~sm2_scalar_zero_mask(&next)))
        return -1;
    sm2_scalar_to_montgomery(&next, &next);
    sm2_scalar_invert(&key->inverse, &next);
    sm2_curve->base_mul(&point, key->d.v);
    sm2_curve->to_affine(&key->pub.point, &point);
    SM2_NOW_PUBLIC(&key->pub.point, sizeof key->pub.point);
    key->pub.bytes[0] = 4;
    sm2_fe_to_bytes(key->pub.bytes + 1, &key->pub.point.x);
    sm2_fe_to_bytes(key->pub.bytes + 33, &key->pub.point.y);
    finish_public(&key->pub);
    wipe(&next, sizeof next);
    wipe(&point, sizeof point);
    sm2_burn_stack(SM2_SINGLE_PAGES);
    return 0;
}

int sm2_private_from_bytes(sm2_private *key, const uint8_t scalar[32])
{
    if (!accept(sm2_scalar_from_bytes(&key->d, scalar)) || finish_private(key)) {
        wipe(key, sizeof *key);
        return -1;
    }
    return 0;
}

int sm2_private_generate(sm2_private *key)
{
    do {
        if (sm2_random_scalars(&key->d, 1)) {
            wipe(key, sizeof *key);
            return -1;
        }
    } while (finish_private(key));
    return 0;
}

int sm2_point_from_bytes(sm2_affine *point, const uint8_t xy[64])
{
    uint64_t good = sm2_fe_from_bytes(&point->x, xy);
    good &= sm2_fe_from_bytes(&point->y, xy + 32);
    return good & sm2_curve->on_curve(point) ? 0 : -1;
}

int sm2_public_from_bytes(sm2_public *key, const uint8_t bytes[SM2_PUBLIC_SIZE])
{
    if (bytes[0] != 4 || sm2_point_from_bytes(&key->point, bytes + 1))
        return -1;
    memcpy(key->bytes, bytes, SM2_PUBLIC_SIZE);
    finish_public(key);
    return 0;
}

/* One inversion for all, the inverse of the product of the Z taken apart from the end (Montgomery's
 * trick). A Z of 0 is taken as 1, so that it spoils no other. */
void sm2_points_to_bytes(uint8_t (*xy)[64], const sm2_point *points, size_t count)
{
    sm2_fe z[SM2_MAX_POINTS], before[SM2_MAX_POINTS], inverse = sm2_fe_one, t;
    for (size_t i = 0; i < count; i++) {
        z[i] = points[i].z;
        sm2_fe_move(&z[i], &sm2_fe_one, sm2_fe_zero_mask(&z[i]));
        before[i] = inverse;
        sm2_curve->fe_mul(&inverse, &inverse, &z[i]);
    }
    sm2_curve->fe_inv(&inverse, &inverse);
    for (size_t i = count; i--;) {
        sm2_curve->fe_mul(&t, &inverse, &before[i]);
        sm2_curve->fe_mul(&inverse, &inverse, &z[i]);
        sm2_curve->fe_mul(&z[i], &points[i].x, &t);
        sm2_fe_to_bytes(xy[i], &z[i]);
        sm2_curve->fe_mul(&z[i], &points[i].y, &t);
        sm2_fe_to_bytes(xy[i] + 32, &z[i]);
    }
    wipe(z, sizeof z);
    wipe(before, sizeof before);
    wipe(&inverse, sizeof inverse);
    wipe(&t, sizeof t);
}

void sm2_ecdh(uint8_t x[32], const sm2_private *key, const sm2_public *peer)
{
    sm2_point shared;
    uint8_t xy[64];
    sm2_curve->point_mul(&shared, &peer->point, key->d.v);
    sm2_points_to_bytes(&xy, &shared, 1);
    memcpy(x, xy, 32);
    wipe(&shared, sizeof shared);
    wipe(xy, sizeof xy);
    sm2_burn_stack(SM2_SINGLE_PAGES);
}
