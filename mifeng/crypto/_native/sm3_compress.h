/* The SM3 compression function on one stream (GB/T 32905-2016, 5.3), compiled once per set of
 * instructions that includes it: rotations without flags (BMI2) and three-operand logic pay.
 *
 * Renaming instead of moving: every round rotates the roles of A..H, so four rounds are written
 * out and the eight variables never move. W'_j = W_j ^ W_(j+4) is formed where it is used, and
 * the message is expanded one word a round in a ring of sixteen.
 */
#ifndef MIFENG_SM3_COMPRESS_H
#define MIFENG_SM3_COMPRESS_H

#include "core.h"

#define SM3_T(j) rotl32((j) < 16 ? 0x79cc4519u : 0x7a879d8au, (j) % 32)
#define SM3_P0(x) ((x) ^ rotl32(x, 9) ^ rotl32(x, 17))
#define SM3_P1(x) ((x) ^ rotl32(x, 15) ^ rotl32(x, 23))
#define SM3_FF(j, x, y, z) ((j) < 16 ? (x) ^ (y) ^ (z) : ((x) & (y)) | (((x) | (y)) & (z)))
#define SM3_GG(j, x, y, z) ((j) < 16 ? (x) ^ (y) ^ (z) : ((((y) ^ (z)) & (x)) ^ (z)))

#define SM3_EXPAND(j)                                                                              \
    (w[(j) & 15] = SM3_P1(w[(j) & 15] ^ w[((j) - 9) & 15] ^ rotl32(w[((j) - 3) & 15], 15)) ^       \
                   rotl32(w[((j) - 13) & 15], 7) ^ w[((j) - 6) & 15])

#define SM3_ROUND(j, a, b, c, d, e, f, g, h)                                                       \
    do {                                                                                           \
        if ((j) >= 12)                                                                             \
            (void)SM3_EXPAND((j) + 4);                                                             \
        uint32_t wj = w[(j) & 15], a12 = rotl32(a, 12);                                            \
        uint32_t ss1 = rotl32(a12 + e + SM3_T(j), 7);                                              \
        d += SM3_FF(j, a, b, c) + (ss1 ^ a12) + (wj ^ w[((j) + 4) & 15]);                          \
        h += SM3_GG(j, e, f, g) + ss1 + wj;                                                        \
        b = rotl32(b, 9);                                                                          \
        f = rotl32(f, 19);                                                                         \
        h = SM3_P0(h);                                                                             \
    } while (0)

#define SM3_FOUR_ROUNDS(j)                                                                         \
    SM3_ROUND((j), a, b, c, d, e, f, g, h);                                                        \
    SM3_ROUND((j) + 1, d, a, b, c, h, e, f, g);                                                    \
    SM3_ROUND((j) + 2, c, d, a, b, g, h, e, f);                                                    \
    SM3_ROUND((j) + 3, b, c, d, a, f, g, h, e)

#define SM3_SIXTEEN_ROUNDS(j)                                                                      \
    SM3_FOUR_ROUNDS(j);                                                                            \
    SM3_FOUR_ROUNDS((j) + 4);                                                                      \
    SM3_FOUR_ROUNDS((j) + 8);                                                                      \
    SM3_FOUR_ROUNDS((j) + 12)

static inline void sm3_compress(uint32_t v[8], const uint8_t *blocks, size_t count)
{
    uint32_t w[16];
    for (; count; count--, blocks += SM3_BLOCK_SIZE) {
        uint32_t a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
        for (int i = 0; i < 16; i++)
            w[i] = load32_be(blocks + 4 * i);
        SM3_SIXTEEN_ROUNDS(0);
        SM3_SIXTEEN_ROUNDS(16);
        SM3_SIXTEEN_ROUNDS(32);
        SM3_SIXTEEN_ROUNDS(48);
        v[0] ^= a;
        v[1] ^= b;
        v[2] ^= c;
        v[3] ^= d;
        v[4] ^= e;
        v[5] ^= f;
        v[6] ^= g;
        v[7] ^= h;
    }
    wipe(w, sizeof w);
}

#endif
