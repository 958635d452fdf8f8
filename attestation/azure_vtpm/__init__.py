"""Azure confidential VMs: a vTPM quote whose key a hardware report (SNP or TDX) vouches for."""
