/* Instructions for one file only: code between MIFENG_TARGET(...) and MIFENG_TARGET_END may use
 * them, and is entered only after CPUID said they are there. No compiler flag is involved, so no
 * other file, and no inline function another file shares, can come out with such instructions. */
#ifndef MIFENG_TARGET_H
#define MIFENG_TARGET_H

#define MIFENG_PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define MIFENG_TARGET(features)                                                                    \
    MIFENG_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define MIFENG_TARGET_END MIFENG_PRAGMA(clang attribute pop)
#else
#define MIFENG_TARGET(features)                                                                    \
    MIFENG_PRAGMA(GCC push_options) MIFENG_PRAGMA(GCC target(features))
#define MIFENG_TARGET_END MIFENG_PRAGMA(GCC pop_options)
#endif

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
