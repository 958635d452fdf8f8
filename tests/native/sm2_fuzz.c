/* libFuzzer: what a peer can send. Public keys, signatures and ciphertexts of any bytes; the single
 * and the batch code must agree, and nothing may read or write outside its arrays.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -I mifeng/crypto/_native -o sm2_fuzz
 *         tests/native/sm2_fuzz.c $(ls mifeng/crypto/_native/sm2*.c | grep -v sm2_py)
 *         mifeng/crypto/_native/sm3.c mifeng/crypto/_native/sm3_kdf.c
 *   ./sm2_fuzz -max_len=400 */
#include "sm2_batch.h"
#include "sm2_test_sm3.h"

#define TEXT 300

static sm2_private key;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint8_t scalar[32];
    (void)argc;
    (void)argv;
    memset(scalar, 7, sizeof scalar);
    return sm2_batch_choose("auto") || sm2_private_from_bytes(&key, scalar);
}

static void require(int condition)
{
    if (!condition)
        abort();
}

/* A genuine ciphertext or signature with the input laid over it, to get to the inner checks. */
static void overlay(uint8_t *genuine, size_t size, const uint8_t *data, size_t data_size)
{
    for (size_t i = 0; i < size && i < data_size; i++)
        genuine[i] ^= data[i];
}

static void decrypt(const uint8_t *ciphertext, size_t size)
{
    static const sm2_scalar k = {{2, 3, 5, 7}};
    static uint8_t good[SM2_OVERHEAD + 4], out[4][TEXT];
    sm2_decryption work[4];
    if (!good[0])
        require(!sm2_encrypt_with_nonce(good, &key.pub, (const uint8_t *)"good", 4, &k));
    const size_t text = size > SM2_OVERHEAD ? size - SM2_OVERHEAD : 0;
    for (int i = 0; i < 4; i++)
        work[i] = i & 1 ? (sm2_decryption){ciphertext, text, out[i], 0}
                        : (sm2_decryption){good, 4, out[i], 0};
    sm2_decrypt_batch(work, &key, 4);
    uint8_t single[TEXT];
    const int opened = text && !sm2_decrypt(single, &key, ciphertext, text);
    require(work[0].valid && work[2].valid && !memcmp(out[0], "good", 4));
    require(work[1].valid == opened && work[3].valid == opened);
    require(!opened || !memcmp(out[1], single, text));
}

static void verify(const sm2_public *pub, const uint8_t e[32], const uint8_t signature[64])
{
    sm2_verification work[3];
    for (int i = 0; i < 3; i++)
        work[i] = (sm2_verification){pub, signature, e, 0};
    sm2_verify_batch(work, 3);
    const int valid = !sm2_verify(pub, e, signature);
    require(work[0].valid == valid && work[1].valid == valid && work[2].valid == valid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const sm2_scalar k = {{11, 13, 17, 19}};
    static const uint8_t e[32] = {1};
    uint8_t ciphertext[SM2_OVERHEAD + 40] = {0}, signature[64];
    sm2_public pub;
    if (!size || size > TEXT)
        return 0;
    const uint8_t choice = *data++;
    size--;
    if (choice & 1) {
        decrypt(data, size);
        return 0;
    }
    if (choice & 2) {
        require(!sm2_encrypt_with_nonce(ciphertext, &key.pub, e, 32, &k));
        overlay(ciphertext, SM2_OVERHEAD + 32, data, size);
        decrypt(ciphertext, SM2_OVERHEAD + 32);
        return 0;
    }
    require(!sm2_sign_with_nonce(signature, &key, e, &k));
    overlay(signature, 64, data, size);
    verify(&key.pub, e, signature);
    if (size >= SM2_PUBLIC_SIZE && !sm2_public_from_bytes(&pub, data))
        verify(&pub, e, signature);
    return 0;
}
