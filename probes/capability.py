"""What a way of standing in a network cannot see. A vantage keeps these words with each of its measurements.

They are facts, like a failure string: a rule that needs what is named here must stay silent, and what was not
measured is never read as fine.
"""

SYSTEM_DNS = "system_dns"  # what the network's own resolver answers: names are resolved at the far side of a proxy
UDP = "udp"  # own resolvers over UDP, and forged answers on the path to them
QUIC = "quic"  # QUIC, which no proxy of ours carries
CLOSE_REASONS = "close_reasons"  # a reset from a close: the proxy ends its own connection either way
PACKETS = "packets"  # the packets themselves, with their TTL and IP ID
ADDRESSES = "addresses"  # which of the site's addresses was contacted
CLIENT = "client"  # what a plain client inside gets: remote methods measure from outside
DNS, TCP, TLS, HTTP = "dns", "tcp", "tls", "http"  # a whole layer, which a remote method does not touch

WORDS = {
    SYSTEM_DNS: "the answers of its own resolver",
    UDP: "DNS over UDP",
    QUIC: "QUIC",
    CLOSE_REASONS: "a reset apart from a close",
    PACKETS: "packets",
    ADDRESSES: "the address that was contacted",
    CLIENT: "what a plain client inside gets",
    DNS: "DNS",
    TCP: "TCP",
    TLS: "TLS",
    HTTP: "HTTP",
}
"""What each stands for, in a sentence that begins with "not measured from here"."""
