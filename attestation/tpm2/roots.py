"""Root certificates of authorities that certify attestation keys of virtual TPMs.

`GOOGLE`: "EK/AK CA Root" of Google Compute Engine, published under
`https://pki.goog/cloud_integrity/`. How checked: two collections made independently of each other
(openpcc `attestation/verify`, dstack `tpm-qvl/certs`) agree byte for byte, and a real instance's
AK certificate verifies up to it.

`AZURE`: "Azure Virtual TPM Root Certificate Authority 2023", published under
`http://www.microsoft.com/pkiops/certs/`. How checked: one collection (openpcc
`attestation/verify`); real AK certificates and both intermediates verify up to it.

Only `attestation.registry` passes `ROOTS` to a verifier.
"""

from base64 import b64decode
from typing import Final

from attestation import x509
from attestation.x509 import Certificate


def pin(der: bytes) -> Certificate:
    """Return the certificate of one pinned root."""
    return x509.load_certificate(der, what="vTPM root", code="tpm2.root")


# SHA-256 of the certificate 594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2
# SHA-256 of its public key   56a613f57126a385dd6949294e93b0b566f96ab0573be0c2368e6f5ca779831f
_GOOGLE: Final = b64decode(
    "MIIGATCCA+mgAwIBAgIUAKZdpPnjKPOANcOnPU9yQyvfFdwwDQYJKoZIhvcNAQELBQAwfjELMAkGA1UEBhMCVVMxEzAR"
    "BgNVBAgTCkNhbGlmb3JuaWExFjAUBgNVBAcTDU1vdW50YWluIFZpZXcxEzARBgNVBAoTCkdvb2dsZSBMTEMxFTATBgNV"
    "BAsTDEdvb2dsZSBDbG91ZDEWMBQGA1UEAxMNRUsvQUsgQ0EgUm9vdDAgFw0yMjA3MDgwMDQwMzRaGA8yMTIyMDcwODA1"
    "NTcyM1owfjELMAkGA1UEBhMCVVMxEzARBgNVBAgTCkNhbGlmb3JuaWExFjAUBgNVBAcTDU1vdW50YWluIFZpZXcxEzAR"
    "BgNVBAoTCkdvb2dsZSBMTEMxFTATBgNVBAsTDEdvb2dsZSBDbG91ZDEWMBQGA1UEAxMNRUsvQUsgQ0EgUm9vdDCCAiIw"
    "DQYJKoZIhvcNAQEBBQADggIPADCCAgoCggIBAJ0l9VCoyJZLSol8KyhNpbS7pBnuicE6ptrdtxAWIR2TnLxSgxNFiR7d"
    "rtofxI0ruceoCIpsa9NHIKrz3sM/N/E8mFNHiJAuyVf3pPpmDpLJZQ1qe8yHkpGSs3Kj3s5YYWtEecCVfzNs4MtKvGfA"
    "+WKB49A6Noi8R9R1GonLIN6wSXX3kP1ibRn0NGgdqgfgRe5HC3kKAhjZ6scT8Eb1SGlaByGzE5WoGTnNbyifkyx9oUZx"
    "XVJsqv2q611W3apbPxcgev8z5JXQUbrrQ7EbO0StK1DsKRsKLuD+YLxjrBRQ4UeIN5WHp6G0vgYiOptHm6YKZxQemO/k"
    "VMLRzsm1AYH7eNOFekcBIKRjSqpk5m4ud04qum6f0hBj3iE/Pe+DvIbVhLh9ItAunISGQPA9dYEgfA/qWir+pU7LV3ph"
    "pLeGhull8G/zYmQhF3heg0buIR70aavzT8iLAQrxVMNRZJEGMwIN/tq8YiT3+3EZIcSqq6GAGjiuVw3NIsXC3+CuSJGQ"
    "5GbDp49Lc6VWPHeWeFvwSUGgxKXq5r1+PRsoYgK6S4hhecgXEX5c7Rta6TcFlEFb0XK9fpy1dr89LeFGxUBpdDvKxDRL"
    "Mm3FQen8rmR/PSReEcJsaqbUP/q7Pc7k0RfF9Mb6AfPZfnqgpYJQ+IFSr9EjRSW1wPcL03zoTP47AgMBAAGjdTBzMA4G"
    "A1UdDwEB/wQEAwIBBjAQBgNVHSUECTAHBgVngQUIATAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBRJ50pbVin1nXm3"
    "pjA8A7KP5xTdTDAfBgNVHSMEGDAWgBRJ50pbVin1nXm3pjA8A7KP5xTdTDANBgkqhkiG9w0BAQsFAAOCAgEAlfHRvOB3"
    "CJoLTl1YG/AvjGoZkpNMyp5X5je1ICCQ68b296En9hIUlcYY/+nuEPSPUjDA3izwJ8DAfV4REgpQzqoh6XhR3TgyfHXj"
    "J6DC7puzEgtzF1+wHShUpBoe3HKuL4WhB3rvwk2SEsudBu92o9BuBjcDJ/GW5GRtpD/H71HAE8rI9jJ41nS0FvkkjaX0"
    "glsntMVUXiwcta8GI0QOE2ijsJBwk41uQGt0YOj2SGlEwNAC5DBTB5kZ7+6X9xGE6/c+M3TAA0ONoX18rNfif94cCx/m"
    "PYOs8pUkANRAQ4aTRBvpBrryGT8R1ahTBkMeRQG3tdsLHRT8fJCFUANd5WLWsi83005y/WuMz8/gFKc0PL+F+MubCsJ1"
    "ODPTRscH93QlS4zEMg5hDAIks+fDoRJ2QiROqo7GAqbTc7STKfGcr9+pa63na7f3oy1sZPWPdxB8tx5z3lghiPP3ktQx"
    "/yK/1Fwf1hgxJHFy/2UcaGuOXRRRTPyEnppZp82Kigs9aPHWtaVm2/LrXX2fvT9iM/k0CovNAj8rztHxsUEoA0xJnSOJ"
    "NPpe9PRdjsTj7/u3Xu6hQLNNidBHgI3Hcmi704HMMd/3yZ424OOrS32ylpeU1oeQHFrLE6hYX4/ttMETbmESIKd2rTgs"
    "tPotSvkuB5TljbKYPR+lq7hQav16U4E="
)

# SHA-256 of the certificate e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95
# SHA-256 of its public key   5cbc52672ae101263c2976736044a964c1182ce9412c39937183baddcccb8cdf
_AZURE: Final = b64decode(
    "MIIFsDCCA5igAwIBAgIQUfQx2iySCIpOKeDZKd5KpzANBgkqhkiG9w0BAQwFADBpMQswCQYDVQQGEwJVUzEeMBwGA1UE"
    "ChMVTWljcm9zb2Z0IENvcnBvcmF0aW9uMTowOAYDVQQDEzFBenVyZSBWaXJ0dWFsIFRQTSBSb290IENlcnRpZmljYXRl"
    "IEF1dGhvcml0eSAyMDIzMB4XDTIzMDYwMTE4MDg1M1oXDTQ4MDYwMTE4MTU0MVowaTELMAkGA1UEBhMCVVMxHjAcBgNV"
    "BAoTFU1pY3Jvc29mdCBDb3Jwb3JhdGlvbjE6MDgGA1UEAxMxQXp1cmUgVmlydHVhbCBUUE0gUm9vdCBDZXJ0aWZpY2F0"
    "ZSBBdXRob3JpdHkgMjAyMzCCAiIwDQYJKoZIhvcNAQEBBQADggIPADCCAgoCggIBALoMMwvdRJ7+bW00adKE1VemNqJS"
    "+268Ure8QcfZXVOsVO22+PL9WRoPnWo0r5dVoomYGbobh4HC72s9sGY6BGRe+Ui2LMwuWnirBtOjaJ34r1ZieNMcVNJT"
    "/dXW5HN/HLlm/gSKlWzqCEx6gFFAQTvyYl/5jYI4Oe05zJ7ojgjK/6ZHXpFysXnyUITJ9qgjn546IJh/G5OMC3mDfFU7"
    "A/GAi+LYaOHSzXj69Lk1vCftNq9DcQHtB7otO0VxFkRLaULcfu/AYHM7FC/Sq6cJb9Au8K/IUhw/5lJSXZawLJwHpcEY"
    "zETm2blad0VHsACaLNucZL5wBi8GEusQ9Wo8W1p1rUCMp89pufxa3Ar9sYZvWeJlvKggWcQVUlhvvIZEnT+fteEvwTdo"
    "ajl5qSvZbDPGCPjb91rSznoiLq8XqgQBBFjnEiTL+ViaZmyZPYUsBvBY3lKXB1l2hggahfBIag4j0wcgqlL82SL7pAdG"
    "jq0Fou6SKgHnkkrV5CNxUBBVMNCwUoj5mvEjd5mF7XPgfM98qNABb2Aqtfl+VuCkU/G1XvFoTqS9AkwbLTGFMS9+jCEU"
    "2rw6wnKuGv1Tx9iuSdNvsXt8stx4fkVeJvnFpJeAIwBZVgKRSTa3w3099k0mW8qGiMnwCI5SfdZ2SJyD4uEmszsnieE6"
    "wAWd1tLLg1jvAgMBAAGjVDBSMA4GA1UdDwEB/wQEAwIBhjAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBRL/iZalMH2"
    "M8ODSCbd8+WwZLKqlTAQBgkrBgEEAYI3FQEEAwIBADANBgkqhkiG9w0BAQwFAAOCAgEALgNAyg8I0ANNO/8I2BhpTOsb"
    "ywN2YSmShAmig5h4sCtaJSM1dRXwA+keY6PCXQEt/PRAQAiHNcOF5zbuOU1Bw/Z5Z7k9okt04eu8CsS2Bpc+POg9js6l"
    "BtmigM5LWJCH1goMD0kJYpzkaCzx1TdD3yjo0xSxgGhabk5Iu1soD3OxhUyIFcxaluhwkiVINt3Jhy7G7VJTlEwkk21A"
    "oOrQxUsJH0f2GXjYShS1r9qLPzLf7ykcOm62jHGmLZVZujBzLIdNk1bljP9VuGW+cISBwzkNeEMMFufcL2xh6s/oiUnX"
    "icFWvG7E6ioPnayYXrHy3Rh68XLnhfpzeCzvbz/I4yMV38qGo/cAY2OJpXUuuD/ZbI5rT+lRBEkDW1kxHP8cpwkRwGop"
    "V8+gX2KSUucIIN4l8/rrNDEX8T0b5U+BUqiO7Z5YnxCya/H0ZIwmQnTlLRTU2fW+OGG+xyIrjMi/0l6/yWPUkIAkNtvS"
    "/yO7USRVLPbtGVk3Qre6HcqacCXzEjINcJhGEVg83Y8nM+Y+a9J0lUnHytMSFZE85h88OseRS2QwqjozUo2j1DowmhSS"
    "Uv9Na5Ae22ycciBkEZSq8a4rSlwqthaELNpeoTLUk6iVoUkK/iLvaMvrkdj9yJY1O/gvlfN2aiNTST/2bd+PA4RBToG9"
    "rXn6vNkUWdbLibU="
)

GOOGLE: Final = pin(_GOOGLE)
AZURE: Final = pin(_AZURE)

ROOTS: Final = (GOOGLE, AZURE)
