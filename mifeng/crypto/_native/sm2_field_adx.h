/* The field for x86-64 with BMI2 and ADX: MULX leaves the flags alone, so ADCX and ADOX keep two
 * carry chains in flight while a row of products is added (Ozturk et al., "New instructions
 * supporting large integer arithmetic on Intel architecture processors", 2012).
 *
 * The assembler text names its registers: a compiler's own allocation of thirteen live values
 * spills. Each statement reads through %rsi and %rcx (or %rdx) and writes through %rdi, after the
 * last read, so the operands may be the same object. */
#ifndef MIFENG_SM2_FIELD_ADX_H
#define MIFENG_SM2_FIELD_ADX_H

#include "sm2_field.h"

/* One step of the reduction explained in sm2_field_portable.h: t0 is cleared, and its register
 * becomes the top limb. %rcx is 32. */
#define SM2_FOLD(t0, t1, t2, t3)                                                                   \
    "shlxq %%rcx, " t0 ", %%rax\n\t"                                                               \
    "shrxq %%rcx, " t0 ", %%rdx\n\t"                                                               \
    "addq " t0 ", " t1 "\n\t"                                                                      \
    "adcq $0, " t2 "\n\t"                                                                          \
    "adcq $0, " t3 "\n\t"                                                                          \
    "adcq $0, " t0 "\n\t"                                                                          \
    "subq %%rax, " t1 "\n\t"                                                                       \
    "sbbq %%rdx, " t2 "\n\t"                                                                       \
    "sbbq %%rax, " t3 "\n\t"                                                                       \
    "sbbq %%rdx, " t0 "\n\t"

/* The product in %r8...%r15 to (%rdi). */
#define SM2_REDUCE                                                                                 \
    "movl $32, %%ecx\n\t"                                                                          \
    SM2_FOLD("%%r8", "%%r9", "%%r10", "%%r11")                                                     \
    SM2_FOLD("%%r9", "%%r10", "%%r11", "%%r8")                                                     \
    SM2_FOLD("%%r10", "%%r11", "%%r8", "%%r9")                                                     \
    SM2_FOLD("%%r11", "%%r8", "%%r9", "%%r10")                                                     \
    "xorl %%edx, %%edx\n\t"                                                                        \
    "addq %%r8, %%r12\n\t"                                                                         \
    "adcq %%r9, %%r13\n\t"                                                                         \
    "adcq %%r10, %%r14\n\t"                                                                        \
    "adcq %%r11, %%r15\n\t"                                                                        \
    "adcq $0, %%rdx\n\t"                                                                           \
    SM2_REDUCE_ONCE

/* (%rdx, %r15...%r12) minus p, unless that is negative, to (%rdi). */
#define SM2_REDUCE_ONCE                                                                            \
    "movabsq $0xffffffff00000000, %%rax\n\t"                                                       \
    "movabsq $0xfffffffeffffffff, %%rbx\n\t"                                                       \
    "movq %%r12, %%r8\n\t"                                                                         \
    "movq %%r13, %%r9\n\t"                                                                         \
    "movq %%r14, %%r10\n\t"                                                                        \
    "movq %%r15, %%r11\n\t"                                                                        \
    "subq $-1, %%r8\n\t"                                                                           \
    "sbbq %%rax, %%r9\n\t"                                                                         \
    "sbbq $-1, %%r10\n\t"                                                                          \
    "sbbq %%rbx, %%r11\n\t"                                                                        \
    "sbbq $0, %%rdx\n\t"                                                                           \
    "cmovcq %%r12, %%r8\n\t"                                                                       \
    "cmovcq %%r13, %%r9\n\t"                                                                       \
    "cmovcq %%r14, %%r10\n\t"                                                                      \
    "cmovcq %%r15, %%r11\n\t"                                                                      \
    "movq %%r8, (%%rdi)\n\t"                                                                       \
    "movq %%r9, 8(%%rdi)\n\t"                                                                      \
    "movq %%r10, 16(%%rdi)\n\t"                                                                    \
    "movq %%r11, 24(%%rdi)\n\t"

/* (t4...t0) += (limb `at` of b) * a; t4 is new. */
#define SM2_ROW(at, t0, t1, t2, t3, t4)                                                            \
    "movq " at "(%%rcx), %%rdx\n\t"                                                                \
    "xorl " t4 "d, " t4 "d\n\t"                                                                    \
    "mulxq (%%rsi), %%rax, %%rbx\n\t"                                                              \
    "adcxq %%rax, " t0 "\n\t"                                                                      \
    "adoxq %%rbx, " t1 "\n\t"                                                                      \
    "mulxq 8(%%rsi), %%rax, %%rbx\n\t"                                                             \
    "adcxq %%rax, " t1 "\n\t"                                                                      \
    "adoxq %%rbx, " t2 "\n\t"                                                                      \
    "mulxq 16(%%rsi), %%rax, %%rbx\n\t"                                                            \
    "adcxq %%rax, " t2 "\n\t"                                                                      \
    "adoxq %%rbx, " t3 "\n\t"                                                                      \
    "mulxq 24(%%rsi), %%rax, %%rbx\n\t"                                                            \
    "adcxq %%rax, " t3 "\n\t"                                                                      \
    "adoxq %%rbx, " t4 "\n\t"                                                                      \
    "adcq $0, " t4 "\n\t"

#define SM2_CLOBBERS                                                                               \
    "rax", "rbx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory"

static __attribute__((noinline)) void fe_mul(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    __asm__ volatile("movq (%%rcx), %%rdx\n\t"
                     "mulxq (%%rsi), %%r8, %%r9\n\t"
                     "mulxq 8(%%rsi), %%rax, %%r10\n\t"
                     "addq %%rax, %%r9\n\t"
                     "mulxq 16(%%rsi), %%rax, %%r11\n\t"
                     "adcq %%rax, %%r10\n\t"
                     "mulxq 24(%%rsi), %%rax, %%r12\n\t"
                     "adcq %%rax, %%r11\n\t"
                     "adcq $0, %%r12\n\t"
                     SM2_ROW("8", "%%r9", "%%r10", "%%r11", "%%r12", "%%r13")
                     SM2_ROW("16", "%%r10", "%%r11", "%%r12", "%%r13", "%%r14")
                     SM2_ROW("24", "%%r11", "%%r12", "%%r13", "%%r14", "%%r15")
                     SM2_REDUCE
                     : "+c"(b)
                     : "D"(r), "S"(a)
                     : SM2_CLOBBERS);
}

/* The six mixed products once, doubled, and the four squares. */
static __attribute__((noinline)) void fe_sqr(sm2_fe *r, const sm2_fe *a)
{
    __asm__ volatile("movq (%%rsi), %%rdx\n\t"
                     "mulxq 8(%%rsi), %%r9, %%r10\n\t"
                     "mulxq 16(%%rsi), %%rax, %%r11\n\t"
                     "addq %%rax, %%r10\n\t"
                     "mulxq 24(%%rsi), %%rax, %%r12\n\t"
                     "adcq %%rax, %%r11\n\t"
                     "adcq $0, %%r12\n\t"
                     "movq 8(%%rsi), %%rdx\n\t"
                     "xorl %%r13d, %%r13d\n\t"
                     "mulxq 16(%%rsi), %%rax, %%rbx\n\t"
                     "adcxq %%rax, %%r11\n\t"
                     "adoxq %%rbx, %%r12\n\t"
                     "mulxq 24(%%rsi), %%rax, %%rbx\n\t"
                     "adcxq %%rax, %%r12\n\t"
                     "adoxq %%rbx, %%r13\n\t"
                     "adcq $0, %%r13\n\t"
                     "movq 16(%%rsi), %%rdx\n\t"
                     "mulxq 24(%%rsi), %%rax, %%r14\n\t"
                     "addq %%rax, %%r13\n\t"
                     "adcq $0, %%r14\n\t"
                     "xorl %%r15d, %%r15d\n\t"
                     "addq %%r9, %%r9\n\t"
                     "adcq %%r10, %%r10\n\t"
                     "adcq %%r11, %%r11\n\t"
                     "adcq %%r12, %%r12\n\t"
                     "adcq %%r13, %%r13\n\t"
                     "adcq %%r14, %%r14\n\t"
                     "adcq %%r15, %%r15\n\t"
                     "movq (%%rsi), %%rdx\n\t"
                     "mulxq %%rdx, %%r8, %%rax\n\t"
                     "addq %%rax, %%r9\n\t"
                     "movq 8(%%rsi), %%rdx\n\t"
                     "mulxq %%rdx, %%rax, %%rbx\n\t"
                     "adcq %%rax, %%r10\n\t"
                     "adcq %%rbx, %%r11\n\t"
                     "movq 16(%%rsi), %%rdx\n\t"
                     "mulxq %%rdx, %%rax, %%rbx\n\t"
                     "adcq %%rax, %%r12\n\t"
                     "adcq %%rbx, %%r13\n\t"
                     "movq 24(%%rsi), %%rdx\n\t"
                     "mulxq %%rdx, %%rax, %%rbx\n\t"
                     "adcq %%rax, %%r14\n\t"
                     "adcq %%rbx, %%r15\n\t"
                     SM2_REDUCE
                     :
                     : "D"(r), "S"(a)
                     : "rcx", SM2_CLOBBERS);
}

static inline void fe_add(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    __asm__ volatile("xorl %%edx, %%edx\n\t"
                     "movq (%%rsi), %%r12\n\t"
                     "movq 8(%%rsi), %%r13\n\t"
                     "movq 16(%%rsi), %%r14\n\t"
                     "movq 24(%%rsi), %%r15\n\t"
                     "addq (%%rcx), %%r12\n\t"
                     "adcq 8(%%rcx), %%r13\n\t"
                     "adcq 16(%%rcx), %%r14\n\t"
                     "adcq 24(%%rcx), %%r15\n\t"
                     "adcq $0, %%rdx\n\t"
                     SM2_REDUCE_ONCE
                     :
                     : "D"(r), "S"(a), "c"(b)
                     : SM2_CLOBBERS);
}

/* The borrow, spread over a register, is p's limbs 0 and 2; shifted and with bit 32 cleared, its
 * limbs 1 and 3. */
static inline void fe_sub(sm2_fe *r, const sm2_fe *a, const sm2_fe *b)
{
    __asm__ volatile("movq (%%rsi), %%r8\n\t"
                     "movq 8(%%rsi), %%r9\n\t"
                     "movq 16(%%rsi), %%r10\n\t"
                     "movq 24(%%rsi), %%r11\n\t"
                     "subq (%%rcx), %%r8\n\t"
                     "sbbq 8(%%rcx), %%r9\n\t"
                     "sbbq 16(%%rcx), %%r10\n\t"
                     "sbbq 24(%%rcx), %%r11\n\t"
                     "sbbq %%rax, %%rax\n\t"
                     "movq %%rax, %%rdx\n\t"
                     "movq %%rax, %%rbx\n\t"
                     "shlq $32, %%rdx\n\t"
                     "btrq $32, %%rbx\n\t"
                     "addq %%rax, %%r8\n\t"
                     "adcq %%rdx, %%r9\n\t"
                     "adcq %%rax, %%r10\n\t"
                     "adcq %%rbx, %%r11\n\t"
                     "movq %%r8, (%%rdi)\n\t"
                     "movq %%r9, 8(%%rdi)\n\t"
                     "movq %%r10, 16(%%rdi)\n\t"
                     "movq %%r11, 24(%%rdi)\n\t"
                     :
                     : "D"(r), "S"(a), "c"(b)
                     : "rax", "rbx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory");
}

#endif
