"""Files of AMD certificates, and the place each certificate takes in a chain.

Whom to believe is `chain`'s business; AMD's extensions are read in `vek`.

Source: AMD 57230 §"VCEK/VLEK certificate"; AMD 56421 (GHCB) §"SNP Extended Guest Request";
Microsoft, "Trusted Hardware Identity Management" §"AMD".
"""

from typing import Final

from cryptography.x509.oid import NameOID

from attestation import json_strict, x509
from attestation.errors import malformed
from attestation.evidence import Role
from attestation.x509 import Certificate

from .table import is_table, read_table

_CODE: Final = "amd-snp.cert"
ARC: Final = "1.3.6.1.4.1.3704.1."
STRUCT_VERSION: Final = ARC + "1"


def load_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a file: PEM blocks, concatenated DER, a GHCB table, or JSON.

    The JSON is what Azure's host caches for its guests: `vcekCert` and `certificateChain`, PEM.

    Raises:
        EvidenceMalformedError: none of these, too large or too many, or one does not parse.
    """
    if is_table(data):
        files = read_table(data)
    elif data[:1] == b"{":
        files = _host_cache(data)
    else:
        files = [data]
    return tuple(
        cert
        for each in files
        for cert in x509.load_certificates(each, what="AMD certificate", code=_CODE)
    )


def _host_cache(data: bytes) -> list[bytes]:
    """Return the PEM files in the JSON of Azure's host certificate cache (THIM)."""
    doc = json_strict.parse_object(data, what="certificate cache", code=_CODE)
    found = [doc[name] for name in ("vcekCert", "certificateChain") if name in doc]
    if not found or not all(isinstance(each, str) for each in found):
        raise malformed(f"{_CODE}.json", "certificate cache", "PEM text", "none")
    return [str(each).encode(errors="surrogatepass") for each in found]


def common_name(cert: Certificate) -> str:
    """Return the one common name of the subject, or nothing."""
    names = cert.cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def place(cert: Certificate) -> Role:
    """Return what a certificate can be: `vek`, `ask` or `ark`, by its form alone."""
    if cert.subject == cert.issuer:
        return Role.ARK
    return Role.VEK if cert.private(STRUCT_VERSION) is not None else Role.ASK
