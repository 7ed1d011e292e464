"""What a measurement means. Pure functions: same facts in, same verdict out.

observation   the rows that the judge looks at: an answer, a contact, a try
observe       Measurement → Case: those rows, the vantage beside the control
vantage       what a self-test says: the situations, and what each does to the results
unusable      rules for a vantage that can say nothing, or nothing of this target
rules         the table: id, when it fires, what it concludes, why
analyze       Case + rules → Verdict, in the contract's order of decision
outside       what resolvers in a network said when they were asked from outside, and whether it is wrong
remote        rules for what DNS shows from outside; `remote_servers` and `remote_sink` for servers and a sink
proxied       what a proxy's own failures mean, and where a name leads that its far side resolves
suspects      is a second look needed, and at what?
detect        Verdicts of a series → Events and the confirmed state
techniques    the tree of names for how a block is done
verdict       the words: outcomes, causes, Verdict
"""
