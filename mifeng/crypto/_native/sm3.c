/* SM3 (GB/T 32905-2016): the hash over any compression function the machine offers. */
#include "core.h"

#include "sm3_compress.h"

static int usable(void) { return 1; }

void sm3_compress_portable(uint32_t h[8], const uint8_t *blocks, size_t count)
{
    sm3_compress(h, blocks, count);
}

const struct sm3_path sm3_portable = {
    "portable", "one by one", NULL, usable, sm3_compress_portable, 0, NULL};

void sm3_init(struct sm3_state *state)
{
    static const uint32_t initial[8] = {0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600,
                                        0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e};
    memcpy(state->h, initial, sizeof initial);
    state->size = 0;
}

void sm3_update(struct sm3_state *state, const void *data, size_t size)
{
    const struct sm3_path *path = mifeng_sm3_path();
    const uint8_t *p = data;
    size_t held = state->size % SM3_BLOCK_SIZE;
    state->size += size;
    if (held) {
        size_t n = SM3_BLOCK_SIZE - held < size ? SM3_BLOCK_SIZE - held : size;
        memcpy(state->block + held, p, n);
        p += n;
        size -= n;
        if (held + n < SM3_BLOCK_SIZE)
            return;
        path->compress(state->h, state->block, 1);
    }
    if (size >= SM3_BLOCK_SIZE) {
        path->compress(state->h, p, size / SM3_BLOCK_SIZE);
        p += size - size % SM3_BLOCK_SIZE;
        size %= SM3_BLOCK_SIZE;
    }
    if (size)
        memcpy(state->block, p, size);
}

void sm3_final(struct sm3_state *state, uint8_t digest[32])
{
    size_t held = state->size % SM3_BLOCK_SIZE;
    uint8_t tail[2 * SM3_BLOCK_SIZE] = {0};
    size_t blocks = held < SM3_BLOCK_SIZE - 8 ? 1 : 2;
    memcpy(tail, state->block, held);
    tail[held] = 0x80;
    store64_be(tail + blocks * SM3_BLOCK_SIZE - 8, state->size * 8);
    mifeng_sm3_path()->compress(state->h, tail, blocks);
    for (int i = 0; i < 8; i++)
        store32_be(digest + 4 * i, state->h[i]);
    wipe(tail, sizeof tail);
    wipe(state, sizeof *state);
}
