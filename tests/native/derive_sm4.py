"""Derives every constant of the SM4 kernels from the S-box's algebra, and proves each one.

`python tests/native/derive_sm4.py > mifeng/crypto/_native/sm4_constants.h` writes the header;
a test compares the two. Nothing here is a table taken over from elsewhere: the S-box is
S(x) = A·I(A·x + c) + c in GF(2^8)/(x^8+x^7+x^6+x^5+x^4+x^2+1) with the circulant A and c = 0xd3
(Liu, Ji, Hu, Ding, Lv, Pyshkin, Weinmann: "Analysis of the SMS4 block cipher", ACISP 2007), and
the round function is GB/T 32907-2016, 6.2. Every derived form is checked on all 256 bytes.

A linear map on bytes is a list of eight columns: cols[i] is the image of bit i.
"""

import sys
from itertools import combinations

SM4_POLYNOMIAL, AES_POLYNOMIAL = 0x1F5, 0x11B
AFFINE_CONSTANT = 0xD3
CIRCULANT_ROW = 0xA7

# The non-linear middle of Boyar and Peralta, "A small depth-16 circuit for the AES S-box"
# (SEC 2012, IACR ePrint 2011/332): 22 linear forms of the input go in, 18 products come out.
# Only their linear top and bottom depend on the cipher; those are replaced by SM4's below.
TOP = """y14=x3^x5 y13=x0^x6 y9=x0^x3 y8=x0^x5 t0=x1^x2 y1=t0^x7 y4=y1^x3 y12=y13^y14 y2=y1^x0
y5=y1^x6 y3=y5^y8 t1=x4^y12 y15=t1^x5 y20=t1^x1 y6=y15^x7 y10=y15^t0 y11=y20^y9 y7=x7^y11
y17=y10^y11 y19=y10^y8 y16=t0^y11 y21=y13^y16 y18=x0^y16 y0=x7^x7^x7"""
MIDDLE = """t2=y12&y15 t3=y3&y6 t4=t3^t2 t5=y4&y0 t6=t5^t2 t7=y13&y16 t8=y5&y1 t9=t8^t7 t10=y2&y7
t11=t10^t7 t12=y9&y11 t13=y14&y17 t14=t13^t12 t15=y8&y10 t16=t15^t12 t17=t4^t14 t18=t6^t16
t19=t9^t14 t20=t11^t16 t21=t17^y20 t22=t18^y19 t23=t19^y21 t24=t20^y18 t25=t21^t22 t26=t21&t23
t27=t24^t26 t28=t25&t27 t29=t28^t22 t30=t23^t24 t31=t22^t26 t32=t31&t30 t33=t32^t24 t34=t23^t33
t35=t27^t33 t36=t24&t35 t37=t36^t34 t38=t27^t36 t39=t29&t38 t40=t25^t39 t41=t40^t37 t42=t29^t33
t43=t29^t40 t44=t33^t37 t45=t42^t41 z0=t44&y15 z1=t37&y6 z2=t33&y0 z3=t43&y16 z4=t40&y1 z5=t29&y7
z6=t42&y11 z7=t45&y17 z8=t41&y10 z9=t44&y12 z10=t37&y3 z11=t33&y4 z12=t43&y13 z13=t40&y5
z14=t29&y2 z15=t42&y9 z16=t45&y14 z17=t41&y8"""


def multiply(a: int, b: int, polynomial: int) -> int:
    """The product of two field elements."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= polynomial
        b >>= 1
    return product


def inverse_in(polynomial: int) -> list[int]:
    """Inversion in the field, with 0 mapped to 0."""
    table = [0] * 256
    for a in range(1, 256):
        power = 1
        for _ in range(254):
            power = multiply(power, a, polynomial)
        table[a] = power
    return table


def apply(cols: list[int], x: int) -> int:
    """The image of x under the linear map."""
    image = 0
    for bit in range(8):
        if x >> bit & 1:
            image ^= cols[bit]
    return image


def compose(outer: list[int], inner: list[int]) -> list[int]:
    """First inner, then outer."""
    return [apply(outer, column) for column in inner]


def add(a: list[int], b: list[int]) -> list[int]:
    """The sum of two maps."""
    return [x ^ y for x, y in zip(a, b, strict=True)]


def invert(cols: list[int]) -> list[int]:
    """The inverse map; the map must be regular."""
    preimage = {apply(cols, x): x for x in range(256)}
    return [preimage[1 << bit] for bit in range(8)]


def rows_to_columns(rows: list[int]) -> list[int]:
    """From "output bit i is the parity of rows[i] & x" to columns."""
    return [sum((rows[i] >> bit & 1) << i for i in range(8)) for bit in range(8)]


def rotate_left(byte: int, count: int) -> int:
    """An 8-bit rotation."""
    return (byte << count | byte >> (8 - count)) & 255


INVERSE = inverse_in(AES_POLYNOMIAL)
SM4_INVERSE = inverse_in(SM4_POLYNOMIAL)
A = rows_to_columns([rotate_left(CIRCULANT_ROW, i) for i in range(8)])
SBOX = [apply(A, SM4_INVERSE[apply(A, x) ^ AFFINE_CONSTANT]) ^ AFFINE_CONSTANT for x in range(256)]
AES_AFFINE = [sum(((bit - i) % 8 in (0, 4, 5, 6, 7)) << i for i in range(8)) for bit in range(8)]
AES_SBOX = [apply(AES_AFFINE, INVERSE[x]) ^ 0x63 for x in range(256)]


def field_map() -> list[int]:
    """An isomorphism from SM4's field to that of AES: powers of a root of SM4's polynomial."""
    for root in range(2, 256):
        powers = [1]
        for _ in range(8):
            powers.append(multiply(powers[-1], root, AES_POLYNOMIAL))
        value = 0
        for degree in range(9):
            if SM4_POLYNOMIAL >> degree & 1:
                value ^= powers[degree]
        if value == 0:
            return powers[:8]
    raise AssertionError


# S(x) = Q·inv(P·x + p) + q with inv the inversion of AES's field.
PHI = field_map()
P, P_CONSTANT = compose(PHI, A), apply(PHI, AFFINE_CONSTANT)
Q, Q_CONSTANT = compose(A, invert(PHI)), AFFINE_CONSTANT
assert all(SBOX[x] == apply(Q, INVERSE[apply(P, x) ^ P_CONSTANT]) ^ Q_CONSTANT for x in range(256))
assert (SBOX[0], SBOX[1], SBOX[255]) == (0xD6, 0x90, 0x48)  # GB/T 32907-2016, table 1

# L_j = M0·s_j + M3·s_(j+1) + (M0+M3)·(s_(j+2)+s_(j+3)) for the bytes of a word, j = 0 the lowest.
IDENTITY = [1 << i for i in range(8)]
M0 = add(IDENTITY, [(1 << i << 2) & 255 for i in range(8)])
M3 = add(IDENTITY, [(1 << i) >> 6 for i in range(8)])
U, W = compose(P, compose(M0, Q)), compose(P, compose(M3, Q))
KAPPA = apply(P, apply(add(M0, M3), Q_CONSTANT))
P_INVERSE = invert(P)


def gfni(cols: list[int]) -> int:
    """The matrix operand of GF2P8AFFINE(INV)QB: byte 7-i is the row of output bit i."""
    rows = [sum((cols[bit] >> i & 1) << bit for bit in range(8)) for i in range(8)]
    return sum(row << 8 * (7 - i) for i, row in enumerate(rows))


def nibbles(cols: list[int], constant: int) -> tuple[list[int], list[int]]:
    """An affine map as two 16-entry tables, of the low and of the high nibble."""
    return [apply(cols, n) ^ constant for n in range(16)], [apply(cols, n << 4) for n in range(16)]


def run(program: str, values: dict[str, int]) -> dict[str, int]:
    """Evaluates a straight-line program."""
    for step in program.split():
        name, expression = step.split("=")
        operator = "&" if "&" in expression else "^"
        operands = [values[operand] for operand in expression.split(operator)]
        result = operands[0]
        for operand in operands[1:]:
            result = result & operand if operator == "&" else result ^ operand
        values[name] = result
    return values


def top_forms() -> dict[str, int]:
    """Every y of the circuit as a mask over the bits of x, the SM4 S-box's input (less p)."""
    values: dict[str, int] = {}
    for i in range(8):  # The circuit's x0 is the most significant bit of u = P·x.
        values[f"x{i}"] = sum((P[bit] >> (7 - i) & 1) << bit for bit in range(8))
    run(TOP, values)
    return {name: mask for name, mask in values.items() if name[0] == "y"}


def bottom_forms() -> tuple[list[int], int]:
    """Output bits of S as masks over z0..z17, by elimination over all inputs, and the constant."""
    rows = []
    for u in range(256):
        values = {f"x{i}": u >> (7 - i) & 1 for i in range(8)}
        run(TOP, values)
        run(MIDDLE, values)
        z = sum(values[f"z{i}"] << i for i in range(18))
        rows.append((z, apply(Q, INVERSE[u])))
    masks = [
        min(solutions([(z, out >> bit & 1) for z, out in rows]), key=lambda m: (m.bit_count(), m))
        for bit in range(8)
    ]
    return masks, Q_CONSTANT


def solutions(equations: list[tuple[int, int]]) -> list[int]:
    """Every mask m with parity(m & z) = value for all (z, value)."""
    pivots: dict[int, tuple[int, int]] = {}
    for equation in equations:
        z, value = equation
        for pivot, (row, row_value) in pivots.items():
            if z >> pivot & 1:
                z, value = z ^ row, value ^ row_value
        if z == 0:
            assert value == 0
            continue
        new = z.bit_length() - 1
        for pivot, (row, row_value) in list(pivots.items()):
            if row >> new & 1:
                pivots[pivot] = (row ^ z, row_value ^ value)
        pivots[new] = (z, value)
    free = [bit for bit in range(18) if bit not in pivots]
    found = []
    for choice in range(1 << len(free)):
        mask = sum((choice >> i & 1) << bit for i, bit in enumerate(free))
        for pivot, (row, value) in pivots.items():
            if (row & mask & ~(1 << pivot)).bit_count() + value & 1:
                mask |= 1 << pivot
        found.append(mask)
    return found


def share(forms: dict[str, int], inputs: list[str], prefix: str) -> list[str]:
    """Paar's greedy sharing of pairs (1997): the forms as two-operand XOR assignments."""
    names, rest, steps = list(inputs), dict(forms), []
    while True:
        counts: dict[tuple[int, int], int] = {}
        for mask in rest.values():
            bits = [i for i in range(len(names)) if mask >> i & 1]
            for pair in combinations(bits, 2):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        (a, b), _ = max(counts.items(), key=lambda item: (item[1], item[0]))
        names.append(f"{prefix}{len(names) - len(inputs)}")
        steps.append(f"{names[-1]} = {names[a]} ^ {names[b]}")
        pair_mask, new = 1 << a | 1 << b, 1 << len(names) - 1
        rest = {
            n: m ^ pair_mask | new if m & pair_mask == pair_mask else m for n, m in rest.items()
        }
    return steps + [f"{name} = {names[mask.bit_length() - 1]}" for name, mask in rest.items()]


def circuit() -> list[str]:
    """The bitsliced S-box in C, from x0 (low bit) ... x7 to s0 ... s7, less constants."""
    forms = top_forms()
    masks, _ = bottom_forms()
    used = {
        name for step in MIDDLE.split() for name in step.split("=")[1].replace("&", "^").split("^")
    }
    top = share({n: m for n, m in forms.items() if n in used}, [f"x{i}" for i in range(8)], "a")
    middle = [
        step.replace("=", " = ").replace("&", " & ").replace("^", " ^ ") for step in MIDDLE.split()
    ]
    bottom = share({f"s{i}": m for i, m in enumerate(masks)}, [f"z{i}" for i in range(18)], "b")
    steps = top + middle + bottom
    for x in range(256):
        values = {f"x{i}": (x >> i) & 1 for i in range(8)}
        run("\n".join(step.replace(" ", "") for step in steps), values)
        offset = apply(invert(P), P_CONSTANT)
        got = sum(values[f"s{i}"] << i for i in range(8)) ^ Q_CONSTANT
        assert got == SBOX[x ^ offset]
    return steps


def array(name: str, values: list[int]) -> str:
    """A C table of sixteen bytes."""
    body = ", ".join(f"0x{v:02x}" for v in values)
    return f"static const uint8_t {name}[16] = {{\n    {body[:47]}\n    {body[48:]}}};"


def header() -> str:
    """The text of sm4_constants.h."""
    aes_inverse = invert(AES_AFFINE)
    w_aes, u_aes = compose(W, aes_inverse), compose(U, aes_inverse)
    tables = {
        "TO_FIELD": (P, 0),
        "FROM_FIELD": (P_INVERSE, 0),
        "AES_W": (w_aes, apply(w_aes, 0x63) ^ KAPPA),
        "AES_U": (u_aes, apply(u_aes, 0x63)),
        "AES_S": (compose(Q, aes_inverse), apply(compose(Q, aes_inverse), 0x63) ^ Q_CONSTANT),
    }
    for x in range(256):
        aes = AES_SBOX[apply(P, x) ^ P_CONSTANT]
        low, high = nibbles(*tables["AES_S"])
        assert low[aes & 15] ^ high[aes >> 4] == SBOX[x]
    lines = [
        "/* Written by tests/native/derive_sm4.py, which derives and checks every value. */",
        "#ifndef MIFENG_SM4_CONSTANTS_H",
        "#define MIFENG_SM4_CONSTANTS_H",
        "",
        "#include <stdint.h>",
        "",
        "/* S(x) = Q inv(P x + p) + q over AES's field; see sm4_byteslice.h for U, W, KAPPA. */",
        f"#define SM4_P_CONSTANT 0x{P_CONSTANT:02x}",
        f"#define SM4_KAPPA 0x{KAPPA:02x}",
        "/* The circuit leaves out p and q: P^-1 p is added before it, q behind it. */",
        f"#define SM4_CIRCUIT_IN 0x{apply(P_INVERSE, P_CONSTANT):02x}",
        f"#define SM4_CIRCUIT_OUT 0x{Q_CONSTANT:02x}",
        "",
        "/* Operands of GF2P8AFFINEQB and GF2P8AFFINEINVQB. */",
        f"#define SM4_GFNI_P 0x{gfni(P):016x}ULL",
        f"#define SM4_GFNI_P_INVERSE 0x{gfni(P_INVERSE):016x}ULL",
        f"#define SM4_GFNI_U 0x{gfni(U):016x}ULL",
        f"#define SM4_GFNI_W 0x{gfni(W):016x}ULL",
        "",
        "/* Affine maps as tables of nibbles, for byte shuffles held in registers. */",
        "#ifdef SM4_NIBBLE_TABLES",
    ]
    for name, (cols, constant) in tables.items():
        low, high = nibbles(cols, constant)
        lines += [array(f"SM4_{name}_LOW", low), array(f"SM4_{name}_HIGH", high)]
    lines += [
        "/* ShiftRows takes byte 4c+r from column c+r; this puts it back (FIPS 197, 5.1.2). */",
        array("SM4_UNDO_SHIFT_ROWS", [4 * ((i // 4 - i % 4) % 4) + i % 4 for i in range(16)]),
    ]
    lines += [
        "#endif",
        "",
        "/* The S-box as a circuit of x0 (lowest bit) .. x7, giving s0 .. s7. */",
    ]
    lines.append("#define SM4_SBOX_CIRCUIT(word) \\")
    text = [f"word {step};" for step in circuit()]
    row = "   "
    for item in text:
        if len(row) + len(item) > 96:
            lines.append(f"{row} \\")
            row = "   "
        row += f" {item}"
    lines += [row, "", "#endif"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(header())
