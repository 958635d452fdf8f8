"""Huawei virtCCA: confidential virtual machines on Kunpeng, with CCA-like tokens."""
