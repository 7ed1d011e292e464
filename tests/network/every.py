"""All scenarios: list a new file of them here."""

from . import dns_scenarios, first_scenarios, lasting_scenarios, name_scenarios, quic_scenarios
from .scenario import Scenario

FILES = (lasting_scenarios, first_scenarios, dns_scenarios, name_scenarios, quic_scenarios)
SCENARIOS: tuple[Scenario, ...] = tuple(scenario for file in FILES for scenario in file.SCENARIOS)
