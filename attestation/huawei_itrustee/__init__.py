"""Huawei iTrustee: trusted applications in Kunpeng's TrustZone."""
