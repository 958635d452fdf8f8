/* SM2 signatures and public-key encryption (GB/T 32918.2-2016, GB/T 32918.4-2016), the hash SM3
 * throughout. Secrets are handled in constant time: see core.h. */
#ifndef MIFENG_SM2_H
#define MIFENG_SM2_H

#include "sm2_curve.h"
#include "sm2_scalar.h"
#include "sm3_kdf.h"

#define SM2_SIGNATURE_SIZE 64 /* r || s */
#define SM2_PUBLIC_SIZE 65    /* 04 || x || y */
#define SM2_OVERHEAD 97       /* 04 || x1 || y1 || C3, before C2 */
#define SM2_MAX_UID 8191      /* its length in bits takes two bytes in ZA */
#define SM2_MAX_MESSAGE (UINT64_C(32) * 0xffffffff) /* the KDF's counter ends */

/* What valgrind tracks as secret becomes public here; nothing in a normal build. */
#ifdef MIFENG_CTGRIND
#include <valgrind/memcheck.h>
#define SM2_NOW_PUBLIC(data, size) ((void)VALGRIND_MAKE_MEM_DEFINED(data, size))
#else
#define SM2_NOW_PUBLIC(data, size) ((void)(data), (void)(size))
#endif

typedef struct {
    sm2_affine point;
    uint8_t bytes[SM2_PUBLIC_SIZE];
    uint8_t za[32]; /* for the default user ID */
} sm2_public;

typedef struct {
    sm2_scalar d;       /* in [1, n - 2] */
    sm2_scalar inverse; /* 1 / (1 + d), in Montgomery form */
    sm2_public pub;
} sm2_private;

/* ---- sm2_key.c. Each returns 0, or -1 and leaves nothing secret behind. ---- */

/* Overwrites that many times 4 KiB of stack below the caller's frame: what functions that worked on
 * secrets left there. Their long-lived variables they erase themselves. */
void sm2_burn_stack(int pages);
#define SM2_SINGLE_PAGES 3 /* the deepest path of a single operation takes 10 KiB */
#define SM2_LANES_PAGES 10 /* and of eight side by side 30 KiB */

int sm2_random(void *data, size_t size);
/* Scalars in [1, n - 1], by rejection. */
int sm2_random_scalars(sm2_scalar *k, size_t count);
int sm2_private_generate(sm2_private *key);
/* -1 unless the scalar is in [1, n - 2]. */
int sm2_private_from_bytes(sm2_private *key, const uint8_t scalar[32]);
/* -1 unless 04 || x || y with x, y below p, on the curve. (The cofactor is 1, and infinity has no
 * such encoding, so nothing more is to be checked.) */
int sm2_public_from_bytes(sm2_public *key, const uint8_t bytes[SM2_PUBLIC_SIZE]);
int sm2_point_from_bytes(sm2_affine *point, const uint8_t xy[64]);
/* x || y of 1 to SM2_MAX_POINTS points with one inversion. Meaningless for one at infinity. */
#define SM2_MAX_POINTS 16
void sm2_points_to_bytes(uint8_t (*xy)[64], const sm2_point *points, size_t count);
/* x of d*Q, for TLS's curveSM2 and for comparing speeds. Never at infinity, as 0 < d < n. */
void sm2_ecdh(uint8_t x[32], const sm2_private *key, const sm2_public *peer);

/* ---- sm2_hash.c ---- */

/* ZA = SM3(bits of uid || uid || a || b || G || public key), GB/T 32918.2, 5.5. */
void sm2_za(uint8_t za[32], const sm2_public *key, const uint8_t *uid, size_t uid_size);
/* e = SM3(za || data) */
void sm2_digest(uint8_t e[32], const uint8_t za[32], const uint8_t *data, size_t size);
/* out = in ^ KDF(x || y, size); all ones unless the whole key stream is zero. */
uint64_t sm2_kdf_xor(uint8_t *out, const uint8_t xy[64], const uint8_t *in, size_t size);
/* C3 = SM3(x || message || y) */
void sm2_c3(uint8_t c3[32], const uint8_t xy[64], const uint8_t *message, size_t size);

typedef struct {
    struct hmac_sm3 keyed; /* with K, before any message */
    uint8_t v[32];
} sm2_nonces;
/* RFC 6979, 3.2 with the additional data of 3.6: K and V from the private key, the digest and 32
 * fresh random bytes. Nonces are as unguessable as the key even if the random bytes are not, and
 * do not repeat for a repeated digest while the random bytes are any good. */
void sm2_nonces_start(sm2_nonces *state, const sm2_scalar *d, const uint8_t e[32],
                      const uint8_t fresh[32]);
/* What both steps above absorb: d || e mod n || fresh */
void sm2_nonces_seed(uint8_t seed[96], const sm2_scalar *d, const uint8_t e[32],
                     const uint8_t fresh[32]);
/* The next candidate, any value below 2^256. */
void sm2_nonces_next(sm2_nonces *state, sm2_scalar *k, int first);

/* ---- sm2_sign.c ---- */

/* 0, or -1 if k is not in [1, n - 1] or the standard asks for another k. */
int sm2_sign_with_nonce(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
                        const sm2_scalar *k);
void sm2_sign(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
              const uint8_t fresh[32]);
/* The step after the multiplication, x1 being the x of k*G. */
int sm2_sign_finish(uint8_t signature[64], const sm2_private *key, const uint8_t e[32],
                    const sm2_scalar *k, const uint8_t x1[32]);
/* 0 if the signature is right. All arguments are public. */
int sm2_verify(const sm2_public *key, const uint8_t e[32], const uint8_t signature[64]);
/* The steps before and after point = s*G + t*P; each -1 if the signature is wrong. */
int sm2_verify_start(sm2_scalar *s, sm2_scalar *t, const uint8_t signature[64]);
int sm2_verify_finish(const sm2_point *point, const uint8_t e[32], const uint8_t signature[64]);

/* ---- sm2_encrypt.c; size is of the message, at least 1; input and output do not overlap ---- */

/* 0, or -1 if k is not in [1, n - 1] or the key stream is all zero: take another k. */
int sm2_encrypt_with_nonce(uint8_t *out, const sm2_public *key, const uint8_t *message, size_t size,
                           const sm2_scalar *k);
/* Writes SM2_OVERHEAD + size bytes. -1 if the system gives no randomness. */
int sm2_encrypt(uint8_t *out, const sm2_public *key, const uint8_t *message, size_t size);
/* Reads SM2_OVERHEAD + size bytes, writes size. One failure, -1, with the output erased. */
int sm2_decrypt(uint8_t *out, const sm2_private *key, const uint8_t *ciphertext, size_t size);
/* The steps after the multiplications: C1 = k*G; xy = k*P or d*C1. */
int sm2_encrypt_finish(uint8_t *out, const sm2_scalar *k, const uint8_t c1[64],
                       const uint8_t xy[64], const uint8_t *message, size_t size);
int sm2_decrypt_finish(uint8_t *out, const uint8_t xy[64], const uint8_t *ciphertext, size_t size);

#endif
