"""Vantages on other machines: the agent that measures there, and the service's side that takes its measurements in.

protocol    what both say to each other: Assignment, batches of measurements, the answer to one

agent       measures on its own clock, by the assignment that it last had      (on the other machine)
assigned    what the assignment means here: targets, lists, the vantage
spool       what it measured and nobody has acknowledged, on its disk
spool_file  that file: opened, or moved aside where it is damaged
waiting     in which order that goes, and what is dropped where the spool is full
uploader    hands it in, batch by batch, for as long as it takes
client      fetches the assignment, sends the batches
metrics_port  /metrics of the agent

tokens      who may hand in: one token, one vantage, only its hash is kept     (at the service)
door        who may come in, and how often
handlers    the two addresses under /agent/v1/
assignments what each agent is told to do
checks      is this measurement one that an agent can have made?
intake      takes a batch line by line, puts the control to it, judges and stores it
matching    which kept control belongs to a measurement
keeper      asks the control about every agent's targets at the time when the agent measures them
tls         the service's own certificate
"""
