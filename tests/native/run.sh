#!/bin/sh
# Every check of the C core that needs no Python. Installs nothing; what a machine lacks is
# skipped and named. Exit status 0: all that ran was good.
#
#   tests/native/run.sh [compile] [sanitize] [valgrind] [disassembly] [arm] [fuzz]
#
# MIFENG_FUZZ_SECONDS (default 20) is the time for libFuzzer; MIFENG_LONG=1 adds a 256 MiB message.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
native=$(cd "$here/../../mifeng/crypto/_native" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$native"

# What test_core.c is linked with, and what else there is: SM2 has its own program, the Python face
# needs Python's headers and is left out without them.
python=$(python3 -c 'import sysconfig; print("-I" + sysconfig.get_path("include"))' 2>/dev/null || :)
everything=$(ls sm2*.c | grep -v '_py')
[ -f "${python#-I}/Python.h" ] && everything="$everything module.c $(ls *_py*.c)"
sources=$(ls dispatch.c sm3*.c sm4*.c | grep -v '_py\.c$')
warnings="-std=gnu11 -Wall -Wextra -Werror -I$native -I$here"
# These hold instructions that valgrind does not know; see emulated_intrinsics.h.
emulated="sm4_avx512_gfni sm4_avx2_gfni sm3_avx512"

have() { command -v "$1" >/dev/null 2>&1; }
say() { printf '\n== %s\n' "$*"; }
skip() { printf '\n== SKIPPED %s\n' "$*"; }
x86() { [ "$(uname -m)" = x86_64 ]; }

check_compile() {
    ran=no
    for cc in gcc clang; do
        have $cc || { skip "$cc: not installed"; continue; }
        say "$cc: warnings are errors, every path against the reference"
        $cc $warnings -O3 "$here/test_core.c" $sources -o "$out/test_$cc"
        "$out/test_$cc"
        say "$cc: SM2 and the Python face, warnings are errors"
        for source in $everything; do
            $cc $warnings $python -DPy_LIMITED_API=0x030B0000 -DMIFENG_HAVE_SM2=1 -O1 -c "$source" -o "$out/object.o"
        done
        ran=yes
    done
    [ $ran = yes ] || { echo "no compiler"; exit 1; }
}

check_sanitize() {
    # gcc's, because clang takes minutes to instrument the unrolled rounds
    have gcc || { skip "sanitizers: gcc is not installed"; return; }
    say "AddressSanitizer and UndefinedBehaviorSanitizer"
    gcc $warnings -Wno-maybe-uninitialized -g -O1 -fsanitize=address,undefined \
        -fno-sanitize-recover=all "$here/test_core.c" $sources -o "$out/test_sanitized"
    "$out/test_sanitized"
}

check_valgrind() {
    x86 || { skip "valgrind: the kernels to look at are those of x86-64"; return; }
    have gcc && have valgrind || { skip "valgrind: gcc or valgrind is not installed"; return; }
    echo '#include <valgrind/memcheck.h>' | gcc -E - >/dev/null 2>&1 ||
        { skip "valgrind: its headers are not installed"; return; }
    say "secrets poisoned under valgrind (GFNI and AVX-512 emulated)"
    objects=
    for source in $sources; do
        name=${source%.c}
        case " $emulated " in
        *" $name "*) flags="-Wno-psabi -maes -mpclmul -mssse3 -msse4.1 -include emulated_intrinsics.h" ;;
        *) flags= ;;
        esac
        gcc -std=gnu11 -g -O1 -I"$native" -I"$here" $flags -c "$source" -o "$out/$name.o"
        objects="$objects $out/$name.o"
    done
    gcc $warnings -g -O1 "$here/constant_time.c" $objects -o "$out/constant_time"
    valgrind -q --error-exitcode=1 --track-origins=no "$out/constant_time"
    say "the emulation computes the same"
    gcc $warnings -g -O1 "$here/test_core.c" $objects -o "$out/test_emulated"
    MIFENG_BRIEF=1 "$out/test_emulated" avx512-gfni
    MIFENG_BRIEF=1 "$out/test_emulated" avx2-gfni
    say "the check can fail: a table look-up is reported"
    gcc -std=gnu11 -g -O1 -I"$native" -I"$here" "$here/leaking.c" -o "$out/leaking"
    if valgrind -q --error-exitcode=1 "$out/leaking" 2>/dev/null; then
        echo "valgrind missed it"
        exit 1
    fi
    echo "reported"
}

check_disassembly() {
    x86 || { skip "disassembly: the kernels to look at are those of x86-64"; return; }
    have objdump && have python3 || { skip "disassembly: objdump or python3 is missing"; return; }
    for cc in gcc clang; do
        have $cc || continue
        say "disassembly of what $cc makes of the vector kernels"
        for source in sm4_avx512_gfni sm4_avx2_gfni sm4_avx2_aesni sm4_sse_aesni; do
            $cc $warnings -O3 -c $source.c -o "$out/$source.$cc.o"
            python3 "$here/disassembly.py" "$out/$source.$cc.o"
        done
    done
}

check_arm() {
    have aarch64-linux-gnu-gcc || { skip "AArch64: aarch64-linux-gnu-gcc is not installed"; return; }
    say "AArch64: cross-compiled"
    aarch64-linux-gnu-gcc $warnings -O3 -static "$here/test_core.c" $sources -o "$out/test_arm"
    say "AArch64: SM2, warnings are errors"
    for source in $(ls sm2*.c | grep -v '_py'); do
        aarch64-linux-gnu-gcc $warnings -O1 -c "$source" -o "$out/object.o"
    done
    have qemu-aarch64 || { skip "AArch64: qemu-user is not installed, nothing was run"; return; }
    say "AArch64 with SM4 instructions, then without"
    qemu-aarch64 -cpu max "$out/test_arm"
    qemu-aarch64 -cpu cortex-a72 "$out/test_arm"
}

check_fuzz() {
    have clang || { skip "libFuzzer: clang is not installed"; return; }
    echo 'int LLVMFuzzerTestOneInput(const char *p, unsigned long n){return !p || !n ? 0 : 0;}' |
        clang -x c -fsanitize=fuzzer - -o "$out/probe" 2>/dev/null ||
        { skip "libFuzzer: this clang has none"; return; }
    say "libFuzzer, ${MIFENG_FUZZ_SECONDS:-20} seconds"
    # Only the harness and the drivers are instrumented; the kernels have no branch to discover.
    clang $warnings -O2 -fsanitize=fuzzer "$here/fuzz_sm4.c" $sources -o "$out/fuzz"
    (cd "$out" && ./fuzz -max_len=8192 -max_total_time="${MIFENG_FUZZ_SECONDS:-20}" -print_final_stats=1 2>&1 |
        tail -12)
}

for check in ${*:-compile sanitize valgrind disassembly arm fuzz}; do
    "check_$check"
done
say "done"
