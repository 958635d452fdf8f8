"""What the compiler made of the vector kernels: no secret reaches an address, a flag or a mask.

`python disassembly.py OBJECT...` reads `objdump -d`. In the whole file nothing may gather or
scatter, or turn a vector into a mask or into flags. In the kernels, where all of SM4 and GHASH
over whole batches happens, nothing may carry a vector into a general register either, and no
general register may be loaded from memory except from the stack frame, where only what was in
such a register can have been put: then every address and every condition there comes from the
arguments, which are pointers and a block counter. (The driver around the kernels is compiled from
plain C that valgrind has watched; see constant_time.c.)
"""

import re
import subprocess
import sys

KERNELS = {"keystream_one", "keystream_batch", "crypt_and_hash_batch"}

FORBIDDEN = re.compile(
    r"v?p?(gather|scatter)\w*|vpgather\w*|vpscatter\w*|v?p?movmsk\w*|v?ptest\w*|vtestp\w*"
    r"|v?u?comis[sd]|v?pextr[bwdq]|v?extractps|kmov\w*|kortest\w*|ktest\w*|vpcmp\w*|vptestn?m\w*"
    r"|vpmov\w+2m|v?pcmp[ei]str\w*|maskmov\w*|xlat\w*"
)
MOVE_OUT = re.compile(r"v?mov[dq]\s+%xmm\d+,%[re]")
FRAME = re.compile(r"-?(0x[0-9a-f]+)?\(%r[sb]p[,)]")
GENERAL = r"%(?:[re]?[abcd]x|[re]?[sd]i|[re]?bp|r\d+[dwb]?|[abcd][lh]|[sd]il)"
LOAD = re.compile(
    rf"^(?:mov\w*|add\w?|sub\w?|xor\w?|and\w?|or\w?|imul\w?|cmov\w+)\s.*\(.*\),{GENERAL}$"
)
COMPARE = re.compile(r"^(?:cmp|test)\w?\s.*\(.*\)")


def functions(path: str) -> dict[str, list[str]]:
    """Instructions by function, each as "mnemonic operands"."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in listing.splitlines():
        if heading := re.match(r"[0-9a-f]+ <([^>]+)>:", line):
            current = found.setdefault(heading[1].split(".")[0], [])
        elif "\t" in line:
            current.append(line.split("\t", 1)[1].split("#")[0].strip())
    return found


def findings(path: str) -> list[str]:
    """Every instruction that breaks a rule."""
    code = functions(path)
    # Where a batch is one state, the first two are the same code under one name.
    seen = KERNELS & code.keys()
    whole = "crypt_and_hash_batch" in seen and len(seen) > 1
    bad = [] if whole else [f"{path}: the kernels are not there to look at"]
    for name, instructions in code.items():
        for instruction in instructions:
            mnemonic = instruction.split()[0] if instruction else ""
            wrong = bool(FORBIDDEN.fullmatch(mnemonic))
            if name in KERNELS:
                reads = LOAD.match(instruction) or COMPARE.match(instruction)
                wrong |= bool(reads and not FRAME.search(instruction))
                wrong |= bool(MOVE_OUT.match(instruction))
            if wrong:
                bad.append(f"{path}: {name}: {instruction}")
    return bad


def main() -> int:
    """Check the objects named on the command line."""
    bad = [finding for path in sys.argv[1:] for finding in findings(path)]
    for path in sys.argv[1:]:
        code = functions(path)
        counts = ", ".join(f"{name} {len(code.get(name, []))}" for name in sorted(KERNELS))
        sys.stdout.write(f"{path.rsplit('/', 1)[-1]}: {counts} instructions\n")
    sys.stdout.writelines(f"{finding}\n" for finding in bad)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
