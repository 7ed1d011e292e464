"""Remote methods: a network measured from outside, through addresses in it that others run. None of them judges.

setting      whom, with what, how often, until when
injection    DNS queries to addresses that run no resolver
resolvers    resolvers in the network, a control name before and after
query        one DNS query of either
certificate  is an address that one of them gave the site's? TLS from here
servers      web and echo servers: the usual answer to any name, and the answer to this one
contact      one contact with such a server
likeness     whether two of its answers are alike
sink         names sent to a silent listener of one's own
"""
