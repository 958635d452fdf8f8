/* The vector of ghash_clmul.h where carry-less multiplication takes one block at a time. */
typedef __m128i G;
#define G_LANES 1
#define G_MULTIPLY G1_MULTIPLY
#define G_XOR3(a, b, c) ((a) ^ (b) ^ (c))
#define G_LOAD G1_LOAD
#define G_REVERSE G1_REVERSE
#define G_FIRST(x) (x)
#define G_SHIFT_LEFT G1_SHIFT_LEFT
#define G_SHIFT_RIGHT G1_SHIFT_RIGHT
#define G_SUM(x) (x)
