/* SM4-GCM with 64-bit words only: bitsliced, so there is no table to index and nothing to branch
 * on. Sixteen blocks go through the rounds at once, as the sixteen-fold parallel 32-bit words.
 *
 * Plane b of a word holds bit b of its four bytes: bit 16j+n belongs to byte j (0 = lowest) of
 * block n. The S-box is then a circuit of about 155 gates (sm4_constants.h), a rotation of all
 * words by 8 a rotation of each plane by 16, and a rotation by 2 a renaming of planes.
 * (Bitslicing: Biham 1997; packing in 64-bit words: Kaesper and Schwabe 2009.)
 */
#include "core.h"
#include "ghash_portable.h"
#include "sm4_constants.h"

enum { LANES = 16, BATCH = LANES * 16 };

struct planes {
    uint64_t bit[8];
};

struct context {
    struct planes round_keys[32];
    struct ghash_element hash_key;
};

/* Each bit of `byte` spread over a whole plane, added to w: the same constant for every byte. */
static inline void add_constant(struct planes *w, unsigned byte)
{
    for (int b = 0; b < 8; b++)
        w->bit[b] ^= 0 - (uint64_t)(byte >> b & 1);
}

static inline struct planes sbox(struct planes x)
{
    const uint64_t x0 = x.bit[0], x1 = x.bit[1], x2 = x.bit[2], x3 = x.bit[3];
    const uint64_t x4 = x.bit[4], x5 = x.bit[5], x6 = x.bit[6], x7 = x.bit[7];
    SM4_SBOX_CIRCUIT(const uint64_t)
    return (struct planes){{s0, s1, s2, s3, s4, s5, s6, s7}};
}

/* GB/T 32907-2016, 6.2: w ^ L(S(a ^ b ^ c ^ key)). The circuit's constants are not here: the one
 * before it is part of the round key, the one behind it is added with L's. */
static inline void round_function(struct planes *w, const struct planes *a, const struct planes *b,
                                  const struct planes *c, const struct planes *key)
{
    struct planes s;
    for (int i = 0; i < 8; i++)
        s.bit[i] = a->bit[i] ^ b->bit[i] ^ c->bit[i] ^ key->bit[i];
    s = sbox(s);
    add_constant(&s, SM4_CIRCUIT_OUT);
    for (int i = 0; i < 8; i++) {
        uint64_t by2 = i >= 2 ? s.bit[i - 2] : rotl64(s.bit[i + 6], 16);
        w->bit[i] ^= s.bit[i] ^ rotl64(s.bit[i], 48) ^ by2 ^ rotl64(by2, 16) ^ rotl64(by2, 32);
    }
}

/* Exchanges bit k of word r with bit r of byte-column k: eight 8x8 transpositions at once. Its own
 * inverse. (Warren, "Hacker's Delight", 7-3, across registers.) */
static inline void transpose(uint64_t q[8])
{
#define SWAP(mask, shift, a, b)                                                                    \
    do {                                                                                           \
        uint64_t t = (q[a] >> (shift) ^ q[b]) & (mask);                                            \
        q[b] ^= t;                                                                                 \
        q[a] ^= t << (shift);                                                                      \
    } while (0)
    for (int i = 0; i < 8; i += 2)
        SWAP(0x5555555555555555, 1, i, i + 1);
    for (int i = 0; i < 8; i += (i & 1) ? 3 : 1)
        SWAP(0x3333333333333333, 2, i, i + 2);
    for (int i = 0; i < 4; i++)
        SWAP(0x0f0f0f0f0f0f0f0f, 4, i, i + 4);
#undef SWAP
}

/* Bytes of x to the even bytes of the result, and back. */
static inline uint64_t spread(uint32_t x)
{
    uint64_t v = x;
    v = (v | v << 16) & 0x0000ffff0000ffff;
    return (v | v << 8) & 0x00ff00ff00ff00ff;
}

static inline uint32_t gather(uint64_t v)
{
    v &= 0x00ff00ff00ff00ff;
    v = (v | v >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(v | v >> 16);
}

static inline struct planes to_planes(const uint32_t words[LANES])
{
    struct planes p;
    for (int r = 0; r < 8; r++)
        p.bit[r] = spread(words[r]) | spread(words[r + 8]) << 8;
    transpose(p.bit);
    return p;
}

static inline void from_planes(uint32_t words[LANES], struct planes p)
{
    transpose(p.bit);
    for (int r = 0; r < 8; r++) {
        words[r] = gather(p.bit[r]);
        words[r + 8] = gather(p.bit[r] >> 8);
    }
}

/* One 32-bit word in all lanes. */
static inline struct planes broadcast(uint32_t word)
{
    struct planes p = {{0}};
    for (int j = 0; j < 4; j++)
        for (int b = 0; b < 8; b++)
            p.bit[b] |= (0 - (uint64_t)(word >> (8 * j + b) & 1)) >> 48 << 16 * j;
    return p;
}

/* The S-box on the four bytes of one word, through one lane of the circuit. */
static uint32_t sbox_word(uint32_t word)
{
    uint32_t lanes[LANES] = {word ^ 0x01010101u * SM4_CIRCUIT_IN};
    struct planes s = sbox(to_planes(lanes));
    add_constant(&s, SM4_CIRCUIT_OUT);
    from_planes(lanes, s);
    return lanes[0];
}

/* GB/T 32907-2016, 7.3. */
void sm4_portable_round_keys(uint32_t round_keys[32], const uint8_t key[16])
{
    static const uint32_t fk[4] = {0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc};
    uint32_t k[4];
    for (int i = 0; i < 4; i++)
        k[i] = load32_be(key + 4 * i) ^ fk[i];
    for (int i = 0; i < 32; i++) {
        uint32_t ck = 0;
        for (int j = 0; j < 4; j++)
            ck = ck << 8 | (uint32_t)((4 * i + j) * 7 & 0xff);
        uint32_t s = sbox_word(k[(i + 1) & 3] ^ k[(i + 2) & 3] ^ k[(i + 3) & 3] ^ ck);
        k[i & 3] ^= s ^ rotl32(s, 13) ^ rotl32(s, 23);
        round_keys[i] = k[i & 3];
    }
    wipe(k, sizeof k);
}

/* Sixteen blocks of key stream: the counter in block n is counter + n. */
static void keystream(const struct context *c, const uint8_t nonce[12], uint32_t counter,
                      uint8_t out[BATCH])
{
    uint32_t lanes[LANES];
    struct planes w[4];
    for (int i = 0; i < 3; i++)
        w[i] = broadcast(load32_be(nonce + 4 * i));
    for (uint32_t n = 0; n < LANES; n++)
        lanes[n] = counter + n;
    w[3] = to_planes(lanes);
    for (int r = 0; r < 32; r += 4)
        for (int i = 0; i < 4; i++)
            round_function(&w[i], &w[(i + 1) & 3], &w[(i + 2) & 3], &w[(i + 3) & 3],
                           &c->round_keys[r + i]);
    for (int i = 0; i < 4; i++) {
        from_planes(lanes, w[3 - i]);
        for (int n = 0; n < LANES; n++)
            store32_be(out + 16 * n + 4 * i, lanes[n]);
    }
    wipe(lanes, sizeof lanes);
    wipe(w, sizeof w);
}

static void init(void *context, const uint8_t key[16])
{
    static const uint8_t zero[12];
    struct context *c = context;
    uint32_t round_keys[32];
    uint8_t blocks[BATCH];
    sm4_portable_round_keys(round_keys, key);
    for (int i = 0; i < 32; i++)
        c->round_keys[i] = broadcast(round_keys[i] ^ 0x01010101u * SM4_CIRCUIT_IN);
    keystream(c, zero, 0, blocks);
    c->hash_key = ghash_key(blocks);
    wipe(round_keys, sizeof round_keys);
    wipe(blocks, sizeof blocks);
}

static inline void gcm(const struct context *c, const struct sm4_message *m, int opening)
{
    struct ghash_element sum = {0, 0};
    uint8_t blocks[BATCH], mask[16];
    const uint8_t *in = m->in;
    uint8_t *out = m->out;
    size_t left = m->size, used = 2 * 16; /* block 0 is not used, block 1 masks the tag */
    uint32_t counter = 0;

    sum = ghash_absorb(sum, c->hash_key, m->aad, m->aad_size);
    keystream(c, m->nonce, counter, blocks);
    memcpy(mask, blocks + 16, 16);
    while (left) {
        size_t n = BATCH - used < left ? BATCH - used : left;
        if (opening)
            sum = ghash_absorb(sum, c->hash_key, in, n);
        for (size_t i = 0; i < n; i++)
            out[i] = in[i] ^ blocks[used + i];
        if (!opening)
            sum = ghash_absorb(sum, c->hash_key, out, n);
        in += n;
        out += n;
        left -= n;
        used = 0;
        counter += LANES;
        if (left)
            keystream(c, m->nonce, counter, blocks);
    }
    sum.high ^= (uint64_t)m->aad_size * 8;
    sum.low ^= (uint64_t)m->size * 8;
    sum = ghash_multiply(sum, c->hash_key);
    store64_be(m->tag, sum.high ^ load64_be(mask));
    store64_be(m->tag + 8, sum.low ^ load64_be(mask + 8));
    wipe(blocks, sizeof blocks);
    wipe(mask, sizeof mask);
}

static void seal(const void *context, const struct sm4_message *m) { gcm(context, m, 0); }
static void open(const void *context, const struct sm4_message *m) { gcm(context, m, 1); }
static int usable(void) { return 1; }

const struct sm4_path sm4_portable = {"portable", usable, sizeof(struct context), init, seal, open};
