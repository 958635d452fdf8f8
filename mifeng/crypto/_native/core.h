/* The native core without Python: what the primitives offer, and what their files share.
 *
 * Constant time here means: no branch and no memory address depends on a key, on a message or on
 * anything computed from them; only on lengths. tests/native/ shows it for every path.
 */
#ifndef MIFENG_CORE_H
#define MIFENG_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_INT128__)
#error "the native core is written for 64-bit little-endian processors"
#endif

/* ---- Bytes ---- */

static inline uint32_t load32_be(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t load64_be(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline void store32_be(uint8_t *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}

static inline void store64_be(uint8_t *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

static inline uint32_t rotl32(uint32_t x, int n) { return x << (n & 31) | x >> (-n & 31); }
static inline uint64_t rotl64(uint64_t x, int n) { return x << (n & 63) | x >> (-n & 63); }

/* Erases memory that is not read again; the barrier keeps the compiler from dropping the store. */
static inline void wipe(void *p, size_t n)
{
    memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Whether 16 bytes differ, without saying where: 0 or 1. */
static inline int differ16(const uint8_t a[16], const uint8_t b[16])
{
    uint64_t x[2], y[2];
    memcpy(x, a, 16);
    memcpy(y, b, 16);
    uint64_t d = (x[0] ^ y[0]) | (x[1] ^ y[1]);
    return (int)((d | (0 - d)) >> 63);
}

/* ---- SM4-GCM (GB/T 32907-2016; NIST SP 800-38D; RFC 8998) ---- */

#define SM4_CONTEXT_ALIGNMENT 64
#define SM4_GCM_MAX_BYTES ((UINT64_C(1) << 36) - 32) /* SP 800-38D, 5.2.1.1 */

/* One way of computing SM4-GCM. A context is context_size bytes aligned to 64, written by `init`
 * and only read afterwards, so threads may share it. `in` and `out` are equal or do not overlap.
 * `open` writes the plaintext and the expected tag; who calls it compares, and wipes on failure. */
struct sm4_message {
    const uint8_t *nonce; /* 12 bytes */
    const uint8_t *aad;
    size_t aad_size;
    const uint8_t *in;
    size_t size;
    uint8_t *out;
    uint8_t *tag; /* 16 bytes, written */
};

struct sm4_path {
    const char *name;
    int (*usable)(void);
    size_t context_size;
    void (*init)(void *context, const uint8_t key[16]);
    void (*seal)(const void *context, const struct sm4_message *message);
    void (*open)(const void *context, const struct sm4_message *message);
};

/* The constant-time key schedule without vector instructions; the portable path is made of it. */
void sm4_portable_round_keys(uint32_t round_keys[32], const uint8_t key[16]);

/* ---- SM3 (GB/T 32905-2016) ---- */

#define SM3_DIGEST_SIZE 32
#define SM3_BLOCK_SIZE 64
#define SM3_MAX_LANES 16

struct sm3_state {
    uint32_t h[8];
    uint64_t size;
    uint8_t block[SM3_BLOCK_SIZE];
};

struct sm3_path {
    const char *name;
    const char *lanes_name;
    const char *vector; /* how the names of SM4 paths with such vectors begin; NULL: any */
    int (*usable)(void);
    void (*compress)(uint32_t h[8], const uint8_t *blocks, size_t count);
    /* Messages of one size, digested side by side: `lanes` of them, or NULL where not offered. */
    int lanes;
    void (*digest_lanes)(const uint8_t *const *messages, size_t size, uint8_t (*digests)[32]);
};

void sm3_init(struct sm3_state *state);
void sm3_update(struct sm3_state *state, const void *data, size_t size);
void sm3_final(struct sm3_state *state, uint8_t digest[32]);
/* The digest of every message; -1 where memory is short. */
int sm3_many(const uint8_t *const *messages, const size_t *sizes, size_t count,
             uint8_t (*digests)[32]);
void sm3_compress_portable(uint32_t h[8], const uint8_t *blocks, size_t count);

/* ---- The choice of a path ---- */

extern const struct sm4_path *const mifeng_sm4_paths[]; /* best first, ends with NULL */
extern const struct sm3_path *const mifeng_sm3_paths[];

/* Chooses by CPUID, or what `wanted` names (NULL: no wish). NULL, or why it cannot be. */
const char *mifeng_choose_paths(const char *wanted);
const struct sm4_path *mifeng_sm4_path(void);
const struct sm3_path *mifeng_sm3_path(void);

#endif
