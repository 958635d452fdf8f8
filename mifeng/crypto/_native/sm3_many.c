/* Many messages at once: messages of one size share the lanes of a vector. */
#include "core.h"

/* Below this many messages of a size the lanes are too empty to win over one stream. */
enum { WORTHWHILE = 3 };

struct item {
    size_t size, index;
};

static int by_size(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void one(const uint8_t *message, size_t size, uint8_t digest[32])
{
    struct sm3_state state;
    sm3_init(&state);
    sm3_update(&state, message, size);
    sm3_final(&state, digest);
}

int sm3_many(const uint8_t *const *messages, const size_t *sizes, size_t count, uint8_t (*digests)[32])
{
    const struct sm3_path *path = mifeng_sm3_path();
    struct item *order = malloc((count ? count : 1) * sizeof *order);
    if (!order)
        return -1;
    int sorted = 1;
    for (size_t i = 0; i < count; i++) {
        order[i] = (struct item){sizes[i], i};
        sorted &= i == 0 || sizes[i - 1] <= sizes[i];
    }
    if (!sorted)
        qsort(order, count, sizeof *order, by_size);
    for (size_t i = 0, n; i < count; i += n) {
        const uint8_t *lane[SM3_MAX_LANES];
        uint8_t result[SM3_MAX_LANES][32];
        const size_t lanes = (size_t)path->lanes;
        for (n = 1; n < lanes && i + n < count && order[i + n].size == order[i].size; n++)
            ;
        if (n < WORTHWHILE) {
            n = 1;
            one(messages[order[i].index], order[i].size, digests[order[i].index]);
            continue;
        }
        for (size_t k = 0; k < lanes; k++) /* an idle lane repeats the first message */
            lane[k] = messages[order[k < n ? i + k : i].index];
        path->digest_lanes(lane, order[i].size, result);
        for (size_t k = 0; k < n; k++)
            memcpy(digests[order[i + k].index], result[k], 32);
    }
    free(order);
    return 0;
}
