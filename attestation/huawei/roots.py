"""Huawei's equipment root, pinned as a whole certificate, and the one authority below it we know.

Provenance: `Huawei Equipment Root CA.pem` and `Huawei IT Product CA.pem` of openEuler secGear
(`service/attestation/oeas/service/conf`). How checked: the second is also in openEuler
kunpengsec, byte for byte; the root signs itself and it; device certificates of two real machines
verify up to it. Huawei also issues an ECC set, of which no public sample exists: none is pinned.

The intermediate is no anchor: it only saves collateral. `attestation.registry` passes the roots.
"""

from base64 import b64decode
from typing import Final

from attestation import x509
from attestation.x509 import Certificate


def pin(der: bytes) -> Certificate:
    """Return the certificate of one pinned root."""
    return x509.load_certificate(der, what="Huawei root", code="huawei.root")


# Subject C=CN, O=Huawei, CN=Huawei Equipment CA; valid until 2041-11-28.
# SHA-256 of the certificate da2abe9225d795a380e2899d530ef0318a5b32bc81aafd4488ba961ddf7502d4
# SHA-256 of its public key   904a25a3d70550522eb95d52809357e905c8f3df3b2e44dc6776d7a2b8335d9e
_EQUIPMENT: Final = b64decode(
    "MIIFPzCCAyegAwIBAgIRdiVgAipHXuymK3xorJs/KYYwDQYJKoZIhvcNAQELBQAwPDELMAkGA1UEBhMCQ04xDzANBgNV"
    "BAoTBkh1YXdlaTEcMBoGA1UEAxMTSHVhd2VpIEVxdWlwbWVudCBDQTAeFw0xMTEyMDYwNzM0MjNaFw00MTExMjgwNzM0"
    "MjNaMDwxCzAJBgNVBAYTAkNOMQ8wDQYDVQQKEwZIdWF3ZWkxHDAaBgNVBAMTE0h1YXdlaSBFcXVpcG1lbnQgQ0EwggIi"
    "MA0GCSqGSIb3DQEBAQUAA4ICDwAwggIKAoICAQCiiYQnC/Mp9obmAnXmu/Nj6rccSkEQJXlZipOv8tIjvr0B8ObpFUnU"
    "+qLojZUYlNmXH8RgRgFB1sBSyOuGiiP0uNtJ0lPLbylsc+2fr2Rlt/qbYs1oQGz+oNl+UdAOtm/lPzggUOVVst15Ovf0"
    "Yf6LQ3CQalN2VJWgKpFUudDKWQ2fzbFT5YSfvhFxvtvWfgdntKAJt3sFvkKr9Qw+0EYNpQiw5EALeLWCZSYU7A939puq"
    "YR6aNA447S1K8SgWoav82P4UY/ykLXjcgTeCnvRRtUga1gdIwm5d/vRlB5il5wspGLLes4SomzUYrvnvHio555NZPpvm"
    "pIXNolwvYW5opAyYzE05pVSOmHf/RY/dHto8XWexOJq/UAFBMyiH4NT4cZpWjYWR7W9GxRXApmQrrLXte1CF/IzXWBMA"
    "2tSL0WnRJz5HRcKzsOC6FksiqsYstFjcCE7J7Nicr3Bwq5FrZiqGSdLmLRn97XqVlWdN31HX16fzRhZMiOkvQe+uYT+B"
    "XbhU1fZIh6RRAH3V1APobVlCXh5PDq8Ca4dClHNHYp5RP0Pb5zBowTqBzSv7ssHrNceQsWDeNjX9t59NwviaIlXIlPiW"
    "EEJc22XtMm4sc/+8mgOFMNXr4FWu8vdG2fgRpeWJO0E035D6TClu4So2GlN/fIccp5wVYAWF1WhxSQIDAQABozwwOjAM"
    "BgNVHRMEBTADAQH/MAsGA1UdDwQEAwIBBjAdBgNVHQ4EFgQUKvgQWSeANR+nfLo7nyrkSqqbkuowDQYJKoZIhvcNAQEL"
    "BQADggIBAEDHZJ4vvx2kPmHEsN3OJOeF2nV6chjF1QZcUwlojhUtIv9jte9mci5qllvYRU5mia9rYZiP61XfdrwORf8Q"
    "dJcI63QgrIj7MtnJULcUUkk0Sj9Fz6rswfhlaqtRjDp2ljizCl9bmUzKZTl40m/SMbItbSyYXvKrgSPTwgPo/MralqpJ"
    "cuoUkf+JDZIP3AaIy+vecksJwmoFIc0OqwP7uNC55kr8kx70eH3QKaiAU+8CL3N7gtMFBL2MALlk3vFEICEAhWvMGrYN"
    "tSzBUEJNTspx+qVxERBqxJImBsPGD7LhLOaPlSzfbU6CD3C8G92Y7r4nCcQ+SOQv4k6TTRn8pOj5c0oy3Z28DeZGuzSX"
    "NPsWur3aRVwE0mOY8cLBkgio7AQjqIAmdbo5vie7X1zshyEcA7FaE1mJdNS3WVCvlMwTFwygq13svLQ5MwGPSexsHudZ"
    "5JP55tHXkQyPRqxdhFr+gxDw5oiv/LlxApB85MwEfTTs/uzS6FSWAUC0IAxWyZ3MytVAAL7SiwZp/eODWBwLXETlIKcu"
    "/fdhTfN5q1Mm9TjMjJmDEoqzIDRjDuVR4v/3czRxMOkKtUHJt2ixeiidh9hjY6ae669BqpBRW0d5dyNozy+IJcUo7Gg2"
    "+F1AhTLwvPiYlJLsNGZZvqXfhplpwcAnvtoGJvAj+QkLiW4z"
)

# Subject C=CN, O=Huawei, CN=Huawei IT Product CA; valid until 2041-10-12.
# SHA-256 of the certificate 91be99a26258953efc71757164a75550ceec3dfb95ef978be636508d9ccd9afa
_IT_PRODUCT: Final = b64decode(
    "MIIEsTCCApmgAwIBAgIRdjl5z9FobnagzdStBIQZVIcwDQYJKoZIhvcNAQELBQAwPDELMAkGA1UEBhMCQ04xDzANBgNV"
    "BAoTBkh1YXdlaTEcMBoGA1UEAxMTSHVhd2VpIEVxdWlwbWVudCBDQTAeFw0xNjEwMTgwNjUwNTNaFw00MTEwMTIwNjUw"
    "NTNaMD0xCzAJBgNVBAYTAkNOMQ8wDQYDVQQKEwZIdWF3ZWkxHTAbBgNVBAMTFEh1YXdlaSBJVCBQcm9kdWN0IENBMIIB"
    "IjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtKE30649koONgSJqzwKXpSxTwiGTGorzcd3paBGH75Zgm5GFv2K2"
    "TG3cU6seS6dt7Ig+/8ntrcieQUttcWxpm2a1IBeohU1OTGFpomQCRqesDnlXXUS4JgZiDvPBzoqGCZkXYRw37J5KM5TS"
    "ZzdLcWgxAPjXvKPdLXfxGzhqg8GV1tTboqXoNEqVqOeViBjsjN7ixIuu1Stauy9E0E5ZnSrwUjHc5QrR9CmWIu9D0ZJJ"
    "p1M9VgcXy9evPhiHoz9o+KBdfNwt4e/NymTqaPa+ngS/qZwI7A4tR4RKCMKFHJcsjaXwUb0RuIeCiPO3wPHgXmGLuiKf"
    "yPV8SMLpE/wYaQIDAQABo4GsMIGpMB8GA1UdIwQYMBaAFCr4EFkngDUfp3y6O58q5Eqqm5LqMEYGA1UdIAQ/MD0wOwYE"
    "VR0gADAzMDEGCCsGAQUFBwIBFiVodHRwOi8vc3VwcG9ydC5odWF3ZWkuY29tL3N1cHBvcnQvcGtpMA8GA1UdEwQIMAYB"
    "Af8CAQAwDgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBQSijfs+XNX1+SDurVvA+zdrhFOzzANBgkqhkiG9w0BAQsFAAOC"
    "AgEAAg1oBG8YFvDEecVbhkxU95svvlTKlrb4l77ucnCNhbnSlk8FVc5CpV0Q7SMeBNJhmUOA2xdFsfe0eHx9P3Bjy+di"
    "fkpID/ow7oBHq2TXePxydo+AxA0OgAvdgF1RBPTpqDOF1M87eUpJ/DyhiBEE5m+QZ6VqOi2WCEL7qPGRbwjAFF1SFHTJ"
    "McxldwF6Q/QWUPMm8LUzod7gZrgP8FhwhDOtGHY5nEhWdADaF9xKejqyDCLEyfzsBKT8V4MsdAo6cxyCEmwiQH8sMTLe"
    "rwyXo2o9w9J7+vRAFr2itA7TwGF77Y1uV3aMj7n81UrXxqx0P8qwb467u+3Rj2Cs29PzhxYZxYsuov9YeTrvGfG9voXz"
    "48q8ELf7UOGrhG9e0yfph5UjS0P6ksbYInPXuuvrbrDkQvLBYb9hY78apwHn89PhRWE9HQwNnflTZS1gWtn5dQ4uvWAf"
    "X19e87AcHzp3vL4J2bCxxPXEE0813vhqtnU9Rlv/EJAMauZ3DKsMMsYX8i35ENhfto0ZLz1Aln0qtUOZ63h/VxQwGVC0"
    "OCE1U776UUKZosfTmNLld4miJnwsk8AmLaMxWOyRsqzESHa2x1t2sXF8s0/LW5T7d+j7JrLzey3bncx7wceASUUL3iAz"
    "ICHYr728fNzXKV6OcZpjGdYdVREpM26sbxLo77rH32o="
)

HUAWEI: Final = (pin(_EQUIPMENT),)
INTERMEDIATES: Final = (
    x509.load_certificate(_IT_PRODUCT, what="Huawei IT Product CA", code="huawei.intermediate"),
)
