"""The service around the instrument.

    config        config.toml, checked key by key
    collect/      when and from where: schedule, rounds, control, self-test, helper
    judge/        what it means: observe → rules → analyze → detect; pure, no I/O, no clock
    store/        what is kept: SQLite, one writer thread; reading recorded measurements
    publish/      who reads it: metrics, pages, API, the printed account
    demo/         the simulated Internet, its censor, and the story that `wallwatch demo` plays
    agent/        machines that measure elsewhere, and the door where they hand in
    egress        where each vantage's way out ends: looked at, remembered, confirmed
    engine        what makes measurements, made from a configuration
    garbage       how often Python looks for garbage in cycles
    turns         long work in a thread that leaves room for others
    service       wires all of it together; nothing else does
    cli           the command `wallwatch`

One arrow: `publish → store → judge`, `collect → judge`; everything may use `blocklists` and `probes`.
"""

__version__ = "0.1.0"
