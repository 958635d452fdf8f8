/* SM3 on several messages of one size at once: lane i of every vector belongs to message i.
 *
 * A file that includes this defines a vector V of LANES 32-bit words and
 *   V_ADD(a, b), V_ROTL(x, n), V_SET1(word), V_STORE(p, x)
 *   V_XOR3(a, b, c), V_MAJORITY(a, b, c), V_CHOOSE(a, b, c)   (a & b) | (~a & c)
 *   load_words(w, blocks)  w[i] := big-endian word i of the 64-byte block of each lane
 * The round is that of sm3_compress.h; see there for the names.
 */
#ifndef MIFENG_SM3_LANES_H
#define MIFENG_SM3_LANES_H

#include "core.h"
#include "sm3_compress.h"
#include "target.h"

struct lanes_state {
    V h[8];
};

#define V_P0(x) V_XOR3(x, V_ROTL(x, 9), V_ROTL(x, 17))
#define V_P1(x) V_XOR3(x, V_ROTL(x, 15), V_ROTL(x, 23))

/* Word j + 4 of the message expansion, into the ring of sixteen. */
ALWAYS_INLINE void expand_lanes(V w[16], int j)
{
    V x = V_XOR3(w[(j + 4) & 15], w[(j + 11) & 15], V_ROTL(w[(j + 1) & 15], 15));
    w[(j + 4) & 15] = V_XOR3(V_P1(x), V_ROTL(w[(j + 7) & 15], 7), w[(j + 14) & 15]);
}

ALWAYS_INLINE void round_lanes(V s[8], V w[16], int j, uint32_t t)
{
    /* Names rotate instead of values: A of round j is s[-j & 3], E is s[4 + (-j & 3)]. */
    const int a = -j & 3, b = (a + 1) & 3, c = (a + 2) & 3, d = (a + 3) & 3;
    if (j >= 12)
        expand_lanes(w, j);
    V wj = w[j & 15], a12 = V_ROTL(s[a], 12);
    V ss1 = V_ROTL(V_ADD(V_ADD(a12, s[4 + a]), V_SET1(t)), 7);
    V ff = j < 16 ? V_XOR3(s[a], s[b], s[c]) : V_MAJORITY(s[a], s[b], s[c]);
    V gg = j < 16 ? V_XOR3(s[4 + a], s[4 + b], s[4 + c]) : V_CHOOSE(s[4 + a], s[4 + b], s[4 + c]);
    V tt1 = V_ADD(V_ADD(V_ADD(ff, s[d]), ss1 ^ a12), wj ^ w[(j + 4) & 15]);
    V tt2 = V_ADD(V_ADD(V_ADD(gg, s[4 + d]), ss1), wj);
    s[b] = V_ROTL(s[b], 9);
    s[4 + b] = V_ROTL(s[4 + b], 19);
    s[d] = tt1;
    s[4 + d] = V_P0(tt2);
}

static void compress_lanes(struct lanes_state *state, const uint8_t *const *blocks, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        const uint8_t *block[LANES];
        V w[16], s[8];
        for (int i = 0; i < LANES; i++)
            block[i] = blocks[i] + SM3_BLOCK_SIZE * n;
        load_words(w, block);
        memcpy(s, state->h, sizeof s);
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            round_lanes(s, w, j, SM3_T(j));
        for (int k = 16; k < 64; k += 16) {
#pragma GCC unroll 16
            for (int j = 0; j < 16; j++)
                round_lanes(s, w, j + 16, SM3_T(j + k));
        }
        for (int i = 0; i < 8; i++)
            state->h[i] ^= s[i];
    }
}

static void digest_lanes(const uint8_t *const *messages, size_t size, uint8_t (*digests)[32])
{
    uint8_t tail[LANES][2 * SM3_BLOCK_SIZE] = {{0}};
    const uint8_t *tails[LANES];
    struct lanes_state state;
    struct sm3_state initial;
    const size_t held = size % SM3_BLOCK_SIZE, blocks = held < SM3_BLOCK_SIZE - 8 ? 1 : 2;
    sm3_init(&initial);
    for (int i = 0; i < 8; i++)
        state.h[i] = V_SET1(initial.h[i]);
    compress_lanes(&state, messages, size / SM3_BLOCK_SIZE);
    for (int i = 0; i < LANES; i++) {
        if (held)
            memcpy(tail[i], messages[i] + (size - held), held);
        tail[i][held] = 0x80;
        store64_be(tail[i] + blocks * SM3_BLOCK_SIZE - 8, (uint64_t)size * 8);
        tails[i] = tail[i];
    }
    compress_lanes(&state, tails, blocks);
    for (int i = 0; i < 8; i++) {
        uint32_t word[LANES];
        V_STORE(word, state.h[i]);
        for (int k = 0; k < LANES; k++)
            store32_be(digests[k] + 4 * i, word[k]);
    }
    wipe(tail, sizeof tail);
}

#endif
