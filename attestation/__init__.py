"""Decide whether a machine is what it claims to be.

Bytes, a policy and an instant go in; an `AttestedKey` or an error comes out. Nothing here
opens a socket, reads a file or asks for the time.
"""
