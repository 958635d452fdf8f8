"""AMD SEV-SNP: attestation reports, VCEK and VLEK certificates, and who may vouch for them."""
