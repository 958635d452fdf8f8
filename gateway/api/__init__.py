"""The gateway's two faces, HTTP and gRPC, over one set of operations."""
