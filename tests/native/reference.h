/* SM4, GHASH, GCM and SM3 as the standards write them, for comparison only: slow, one block at a
 * time, with a table, and sharing no line with the product. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdint.h>
#include <string.h>

static uint8_t reference_sbox_table[256];

static uint8_t field_multiply(unsigned a, unsigned b)
{
    unsigned product = 0;
    for (; b; b >>= 1, a = a << 1 ^ (a & 0x80 ? 0x1f5 : 0))
        product ^= b & 1 ? a : 0;
    return (uint8_t)product;
}

/* S(x) = A I(A x + c) + c over x^8+x^7+x^6+x^5+x^4+x^2+1; row i of A is 0xa7 rotated by i. */
static uint8_t affine(uint8_t x)
{
    uint8_t y = 0;
    for (int i = 0; i < 8; i++) {
        unsigned row = 0xa7u << i;
        y |= (uint8_t)((__builtin_popcount((row | row >> 8) & 0xff & x) & 1) << i);
    }
    return y ^ 0xd3;
}

static void reference_prepare(void)
{
    for (unsigned x = 0; x < 256; x++) {
        uint8_t a = affine((uint8_t)x), inverse = 0;
        for (unsigned y = 1; y < 256; y++)
            if (field_multiply(a, y) == 1)
                inverse = (uint8_t)y;
        reference_sbox_table[x] = affine(inverse);
    }
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t left(uint32_t x, int n) { return n ? x << n | x >> (32 - n) : x; }

static uint32_t tau(uint32_t x)
{
    uint32_t y = 0;
    for (int i = 0; i < 32; i += 8)
        y |= (uint32_t)reference_sbox_table[x >> i & 0xff] << i;
    return y;
}

static void reference_sm4(const uint8_t key[16], const uint8_t in[16], uint8_t out[16])
{
    static const uint32_t fk[4] = {0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc};
    uint32_t k[36], x[36];
    for (int i = 0; i < 4; i++) {
        k[i] = be32(key + 4 * i) ^ fk[i];
        x[i] = be32(in + 4 * i);
    }
    for (int i = 0; i < 32; i++) {
        uint32_t ck = 0;
        for (int j = 0; j < 4; j++)
            ck = ck << 8 | ((uint32_t)(4 * i + j) * 7 & 0xff);
        uint32_t t = tau(k[i + 1] ^ k[i + 2] ^ k[i + 3] ^ ck);
        k[i + 4] = k[i] ^ t ^ left(t, 13) ^ left(t, 23);
        t = tau(x[i + 1] ^ x[i + 2] ^ x[i + 3] ^ k[i + 4]);
        x[i + 4] = x[i] ^ t ^ left(t, 2) ^ left(t, 10) ^ left(t, 18) ^ left(t, 24);
    }
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)(x[35 - i / 4] >> (24 - 8 * (i % 4)));
}

/* SP 800-38D, algorithm 1: bit 0 is the leftmost. */
static void gf128_multiply(uint8_t x[16], const uint8_t y[16])
{
    uint8_t z[16] = {0}, v[16];
    memcpy(v, y, 16);
    for (int i = 0; i < 128; i++) {
        int carry = v[15] & 1;
        if (x[i / 8] >> (7 - i % 8) & 1)
            for (int k = 0; k < 16; k++)
                z[k] ^= v[k];
        for (int k = 15; k > 0; k--)
            v[k] = (uint8_t)(v[k] >> 1 | v[k - 1] << 7);
        v[0] = (uint8_t)(v[0] >> 1 ^ (carry ? 0xe1 : 0));
    }
    memcpy(x, z, 16);
}

static void reference_ghash(uint8_t sum[16], const uint8_t h[16], const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 16) {
        for (size_t k = 0; k < 16 && i + k < size; k++)
            sum[k] ^= data[i + k];
        gf128_multiply(sum, h);
    }
}

static void reference_seal(const uint8_t key[16], const uint8_t nonce[12], const uint8_t *aad,
                           size_t aad_size, const uint8_t *in, size_t size, uint8_t *out,
                           uint8_t tag[16])
{
    uint8_t h[16] = {0}, counter[16] = {0}, block[16], lengths[16];
    reference_sm4(key, h, h);
    memcpy(counter, nonce, 12);
    for (size_t i = 0; i < size; i++) {
        if (i % 16 == 0) {
            uint32_t n = (uint32_t)(2 + i / 16);
            for (int k = 0; k < 4; k++)
                counter[12 + k] = (uint8_t)(n >> (24 - 8 * k));
            reference_sm4(key, counter, block);
        }
        out[i] = in[i] ^ block[i % 16];
    }
    for (int k = 0; k < 8; k++) {
        lengths[k] = (uint8_t)((uint64_t)aad_size * 8 >> (56 - 8 * k));
        lengths[8 + k] = (uint8_t)((uint64_t)size * 8 >> (56 - 8 * k));
    }
    memset(tag, 0, 16);
    reference_ghash(tag, h, aad, aad_size);
    reference_ghash(tag, h, out, size);
    reference_ghash(tag, h, lengths, 16);
    memset(counter + 12, 0, 3);
    counter[15] = 1;
    reference_sm4(key, counter, block);
    for (int k = 0; k < 16; k++)
        tag[k] ^= block[k];
}

/* GB/T 32905-2016, 5.3, with the expanded message written out. */
static void reference_sm3(const uint8_t *data, size_t size, uint8_t digest[32])
{
    uint32_t v[8] = {0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600,
                     0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e};
    size_t blocks = (size + 9 + 63) / 64;
    for (size_t n = 0; n < blocks; n++) {
        uint8_t b[64];
        uint32_t w[68], s[8];
        for (size_t i = 0; i < 64; i++) {
            size_t at = 64 * n + i, end = 64 * blocks;
            b[i] = at < size ? data[at] : at == size ? 0x80 : 0;
            if (at >= end - 8)
                b[i] = (uint8_t)((uint64_t)size * 8 >> (8 * (end - 1 - at)));
        }
        for (int j = 0; j < 68; j++) {
            if (j < 16) {
                w[j] = be32(b + 4 * j);
                continue;
            }
            uint32_t x = w[j - 16] ^ w[j - 9] ^ left(w[j - 3], 15);
            w[j] = x ^ left(x, 15) ^ left(x, 23) ^ left(w[j - 13], 7) ^ w[j - 6];
        }
        memcpy(s, v, sizeof s);
        for (int j = 0; j < 64; j++) {
            uint32_t t = left(j < 16 ? 0x79cc4519 : 0x7a879d8a, j % 32);
            uint32_t ss1 = left(left(s[0], 12) + s[4] + t, 7), ss2 = ss1 ^ left(s[0], 12);
            uint32_t ff = j < 16 ? s[0] ^ s[1] ^ s[2]
                                 : (s[0] & s[1]) | (s[0] & s[2]) | (s[1] & s[2]);
            uint32_t gg = j < 16 ? s[4] ^ s[5] ^ s[6] : (s[4] & s[5]) | (~s[4] & s[6]);
            uint32_t tt1 = ff + s[3] + ss2 + (w[j] ^ w[j + 4]), tt2 = gg + s[7] + ss1 + w[j];
            s[3] = s[2];
            s[2] = left(s[1], 9);
            s[1] = s[0];
            s[0] = tt1;
            s[7] = s[6];
            s[6] = left(s[5], 19);
            s[5] = s[4];
            s[4] = tt2 ^ left(tt2, 9) ^ left(tt2, 17);
        }
        for (int i = 0; i < 8; i++)
            v[i] ^= s[i];
    }
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(v[i / 4] >> (24 - 8 * (i % 4)));
}

#endif
