"""Files of AMD certificates, and the place each certificate takes in a chain.

Whom to believe is `chain`'s business; AMD's extensions are read in `vek`.

Source: AMD 57230 §"VCEK/VLEK certificate"; AMD 56421 (GHCB) §"SNP Extended Guest Request".
"""

from typing import Final

from cryptography.x509.oid import NameOID

from attestation import x509
from attestation.evidence import Role
from attestation.x509 import Certificate

from .table import is_table, read_table

_CODE: Final = "amd-snp.cert"
ARC: Final = "1.3.6.1.4.1.3704.1."
STRUCT_VERSION: Final = ARC + "1"


def load_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a file: PEM blocks, concatenated DER, or a GHCB table.

    Raises:
        EvidenceMalformedError: none of these, too large or too many, or one does not parse.
    """
    files = read_table(data) if is_table(data) else [data]
    return tuple(
        cert
        for each in files
        for cert in x509.load_certificates(each, what="AMD certificate", code=_CODE)
    )


def common_name(cert: Certificate) -> str:
    """Return the one common name of the subject, or nothing."""
    names = cert.cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def place(cert: Certificate) -> Role:
    """Return what a certificate can be: `vek`, `ask` or `ark`, by its form alone."""
    if cert.subject == cert.issuer:
        return Role.ARK
    return Role.VEK if cert.private(STRUCT_VERSION) is not None else Role.ASK
