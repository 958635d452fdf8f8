/* The SM2 layers behind a line protocol, for tests only: reads "operation hex hex ..." and writes
 * one line of hex, or a word. The test that drives it holds the expected values.
 *
 *   cc -I mifeng/crypto/_native -o sm2_cli tests/native/sm2_cli.c
 *      $(ls mifeng/crypto/_native/sm2*.c | grep -v sm2_py)
 *      mifeng/crypto/_native/sm3.c mifeng/crypto/_native/sm3_kdf.c
 *   ./sm2_cli portable|adx|ifma < commands
 *
 * Operations on fe_ and sc_ take and give limbs as they are, without conversion to or from
 * Montgomery form. */
#include "sm2.h"
#include "sm2_batch.h"
#include "sm2_test_sm3.h"

#define MAX_ARGUMENTS 20
#define MAX_BYTES 4096

typedef struct {
    uint8_t data[MAX_BYTES];
    size_t size;
} argument;

static argument arguments[MAX_ARGUMENTS];

static int nibble(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t read_arguments(void)
{
    size_t count = 0;
    for (char *word; count < MAX_ARGUMENTS && (word = strtok(NULL, " \n")); count++) {
        argument *a = &arguments[count];
        for (a->size = 0; word[0] && word[1] && a->size < MAX_BYTES; word += 2)
            a->data[a->size++] = (uint8_t)(nibble(word[0]) << 4 | nibble(word[1]));
    }
    return count;
}

static void print(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", data[i]);
    putchar('\n');
}

static void print_limbs(const uint64_t v[4])
{
    uint8_t bytes[32];
    sm2_store256(bytes, v);
    print(bytes, 32);
}

static void print_point(const sm2_point *point)
{
    uint8_t xy[64];
    sm2_points_to_bytes(&xy, point, 1);
    if (sm2_fe_zero_mask(&point->z))
        puts("infinity");
    else
        print(xy, 64);
}

static sm2_fe element(int i)
{
    sm2_fe r;
    sm2_load256(r.v, arguments[i].data);
    return r;
}

static sm2_scalar scalar(int i)
{
    sm2_scalar r;
    sm2_load256(r.v, arguments[i].data);
    return r;
}

static sm2_affine affine(int i)
{
    sm2_affine r;
    sm2_fe_from_bytes(&r.x, arguments[i].data);
    sm2_fe_from_bytes(&r.y, arguments[i].data + 32);
    return r;
}

static sm2_point projective(int i)
{
    sm2_point r;
    sm2_fe_from_bytes(&r.x, arguments[i].data);
    sm2_fe_from_bytes(&r.y, arguments[i].data + 32);
    sm2_fe_from_bytes(&r.z, arguments[i].data + 64);
    return r;
}

static int field(const char *name)
{
    sm2_fe a = element(0), b = element(1);
    if (!strcmp(name, "fe_mul"))
        sm2_curve->fe_mul(&a, &a, &b);
    else if (!strcmp(name, "fe_sqr"))
        sm2_curve->fe_sqr(&a, &a);
    else if (!strcmp(name, "fe_add"))
        sm2_curve->fe_add(&a, &a, &b);
    else if (!strcmp(name, "fe_sub"))
        sm2_curve->fe_sub(&a, &a, &b);
    else if (!strcmp(name, "fe_inv"))
        sm2_curve->fe_inv(&a, &a);
    else
        return 0;
    print_limbs(a.v);
    return 1;
}

static int order(const char *name)
{
    sm2_scalar a = scalar(0), b = scalar(1);
    if (!strcmp(name, "sc_mul"))
        sm2_scalar_montmul(&a, &a, &b);
    else if (!strcmp(name, "sc_add"))
        sm2_scalar_add(&a, &a, &b);
    else if (!strcmp(name, "sc_sub"))
        sm2_scalar_sub(&a, &a, &b);
    else if (!strcmp(name, "sc_inv"))
        sm2_scalar_invert(&a, &a);
    else if (!strcmp(name, "sc_reduce"))
        sm2_scalar_reduce(&a, &a);
    else
        return 0;
    print_limbs(a.v);
    return 1;
}

/* Multiplication on the path under test. In lanes, the neighbours are what came before. */
static void multiply(sm2_point *r, const sm2_affine *p, const sm2_scalar *k)
{
    static sm2_scalar scalars[SM2_LANES];
    static sm2_affine points[SM2_LANES];
    static int at;
    sm2_point results[SM2_LANES];
    if (!sm2_lanes_active()) {
        if (p)
            sm2_curve->point_mul(r, p, k->v);
        else
            sm2_curve->base_mul(r, k->v);
        return;
    }
    at = (at + 1) % SM2_LANES;
    scalars[at] = *k;
    if (p) {
        points[at] = *p;
        sm2_lanes_point_mul(results, points, scalars);
    } else {
        sm2_lanes_comb_mul(results, *sm2_lanes_base(), scalars);
    }
    *r = results[at];
}

static int group(const char *name)
{
    sm2_point point, other;
    sm2_affine p;
    sm2_scalar k = scalar(0);
    if (!strcmp(name, "base")) {
        multiply(&point, NULL, &k);
    } else if (!strcmp(name, "mul")) {
        p = affine(0);
        k = scalar(1);
        multiply(&point, &p, &k);
    } else if (!strcmp(name, "double_mul") && sm2_lanes_active()) {
        p = affine(1);
        multiply(&point, NULL, &k);
        k = scalar(2);
        multiply(&other, &p, &k);
        sm2_curve->add(&point, &point, &other);
    } else if (!strcmp(name, "double_mul")) {
        p = affine(1);
        sm2_curve->public_double_mul(&point, k.v, &p, scalar(2).v);
    } else if (!strcmp(name, "add")) {
        point = projective(0);
        other = projective(1);
        sm2_curve->add(&point, &point, &other);
    } else {
        return 0;
    }
    print_point(&point);
    return 1;
}

/* Whether lanes draw the same first nonce; the neighbours have the digests and randomness before. */
static int same_in_lanes(const sm2_private *key, const uint8_t *e, const uint8_t *fresh,
                         const uint8_t *expected)
{
    static uint8_t es[SM2_LANES][32], randomness[SM2_LANES][32];
    static size_t at;
    sm2_scalar k[SM2_LANES];
    uint8_t found[32];
    at = (at + 1) % SM2_LANES;
    memcpy(es[at], e, 32);
    memcpy(randomness[at], fresh, 32);
    sm2_batch_nonces(k, key, (const uint8_t(*)[32])es, (const uint8_t(*)[32])randomness, at + 1);
    sm2_store256(found, k[at].v);
    return !memcmp(found, expected, 32);
}

static int scheme(const char *name, size_t given)
{
    static uint8_t out[MAX_BYTES + SM2_OVERHEAD];
    sm2_private key;
    sm2_public pub;
    if (!strcmp(name, "private") || !strcmp(name, "nonce") || !strcmp(name, "sign") ||
        !strcmp(name, "decrypt")) {
        if (sm2_private_from_bytes(&key, arguments[0].data))
            return puts("refused"), 1;
    } else if (sm2_public_from_bytes(&pub, arguments[0].data)) {
        return puts("refused"), 1;
    }
    if (!strcmp(name, "private")) {
        print(key.pub.bytes, sizeof key.pub.bytes);
    } else if (!strcmp(name, "nonce")) {
        sm2_nonces nonces;
        sm2_scalar k;
        sm2_nonces_start(&nonces, &key.d, arguments[1].data, arguments[2].data);
        for (int i = 0; i < 2; i++) {
            sm2_nonces_next(&nonces, &k, i == 0);
            sm2_store256(out + 32 * i, k.v);
        }
        if (same_in_lanes(&key, arguments[1].data, arguments[2].data, out))
            print(out, 64);
        else
            puts("differs");
    } else if (!strcmp(name, "sign")) {
        const sm2_scalar k = scalar(2);
        if (sm2_sign_with_nonce(out, &key, arguments[1].data, &k))
            puts("again");
        else
            print(out, 64);
    } else if (!strcmp(name, "verify")) {
        puts(sm2_verify(&pub, arguments[1].data, arguments[2].data) ? "refused" : "valid");
    } else if (!strcmp(name, "encrypt")) {
        const sm2_scalar k = scalar(1);
        argument *m = &arguments[2];
        if (sm2_encrypt_with_nonce(out, &pub, m->data, m->size, &k))
            puts("again");
        else
            print(out, m->size + SM2_OVERHEAD);
    } else if (!strcmp(name, "decrypt")) {
        const size_t size = arguments[1].size;
        if (given < 2 || size <= SM2_OVERHEAD ||
            sm2_decrypt(out, &key, arguments[1].data, size - SM2_OVERHEAD))
            puts("refused");
        else
            print(out, size - SM2_OVERHEAD);
    } else {
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    static char line[2 * MAX_BYTES * 2 + 256];
    if (argc != 2 || sm2_batch_choose(argv[1])) {
        puts("no such path here");
        return 2;
    }
    while (fgets(line, sizeof line, stdin)) {
        const char *name = strtok(line, " \n");
        memset(arguments, 0, sizeof arguments);
        const size_t given = name ? read_arguments() : 0;
        if (!name || (!field(name) && !order(name) && !group(name) && !scheme(name, given)))
            puts("unknown");
    }
    return 0;
}
