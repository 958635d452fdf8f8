/* Many SM2 operations in one call: eight at a time in vector lanes where the processor has them,
 * one by one elsewhere. What happens around the multiplications is the code of single calls. */
#include "sm2_batch.h"

/* With fewer left than this, idle lanes cost more than single calls. */
#define WORTHWHILE 3
/* From as many signatures by one key, a comb of that key is worth computing. */
#define COMB_WORTHWHILE 128

static int lanes_active;
static sm2_lanes_comb lanes_base_comb;

int sm2_batch_choose(const char *name)
{
    const int wanted = strcmp(name, "ifma") == 0;
    if ((wanted && !sm2_lanes_usable()) || sm2_curve_choose(wanted ? "auto" : name))
        return -1;
    lanes_active = wanted || (strcmp(name, "auto") == 0 && sm2_lanes_usable());
    if (lanes_active)
        sm2_lanes_convert_comb(lanes_base_comb, sm2_base_comb);
    return 0;
}

int sm2_lanes_active(void) { return lanes_active; }

const sm2_lanes_comb *sm2_lanes_base(void) { return (const sm2_lanes_comb *)&lanes_base_comb; }

/* How many of `left` to take into lanes now: 0 for none. */
static size_t fill(size_t left)
{
    if (!lanes_active || left < WORTHWHILE)
        return 0;
    return left < SM2_LANES ? left : SM2_LANES;
}

/* ---- sign ---- */

typedef uint8_t block32[32];

/* HMAC-SM3 in lanes: tags[i] = HMAC(keys[i], V[i] || separator || seed), or of V[i] alone where
 * there is no seed. The lanes of the hash may be more than the messages; the last is repeated. */
static void hmac_lanes(block32 *tags, const block32 *keys, const block32 *v, int separator,
                       const uint8_t (*seeds)[96], size_t count)
{
    const struct sm3_path *sm3 = mifeng_sm3_path();
    uint8_t messages[SM2_LANES][64 + 32 + 1 + 96], digests[SM3_MAX_LANES][32];
    const uint8_t *inputs[SM3_MAX_LANES];
    const size_t tail = seeds ? 32 + 1 + 96 : 32;
    for (size_t i = 0; i < SM3_MAX_LANES; i++)
        inputs[i] = messages[i < count ? i : count - 1];
    for (size_t i = 0; i < count; i++) {
        memset(messages[i], 0x36, 64);
        for (int j = 0; j < 32; j++)
            messages[i][j] ^= keys[i][j];
        memcpy(messages[i] + 64, v[i], 32);
        if (seeds) {
            messages[i][96] = (uint8_t)separator;
            memcpy(messages[i] + 97, seeds[i], 96);
        }
    }
    sm3->digest_lanes(inputs, 64 + tail, digests);
    for (size_t i = 0; i < count; i++) {
        for (int j = 0; j < 64; j++)
            messages[i][j] ^= 0x36 ^ 0x5c;
        memcpy(messages[i] + 64, digests[i], 32);
    }
    sm3->digest_lanes(inputs, 64 + 32, digests);
    memcpy(tags, digests, count * 32);
    wipe(messages, sizeof messages);
    wipe(digests, sizeof digests);
}

void sm2_batch_nonces(sm2_scalar *k, const sm2_private *key, const uint8_t (*es)[32],
                      const uint8_t (*fresh)[32], size_t count)
{
    block32 keys[SM2_LANES] = {{0}}, v[SM2_LANES];
    uint8_t seeds[SM2_LANES][96];
    if (mifeng_sm3_path()->lanes < SM2_LANES) {
        for (size_t i = 0; i < count; i++) {
            sm2_nonces state;
            sm2_nonces_start(&state, &key->d, es[i], fresh[i]);
            sm2_nonces_next(&state, &k[i], 1);
            wipe(&state, sizeof state);
        }
        return;
    }
    memset(v, 1, sizeof v);
    for (size_t i = 0; i < count; i++)
        sm2_nonces_seed(seeds[i], &key->d, es[i], fresh[i]);
    for (int separator = 0; separator < 2; separator++) {
        hmac_lanes(keys, (const block32 *)keys, (const block32 *)v, separator,
                   (const uint8_t(*)[96])seeds, count);
        hmac_lanes(v, (const block32 *)keys, (const block32 *)v, 0, NULL, count);
    }
    hmac_lanes(v, (const block32 *)keys, (const block32 *)v, 0, NULL, count);
    for (size_t i = 0; i < count; i++)
        sm2_load256(k[i].v, v[i]);
    wipe(keys, sizeof keys);
    wipe(v, sizeof v);
    wipe(seeds, sizeof seeds);
}

static void sign_lanes(uint8_t (*signatures)[64], const sm2_private *key, const uint8_t (*es)[32],
                       const block32 *fresh, size_t count)
{
    sm2_scalar k[SM2_LANES] = {{{0}}};
    sm2_point points[SM2_LANES];
    uint8_t xy[SM2_LANES][64];
    sm2_batch_nonces(k, key, es, fresh, count);
    sm2_lanes_comb_mul(points, *sm2_lanes_base(), k);
    sm2_points_to_bytes(xy, points, SM2_LANES);
    for (size_t i = 0; i < count; i++)
        if (sm2_sign_finish(signatures[i], key, es[i], &k[i], xy[i]))
            sm2_sign(signatures[i], key, es[i], fresh[i]); /* which goes on to the next nonce */
    wipe(k, sizeof k);
    wipe(points, sizeof points);
    wipe(xy, sizeof xy);
    sm2_burn_stack(SM2_LANES_PAGES);
}

int sm2_sign_batch(uint8_t (*signatures)[64], const sm2_private *key, const uint8_t (*es)[32],
                   size_t count)
{
    block32 fresh[SM2_LANES];
    for (size_t i = 0, n; i < count; i += n) {
        const size_t filled = fill(count - i);
        n = filled ? filled : 1;
        if (sm2_random(fresh, n * sizeof *fresh))
            return -1;
        if (filled)
            sign_lanes(signatures + i, key, es + i, (const block32 *)fresh, n);
        else
            sm2_sign(signatures[i], key, es[i], fresh[0]);
    }
    wipe(fresh, sizeof fresh);
    return 0;
}

/* ---- verify ---- */

/* Up to eight; `comb` is of the one key they have in common, or NULL. */
static void verify_lanes(sm2_verification *const *work, size_t count, const sm2_lanes_comb *comb)
{
    sm2_scalar s[SM2_LANES] = {{{0}}}, t[SM2_LANES] = {{{0}}};
    sm2_affine keys[SM2_LANES];
    sm2_point a[SM2_LANES], b[SM2_LANES];
    int refused[SM2_LANES];
    for (size_t i = 0; i < SM2_LANES; i++) {
        const sm2_verification *w = work[i < count ? i : 0];
        keys[i] = w->key->point;
        refused[i] = !w->signature || sm2_verify_start(&s[i], &t[i], w->signature);
    }
    sm2_lanes_comb_mul(a, *sm2_lanes_base(), s);
    if (comb)
        sm2_lanes_comb_mul(b, *comb, t);
    else
        sm2_lanes_point_mul(b, keys, t);
    for (size_t i = 0; i < count; i++) {
        sm2_curve->add(&a[i], &a[i], &b[i]);
        work[i]->valid = !refused[i] && !sm2_verify_finish(&a[i], work[i]->e, work[i]->signature);
    }
}

static int by_key(const void *a, const void *b)
{
    const sm2_verification *x = *(sm2_verification *const *)a, *y = *(sm2_verification *const *)b;
    return memcmp(x->key->bytes, y->key->bytes, SM2_PUBLIC_SIZE);
}

/* A key's comb in both forms, on the heap: 330 KiB. NULL if there is no memory for it. */
typedef struct {
    sm2_comb scalar;
    sm2_lanes_comb lanes;
} key_comb;

static key_comb *comb_of(const sm2_public *key)
{
    key_comb *comb = malloc(sizeof *comb);
    if (comb) {
        sm2_curve->comb(comb->scalar, &key->point);
        sm2_lanes_convert_comb(comb->lanes, (const void *)comb->scalar);
    }
    return comb;
}

void sm2_verify_batch(sm2_verification *work, size_t count)
{
    sm2_verification **order = fill(count) ? malloc(count * sizeof *order) : NULL;
    if (!order) {
        for (size_t i = 0; i < count; i++)
            work[i].valid =
                work[i].signature && !sm2_verify(work[i].key, work[i].e, work[i].signature);
        return;
    }
    for (size_t i = 0; i < count; i++)
        order[i] = &work[i];
    qsort(order, count, sizeof *order, by_key);
    size_t done = 0;
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && !by_key(&order[start], &order[end]); end++)
            ;
        if (end - start < COMB_WORTHWHILE)
            continue;
        key_comb *comb = comb_of(order[start]->key);
        if (!comb)
            continue;
        /* those before it wait for lanes with different keys */
        for (; done < start; done += SM2_LANES)
            verify_lanes(order + done, start - done < SM2_LANES ? start - done : SM2_LANES, NULL);
        for (done = start; done < end; done += SM2_LANES)
            verify_lanes(order + done, end - done < SM2_LANES ? end - done : SM2_LANES,
                         (const sm2_lanes_comb *)&comb->lanes);
        done = end;
        free(comb);
    }
    for (; done < count; done += SM2_LANES)
        verify_lanes(order + done, count - done < SM2_LANES ? count - done : SM2_LANES, NULL);
    free(order);
}

/* ---- encrypt ---- */

static int encrypt_lanes(sm2_encryption *work, size_t count)
{
    sm2_scalar k[SM2_LANES];
    sm2_affine keys[SM2_LANES];
    sm2_point points[2 * SM2_LANES];
    uint8_t xy[2 * SM2_LANES][64];
    int failed = sm2_random_scalars(k, SM2_LANES);
    if (failed)
        return -1;
    for (size_t i = 0; i < SM2_LANES; i++)
        keys[i] = work[i < count ? i : 0].key->point;
    sm2_lanes_comb_mul(points, *sm2_lanes_base(), k);
    sm2_lanes_point_mul(points + SM2_LANES, keys, k);
    sm2_points_to_bytes(xy, points, 2 * SM2_LANES);
    for (size_t i = 0; i < count && !failed; i++) {
        const sm2_encryption *w = &work[i];
        if (sm2_encrypt_finish(w->out, &k[i], xy[i], xy[SM2_LANES + i], w->message, w->size))
            failed = sm2_encrypt(w->out, w->key, w->message, w->size);
    }
    wipe(k, sizeof k);
    wipe(points, sizeof points);
    wipe(xy, sizeof xy);
    sm2_burn_stack(SM2_LANES_PAGES);
    return failed;
}

int sm2_encrypt_batch(sm2_encryption *work, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        const size_t filled = fill(count - i);
        n = filled ? filled : 1;
        if (filled ? encrypt_lanes(work + i, n)
                   : sm2_encrypt(work[i].out, work[i].key, work[i].message, work[i].size))
            return -1;
    }
    return 0;
}

/* ---- decrypt ---- */

static void decrypt_lanes(sm2_decryption *work, const sm2_private *key, size_t count)
{
    sm2_scalar k[SM2_LANES];
    sm2_affine c1[SM2_LANES];
    sm2_point points[SM2_LANES];
    uint8_t xy[SM2_LANES][64];
    int refused[SM2_LANES];
    for (size_t i = 0; i < SM2_LANES; i++) {
        const sm2_decryption *w = &work[i < count ? i : 0];
        k[i] = key->d;
        refused[i] = !w->size || w->ciphertext[0] != 4 ||
                     sm2_point_from_bytes(&c1[i], w->ciphertext + 1);
        if (refused[i]) /* some point; its product is not used */
            c1[i] = key->pub.point;
    }
    sm2_lanes_point_mul(points, c1, k);
    sm2_points_to_bytes(xy, points, SM2_LANES);
    for (size_t i = 0; i < count; i++) {
        if (refused[i])
            wipe(work[i].out, work[i].size);
        work[i].valid = !refused[i] && !sm2_decrypt_finish(work[i].out, xy[i], work[i].ciphertext,
                                                           work[i].size);
    }
    wipe(k, sizeof k);
    wipe(points, sizeof points);
    wipe(xy, sizeof xy);
    sm2_burn_stack(SM2_LANES_PAGES);
}

void sm2_decrypt_batch(sm2_decryption *work, const sm2_private *key, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        sm2_decryption *w = &work[i];
        const size_t filled = fill(count - i);
        n = filled ? filled : 1;
        if (filled)
            decrypt_lanes(w, key, n);
        else
            w->valid = w->size && !sm2_decrypt(w->out, key, w->ciphertext, w->size);
    }
}
