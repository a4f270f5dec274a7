"""An extraction that is killed again and again loses nothing and does nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from making import draw_image

from twelve.regions.store.region_file import RegionFile

IMAGES = 24

# One process imports everything once; each attempt is a fork of it, so that twenty cost little more than one.
SCRIPT = """
import faulthandler, json, os, random, signal, sys, time
from pathlib import Path
from twelve.regions.store import resumable_writer
from twelve.regions.extraction.extract import extract
from twelve.regions.extractor_config import ExtractorConfig

resumable_writer.MAX_IMAGES = 3
folder, root = Path(sys.argv[1]), Path(sys.argv[2])
moments = random.Random(int(sys.argv[3]))
config = ExtractorConfig("microworld", "random", boxes="detect", threshold=0.0, workers=2, batch_size=2)

def attempt(out, after):
    # The exit code of an extraction that is killed after some seconds, and how long it ran.
    started, child = time.monotonic(), os.fork()
    if not child:
        faulthandler.dump_traceback_later(120, exit=True)  # says where, if it hangs
        try:
            report = extract(folder, out, config, progress=False)
            os._exit(0 if report.written + report.present == len(list(folder.iterdir())) else 3)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(4)
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        time.sleep(0.001)
        if after is not None and time.monotonic() - started > after:
            os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(ended[1]), time.monotonic() - started

# In processes of their own, too: what has run a network is not forked.
for name in ("warm", "whole"):
    code, length = attempt(root / name, None)
    assert code == 0, code
out, kills, resumed = root / "out0", 0, 0
while kills < 20:
    left = len(list(out.rglob("*.arrows")))
    code, seconds = attempt(out, moments.uniform(0, 0.9 * length))
    assert code in (0, -signal.SIGKILL), code
    kills += code == -signal.SIGKILL
    resumed += bool(left)
    if code == 0 and not left:  # the first one was slower, for example because of other programs
        length = min(length, seconds)
    if list((out / "s").glob("*.arrow")):
        assert attempt(out, None)[0] == 0
        out = root / f"out{int(out.name[3:]) + 1}"
assert attempt(out, None)[0] == 0
print(json.dumps({"kills": kills, "resumed": resumed, "runs": int(out.name[3:]) + 1}))
"""


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "s"
    for k in range(IMAGES):
        draw_image(folder / f"{k:02d}.png", (64, 48) if k % 3 else (48, 80), seed=k)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(tmp_path), "5"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["kills"] == 20 and said["resumed"] >= 5  # most attempts found what an earlier one had left
    (whole,) = (tmp_path / "whole").rglob("*.arrow")
    expected = {image.image_id: image for image in RegionFile(whole)}
    assert len(expected) == IMAGES
    for number in range(said["runs"]):
        (file,) = (tmp_path / f"out{number}").rglob("*.arrow")
        assert os.listdir(file.parent) == ["s.arrow"]
        images = list(RegionFile(file))
        assert sorted(image.image_id for image in images) == sorted(expected)  # none lost, none twice
        for image in images:
            own = expected[image.image_id]
            np.testing.assert_allclose(image.boxes, own.boxes, atol=0.05)
            np.testing.assert_allclose(image.features, own.features, atol=4e-3)  # type: ignore[arg-type]
