"""What a measurement means. Pure functions: same facts in, same verdict out.

observation   the rows that the judge looks at: an answer, a contact, a try
observe       Measurement → Case: those rows, the vantage beside the control
rules         the table: id, when it fires, what it concludes, why
analyze       Case + rules → Verdict, in the contract's order of decision
suspects      is a second look needed, and at what?
detect        Verdicts of a series → Events and the confirmed state
techniques    the tree of names for how a block is done
verdict       the words: outcomes, causes, Verdict
"""
