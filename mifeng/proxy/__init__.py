"""The local proxy: plaintext in on this machine, sealed out. Unmodified programs become sealed.

It listens on 127.0.0.1 or a unix socket for the OpenAI API and the Open Inference Protocol (HTTP
and gRPC) and speaks the sealed protocol to the gateway through `mifeng.client`. It is part of the
partner's own trust domain: whoever can reach its socket can ask in the partner's name, hence the
optional local token.
"""
