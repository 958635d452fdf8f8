"""Intel Software Guard Extensions: DCAP quotes of version 3, and 4 and 5 for enclaves."""
