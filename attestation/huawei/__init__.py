"""What evidence of Huawei's Kunpeng processors shares: device certificates and their roots."""
