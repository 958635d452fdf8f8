/* GHASH with carry-less multiplication, several blocks to one reduction.
 *
 * A file that includes this defines a vector G of G_LANES 16-byte lanes and
 *   G_MULTIPLY(a, b, 0x00 | 0x01 | 0x10 | 0x11)  the product of halves in each lane
 *   G_XOR3(a, b, c), G_LOAD(p), G_REVERSE(x) the bytes of each lane, G_FIRST(x) one block in lane 0
 *   G_SHIFT_LEFT(x), G_SHIFT_RIGHT(x)  each lane by eight bytes
 *   G_SUM(x)  the sum of the lanes, a G1
 * and, on one block, a vector G1 with G1_MULTIPLY, G1_SWAP (the halves), G1_LOAD, G1_REVERSE.
 *
 * Blocks are byte-reversed, GHASH's bit order is that of the carry-less product shifted by one,
 * and H is multiplied by x to make up for it (ghash_portable.h). n blocks are multiplied by
 * H^n .. H^1 and their unreduced products added; the reduction folds the low half twice by
 * x^63 + x^62 + x^57 (Gueron and Kounavis, 2014; the two-fold form: Gueron 2023, "A new
 * interpretation for the GHASH authenticator of AES-GCM").
 */
#ifndef MIFENG_GHASH_CLMUL_H
#define MIFENG_GHASH_CLMUL_H

#include "core.h"
#include "ghash_portable.h"
#include "target.h"

/* The powers H^POWERS .. H^1, and room for reading a whole vector at the last. */
struct ghash_powers {
    _Alignas(64) uint8_t power[POWERS + G_LANES - 1][16];
};

/* Unreduced products: the low, middle and high 128 bits of each lane, 64 bits apart. */
struct ghash_sum {
    G low, middle, high;
};

ALWAYS_INLINE G1 ghash_reduce(G1 low, G1 high)
{
    const G1 fold = G1_FOLD;
    low = G1_SWAP(low) ^ G1_MULTIPLY(low, fold, 0x00);
    low = G1_SWAP(low) ^ G1_MULTIPLY(low, fold, 0x00);
    return low ^ high;
}

ALWAYS_INLINE void ghash_add(struct ghash_sum *s, G blocks, const uint8_t *powers)
{
    G h = G_LOAD(powers);
    s->low ^= G_MULTIPLY(blocks, h, 0x00);
    s->high ^= G_MULTIPLY(blocks, h, 0x11);
    s->middle = G_XOR3(s->middle, G_MULTIPLY(blocks, h, 0x01), G_MULTIPLY(blocks, h, 0x10));
}

ALWAYS_INLINE G1 ghash_finish(const struct ghash_sum *s)
{
    return ghash_reduce(G_SUM(s->low ^ G_SHIFT_LEFT(s->middle)),
                        G_SUM(s->high ^ G_SHIFT_RIGHT(s->middle)));
}

/* hash := (hash + first block)·H^n + ... + last block·H, for n = 1 .. POWERS whole blocks. Where
 * n is no multiple of G_LANES, up to G_LANES - 1 blocks of zeros must follow the last. */
ALWAYS_INLINE G1 ghash_some(const struct ghash_powers *k, G1 hash, const uint8_t *blocks, size_t n)
{
    struct ghash_sum s = {0};
    const uint8_t *power = k->power[POWERS - n];
    ghash_add(&s, G_REVERSE(G_LOAD(blocks)) ^ G_FIRST(hash), power);
    for (size_t i = G_LANES; i < n; i += G_LANES)
        ghash_add(&s, G_REVERSE(G_LOAD(blocks + 16 * i)), power + 16 * i);
    return ghash_finish(&s);
}

/* Any number of bytes, the last block filled up with zeros. */
static G1 ghash_bytes(const struct ghash_powers *k, G1 hash, const uint8_t *data, size_t size)
{
    for (; size >= 16 * POWERS; data += 16 * POWERS, size -= 16 * POWERS)
        hash = ghash_some(k, hash, data, POWERS);
    if (size >= 16 * G_LANES) {
        size_t n = size / (16 * G_LANES) * G_LANES;
        hash = ghash_some(k, hash, data, n);
        data += 16 * n;
        size -= 16 * n;
    }
    if (size) {
        uint8_t last[16 * G_LANES] = {0};
        memcpy(last, data, size);
        hash = ghash_some(k, hash, last, (size + 15) / 16);
    }
    return hash;
}

/* From the cipher's image of the zero block. Each power after the first is one multiplication
 * further; the last four are formed first so that four chains run side by side. */
static void ghash_expand(struct ghash_powers *k, const uint8_t h[16])
{
    struct ghash_element e = ghash_key(h);
    uint8_t x[16];
    memcpy(x, &e.low, 8);
    memcpy(x + 8, &e.high, 8);
    memset(k, 0, sizeof *k);
    memcpy(k->power[POWERS - 1], x, 16);
    for (int n = 2; n <= POWERS; n++) {
        int step = n <= 4 ? 1 : 4;
        G1 a = G1_LOAD(k->power[POWERS - n + step]), b = G1_LOAD(k->power[POWERS - step]);
        G1 low = G1_MULTIPLY(a, b, 0x00), high = G1_MULTIPLY(a, b, 0x11);
        G1 middle = G1_MULTIPLY(a, b, 0x01) ^ G1_MULTIPLY(a, b, 0x10);
        G1 power = ghash_reduce(low ^ G1_SHIFT_LEFT(middle), high ^ G1_SHIFT_RIGHT(middle));
        G1_STORE(k->power[POWERS - n], power);
    }
    wipe(x, sizeof x);
    wipe(&e, sizeof e);
}

#endif
