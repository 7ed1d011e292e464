"""What an operator deploys: rules, dashboards, units, proxies; checked by the programs that will read them."""
