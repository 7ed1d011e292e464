"""Experiments: contacts that no plain client makes, each with an innocuous twin. One file each; none of them judges.

setting      where, with what, until when
pairs        innocuous first, then the name, each pair at a listener of its own
tally        how many of each failed and passed; when a difference is one
sni          the server name in a TLS handshake
host         the Host of a plain HTTP request, or a phrase in its path and query
injection    a DNS query to an address that runs no resolver
quic         the server name in a QUIC handshake
throughput   bytes per second under the name and under another
path         the trigger with a growing TTL: at which hop somebody reacts
hops         packets that die after so many hops, and the routers that say so
search       what a platform's own search gives for a phrase
"""
