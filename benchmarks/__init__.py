"""Speed, measured: `python -m benchmarks [NAME…]` prints a Markdown table, and only loopback is touched.

    measurement   CPU of a clean measurement, beside bare asyncio making the same contacts
    round         a whole list, a tenth of it silent: wall time
    judging       measurements judged a second
    matching      whole lists of fingerprints over a page
    storing       measurements stored a second
    stalled       memory of 1,000 stalled handshakes, and how much an endless peer is listened to
    page          how long a target's page takes over a year of hourly measurements
    agents        200 agents hand in at once: is anything lost, how soon is it acknowledged, do pages still answer?

    row           what a benchmark returns
    places        names and addresses of the sites, and the network that leads to them
    world         sites, resolver, DoH and helper, in processes of their own: only the client's CPU counts
    client        our client: a collector and a store, as the service wires them
    bare          the other client: asyncio's streams, dnspython, aiohttp
    shares        what a profile was spent on

A figure is a median where it says so, else one run; who compares two figures runs both on the same machine.
"""
