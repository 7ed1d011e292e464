"""What a measurement means. Pure functions: same facts in, same verdict out.

observe       Measurement → Case: what happened, flat, vantage beside control
rules         the table: id, when it fires, what it concludes, why
analyze       Case + rules → Verdict, in the contract's order of decision
suspects      is a second look needed, and at what?
detect        Verdicts of a series → Events and the confirmed state
techniques    the tree of names for how a block is done
verdict       the words: outcomes, causes, Verdict
"""
