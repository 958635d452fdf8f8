/* SM4 rounds on as many blocks as a vector has bytes: one vector per byte position of the state.
 *
 * A file that includes this defines a vector V of V_BYTES bytes and
 *   V_XOR3(a, b, c)       the sum of three
 *   V_ROUND_KEY(pointer)  one byte of a round key, in all bytes, from an entry of V_KEY
 *   V_SBOX(t, w, u)       w = P·M3·S(..) + KAPPA and u = P·M0·S(..), see below
 *   V_TO_FIELD(x), V_FROM_FIELD(x)   the linear maps P and its inverse
 *   V_UNPACK(low|high, 8|16|32|64, a, b), V_SET1(byte), V_LOAD(p), V_STORE(p, x)
 *
 * With bytes in separate vectors every rotation by 8 of the linear layer is a renaming, and the
 * remaining rotation by 2 is linear on two neighbouring bytes: for bytes s_0 (lowest) .. s_3
 *     L_j = M0 s_j + M3 s_(j+1) + (M0 + M3)(s_(j+2) + s_(j+3)),
 *     M0 x = x + (x << 2),  M3 x = x + (x >> 6).
 * So each S-box output is wanted only through M0 and M3, which the affine map behind the
 * inversion can contain. Let u_j, w_j be those images and a_j = w_j + u_(j+1); then
 *     L_j = a_0 + a_1 + a_2 + a_3 + a_j.
 * The whole state, and the round keys, live in the image of P (S(x) = Q·inv(P x + p) + q), so no
 * map is needed before the inversion either: P is applied once before the first round and undone
 * once behind the last. tests/native/derive_sm4.py derives the matrices.
 */
#ifndef MIFENG_SM4_BYTESLICE_H
#define MIFENG_SM4_BYTESLICE_H

#include "core.h"
#include "target.h"

/* One 32-bit word of every block; byte[0] the lowest. */
struct word {
    V byte[4];
};

/* x ^= L(S(p ^ b ^ key)) */
ALWAYS_INLINE void half_round(struct word *x, const struct word *p, const struct word *b,
                              const V_KEY *key)
{
    V a[4], w[4], u[4];
    for (int j = 0; j < 4; j++) {
        V t = V_XOR3(p->byte[j], b->byte[j], V_ROUND_KEY(&key[j]));
        V_SBOX(t, w[j], u[j]);
    }
    for (int j = 0; j < 4; j++)
        a[j] = w[j] ^ u[(j + 1) & 3];
    V a01 = a[0] ^ a[1], a23 = a[2] ^ a[3];
    x->byte[0] = V_XOR3(x->byte[0], a[1], a23);
    x->byte[1] = V_XOR3(x->byte[1], a[0], a23);
    x->byte[2] = V_XOR3(x->byte[2], a[3], a01);
    x->byte[3] = V_XOR3(x->byte[3], a[2], a01);
}

ALWAYS_INLINE struct word add_words(const struct word *x, const struct word *y)
{
    struct word sum;
    for (int j = 0; j < 4; j++)
        sum.byte[j] = x->byte[j] ^ y->byte[j];
    return sum;
}

/* Makes the compiler keep a word that is idle for two rounds in memory. Two states fill the
 * register file; left alone, compilers spill what the next S-boxes are waiting for. */
ALWAYS_INLINE void keep_in_memory(struct word *x)
{
    for (int j = 0; j < 4; j++)
        __asm__("" : "+m"(x->byte[j]));
}

/* Two rounds of several states side by side, changing words x and x + 1; they share the sum of
 * the words y and y + 1, which neither changes. */
ALWAYS_INLINE void two_rounds(struct word (*w)[4], int states, int x, int y, const V_KEY (*keys)[4])
{
    struct word sum[STREAMS];
    for (int s = 0; s < states; s++)
        sum[s] = add_words(&w[s][y], &w[s][y + 1]);
    for (int s = 0; STREAMS > 1 && s < states; s++) {
        keep_in_memory(&w[s][y]);
        keep_in_memory(&w[s][y + 1]);
    }
    for (int s = 0; s < states; s++)
        half_round(&w[s][x], &sum[s], &w[s][x + 1], keys[0]);
    for (int s = 0; s < states; s++)
        half_round(&w[s][x + 1], &sum[s], &w[s][x], keys[1]);
}

/* In a byte-sliced vector byte 16l+i belongs to block (V_BYTES/16)i + l: then the transposition
 * of 16x16 bytes within each 16-byte lane leaves the blocks in order. */
ALWAYS_INLINE V block_numbers(void)
{
    uint8_t number[V_BYTES];
    for (int l = 0; l < V_BYTES / 16; l++)
        for (int i = 0; i < 16; i++)
            number[16 * l + i] = (uint8_t)(V_BYTES / 16 * i + l);
    return V_LOAD(number);
}

/* What the first round sees of the nonce, the same in all blocks of a message. */
struct nonce_words {
    struct word word[3];
};

ALWAYS_INLINE void slice_nonce(struct nonce_words *n, const uint8_t nonce[12])
{
    for (int i = 0; i < 12; i++)
        n->word[i / 4].byte[3 - i % 4] = V_TO_FIELD(V_SET1((char)nonce[i]));
}

/* The counters counter .. counter + V_BYTES - 1; counter is a multiple of V_BYTES, so that only
 * the lowest byte differs between blocks. */
ALWAYS_INLINE void slice_counter(struct word *w, uint32_t counter)
{
    w->byte[0] = V_TO_FIELD(V_SET1((char)counter) ^ block_numbers());
    for (int j = 1; j < 4; j++)
        w->byte[j] = V_TO_FIELD(V_SET1((char)(counter >> 8 * j)));
}

/* x to vector number i of out, added to that of `in` unless it is NULL. */
ALWAYS_INLINE void store_added(uint8_t *out, const uint8_t *in, int i, V x)
{
    if (in)
        x ^= V_LOAD(in + V_BYTES * i);
    V_STORE(out + V_BYTES * i, x);
}

/* Sixteen vectors of byte positions to V_BYTES blocks of sixteen bytes in order, added to `in`
 * (not if it is NULL). */
ALWAYS_INLINE void store_blocks(uint8_t *out, const uint8_t *in, const struct word w[4])
{
    V b[16], t[16];
    for (int i = 0; i < 16; i++)
        b[i] = V_FROM_FIELD(w[3 - i / 4].byte[3 - i % 4]); /* last word first: 6.2, R */
    for (int i = 0; i < 8; i++) {
        t[2 * i] = V_UNPACK(lo, 8, b[2 * i], b[2 * i + 1]);
        t[2 * i + 1] = V_UNPACK(hi, 8, b[2 * i], b[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        for (int h = 0; h < 2; h++) {
            b[4 * i + 2 * h] = V_UNPACK(lo, 16, t[4 * i + h], t[4 * i + 2 + h]);
            b[4 * i + 2 * h + 1] = V_UNPACK(hi, 16, t[4 * i + h], t[4 * i + 2 + h]);
        }
    }
    for (int q = 0; q < 4; q++) {
        V left_low = V_UNPACK(lo, 32, b[q], b[4 + q]), left_high = V_UNPACK(hi, 32, b[q], b[4 + q]);
        V right_low = V_UNPACK(lo, 32, b[8 + q], b[12 + q]);
        V right_high = V_UNPACK(hi, 32, b[8 + q], b[12 + q]);
        store_added(out, in, 4 * q, V_UNPACK(lo, 64, left_low, right_low));
        store_added(out, in, 4 * q + 1, V_UNPACK(hi, 64, left_low, right_low));
        store_added(out, in, 4 * q + 2, V_UNPACK(lo, 64, left_high, right_high));
        store_added(out, in, 4 * q + 3, V_UNPACK(hi, 64, left_high, right_high));
    }
}

#endif
