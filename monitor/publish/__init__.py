"""Who reads it: what is stored and judged, as metrics, pages, JSON and plain text. Never a new probe.

    text          words from the network, made safe to show: bounded, one line, no control characters
    evidence      Measurement → steps: what the vantage saw, and beside it what the control saw
    operations    one recorded operation in words
    replies       what the control said, and the vantage of itself, in words
    certificate   a certificate's subject, issuer and dates as text
    account       the steps and the verdict as plain text, for `wallwatch measure`
    record        Measurement + Verdict ↔ one line of JSON
    matrix        the newest outcome of each target at each vantage
    pairs         the metrics of each target at each vantage
    metrics       all metrics of the process
    pages         HTML from templates/, every value escaped
    api           JSON
    server        the HTTP server's routes, headers and errors

Everything that came from the network was perhaps written by a censor: it is shown as text and nothing else.
"""
