"""Mistakes in foreign code: each is one line that names the key, or the user's own file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedsim.cli import main

MISTAKES = {
    "no such file": (
        "s.yaml",
        "rule.py",
        "ruel.py",
        2,
        r"s.yaml:7:18: strategy.name: .*/ruel.py is not there; did you mean 'rule.py'\?",
    ),
    "no such name": (
        "rule.py",
        "class Fading",
        "class Fadng",
        2,
        r"strategy.name: .*/rule.py has no 'Fading'; did you mean 'Fadng'\?",
    ),
    "no name": ("s.yaml", "rule.py:Fading", "rule.py", 2, r"say what is meant in it; for instance ./rule.py:Fading"),
    "no such module": (
        "s.yaml",
        "./net.py:Net",
        "nett.models:Net",
        2,
        r"s.yaml:4:15: model.name: .*No module named 'nett'",
    ),
    "import error": (
        "net.py",
        "import torch\n",
        "import torchh\n",
        2,
        r"model.name: .*/net.py:3: ModuleNotFoundError: No module named 'torchh'",
    ),
    "import error in a helper": (
        "helpers.py",
        "def share",
        "import nothing_at_all\ndef share",
        2,
        r"/helpers.py:1: ModuleNotFoundError",
    ),
    "syntax": ("rule.py", "(Rule):", "(Rule)", 2, r"strategy.name: .*/rule.py:11: SyntaxError: expected ':'"),
    "not a strategy": ("rule.py", "(Rule):", ":", 2, r"must be a strategy: .*/rule.py:10: the class Fading is not"),
    "not decorated": (
        "rule.py",
        "@dataclass(frozen=True, kw_only=True)",
        "",
        2,
        r"/rule.py:11: the class Fading lacks the line @dataclass",
    ),
    "no step": ("rule.py", "def step", "def stepp", 2, r"/rule.py:10: the class Fading lacks step"),
    "signature": (
        "rule.py",
        "def step(self, state, cohort, sums)",
        "def step(self, state)",
        2,
        r"has step\(self, state\); it is called with \(state, cohort, sums\)",
    ),
    "option": (
        "s.yaml",
        "fade: 0.05",
        "fade: -1",
        2,
        r"s.yaml:7:42: strategy.fade: must be a number of at least 0, got -1",
    ),
    "unknown option": (
        "s.yaml",
        "every: 3}",
        "evry: 3}",
        2,
        r"s.yaml:6:40: participation.evry: unknown key; did you mean 'every'\?",
    ),
    "type": (
        "s.yaml",
        "hidden: 12",
        "hidden: twelve",
        2,
        r"s.yaml:4:37: model.hidden: must be a whole number, got 'twelve'",
    ),
    "missing option": (
        "data.py",
        "classes: int = 3",
        "classes: int",
        2,
        r"data.classes: is missing; give a whole number",
    ),
    "process signature": (
        "who.py",
        "def cohort(self, round)",
        "def cohort(self)",
        2,
        r"participation.kind: .*has cohort\(self\); it is called with \(round\)",
    ),
    "step raises": (
        "rule.py",
        "return state, sums",
        "return 1 / 0, sums",
        3,
        r"./rule.py:Fading: .*/rule.py:26: ZeroDivisionError",
    ),
    "update shape": (
        "rule.py",
        'sums["update"] /',
        'sums["update"][:3] /',
        3,
        r"./rule.py:Fading: .*/rule.py:10: step: the update must be of shape",
    ),
    "coefficients": (
        "rule.py",
        "state.weights[cohort.clients]",
        "state.weights",
        3,
        r"ask: 'update' has coefficients of shape \(6,\) for 2 clients",
    ),
    "cohort outside": (
        "who.py",
        "return [c for",
        "return [c + 6 for",
        3,
        r"./who.py:InTurn: .*/who.py:4: cohort\(1\): client 10 does not exist",
    ),
    "cohort raises": (
        "who.py",
        "== round %",
        "== rnd %",
        3,
        r"./who.py:InTurn: .*/who.py:11: NameError: name 'rnd' is not defined",
    ),
    "load raises": ("data.py", "y = np", "y = nope", 3, r"./data.py:load: .*/data.py:7: NameError"),
    "load returns": (
        "data.py",
        'return {"x": x, "y": y}',
        "return x",
        2,
        r"data.dataset: ./data.py:load: .*/data.py:4: must give arrays by name .*got ndarray",
    ),
    "forward raises": ("net.py", "torch.relu", "torch.reluu", 3, r"./net.py:Net: .*/net.py:16: AttributeError"),
    "no module": (
        "s.yaml",
        "net.py:Net",
        "helpers.py:nothing",
        3,
        r"/helpers.py:1: must return a torch.nn.Module, got int",
    ),
    "owners": (
        "split.py",
        "% clients",
        "% (clients - 1)",
        3,
        r"./split.py:striped: .*/split.py:4: client 5 gets no example",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(own: Path, capsys: pytest.CaptureFixture[str], mistake: str) -> None:
    name, before, after, code, expected = MISTAKES[mistake]
    if mistake == "no module":
        (own / "helpers.py").write_text(
            f"def nothing(hidden: int):\n    return 3\n\n\n{(own / 'helpers.py').read_text()}"
        )
    file = own / name
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    assert main(["run", "s.yaml", "--out", "r", "--quiet"]) == code
    said = capsys.readouterr().err
    assert re.search(expected, said), said
    assert len(said.splitlines()) == 1, said
    assert not (own / "r" / "error.log").is_file() or "Traceback" in (own / "r" / "error.log").read_text()


def test_the_traceback_and_the_code_that_raised_lie_in_the_run_folder(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = own / "who.py"
    who.write_text(who.read_text().replace("return [c", "return self.missing if round == 3 else [c"))
    assert main(["run", "s.yaml", "--out", "r", "--quiet"]) == 3
    assert "/who.py:11: AttributeError" in capsys.readouterr().err
    assert "Traceback" in (own / "r" / "error.log").read_text()
    assert (own / "r" / "code" / "helpers.py").read_text() == (own / "helpers.py").read_text()
