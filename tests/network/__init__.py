r"""A network like the real one: namespaces, routers, real servers, the real service and helper, and a censor on the path.

    client(s) -- r1 ==LINK== r2 -- sites, crowd, ctl-a, ctl-c
                              \====LINK==== ctl-b        (a helper that has a censor of its own)

It is built once a run (two seconds) by one process tree under `unshare`, as root or not, and vanishes with it, whatever
ends it. Nothing in it has a way out. Each scenario has a client of its own: a namespace behind `r1`, entered by a
thread, so that the service's own code runs there unchanged. The link knows each client by its address: rules, loss,
delay and the censor's memory are its own, so that many play at the same time.

the network   plan (who lives where) · namespaces, digging (made of ip and setns) · kernel (can this machine?)
              lab (opens everything) · seat (one client's place) · told (processes that obey)
the link      link (TUN devices, delay, loss) · censor (what becomes of a packet) · rules (what may be asked of it)
              forgery (packets and their headers) · packet, hello, initial (IP, TLS, HTTP, DNS and QUIC read)
              box (the censor's own server, for what is diverted)
the servers   sites (the table) · web (nginx) · dns_zone (unbound) · odd, http3, listening (what these cannot do)
playing       scenario (what is played) · play (inside) · run (outside) · every, *_scenarios (all of them)
              looks (at the lab itself) · conftest, test_network, test_lab

Play some by hand, with the experiments and the reason of each; without names, all of them:

    python -m tests.network -v "clean https" "triple injection"

Add a scenario: one row in a `*_scenarios.py` that `every` lists. Slow ones (silence, a dead network) go first.

    Scenario(name="reset by SNI", url="https://site.example/", rules=(rules.sni_reset("site.example"),),
             outcome="blocked", technique="tls.reset.sni", twin="clean https"),

`check=function` gets what was played, with the whole measurement, and asserts. Add a site: one row in `sites`. Add a
rule: a function in `rules` where the actions exist; a new action is a case in `censor._react` and a packet in `forgery`.
A look is a function in `looks` with `@look(rules…)`, and a test of the same name in `test_lab`.

Statistics are scenarios that a loop makes, with many URLs each by `also`, over `lab_run(scenarios, at_once=24)`; the
crowd's 400 sites are `sites.crowd_name(n, slow=…)`. A thousand measurements take about a minute on two cores.

Waits of five seconds and more pass at once, and the censor's memory ages with them. Sites' clocks do not: a scenario
may skip five minutes at most before the vantage's clock seems wrong.
"""
