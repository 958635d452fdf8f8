/* What constant_time.c must be able to see: a table indexed by a secret, and a secret branch. */
#include <valgrind/memcheck.h>

#include "core.h"

int main(void)
{
    static const uint8_t table[256] = {1, 2, 3};
    volatile uint8_t secret = 5;
    (void)VALGRIND_MAKE_MEM_UNDEFINED((void *)(uintptr_t)&secret, 1);
    volatile uint8_t found = table[secret];
    (void)found;
    return 0;
}
