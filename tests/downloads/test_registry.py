"""The table of official files: complete for every task, without contradictions that are not marked, and strict."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_downloads import download, written

from twelve.data.check import splits_of
from twelve.downloads.download import Download, Stated
from twelve.downloads.plan import make_plan
from twelve.downloads.registry import choose, read, shipped
from twelve.errors import ConfigError
from twelve.tasks.base import all_tasks, get

KINDS = ("annotation", "image", "feature", "weight")


def places(downloads: tuple[Download, ...]) -> set[str]:
    return {place for one in downloads for _, place in one.places}


@pytest.mark.parametrize("task", sorted(all_tasks()))
def test_every_file_that_a_task_reads_comes_or_is_said_to_be_asked_for(task: str) -> None:
    found = get(task)
    known = places(choose(shipped(), [task]))
    files = {f"{found.folder}/{name}" for split in splits_of(found) for name in found.files(split)}
    assert files and files <= known
    for one in choose(shipped(), [task], KINDS):
        assert one.urls or one.page  # where it is to be had


def test_all_splits_of_the_twelve_are_known() -> None:
    for task in all_tasks().values():
        if not task.extra:
            known = places(choose(shipped(), [task.name]))
            missing = {name for split in task.splits for name in task.files(split)} - {
                place.removeprefix(f"{task.folder}/") for place in known
            }
            assert not missing, (task.name, missing)


def test_what_no_task_lists_by_split_is_known_too() -> None:
    assert {"vg_qa/image_data.json"} <= places(choose(shipped(), ["vg_qa"]))
    assert {"gqa/val_choices.json", "gqa/val_sceneGraphs.json"} <= places(choose(shipped(), ["gqa"]))
    assert {"flickr30k_entities/Sentences/", "flickr30k_entities/Annotations/"} <= places(
        choose(shipped(), ["flickr30k_entities"])
    )
    assert {"released/multi_task_model.bin", "released/pretrained_model.bin"} <= places(choose(shipped(), ["released"]))


def test_images_and_features_come_only_if_asked_for() -> None:
    everything = [name for one in shipped() for name in one.tasks]
    assert {one.kind for one in choose(shipped(), everything)} == {"annotation", "weight"}
    images = choose(shipped(), everything, ("image",))
    assert {place.split("/")[0] for place in places(images)} == {"images"}
    for task in all_tasks().values():
        sources = {place.split("/")[1] for place in places(choose(shipped(), [task.name], ("image",)))}
        assert (sources and sources <= {task.source, "coco"}) or task.name == "conceptual_captions", task.name


def test_no_two_statements_about_a_file_disagree_unmarked() -> None:
    """Nor is one hash stated about two files, as by a list that was copied wrongly."""
    sizes: dict[str, set[int]] = defaultdict(set)
    by_url: dict[tuple[str, str], set[str]] = defaultdict(set)
    by_hash: dict[str, set[str]] = defaultdict(set)
    for one in shipped():
        for url in one.urls:
            sizes[url] |= {one.bytes} if one.bytes is not None else set()
            for stated in one.hashes:
                if not stated.disagrees:
                    by_url[url, stated.algorithm].add(stated.hash)
                    by_hash[stated.hash].add(one.file)
    assert len(by_url) > 25
    assert all(len(found) == 1 for found in by_url.values()) and all(len(found) < 2 for found in sizes.values())
    assert all(len(files) == 1 for files in by_hash.values())


def test_known_contradictions_are_marked_and_every_statement_has_a_source() -> None:
    marked = {one.key: [each for each in one.hashes if each.disagrees] for one in shipped()}
    (copied,) = marked["coco-images/test2015.zip"]
    assert copied.hash == "md5:04127eef689ceac55e3a572c2c92f264" and "test2014" in copied.disagrees
    for one in shipped():
        assert one.source and one.terms and all(each.source for each in (*one.hashes, *one.members.values()))
        assert one.bytes is None or one.hashes or "size" in one.source  # a size has a source too


def test_a_registry_of_ones_own_is_read(tmp_path: Path) -> None:
    one = download("https://example.org/mugs.json")
    other = download("https://example.org/a.zip", file="a.zip", places=(("b.json", "mugs/b.json"),))
    assert read(written(tmp_path / "registry.toml", one, other)) == (one, other)


GOOD = """[mugs]
page = "https://example.org"
terms = "see page"
[[mugs.files]]
name = "mugs.json"
kind = "annotation"
urls = ["https://example.org/mugs.json"]
to = "mugs/mugs.json"
source = "me"
"""
TWO = ", ".join(f'{{is = "md5:{digit * 32}", source = "{digit}"}}' for digit in "12")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[mugs]", "[mugs", "not valid TOML"),
        ("[[mugs.files]]", "[mugs.files]", "expected a dataset with files"),
        ('source = "me"', "", "source is missing"),
        ('name = "mugs.json"', "name = 3", r"mugs, 3.*name: expected a string"),
        ('"annotation"', '"annotations"', "kind: expected one of 'annotation'"),
        ('"https://example.org/mugs.json"', '"file:///etc/passwd"', r"urls\.0"),
        ('"mugs/mugs.json"', '"../mugs.json"', "to or unpack"),
        ('"mugs/mugs.json"', '"mugs/../../mugs.json"', "to or unpack"),
        ('"mugs/mugs.json"', '"/mugs.json"', "to or unpack"),
        ('"mugs/mugs.json"', '"mugs.json"', "to or unpack"),
        ('"mugs/mugs.json"', '"mugs/.hidden"', "to or unpack"),
        ('"mugs/mugs.json"', '"mugs/"', "expected a folder for a pattern and a file otherwise"),
        ('to = "mugs/mugs.json"', "", "to or unpack"),
        ('to = "mugs/mugs.json"', "unpack = {}", "expected either one place"),
        ('source = "me"', 'source = "me"\nsize = 3', "size: no such key"),
        ('source = "me"', 'source = "me"\nbytes = "3"', "bytes: expected an integer"),
        ('source = "me"', 'source = "me"\nbytes = 0', "bytes: expected at least 1"),
        ('source = "me"', 'source = "me"\ninstead_of = "cups.json"', "no file 'cups.json'"),
        (
            'source = "me"',
            'source = "me"\nmembers = {x = {is = "md5:%s", source = "x"}}' % ("0" * 32),
            "a member that is not unpacked",
        ),
        ('source = "me"', 'source = "me"\nhashes = [{is = "md5:12", source = "x"}]', "expected NAME:DIGITS"),
        ('source = "me"', 'source = "me"\nhashes = [{is = "crc:12345678", source = "x"}]', "expected NAME:DIGITS"),
        (
            'source = "me"',
            f'source = "me"\nhashes = [{TWO}]',
            "two sources state another md5: mark one with 'disagrees'",
        ),
        ('source = "me"\n', 'source = "me"\n' + GOOD[GOOD.index("[[") :], "this file occurs twice"),
        ('source = "me"', 'source = "me"\nhashes = 5', "hashes: expected a list"),
        ('source = "me"', 'source = "me"\nhashes = {}', "hashes: expected a list"),
        ('source = "me"', 'source = "me"\nhashes = [5]', "hashes.0: "),
        ('source = "me"', 'source = "me"\nmembers = 5', "members: expected a mapping"),
        ('source = "me"', 'source = "me"\nmembers = "ab"', "members: expected a mapping"),
        ('source = "me"', 'source = "me"\nbytes = -3', "bytes: expected at least 1"),
        ('source = "me"', f'source = "me"\nbytes = {"9" * 400}', "bytes: "),
        ('source = "me"', f'source = "me"\nbytes = {"9" * 5000}', "a number with thousands of digits"),
        ('source = "me"', 'source = "me"\nbytes = nan', "bytes: expected an integer"),
        ('source = "me"', 'source = "me"\nabout = "a lot"', "about: expected a rough size such as '1.4 GB'"),
        ('source = "me"', 'source = "me"\ntasks = []', "tasks: .* at least 1"),
        ('source = "me"', 'source = "me"\ntasks = "ab"', "tasks: expected a list"),
        ('source = "me"', 'source = "me"\ndataset = "../x"', "dataset: no such key"),
        ('source = "me"', 'source = "me"\nfile = "x"', "file: no such key"),
        ('source = "me"', 'source = "me"\nplaces = [["", "a/b"]]', "places: no such key"),
        ('source = "me"', 'source = "me"\nunpack = {}', "expected one of the two, found both"),
        ('source = "me"', 'source = "me"\ninstead_of = "mugs.json"', "found its own name"),
        ('source = "me"', 'source = ""', "source: expected a string without control characters, found ''"),
        ('"see page"', '"\\u001b[31m"', "terms: expected a string without control characters"),
        ('"see page"', '"a\\u0000"', "terms: expected a string without control characters"),
        ('"see page"', '"a\\u202eb"', "terms: expected a string without control characters"),
        ('terms = "see page"', "", "terms: expected a string"),
        ('"mugs/mugs.json"', '"mugs/a\\u0000b"', "to or unpack.0.1: expected a path in the data root"),
        ('"mugs/mugs.json"', '"mugs/a\\n"', "to or unpack.0.1: expected a path in the data root"),
        ('"mugs/mugs.json"', f'"mugs/{"x" * 300}"', "to or unpack.0.1: expected a path in the data root"),
        ('"mugs/mugs.json"', "5", "to or unpack.0.1: expected a string"),
        ('to = "mugs/mugs.json"', "unpack = 5", "to or unpack: expected a list"),
        ('name = "mugs.json"', 'name = "a\\u001b"', "name: expected a name of letters, digits"),
        ('terms = "see page"', 'terms = "see page"\nurl = "x"', "url: expected page, terms and files alone"),
        (GOOD[GOOD.index("[[") :], "files = [5]", "file 1.*expected a mapping"),
        (GOOD, "", "expected datasets with files, found none"),
        (GOOD, "mugs = 5", "expected a dataset with files"),
        ('source = "me"', 'source = "me"\nx' + ".a" * 20_000 + " = 1", "tables within each other, too deep"),
        (GOOD, "a = " + "[" * 100_000, "not valid TOML"),
        (
            'source = "me"\n',
            'source = "me"\n' + GOOD[GOOD.index("[[") :].replace("mugs.json", "b.json", 1),
            "mugs/mugs.json has the same place, mugs/mugs.json",
        ),
        (
            'source = "me"\n',
            'source = "me"\ninstead_of = "b.json"\n'
            + GOOD[GOOD.index("[[") :].replace("mugs.json", "b.json")
            + 'instead_of = "mugs.json"\n',
            "'b.json' replaces a file itself",
        ),
    ],
)
def test_a_registry_that_is_wrong_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(GOOD)
    assert len(read(tmp_path / "registry.toml")) == 1
    assert old in GOOD
    (tmp_path / "registry.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=rf"registry.toml.*{said}.* -> "):
        read(tmp_path / "registry.toml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bytes": 5}, "x.zip has 5 and 300015 bytes"),
        ({"hashes": (Stated("sha256:" + "1" * 64, "x"),)}, "two sources state another sha256"),
        ({"places": (("b.json", "cups/c.json"), ("a.json", "cups/a.json"))}, "the member 'a.json' occurs twice"),
        ({"places": (("", "cups/c.json"),)}, "expected either one place"),
    ],
)
def test_two_datasets_that_contradict_each_other_about_one_file(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    one = download("https://example.org/x.zip", file="x.zip", places=(("a.json", "mugs/a.json"),))
    good = replace(one, dataset="cups", places=(("b.json", "cups/c.json"),))
    assert read(written(tmp_path / "registry.toml", one, good)) == (one, good)
    written(tmp_path / "registry.toml", one, replace(good, **changes))
    with pytest.raises(ConfigError, match=f"cups/x.zip.*of the same URL, {said}.* -> correct it"):
        read(tmp_path / "registry.toml")


def test_two_members_go_to_two_places() -> None:
    with pytest.raises(ValueError, match=r"the place 'mugs/a\.json' occurs twice"):
        download("https://example.org/x.zip", places=(("a.json", "mugs/a.json"), ("b.json", "mugs/a.json")))


def test_terms_of_several_lines_are_shown_as_one(tmp_path: Path) -> None:
    lines = 'terms = """free for\n  research\n\ntwelve: all verified"""'
    (tmp_path / "registry.toml").write_text(GOOD.replace('terms = "see page"', lines))
    (one,) = read(tmp_path / "registry.toml")
    assert one.terms == "free for research twelve: all verified"
    plan = str(make_plan([one], tmp_path, ask=False)).splitlines()
    assert plan[1] == "  terms: free for research twelve: all verified" and len(plan) == 4


def test_rough_sizes_count(tmp_path: Path) -> None:
    exact = download("http://127.0.0.1:1/a", content=b"x" * 1000)
    rough, over = (
        download(f"http://127.0.0.1:1/{name}", content=None, file=name, about=about, places=(("", f"mugs/{name}"),))
        for name, about in (("b", "1.4 GB"), ("c", "over 90 GB"))
    )
    nobody = download("http://127.0.0.1:1/d", content=None, file="d", places=(("", "mugs/d"),))
    assert (exact.rough, rough.rough, over.rough, nobody.rough) == (1000, 1_400_000_000, 90_000_000_000, None)

    def told(*downloads: Download) -> str:
        return str(make_plan(downloads, tmp_path, ask=False)).partition("to fetch: ")[2].partition(";")[0]

    assert told(exact) == "1 file, 1.0 kB"
    assert told(exact, rough) == "2 files, about 1.4 GB"
    assert told(exact, rough, over, nobody) == "4 files, about 91.4 GB without 1 of unknown size"
    assert make_plan([exact, rough], tmp_path, ask=False).known_bytes == 1_400_001_000


def test_a_name_without_files_is_corrected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'no files of \'nvlr2\' are known \(did you mean "nlvr2"\?\)'):
        choose(shipped(), ["nvlr2"])
    with pytest.raises(ConfigError, match="name a registry"):
        read(tmp_path / "none.toml")


def test_sizes_are_for_people() -> None:
    exact = [replace(download(), bytes=count, hashes=()).size for count in (1, 999, 7239401, 13510573713)]
    assert exact == ["1 byte", "999 bytes", "7.2 MB", "13.5 GB"]
    sizes = [download(**how).size for how in ({}, {"content": None, "about": "1.4 GB"}, {"content": None})]
    assert sizes == ["300.0 kB", "about 1.4 GB", "unknown"]
