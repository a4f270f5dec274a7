"""Builds the distributions, and uses the wheel as a stranger would: ``make release-check``.

    python tests/release_check.py                # in an empty environment, filled from the package index
    python tests/release_check.py --quick        # with the packages and the quickstart/ that are here
    python tests/release_check.py --tag v0.1.0 --repository https://github.com/OWNER/NAME --out dist    # for a release

The working folder lies outside the source tree. RELEASE_QUICKSTART=full trains the whole quickstart; without it, the
same stages run on a smaller world for a few iterations, and with --quick, a quickstart that is there is copied.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributions import ROOT, build, copied, wrong, wrong_version

SMALL = (
    "microworld.scale=0.05",
    "vocabulary.min_count=1",
    "training.iterations=6",
    "training.eval_every=3",
    "training.eval_examples=16",
    "training.save_every=3",
    "training.log_every=1",
    "evaluation.resamples=100",
    "evaluation.derangements=1",
)
"""Changes to the quickstart's configuration: all stages in a minute."""
SCORED = ("vqa", "gqa", "refcoco", "visual7w", "nlvr2", "snli_ve")
"""Tasks whose result files are written and scored: every format that takes no minutes to compute."""
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from twelve.__main__ import main; main()"


def version() -> str:
    text = (ROOT / "src" / "twelve" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, flags=re.M)
    assert found, "src/twelve/version.py has no __version__"
    return found[1]


class Environment:
    """A virtual environment with the wheel, and a folder to work in.

    Attributes:
        path: the working folder.
        wheel: what is installed.
    """

    def __init__(self, path: Path, wheel: Path, *, quick: bool) -> None:
        self.path, self.wheel = path / "work", wheel
        self.path.mkdir()
        self._bin = path / "environment" / "bin"
        venv.create(self._bin.parent, with_pip=not quick)
        python = str(self._bin / "python")
        if quick:  # the packages of this environment behind the wheel; links of editable installs are not followed
            (site,) = self._bin.parent.glob("lib/python*/site-packages")
            (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
            pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
        else:
            pip = [python, "-m", "pip", "install"]
        subprocess.run([*pip, "--quiet", str(wheel)], check=True, cwd=self.path, env=self.variables)
        place = self.said("python", "-c", "import twelve; print(twelve.__file__)").strip()
        assert Path(place).is_relative_to(self._bin.parent), f"twelve is imported from {place}"

    @property
    def variables(self) -> dict[str, str]:
        """Of the shell: the environment first, the pinned versions, no source tree."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        constraints = str(ROOT / "constraints.txt")
        return kept | {"PATH": f"{self._bin}{os.pathsep}{kept['PATH']}", "PIP_CONSTRAINT": constraints}

    def said(self, *words: str, fails: int = 0) -> str:
        """Standard output of a command; of one that is to fail with an exit code, standard error."""
        done = subprocess.run(
            [self._program(words[0]), *words[1:]],
            cwd=self.path,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != fails:
            shown = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise SystemExit(f"{shlex.join(words)}: expected exit code {fails}, found {done.returncode}\n{shown}")
        return done.stderr if fails else done.stdout

    @contextmanager
    def started(self, *words: str) -> Iterator[str]:
        """The first line that a program prints; the program is stopped with the block, and must end well."""
        program = subprocess.Popen(
            [self._program(words[0]), *words[1:]], cwd=self.path, env=self.variables, stdout=subprocess.PIPE, text=True
        )
        try:
            assert program.stdout is not None
            yield program.stdout.readline()
            program.send_signal(signal.SIGTERM)
            assert program.wait(60) in (0, -signal.SIGTERM), f"{words}: exit code {program.returncode} after SIGTERM"
        finally:
            program.kill()
            program.wait()

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=str(self._bin))
        assert found, f"the environment has no {name}"
        return found


def follow_the_remedy(env: Environment) -> None:
    """Without the extra, the service names the command that installs it; the command is run as it stands."""
    told = env.said("twelve", "serve", "quickstart/run", fails=2)
    remedy = told.rpartition("-> ")[2].strip()
    assert remedy == f"pip install 'twelve-vl[web] @ {env.wheel.as_uri()}'", told
    env.said(*shlex.split(remedy), "--quiet")


def quickstart(env: Environment, *, quick: bool) -> None:
    there = ROOT / "quickstart"
    if quick and (there / "run" / "report.html").is_file():
        shutil.copytree(there, env.path / "quickstart")
        return
    small = () if os.environ.get("RELEASE_QUICKSTART") == "full" else SMALL
    env.said("twelve", "quickstart", *(word for setting in small for word in ("--set", setting)))
    assert (env.path / "quickstart" / "run" / "report.html").stat().st_size > 100_000


def readme(env: Environment) -> None:
    """The README's program in Python, as it stands, beside the examples of the checkout."""
    shutil.copytree(ROOT / "examples", env.path / "examples")
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert env.said("python", "-c", block).count("\n") >= block.count("print(") > 0


def serve(env: Environment) -> None:
    """A sample image is asked about over HTTP."""
    with env.started("twelve", "serve", "quickstart/run", "--port", "0") as line:
        url = line.split()[0].rstrip("/")
        assert b"<html" in _asked(f"{url}/")
        sample = json.loads(_asked(f"{url}/api/v1/model"))["samples"][0]
        image = _asked(f"{url}/api/v1/samples/{sample['name']}")
        scene = json.loads(_asked(f"{url}/api/v1/scenes", image, "image/png"))["id"]
        question = {"image": {"scene": scene}, "question": sample["texts"]["answer"]}
        reply = json.loads(_asked(f"{url}/api/v1/answer", json.dumps(question).encode(), "application/json"))
        assert reply["answer"] and 0 <= reply["confidence"] <= 1, reply


def _asked(url: str, body: bytes | None = None, kind: str = "") -> bytes:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind} if kind else {})
    with urllib.request.urlopen(request, timeout=60) as reply:
        content: bytes = reply.read()
    return content


def score(env: Environment) -> None:
    """Result files, scored where torch cannot be imported."""
    chosen = [word for task in SCORED for word in ("--task", task)]
    env.said("twelve", "evaluate", "quickstart/run", "--results", "results", "--no-baselines", *chosen)
    tasks: dict[str, dict[str, Any]] = json.loads((env.path / "results" / "results.json").read_text())["tasks"]
    assert tasks.keys() == set(SCORED)
    for name, told in tasks.items():
        words = shlex.split(told["command"])
        scores = json.loads(env.said("python", "-c", WITHOUT_TORCH, *words[1:], "--json"))
        assert scores["numbers"], name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="use the packages and quickstart/ that are here")
    parser.add_argument("--out", type=Path, help="folder for the wheel and the source distribution")
    parser.add_argument("--repository", help="its URL, for the README's links on the package index")
    parser.add_argument("--tag", help="of the release, checked against the version and CHANGELOG.md")
    asked = parser.parse_args()
    started = time.monotonic()

    def step(name: str) -> None:
        print(f"release-check: {time.monotonic() - started:4.0f} s  {name}", flush=True)

    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        work, number = Path(folder), version()
        if found := wrong_version(number, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), asked.tag):
            raise SystemExit("\n".join(found))
        step(f"building {number}")
        source = copied(work / "source", asked.repository, f"v{number}")
        wheel, sdist = build(source, work / "dist", isolated=not asked.quick)
        if found := wrong(wheel, sdist, number):
            raise SystemExit("\n".join(found))
        step("installing the wheel")
        env = Environment(work, wheel, quick=asked.quick)
        assert env.said("twelve", "--version").split() == ["twelve", number]
        assert "quickstart" in env.said("twelve", "--help")
        step("twelve quickstart")
        quickstart(env, quick=asked.quick)
        if not asked.quick:
            step("the remedy of a missing extra")
            follow_the_remedy(env)
        for use in (readme, serve, score):
            step(use.__name__)
            use(env)
        if asked.out:
            asked.out.mkdir(parents=True, exist_ok=True)
            for file in (wheel, sdist):
                shutil.copy2(file, asked.out)
        step(f"{wheel.name} and {sdist.name} are ready" + (f" in {asked.out}" if asked.out else ""))


if __name__ == "__main__":
    main()
