/* SM3 for the SM2 test programs: the portable compression, and lanes that are a loop, so that no
 * file of another primitive has to be linked and the code that fills lanes still runs. */
#include "core.h"

static int always(void) { return 1; }

static void digest_in_a_loop(const uint8_t *const *messages, size_t size, uint8_t (*digests)[32])
{
    for (int i = 0; i < SM3_MAX_LANES; i++) {
        struct sm3_state state;
        sm3_init(&state);
        sm3_update(&state, messages[i], size);
        sm3_final(&state, digests[i]);
    }
}

static const struct sm3_path in_a_loop = {
    .name = "portable",
    .usable = always,
    .compress = sm3_compress_portable,
    .lanes = SM3_MAX_LANES,
    .digest_lanes = digest_in_a_loop,
};

const struct sm3_path *mifeng_sm3_path(void) { return &in_a_loop; }
