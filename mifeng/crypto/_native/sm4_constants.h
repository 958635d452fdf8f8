/* Written by tests/native/derive_sm4.py, which derives and checks every value. */
#ifndef MIFENG_SM4_CONSTANTS_H
#define MIFENG_SM4_CONSTANTS_H

#include <stdint.h>

/* S(x) = Q inv(P x + p) + q over AES's field; see sm4_byteslice.h for U, W, KAPPA. */
#define SM4_P_CONSTANT 0x3e
#define SM4_KAPPA 0x63
/* The circuit leaves out p and q: P^-1 p is added before it, q behind it. */
#define SM4_CIRCUIT_IN 0x75
#define SM4_CIRCUIT_OUT 0xd3

/* Operands of GF2P8AFFINEQB and GF2P8AFFINEINVQB. */
#define SM4_GFNI_P 0x4c287db91a22505dULL
#define SM4_GFNI_P_INVERSE 0xb3a4f5863284728bULL
#define SM4_GFNI_U 0x040db891e9a481b7ULL
#define SM4_GFNI_W 0x280fbcb4ff84c11aULL

/* Affine maps as tables of nibbles, for byte shuffles held in registers. */
#ifdef SM4_NIBBLE_TABLES
static const uint8_t SM4_TO_FIELD_LOW[16] = {
    0x00, 0x8c, 0x30, 0xbc, 0x85, 0x09, 0xb5, 0x39,
    0x9f, 0x13, 0xaf, 0x23, 0x1a, 0x96, 0x2a, 0xa6};
static const uint8_t SM4_TO_FIELD_HIGH[16] = {
    0x00, 0xdc, 0x2e, 0xf2, 0xc5, 0x19, 0xeb, 0x37,
    0x08, 0xd4, 0x26, 0xfa, 0xcd, 0x11, 0xe3, 0x3f};
static const uint8_t SM4_FROM_FIELD_LOW[16] = {
    0x00, 0x85, 0xd9, 0x5c, 0x2e, 0xab, 0xf7, 0x72,
    0x80, 0x05, 0x59, 0xdc, 0xae, 0x2b, 0x77, 0xf2};
static const uint8_t SM4_FROM_FIELD_HIGH[16] = {
    0x00, 0x55, 0x57, 0x02, 0x44, 0x11, 0x13, 0x46,
    0xaf, 0xfa, 0xf8, 0xad, 0xeb, 0xbe, 0xbc, 0xe9};
static const uint8_t SM4_AES_W_LOW[16] = {
    0x0f, 0x5a, 0xd1, 0x84, 0xd7, 0x82, 0x09, 0x5c,
    0x51, 0x04, 0x8f, 0xda, 0x89, 0xdc, 0x57, 0x02};
static const uint8_t SM4_AES_W_HIGH[16] = {
    0x00, 0x5f, 0x95, 0xca, 0x72, 0x2d, 0xe7, 0xb8,
    0x71, 0x2e, 0xe4, 0xbb, 0x03, 0x5c, 0x96, 0xc9};
static const uint8_t SM4_AES_U_LOW[16] = {
    0x79, 0xff, 0xaa, 0x2c, 0x01, 0x87, 0xd2, 0x54,
    0x65, 0xe3, 0xb6, 0x30, 0x1d, 0x9b, 0xce, 0x48};
static const uint8_t SM4_AES_U_HIGH[16] = {
    0x00, 0xeb, 0xdc, 0x37, 0xf0, 0x1b, 0x2c, 0xc7,
    0xcd, 0x26, 0x11, 0xfa, 0x3d, 0xd6, 0xe1, 0x0a};
static const uint8_t SM4_AES_S_LOW[16] = {
    0x6c, 0xd4, 0xa6, 0x1e, 0x52, 0xea, 0x98, 0x20,
    0x0b, 0xb3, 0xc1, 0x79, 0x35, 0x8d, 0xff, 0x47};
static const uint8_t SM4_AES_S_HIGH[16] = {
    0x00, 0xe0, 0x50, 0xb0, 0x9d, 0x7d, 0xcd, 0x2d,
    0xc0, 0x20, 0x90, 0x70, 0x5d, 0xbd, 0x0d, 0xed};
/* ShiftRows takes byte 4c+r from column c+r; this puts it back (FIPS 197, 5.1.2). */
static const uint8_t SM4_UNDO_SHIFT_ROWS[16] = {
    0x00, 0x0d, 0x0a, 0x07, 0x04, 0x01, 0x0e, 0x0b,
    0x08, 0x05, 0x02, 0x0f, 0x0c, 0x09, 0x06, 0x03};
#endif

/* The S-box as a circuit of x0 (lowest bit) .. x7, giving s0 .. s7. */
#define SM4_SBOX_CIRCUIT(word) \
    word a0 = x1 ^ x4; word a1 = x2 ^ x5; word a2 = x7 ^ a0; word a3 = x0 ^ x6; \
    word a4 = x3 ^ a2; word a5 = x2 ^ x6; word a6 = x1 ^ a3; word a7 = a0 ^ a1; \
    word a8 = x7 ^ a1; word a9 = x5 ^ a4; word a10 = x3 ^ a5; word a11 = x3 ^ x4; \
    word a12 = a8 ^ a11; word a13 = a3 ^ a9; word a14 = a2 ^ a5; word a15 = a1 ^ a6; \
    word a16 = a1 ^ a3; word a17 = x7 ^ a10; word a18 = x6 ^ x7; word a19 = x5 ^ a18; \
    word a20 = x5 ^ a6; word a21 = x4 ^ a19; word a22 = x4 ^ a16; word a23 = x3 ^ a7; \
    word a24 = x2 ^ a6; word a25 = x2 ^ a0; word a26 = x2 ^ x7; word a27 = x1 ^ a17; \
    word a28 = x0 ^ a9; word a29 = x0 ^ a2; word y14 = a15; word y13 = a22; word y9 = a24; \
    word y8 = x5; word y1 = a23; word y4 = a1; word y12 = a0; word y2 = a20; word y5 = a25; \
    word y3 = a7; word y15 = a14; word y20 = a13; word y6 = a4; word y10 = a8; word y11 = a12; \
    word y7 = a21; word y17 = a11; word y19 = a26; word y16 = a27; word y21 = a28; \
    word y18 = a29; word y0 = a10; word t2 = y12 & y15; word t3 = y3 & y6; word t4 = t3 ^ t2; \
    word t5 = y4 & y0; word t6 = t5 ^ t2; word t7 = y13 & y16; word t8 = y5 & y1; \
    word t9 = t8 ^ t7; word t10 = y2 & y7; word t11 = t10 ^ t7; word t12 = y9 & y11; \
    word t13 = y14 & y17; word t14 = t13 ^ t12; word t15 = y8 & y10; word t16 = t15 ^ t12; \
    word t17 = t4 ^ t14; word t18 = t6 ^ t16; word t19 = t9 ^ t14; word t20 = t11 ^ t16; \
    word t21 = t17 ^ y20; word t22 = t18 ^ y19; word t23 = t19 ^ y21; word t24 = t20 ^ y18; \
    word t25 = t21 ^ t22; word t26 = t21 & t23; word t27 = t24 ^ t26; word t28 = t25 & t27; \
    word t29 = t28 ^ t22; word t30 = t23 ^ t24; word t31 = t22 ^ t26; word t32 = t31 & t30; \
    word t33 = t32 ^ t24; word t34 = t23 ^ t33; word t35 = t27 ^ t33; word t36 = t24 & t35; \
    word t37 = t36 ^ t34; word t38 = t27 ^ t36; word t39 = t29 & t38; word t40 = t25 ^ t39; \
    word t41 = t40 ^ t37; word t42 = t29 ^ t33; word t43 = t29 ^ t40; word t44 = t33 ^ t37; \
    word t45 = t42 ^ t41; word z0 = t44 & y15; word z1 = t37 & y6; word z2 = t33 & y0; \
    word z3 = t43 & y16; word z4 = t40 & y1; word z5 = t29 & y7; word z6 = t42 & y11; \
    word z7 = t45 & y17; word z8 = t41 & y10; word z9 = t44 & y12; word z10 = t37 & y3; \
    word z11 = t33 & y4; word z12 = t43 & y13; word z13 = t40 & y5; word z14 = t29 & y2; \
    word z15 = t42 & y9; word z16 = t45 & y14; word z17 = t41 & y8; word b0 = z11 ^ z14; \
    word b1 = z2 ^ z4; word b2 = z0 ^ z7; word b3 = b1 ^ b2; word b4 = z15 ^ z16; \
    word b5 = z9 ^ z13; word b6 = z8 ^ z10; word b7 = z3 ^ b6; word b8 = b4 ^ b7; \
    word b9 = z17 ^ b5; word b10 = z12 ^ b0; word b11 = z6 ^ b10; word b12 = b8 ^ b11; \
    word b13 = b4 ^ b5; word b14 = b3 ^ b8; word b15 = b3 ^ b7; word b16 = b2 ^ b11; \
    word b17 = b1 ^ b9; word b18 = b0 ^ b15; word b19 = b0 ^ b13; word b20 = z16 ^ b17; \
    word b21 = z15 ^ b9; word b22 = z14 ^ b21; word b23 = z13 ^ b18; word b24 = z12 ^ b20; \
    word b25 = z11 ^ b24; word b26 = z10 ^ b22; word b27 = z9 ^ b16; word b28 = z9 ^ b14; \
    word b29 = z6 ^ b3; word b30 = z5 ^ b29; word b31 = z5 ^ b25; word b32 = z5 ^ b12; \
    word b33 = z4 ^ b19; word b34 = z3 ^ b33; word b35 = z1 ^ b34; word b36 = z1 ^ b31; \
    word b37 = z1 ^ b27; word b38 = z0 ^ b35; word s0 = b30; word s1 = b38; word s2 = b32; \
    word s3 = b37; word s4 = b36; word s5 = b23; word s6 = b26; word s7 = b28;

#endif
