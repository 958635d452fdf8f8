/* SM2 with its secrets poisoned: under valgrind's memcheck every branch and every address that
 * depends on one is an error ("ctgrind": Adam Langley, 2010).
 *
 *   cc -g -O2 -DMIFENG_CTGRIND [-DMIFENG_EMULATE_LANES] -I mifeng/crypto/_native ... -o sm2_ctgrind
 *   valgrind --error-exitcode=9 ./sm2_ctgrind portable|adx|ifma sign|decrypt|encrypt|key|batch|leak
 *
 * Secret are: private scalars, nonces and what they are made of, plaintexts, shared points. Public
 * are: keys and signatures that are given out, ciphertexts, and whether an operation succeeded.
 * The last operation leaks on purpose, to show that the method sees it. */
#include "sm2_batch.h"
#include "sm2_test_sm3.h"

#include <valgrind/memcheck.h>

#define SECRET(x) ((void)VALGRIND_MAKE_MEM_UNDEFINED(&(x), sizeof(x)))
#define PUBLIC(x) ((void)VALGRIND_MAKE_MEM_DEFINED(&(x), sizeof(x)))

#define COUNT 9
#define TEXT 70

static uint8_t scalar[32], digest[COUNT][32], fresh[32], signatures[COUNT][64];
static uint8_t text[COUNT][TEXT], ciphertexts[COUNT][SM2_OVERHEAD + TEXT], opened[COUNT][TEXT];

static int failed(int condition, const char *what)
{
    if (condition)
        printf("%s failed\n", what);
    return condition;
}

static int single(const sm2_private *key, const char *what)
{
    if (!strcmp(what, "sign")) {
        SECRET(fresh);
        sm2_sign(signatures[0], key, digest[0], fresh);
        return failed(sm2_verify(&key->pub, digest[0], signatures[0]), what);
    }
    if (!strcmp(what, "encrypt")) {
        SECRET(text);
        return failed(sm2_encrypt(ciphertexts[0], &key->pub, text[0], TEXT), what);
    }
    if (!strcmp(what, "decrypt")) {
        sm2_encrypt(ciphertexts[0], &key->pub, text[0], TEXT);
        if (failed(sm2_decrypt(opened[0], key, ciphertexts[0], TEXT), what))
            return 1;
        ciphertexts[0][SM2_OVERHEAD] ^= 1;
        return failed(!sm2_decrypt(opened[0], key, ciphertexts[0], TEXT), "refusing");
    }
    uint8_t x[32];
    sm2_ecdh(x, key, &key->pub);
    return 0;
}

static int batch(const sm2_private *key)
{
    sm2_encryption sent[COUNT];
    sm2_decryption received[COUNT];
    if (failed(sm2_sign_batch(signatures, key, (const uint8_t(*)[32])digest, COUNT), "signing"))
        return 1;
    SECRET(text);
    for (int i = 0; i < COUNT; i++)
        sent[i] = (sm2_encryption){&key->pub, text[i], TEXT, ciphertexts[i]};
    if (failed(sm2_encrypt_batch(sent, COUNT), "encrypting"))
        return 1;
    for (int i = 0; i < COUNT; i++)
        received[i] = (sm2_decryption){ciphertexts[i], TEXT, opened[i], 0};
    sm2_decrypt_batch(received, key, COUNT);
    for (int i = 0; i < COUNT; i++)
        if (failed(sm2_verify(&key->pub, digest[i], signatures[i]), "verifying") ||
            failed(!received[i].valid, "decrypting"))
            return 1;
    PUBLIC(text);
    PUBLIC(opened);
    return failed(memcmp(text, opened, sizeof text), "comparing");
}

int main(int argc, char **argv)
{
    sm2_private key;
    if (argc != 3 || sm2_batch_choose(argv[1])) {
        puts("no such path here");
        return 2;
    }
    for (int i = 0; i < 32; i++)
        scalar[i] = (uint8_t)(7 * i + 1);
    SECRET(scalar);
    if (sm2_private_from_bytes(&key, scalar))
        return failed(1, "reading the key");
    if (!strcmp(argv[2], "leak")) {
        const uint8_t table[2] = {1, 2};
        volatile uint8_t seen = table[key.d.v[0] & 1];
        (void)seen;
        return 0;
    }
    return strcmp(argv[2], "batch") ? single(&key, argv[2]) : batch(&key);
}
