"""The simulated Internet: real sockets on loopback, a made-up world behind them, and a censor in the path.

    world        the sites, nameservers and services there are, and who is at which address
    sites        the world that the demo plays in: the shipped lists' names
    pki          the authority that signs the world's certificates, and the ones that nobody trusts
    zone         what the DNS truly says
    censor       rules that may be switched on and off while it runs
    trouble      what is innocently wrong with a vantage's line
    place        where a client sits: world, censor and trouble together
    answers      the datagrams that come back for one DNS query
    opening      what a middlebox reads in the first bytes: the name in a ClientHello, the Host of a request
    line         the far end of one connection, as the middlebox holds it: reset, swallow, slow down
    exchange     HTTP/1.1 as a server speaks it
    origin       a site's own behaviour
    middlebox    one connection on its way: the trouble, the censor, the origin
    network      `SimulatedNetwork`, which the probes take for the network

Nothing here leaves the machine, and nothing needs privileges.
"""
