"""When two answers of a server are alike, and when it was the server itself that answered."""

from typing import Any

import pytest
from msgspec.structs import replace

from probes.experiment import Attempt
from probes.http import HTTPRoundTrip
from probes.remote.likeness import Answer, alike, answer_of, came_through, usual_of
from probes.tls import TLSHandshake

USUAL = Answer(leaf="a", status=404, kind="text/html", title="Nothing here", length=1000, digest="d")


def attempt(sent: str = "one.example", *, failure: str | None = None, leaf: str = "a", valid: bool = False,
            shaken: str | None = None, innocuous: bool = True, **page: Any) -> Attempt:  # fmt: skip
    where: dict[str, Any] = {"started": 0.0, "finished": 0.1, "address": "203.0.113.1", "port": 443}
    handshake = TLSHandshake(
        server_name=sent, chain=(leaf,), failure=shaken, certificate_failure=None if valid else "ssl_invalid_hostname",
        **where,
    )  # fmt: skip
    got = {"status": 404, "title": "Nothing here", "headers": (("Content-Type", "Text/HTML; charset=utf-8"),),
           "body_length": 1000, "body_sha256": "d", "failure": failure} | page  # fmt: skip
    steps = (handshake,) if shaken else (handshake, HTTPRoundTrip(url=f"https://{sent}/", **where, **got))
    return Attempt(sent=sent, innocuous=innocuous, started=0.0, finished=0.1, failure=failure, operations=steps)


def test_what_an_answer_is_made_of() -> None:
    assert answer_of(attempt()) == USUAL
    assert answer_of(attempt(failure="connection_reset")) is None
    assert answer_of(attempt(shaken="ssl_failed_handshake")) is None


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"digest": "other"}, True),
        ({"digest": "other", "length": 701}, True),
        ({"digest": "other", "length": 700}, False),
        ({"digest": "other", "length": 0}, False),
        ({"digest": "other", "title": "Blocked"}, False),
        ({"leaf": "b"}, False),
        ({"status": 403}, False),
        ({"kind": "text/plain"}, False),
        ({"where": "http://wall.example/"}, False),
    ],
)
def test_two_answers_of_one_server(change: dict[str, Any], same: bool) -> None:
    other = replace(USUAL, **change)
    assert alike(USUAL, other) is same
    assert alike(other, USUAL) is same


@pytest.mark.parametrize(("one", "other", "same"), [(True, True, True), (True, False, False), (False, False, False)])
def test_echoes_are_alike_only_where_both_are_echoes(one: bool, other: bool, same: bool) -> None:
    assert alike(Answer(echoed=one, digest="1"), Answer(echoed=other, digest="1")) is same


def test_the_name_that_was_asked_for_is_masked() -> None:
    """A default server that sends everybody on to https, and prints the name in its title."""
    first, second = (
        attempt(name, status=301, location=f"https://{name}/", title=f"{name.upper()} has moved")
        for name in ("one.example", "two.example")
    )
    assert answer_of(first) == answer_of(second)
    assert usual_of([first, second]) is not None


def test_the_template_is_the_answer_to_two_control_names() -> None:
    first, second = attempt(), attempt("two.example", body_sha256="e", body_length=900)
    assert usual_of([first, second]) == USUAL
    assert usual_of([first]) is None
    assert usual_of([first, attempt(title="Another", body_sha256="e")]) is None
    assert usual_of([first, attempt(failure="eof_error")]) is None
    assert usual_of([attempt(innocuous=False), first, second]) == USUAL


@pytest.mark.parametrize(
    ("how", "through"),
    [
        ({}, True),
        ({"failure": "connection_reset"}, False),
        ({"shaken": "ssl_invalid_hostname"}, True),  # with an alert: the try itself did not fail
        ({"leaf": "b"}, False),
        ({"leaf": "b", "valid": True, "status": 200, "title": "The site"}, True),
        ({"status": 301, "location": "https://one.example/"}, True),
        ({"status": 301, "location": "https://WWW.one.example:443/x"}, True),
        ({"status": 301, "location": "https://one.example.wall.test/"}, False),
        ({"status": 301, "location": "https://notone.example/"}, False),
        ({"status": 301, "location": "http://10.10.34.36/?host=one.example"}, False),
        ({"status": 403, "title": "Blocked", "body_length": 90, "body_sha256": "b"}, False),
    ],
)
def test_whether_the_server_itself_answered(how: dict[str, Any], through: bool) -> None:
    assert came_through(attempt(**how), USUAL) is through
