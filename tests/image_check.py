"""Builds the Docker image and runs it with the commands of docs/deploy.md: ``make image-check``.

    python tests/image_check.py                               # with docker
    python tests/image_check.py --docker "podman" --built     # with another program, and the image "twelve" that exists

Port 8012 must be free, and no container may be called twelve. The working folder lies outside the source tree.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("Dockerfile", ".dockerignore", "constraints.txt", "pyproject.toml", "README.md", "LICENSE", "src", "examples")
SERVICE = "http://127.0.0.1:8012"
CONTAINER = "twelve"


class Page:
    """The commands of docs/deploy.md.

    Attributes:
        build, token, run: the commands that build the image, write the token to a file, and start the container.
        host, model: the values of the variables in them.
        question, begins: the command that asks the service, and the start of its reply.
    """

    def __init__(self) -> None:
        page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
        text = page.partition("\n## Deploy with Docker\n")[2].partition("\n### ")[0]
        (start,) = re.findall(r"```bash\n(.*?)```", text, flags=re.S)
        text = page.partition("\n## Open the service with nginx\n")[2].partition("\n### ")[0]
        _, self.question = re.findall(r"```bash\n(.*?)```", text, flags=re.S)
        (self.begins,) = re.findall(r"```json\n(.*?)\d+,\n```", text, flags=re.S)
        (self.host,) = re.findall(r"^HOST=(\S+)", start, flags=re.M)
        (self.model,) = re.findall(r"^MODEL=(\S+)", start, flags=re.M)
        (self.build,) = re.findall(r"^docker build .+$", start, flags=re.M)
        (self.token,) = re.findall(r"^\(umask .+$", start, flags=re.M)
        (self.run,) = re.findall(r"^docker run (?:.*\\\n)*.*$", start, flags=re.M)


class Shell:
    """Runs the page's commands, with another program instead of docker."""

    def __init__(self, folder: Path, docker: str) -> None:
        self._folder, self._docker = folder, docker

    def __call__(self, command: str) -> str:
        """What a command of bash prints, on both streams; with exit code 1 if the command fails."""
        if command.startswith("docker "):
            command = self._docker + command.removeprefix("docker")
        ran = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if ran.returncode:
            sys.exit(f"{command}\nended with exit code {ran.returncode}:\n{ran.stdout}")
        return ran.stdout.strip()

    def fails(self, command: str) -> bool:
        return subprocess.run(["bash", "-c", self._docker + command], capture_output=True, check=False).returncode != 0


def wait() -> None:
    """Until the service replies; an exception after two minutes."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{SERVICE}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(1)
    raise TimeoutError(f"{SERVICE}/health does not reply; see the log of the container {CONTAINER}")


def status_without_token() -> int:
    try:
        with urllib.request.urlopen(f"{SERVICE}/api/v1/model", timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def check(page: Page, shell: Shell) -> None:
    """What docs/deploy.md says about the container. Raises AssertionError."""
    values = f"HOST={page.host}; MODEL={page.model}"
    shell(f"set -a; . ./twelve.env; set +a; {values}; {page.run.replace('docker', shell._docker, 1)}")
    wait()
    asked = page.question.replace("https://$HOST", SERVICE)
    reply = shell(f"set -a; . ./twelve.env; set +a; {asked}")
    assert reply.startswith(page.begins), f"expected {page.begins}, found {reply[:200]}"
    assert status_without_token() == 401
    inside = f"docker exec {CONTAINER} "
    assert shell(inside + "id -u") == "1000"
    assert shell(inside + "grep CapBnd /proc/1/status").split()[1].strip("0") == "", "it can get capabilities"
    assert shell(inside + "grep NoNewPrivs /proc/1/status").split()[1] == "1"
    (most,) = re.findall(r"--pids-limit (\d+)", page.run)
    assert shell(f"docker inspect --format '{{{{.HostConfig.PidsLimit}}}}' {CONTAINER}") == most
    assert shell.fails(f" exec --user 0 {CONTAINER} touch /twelve/file"), "the file system can be written"
    health = re.findall(r"^HEALTHCHECK .*\n\s+CMD (.+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    shell(inside + shlex.join(json.loads(health[0])))
    shell(f"docker stop {CONTAINER}")
    assert shell(f"docker inspect --format '{{{{.State.ExitCode}}}}' {CONTAINER}") == "0"
    events = [json.loads(line) for line in shell(f"docker logs {CONTAINER}").splitlines() if line.startswith("{")]
    assert [event["event"] for event in events] == ["loading", "ready", "request", "request", "stopped"]
    assert [event["status"] for event in events if event["event"] == "request"] == [200, 401]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="docker", help="the program, with options")
    parser.add_argument("--built", action="store_true", help='use the image "twelve" that exists')
    given = parser.parse_args()
    page = Page()
    with tempfile.TemporaryDirectory(prefix="twelve-image-") as name:
        folder = Path(name)
        for each in COPIED:
            place = ROOT / each
            shutil.copytree(place, folder / each) if place.is_dir() else shutil.copy(place, folder)
        shell = Shell(folder, given.docker)
        if not shell.fails(f" container inspect {CONTAINER}"):
            sys.exit(f"a container {CONTAINER} exists: this check would replace it")
        started = time.monotonic()
        if not given.built:
            shell(page.build)
            print(f"image-check: {time.monotonic() - started:4.0f} s  built", flush=True)
        shell(page.token)
        try:
            check(page, shell)
        except (AssertionError, OSError):
            print(shell(f"docker logs {CONTAINER}"), file=sys.stderr)
            raise
        finally:
            shell.fails(f" rm --force {CONTAINER}")
        print(f"image-check: {time.monotonic() - started:4.0f} s  started, asked and stopped", flush=True)


if __name__ == "__main__":
    main()
