/* What an AArch64 processor offers, by the operating system's word. */
#ifndef MIFENG_ARM_FEATURES_H
#define MIFENG_ARM_FEATURES_H

#if defined(__linux__)
#include <sys/auxv.h>

/* Bits of AT_HWCAP: Linux, Documentation/arm64/elf_hwcaps.rst. */
#define ARM_HWCAP_AES (1ul << 3)
#define ARM_HWCAP_PMULL (1ul << 4)
#define ARM_HWCAP_SM4 (1ul << 19)

static inline int arm_has(unsigned long features)
{
    return (getauxval(AT_HWCAP) & features) == features;
}

static inline int arm_has_aes_and_pmull(void) { return arm_has(ARM_HWCAP_AES | ARM_HWCAP_PMULL); }
static inline int arm_has_sm4(void)
{
    return arm_has(ARM_HWCAP_SM4 | ARM_HWCAP_AES | ARM_HWCAP_PMULL);
}
#elif defined(__APPLE__)
static inline int arm_has_aes_and_pmull(void) { return 1; } /* every Apple silicon has them */
static inline int arm_has_sm4(void) { return 0; }
#else
static inline int arm_has_aes_and_pmull(void) { return 0; }
static inline int arm_has_sm4(void) { return 0; }
#endif

#endif
