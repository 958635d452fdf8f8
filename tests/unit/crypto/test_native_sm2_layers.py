"""The C layers of SM2, one by one, on every path of this processor, against plain integers.

The test program is compiled on the fly; where there is no C compiler these tests are skipped.
"""

from __future__ import annotations

import random
from itertools import product

import pytest

from tests.native.sm2_program import compile_program, run
from tests.native.sm2_reference import (
    B,
    G,
    N,
    P,
    Point,
    R,
    add,
    hex32,
    hex_point,
    lift,
    multiply,
)

RANDOM = random.Random(20261121)
ONE_BY_ONE = ["portable", "adx"]
PATHS = [*ONE_BY_ONE, "ifma", "emulated"]
"""The last is the lane kernels of `ifma` in plain C, which the constant-time check runs."""

LIMBS = [0, 1, 2, 0xFFFFFFFF, 1 << 32, 1 << 63, (1 << 64) - 2, (1 << 64) - 1]
EDGES = [0, 1, 2, 3, (1 << 32) - 1, 1 << 32, 1 << 64, 1 << 96, 1 << 128, 1 << 224, R - 1]


def below(modulus: int, count: int) -> list[int]:
    """Values around the modulus, of extreme limbs, and at random, all below the modulus."""
    near = [modulus - i for i in range(1, 4)] + [modulus >> 1, R % modulus, R * R % modulus]
    limbs = [
        sum(limb << (64 * i) for i, limb in enumerate(RANDOM.choices(LIMBS, k=4)))
        for _ in range(count)
    ]
    return [v for v in EDGES + near + limbs if v < modulus] + [
        RANDOM.randrange(modulus) for _ in range(count)
    ]


def answers(path: str, commands: list[str]) -> list[str]:
    """What the test program says on this path."""
    emulated = path == "emulated"
    program = compile_program(extra="-DMIFENG_EMULATE_LANES" if emulated else "")
    if program is None:
        pytest.skip("no C compiler")
    result = run(program, "ifma" if emulated else path, commands)
    if result is None:
        pytest.skip(f"this processor has no {path} path")
    return result


def compare(path: str, cases: list[tuple[str, str]]) -> None:
    """Every command gives what is expected of it."""
    if path == "emulated":  # a hundred times slower
        cases = cases[:: -(-len(cases) // 40)]
    got = answers(path, [command for command, _ in cases])
    wrong = [(case, answer) for case, answer in zip(cases, got, strict=True) if case[1] != answer]
    assert not wrong[:3]


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_field_operations_agree_with_integers(path: str) -> None:
    """Products, squares, sums and differences modulo p, carries at every limb included."""
    values = below(P, 60)
    inverse = pow(R, -1, P)
    pairs = list(product(values[:40], values[:40])) + [
        (RANDOM.choice(values), RANDOM.choice(values)) for _ in range(3000)
    ]
    cases = []
    for a, b in pairs:
        both = f"{hex32(a)} {hex32(b)}"
        cases += [
            (f"fe_mul {both}", hex32(a * b * inverse % P)),
            (f"fe_add {both}", hex32((a + b) % P)),
            (f"fe_sub {both}", hex32((a - b) % P)),
        ]
    cases += [(f"fe_sqr {hex32(a)}", hex32(a * a * inverse % P)) for a, _ in pairs]
    compare(path, cases)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_field_inverse_agrees_with_integers(path: str) -> None:
    """1/a in Montgomery form, and 0 for 0."""
    cases = [
        (f"fe_inv {hex32(a)}", hex32(R * R * pow(a, -1, P) % P if a else 0)) for a in below(P, 100)
    ]
    compare(path, cases)


@pytest.mark.parametrize("extra", ["", "-DMIFENG_EMULATE_LANES"])
def test_lane_field_keeps_its_bounds(extra: str) -> None:
    """Products of A, B <= 8 below (A*B/16 + 1)*p, reductions below 1.0001*p, limbs below 2^52."""
    program = compile_program("sm2_lanes_test.c", extra)
    if program is None:
        pytest.skip("no C compiler")
    full, half = (1 << 52) - 1, (1 << 51) - 1
    carried = [[full] * 4 + [half], [0] * 5, [full, 0, full, 0, half], [0, full, 0, full, 0]]
    carried += [
        [*RANDOM.choices((0, 1, full, full - 1), k=4), RANDOM.choice((0, 1, half, half - 1))]
        for _ in range(40)
    ]
    carried += [limbs52(RANDOM.randrange(8 * P)) for _ in range(60)]
    carried += [limbs52(m * P + i) for m in range(9) for i in (-1, 0, 1) if 0 <= m * P + i < 8 * P]
    signed = [[RANDOM.randrange(-(1 << 57), 1 << 57) for _ in range(4)] for _ in range(400)]
    loose = [[*low, RANDOM.randrange(-60 << 48, 60 << 48)] for low in signed]
    loose += [[0, 0, 0, 0, sign * (60 << 48)] for sign in (1, -1)] + [[-1, -1, -1, -1, 0]]
    commands, bounds = [], []
    for a in carried:
        b = RANDOM.choice(carried)
        commands += [f"mul {words(a)} {words(b)}", f"sqr {words(a)}"]
        bounds += [(value52(a) * value52(b), True), (value52(a) ** 2, True)]
    commands += [f"reduce {words(a)}" for a in loose + carried]
    bounds += [(value52(a), False) for a in loose + carried]
    found = run(program, "", commands)
    if found is None:
        pytest.skip("this processor has no such path")
    for answer, (exact, is_product) in zip(found, bounds, strict=True):
        limbs = [int(answer[i : i + 16], 16) for i in range(0, 80, 16)]
        assert max(limbs) <= full
        got = value52(limbs)
        if is_product:
            assert (got << 260) % P == exact % P
            assert got << 260 <= exact + (P << 260)
        else:
            assert got % P == exact % P
            assert got * 10000 < 10001 * P


def limbs52(value: int) -> list[int]:
    """Five limbs of 52 bits."""
    return [value >> (52 * i) & ((1 << 52) - 1) for i in range(5)]


def value52(limbs: list[int]) -> int:
    """The value of limbs that may be large or negative."""
    return sum(limb << (52 * i) for i, limb in enumerate(limbs))


def words(limbs: list[int]) -> str:
    """Limbs as the test program reads them."""
    return " ".join(f"{limb % (1 << 64):016x}" for limb in limbs)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_scalar_operations_agree_with_integers(path: str) -> None:
    """Arithmetic modulo n, and the reduction of any 256 bits."""
    values = below(N, 60)
    inverse = pow(R, -1, N)
    cases = []
    for a, b in [(RANDOM.choice(values), RANDOM.choice(values)) for _ in range(2000)]:
        both = f"{hex32(a)} {hex32(b)}"
        cases += [
            (f"sc_mul {both}", hex32(a * b * inverse % N)),
            (f"sc_add {both}", hex32((a + b) % N)),
            (f"sc_sub {both}", hex32((a - b) % N)),
        ]
    cases += [(f"sc_inv {hex32(a)}", hex32(R * R * pow(a, -1, N) % N if a else 0)) for a in values]
    cases += [(f"sc_reduce {hex32(a)}", hex32(a % N)) for a in [*values, N, N + 1, P, R - 1, R - 2]]
    compare(path, cases)


def scalars() -> list[int]:
    """Scalars where windows, recoding and the group's order have their edges, and random ones."""
    powers = [1 << i for i in range(256)]
    runs = [(1 << i) - 1 for i in range(1, 257)]
    near = [N + i for i in range(-34, 35)]
    small = list(range(70))
    return [k for k in powers + runs + near + small + [R - 1, P, P - 1] if k < R] + [
        RANDOM.randrange(R) for _ in range(60)
    ]


@pytest.mark.parametrize("path", PATHS)
def test_base_multiples_agree_with_integers(path: str) -> None:
    """k·G for any k below 2^256: 0, 1, n - 1, n, n + 1 and every window's extremes."""
    cases = [(f"base {hex32(k)}", hex_point(multiply(k % N, G))) for k in scalars()]
    compare(path, cases)


def points() -> list[tuple[int, int]]:
    """Points at the edges: both with x = 0, with the smallest and largest x, G, and random ones."""
    found: list[Point] = [lift(0), G]
    found += [lift(x) for x in range(1, 8)] + [lift(P - x) for x in range(1, 8)]
    found += [multiply(RANDOM.randrange(1, N), G) for _ in range(6)]
    known = [point for point in found if point is not None]
    return known + [(x, P - y) for x, y in known]


@pytest.mark.parametrize("path", PATHS)
def test_point_multiples_agree_with_integers(path: str) -> None:
    """k·P for edge points and edge scalars."""
    assert lift(0) is not None
    edge = [0, 1, 2, 15, 16, 17, 31, 32, 33, N - 17, N - 16, N - 1, N, N + 1, R - 1]
    cases = [
        (f"mul {hex_point(p)} {hex32(k)}", hex_point(multiply(k % N, p)))
        for p in points()
        for k in [*edge, RANDOM.randrange(R)]
    ]
    cases += [
        (f"mul {hex_point(G)} {hex32(k)}", hex_point(multiply(k % N, G))) for k in scalars()[::4]
    ]
    compare(path, cases)


@pytest.mark.parametrize("path", PATHS)
def test_two_multiples_in_one_agree_with_integers(path: str) -> None:
    """u·G + v·P, where the two halves are equal, opposite or zero too."""
    d = RANDOM.randrange(1, N)
    p = multiply(d, G)
    pairs = [(0, 0), (0, 1), (1, 0), (d, 1), (N - d, 1), (d * 7 % N, 7), (N - 1, N - 1), (N, N)]
    pairs += [(RANDOM.randrange(R), RANDOM.randrange(R)) for _ in range(60)]
    cases = [
        (
            f"double_mul {hex32(u)} {hex_point(p)} {hex32(v)}",
            hex_point(multiply((u + v * d) % N, G)),
        )
        for u, v in pairs
    ]
    compare(path, cases)


def homogeneous(point: Point) -> str:
    """The point with a random Z."""
    z = RANDOM.randrange(1, P)
    x, y = (0, 1) if point is None else point
    return hex32(x * z % P) + hex32(y * z % P) + hex32(0 if point is None else z)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_addition_has_no_exception(path: str) -> None:
    """Every pair: unequal, equal, opposite, one or both at infinity, whatever the Z."""
    some: list[Point] = [None, *points()]
    cases = [
        (f"add {homogeneous(p)} {homogeneous(q)}", hex_point(add(p, q))) for p in some for q in some
    ]
    compare(path, cases)


# GB/T 32918.5-2017: A.2 signature, C.2 encryption; the same key and nonce in both.
D = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
K = "59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21"
PUBLIC = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
E = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"
SIGNATURE = (
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
CIPHERTEXT = (
    "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73"
    "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0"
    "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"
    "21886ca989ca9c7d58087307ca93092d651efa"
)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_standards_examples(path: str) -> None:
    """GB/T 32918.5: public key, signature and ciphertext, with the standard's nonces."""
    message = b"encryption standard".hex()
    compare(
        path,
        [
            (f"private {D}", PUBLIC),
            (f"sign {D} {E} {K}", SIGNATURE),
            (f"verify {PUBLIC} {E} {SIGNATURE}", "valid"),
            (f"encrypt {PUBLIC} {K} {message}", CIPHERTEXT),
            (f"decrypt {D} {CIPHERTEXT}", message),
        ],
    )


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_private_key_range(path: str) -> None:
    """D is in [1, n - 2]: n - 1 has no signature, 0 and n no point."""
    accepted = [1, 2, N - 3, N - 2]
    refused = [0, N - 1, N, N + 1, P, R - 1]
    cases = [(f"private {hex32(d)}", "04" + hex_point(multiply(d, G))) for d in accepted]
    cases += [(f"private {hex32(d)}", "refused") for d in refused]
    compare(path, cases)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_nonces_the_standard_refuses(path: str) -> None:
    """Another k where k is out of range, r = 0, r + k = n or s = 0; and only there."""
    d = int(D, 16)
    k = RANDOM.randrange(1, N)
    kg = multiply(k, G)
    assert kg is not None
    x1 = kg[0]
    r_for_zero_s = k * pow(d, -1, N) % N
    cases = [
        (f"sign {D} {E} {hex32(0)}", "again"),
        (f"sign {D} {E} {hex32(N)}", "again"),
        (f"sign {D} {E} {hex32(R - 1)}", "again"),
        (f"sign {D} {hex32(-x1 % N)} {hex32(k)}", "again"),
        (f"sign {D} {hex32((-x1 - k) % N)} {hex32(k)}", "again"),
        (f"sign {D} {hex32((r_for_zero_s - x1) % N)} {hex32(k)}", "again"),
    ]
    for e in (0, 1, N - 1, N, P, R - 1):
        r = (e + x1) % N
        s = pow(1 + d, -1, N) * (k - r * d) % N
        cases.append((f"sign {D} {hex32(e)} {hex32(k)}", hex32(r) + hex32(s)))
    cases += [(f"encrypt {PUBLIC} {hex32(bad)} 616263", "again") for bad in (0, N, R - 1)]
    compare(path, cases)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_signatures_out_of_range(path: str) -> None:
    """R or s of 0, n and more, and r + s = n are refused, also where the equation would hold."""
    r, s = SIGNATURE[:64], SIGNATURE[64:]
    zero, order = hex32(0), hex32(N)
    bad = [zero + s, r + zero, order + s, r + order, zero + zero, "ff" * 64]
    bad += [hex32((int(r, 16) + N) % R) + s, r + hex32((int(s, 16) + N) % R)]
    bad += [r + hex32(N - int(r, 16)), s + r]
    compare(path, [(f"verify {PUBLIC} {E} {signature}", "refused") for signature in bad])


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_verification_takes_both_residues_of_x(path: str) -> None:
    """x1 in [n, p) wraps modulo n; the signature verifies, though r - e is x1 - n."""
    x = next(x for x in range(P - 1, N, -1) if lift(x) is not None)
    point = lift(x)
    assert point is not None
    assert x >= N
    # s*G + t*P = point, with P = (point - s*G)/t: a key made for the signature.
    r, s = RANDOM.randrange(1, N), RANDOM.randrange(1, N)
    t = (r + s) % N
    key = multiply(pow(t, -1, N), add(point, multiply(N - s, G)))
    e = (r - x) % N
    signature = hex32(r) + hex32(s)
    cases = [
        (f"verify 04{hex_point(key)} {hex32(e)} {signature}", "valid"),
        (f"verify 04{hex_point(key)} {hex32((e + 1) % N)} {signature}", "refused"),
    ]
    compare(path, cases)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_verification_at_infinity(path: str) -> None:
    """s*G + t*P at infinity is no signature, whatever r - e is."""
    d = int(D, 16)
    r = RANDOM.randrange(1, N)
    s = -r * d * pow(1 + d, -1, N) % N
    assert (s + (r + s) * d) % N == 0
    signature = hex32(r) + hex32(s)
    cases = [
        (f"verify {PUBLIC} {hex32(e % N)} {signature}", "refused") for e in (r, 0, r - 1, r + 1)
    ]
    compare(path, cases)


@pytest.mark.parametrize("path", ONE_BY_ONE)
def test_ciphertexts_of_invalid_points(path: str) -> None:
    """C1 off the curve, on the twist, at (0, 0), or with a coordinate not reduced is refused."""
    x, y = int(CIPHERTEXT[2:66], 16), int(CIPHERTEXT[66:130], 16)
    zero = lift(0)
    assert zero is not None
    rest = CIPHERTEXT[130:]
    xs = [(x, y + 1), (x + 1, y), (0, 0), (P, zero[1]), (0, zero[1] + P), (P, P), (R - 1, R - 1)]
    cases = [
        (f"decrypt {D} 04{hex32(a)}{hex32(b)}{rest}", "refused") for a, b in xs if max(a, b) < R
    ]
    cases += [(f"decrypt {D} {prefix}{CIPHERTEXT[2:]}", "refused") for prefix in ("00", "02", "06")]
    cases.append((f"decrypt {D} {CIPHERTEXT[:194]}", "refused"))
    compare(path, cases)


def test_curve_constant() -> None:
    """The tests' own constants describe the curve of GB/T 32918.5."""
    assert (G[1] ** 2 - G[0] ** 3 + 3 * G[0] - B) % P == 0
    assert multiply(N, G) is None
