"""Who reads it: what is stored and judged, as metrics, pages, JSON and plain text. Never a new probe.

    text          words from the network, made safe to show: bounded, one line, no control characters
    evidence      Measurement → steps: what the vantage saw, and beside it what the control saw
    operations    one recorded operation in words
    replies       what the control said, and the vantage of itself, in words
    experiments   what each experiment asked, and its tries in order
    counts        how many of them ended how
    packets       resets beside the server's own packets; a capture's name as a file
    notebook      steps, experiments and packets in one numbering, for account and page
    certificate   a certificate's subject, issuer and dates as text
    account       the steps and the verdict as plain text, for `wallwatch measure`
    record        Measurement + Verdict ↔ one line of JSON
    when          times as people and files write them
    lines         the lines of a file that may come from anybody
    exported      exported CSV and JSON lines, read back
    export/       tables and documents for others, with codebook, citation and checksums
    timeline      the measurements of each target at each vantage → its events and its present state
    timeline_text · timeline_table   the timeline for a person; as JSON and CSV
    matrix        the newest outcome of each target at each vantage
    period        which time a page shows, and in which steps
    band          a vantage's confirmed state over time, in pieces; what was not measured has none
    drawing       a band's places and words
    target        a target over time: bands, events, what others documented
    pairs         the metrics of each target at each vantage
    vantages      each vantage's state: what is wrong with it, what it cannot see, when it was last heard of
    vantage_metrics   the metrics of vantages
    agent_metrics     the metrics of agents: what was refused, their clocks and spools
    metrics       all metrics of the process
    way           the plain client's first look, URL after URL
    probe         the newest measurement of a pair in blackbox_exporter's metrics
    exposition    metrics as Prometheus' text or OpenMetrics
    pages         HTML from templates/, every value escaped
    api           JSON
    server        the HTTP server's routes, headers and errors

Everything that came from the network was perhaps written by a censor: it is shown as text and nothing else.
"""
