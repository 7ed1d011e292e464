"""When and from where: everything that makes the probes run.

vantage     a place in the network: its facts, its Network, its resolvers
self_test   is the vantage fit to say anything?
visit       one visit to a control name, or to a site that is known to be blocked
empty_page  pages that are always empty: a portal, and where we come from
lines       IPv6, NAT64, invented answers, and the networks at both ends
control     the same contact from an uncensored network: helpers and the reference vantage
helper      the other end: `wallwatch helper`, a control test helper in OONI's protocol
sink        a silent listener across the border: `wallwatch helper --sink`
residual    addresses that must rest, since a censor may still be reacting to us
underway    what is being measured, and what was: shared by schedules that follow each other
slots       how many measurements are on the network at once
seat        one measurement's place among them, given up while it waits
gate        nobody is contacted by many at once
collect     what every measurement shares
work        one measurement: look, suspect, look again, judge
experiments its experiments, at listeners and at the site's own address
listeners   the helpers' neutral listeners: one pair each, and a rest where a name failed
phrase      a measurement of a phrase
remote      a measurement from outside: no plain client, only a remote method's experiments
outside     what these share: who is unfit, which answers are proved, how many run at once
pace        at most five packets a second to one address
schedule    rounds of a list from a vantage, at fixed phases
"""
