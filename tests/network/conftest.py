"""One lab for all tests of this folder: whatever was chosen is played in it, and each test waits for its own."""

import os
from collections.abc import Iterator

import pytest

from .every import SCENARIOS
from .kernel import missing, why_not
from .looks import LOOKS
from .play import Answer
from .run import LabError, lab_run


class Answers:
    """What the lab has said so far; who asks for more waits for it."""

    def __init__(self, answers: Iterator[Answer]) -> None:
        self._answers = answers
        self._kept: dict[str, list[Answer]] = {}

    def of(self, name: str) -> Answer:
        """The first answer under a name; raises LabError with the fault where it could not be played."""
        while name not in self._kept:
            answer = next(self._answers, None)
            if answer is None:
                raise LabError(f"{name} was not played")
            self._kept.setdefault(answer.name, []).append(answer)
        first = self._kept[name][0]
        if first.fault:
            raise LabError(first.fault)
        return first


def need_a_lab() -> None:
    """Skip a test with the reason where there can be no lab; with CI=true what could be installed must be."""
    if os.environ.get("CI") == "true" and missing():
        pytest.fail(f"no lab: {missing()}")
    if why_not():
        pytest.skip(why_not())


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest) -> Iterator[Answers]:
    """The chosen scenarios and looks, in one lab. Skipped with the reason where there can be none."""
    need_a_lab()
    chosen = {item.name for item in request.session.items if "tests/network" in item.path.as_posix()}
    scenarios = [s for s in SCENARIOS if f"test_scenario[{s.name}]" in chosen]
    wanted = {name.removeprefix("test_").replace("[", "_").removesuffix("]") for name in chosen}
    looks = [name for name in LOOKS if name in wanted]
    playing = lab_run(scenarios, looks=looks)
    try:
        yield Answers(playing)
    finally:
        playing.close()  # type: ignore[attr-defined]
