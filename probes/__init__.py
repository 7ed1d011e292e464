"""The instrument: makes one kind of contact each, records what happened and never judges.

    url · address · failure    words: what is contacted, and how a failure is called (OONI df-007)
    network                    how packets leave: the seam that proxies and the simulated Internet replace
    proxy                      `ProxyNetwork`: everything through a SOCKS5 or HTTP proxy
    trace                      the notebook of one measurement: clock, operations, open ears
    message                    DNS messages as bytes: our query, and the usual answers
    dns                        one lookup, every answer to it
    encrypted · doh · dot      lookups behind a certificate that must verify
    tcp · tls · http           one connection, step by step, each step recorded apart
    certificate                was this chain good for this name? (asked after the handshake)
    web                        a page as a user would open it: DNS, TCP, TLS, HTTP, every redirect
    followup/                  experiments: contacts that no plain client makes, each with an innocuous twin
    remote/                    the same from outside a network, at addresses in it
    capture                    packets as they pass, where the process may: flows and a pcap file, our address masked
    tap · bpf · kept           its socket, the kernel's filter, its bounds
    ip · masking · pcap        one packet as bytes, without our address, in a file
    packets · resets           the packets of a connection, and what they say about a reset
    measurement                all of it, with the control beside it: the record that is kept

Nothing here imports `blocklists` or `monitor`, and nothing here knows the word for what a censor does.
"""
