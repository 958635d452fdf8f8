/* The lane kernels' field arithmetic on the bounds and limbs where it could go wrong. Includes the
 * file under test, to reach its static functions. Reads "mul|sqr|reduce limbs limbs", five limbs of
 * 64 bits (as 16 hexadecimal digits, least significant first) each, and writes five limbs. All
 * eight lanes are used: one for the arguments, the others for the previous ones. */
#include "sm2_lanes_curve.c"
#include "sm2_test_sm3.h"

#include <stdio.h>

#ifdef LANES

static int read_limbs(uint64_t limbs[5])
{
    for (int i = 0; i < 5; i++) {
        const char *word = strtok(NULL, " \n");
        if (!word)
            return -1;
        limbs[i] = strtoull(word, NULL, 16);
    }
    return 0;
}

LANES_TARGET static void work(const char *name, uint64_t columns[2][5][LANES])
{
    fe8 a, b;
    for (int i = 0; i < 5; i++) {
        a.v[i] = lanes_load(columns[0][i]);
        b.v[i] = lanes_load(columns[1][i]);
    }
    if (!strcmp(name, "mul"))
        fe8_mul(&a, &a, &b);
    else if (!strcmp(name, "sqr"))
        fe8_sqr(&a, &a);
    else
        reduce(&a);
    for (int i = 0; i < 5; i++)
        lanes_store(columns[1][i], a.v[i]);
}

int main(void)
{
    static uint64_t columns[2][5][LANES], results[2][5][LANES];
    static char line[256];
    int lane = 0;
    if (!sm2_lanes_usable())
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        const char *name = strtok(line, " \n");
        uint64_t limbs[5];
        lane = (lane + 1) % LANES;
        for (int operand = 0; operand < 2; operand++)
            if (read_limbs(limbs) == 0)
                for (int i = 0; i < 5; i++)
                    columns[operand][i][lane] = limbs[i];
        memcpy(results, columns, sizeof results);
        work(name, results);
        for (int i = 0; i < 5; i++)
            printf("%016llx", (unsigned long long)results[1][i][lane]);
        putchar('\n');
    }
    return 0;
}

#else

int main(void) { return 2; }

#endif
