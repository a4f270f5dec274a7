"""The page /docs: what the API takes and returns, from its OpenAPI description. Nothing is loaded from elsewhere."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from itertools import groupby
from shlex import quote
from typing import Any, TypeAlias

from twelve import client
from twelve.outputs.parts.warned import CODES as WARNED
from twelve.outputs.parts.warned import HARMLESS
from twelve.regions.images import MAX_SCANS
from twelve.settings import MOST_WEIGHT
from twelve.web.examples import CLIENT
from twelve.web.fields import (
    MAX_ASKED,
    MAX_BOXES,
    MAX_CAPTIONS,
    MAX_COORDINATE,
    MAX_ID,
    MAX_IMAGES,
    MAX_NAME,
    MAX_PLACES,
    MAX_TEXT,
    MAX_TURNS,
    MAX_WORD,
)
from twelve.web.limits import CONNECTIONS, MARKS, Limits
from twelve.web.problems import CODES, MEANINGS
from twelve.web.samples import Sample
from twelve.web.uploads import MAX_READS, MAX_STRETCH, NAMES

_Schema: TypeAlias = Mapping[str, Any]
_Row: TypeAlias = tuple[str, _Schema, bool]
"""Path of a field, its schema, and whether a request may lack it."""
SHARED = {"WarningReply": "warnings", "AttentionReply": "attention"}
"""Objects in many replies -> the field that they are in; they are described once."""
_TYPES = {"integer": "whole number", "boolean": "true or false"}
"""Types of JSON in plain words, where they have others."""
RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))
LIMITED = {
    "max_bytes": "bytes of an image, and of all images in one JSON request; more get 413",
    "max_pixels": "pixels of an image; more get 422",
    "max_request_pixels": "pixels of all images in one JSON request; more get 422",
    "max_marks": f"{MARKS} in one JSON request; more get 422",
    "max_waiting": "requests that wait for an answer; further ones get 429",
    "max_held_bytes": "bytes of all bodies that arrive or wait; more get 429",
    "max_batch": "questions that the model answers at once",
    "max_scenes": "scenes; the least recently used is dropped",
    "max_scene_bytes": "bytes of all scenes; the least recently used is dropped",
    "scene_seconds": "seconds for which a scene is stored after the last question about it",
    "body_seconds": "seconds for a body to arrive; then 408",
    "answer_seconds": "seconds for an answer; then 503",
    "stop_seconds": "seconds to finish accepted requests when the service stops; then 503",
}
"""Limit -> its meaning."""
FIXED: tuple[tuple[str, str], ...] = (
    ("characters of a text; more get 422", f"{MAX_TEXT:,}"),
    ("boxes of a request; more get 422", f"{MAX_BOXES}"),
    ("absolute value of a coordinate of a box; larger ones get 422", f"{MAX_COORDINATE:,.0f}"),
    ("turns of a dialogue; more get 422", f"{MAX_TURNS}"),
    ("images of `ask`; more get 422", f"{MAX_ASKED}"),
    ("images of `match`, and its `shortlist`; more get 422", f"{MAX_IMAGES}"),
    ("captions of `match`; more get 422", f"{MAX_CAPTIONS}"),
    ("`top` and `shortlist` of `search`; larger ones get 422", f"{MAX_PLACES}"),
    ("`contrast_weight`; larger ones get 422", f"{MOST_WEIGHT:,}"),
    ("characters of a scene id, and of a sample's name; more get 422", f"{MAX_ID}"),
    ("characters of the name of a task or method; more get 422", f"{MAX_WORD}"),
    ("characters of the name of an image of the index; more get 422", f"{MAX_NAME:,}"),
    ("formats of images, identified by content; others get 415, animations 422", NAMES),
    ("longer side of an image, relative to the shorter one; longer ones get 422", f"{MAX_STRETCH} : 1"),
    ("read operations to decode one image file; more get 422", f"{MAX_READS:,}"),
    ("scans of a JPEG; more get 422", f"{MAX_SCANS}"),
    ("files in a form; more get 422", "1"),
    ("digits of a whole number in JSON; more get 400", f"{sys.get_int_max_str_digits():,}"),
    ("levels of nesting in JSON; more get 400", "that of Python"),
    ("connections to `twelve serve`; more get 503 without JSON", f"{CONNECTIONS}"),
)
"""Meaning and value of each limit that no option changes: those by which requests are refused."""
_FILE = ["-H", "Content-Type: image/jpeg", "--data-binary", "@examples/scene.jpg"]
_FORM = ["-F", "file=@examples/scene.jpg"]
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>twelve: API</title><link rel="icon" href="icon.svg" type="image/svg+xml"><link rel="stylesheet" href="page.css">
<script type="module" src="reference.js"></script></head><body class="reference"><header><h1>API</h1>"""
_CALLS = {
    "upload_image": "scene.id, scene.boxes",
    "delete_scene": "scene.delete()",
    "thumbnail": 'service.thumbnail("NAME")',
    "model": "service.model()",
}
"""Endpoint that takes no JSON, and has a method of the client -> its example in Python."""
_OPEN = ("upload_image", "answer", "search")
"""Endpoints whose fields are not folded. The others list the names of theirs."""
_LINKS = 'For programs: <a href="openapi.json">openapi.json</a>. <a href="./">Back to the page</a>'


def reference(
    description: _Schema, url: str, limits: Limits, *, token: bool = False, samples: Iterable[Sample] = ()
) -> str:
    """The page as HTML; the examples have the ``url`` of the service, and a token where one is needed. Requests can
    be tried with the samples."""
    schemas = description["components"]["schemas"]
    found = [(method, path, each) for path, of in description["paths"].items() for method, each in of.items()]
    links, sections = "", ""
    for tag in description["tags"]:
        group = [each for each in found if tag["name"] in each[2]["tags"]]
        name = escape(tag["name"].capitalize())
        links += f"<li>{name}<ul>{''.join(_link(*each) for each in group)}</ul></li>"
        sections += f"<h2>{name}</h2><p>{escape(tag['description'])}</p>\n"
        sections += "".join(_section(*each, schemas, url, token) for each in group)
    links += "<li>Parts of replies<ul>" + "".join(f'<li><a href="#{each}">{each}</a></li>' for each in SHARED.values())
    links += "</ul></li>"
    sections += _shared(schemas)
    links += '<li><a href="#errors">Errors</a></li><li><a href="#client">A client in Python</a></li>'
    links += '<li><a href="#limits">Limits</a></li>' + '<li><a href="#token">Token</a></li>' * token
    sections += _errors(schemas) + _client(url) + _limits(limits) + _token(found) * token
    needed = 'This service requires a <a href="#token">token</a>. ' * token
    head = f"{_HEAD}<p>{_marked(description['info']['description'])} {needed}{_LINKS}</p></header>"
    nav = f'<nav aria-label="Endpoints"><details><summary>Contents</summary><ul>{links}</ul></details></nav>'
    tried = json.dumps([{"name": each.name, "texts": each.texts} for each in samples])
    main = f'<main data-samples="{escape(tried)}">'
    return f"{head}{nav}{main}\n{sections}</main></body></html>"


def _link(method: str, path: str, operation: _Schema) -> str:
    named = f"<code>{method.upper()} {escape(path)}</code>"
    return f'<li><a href="#{operation["operationId"]}">{named}</a></li>'


def _section(method: str, path: str, operation: _Schema, schemas: _Schema, url: str, token: bool) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    takes = _resolved(content.get("application/json", {}).get("schema", {}), schemas)
    rows: list[_Row] = [(each["name"], each["schema"], False) for each in operation.get("parameters", [])]
    rows += _rows(takes, schemas, sent=True) if takes else _kinds(content)
    words = ["curl", "-s"] + ["-X", method.upper()] * (method == "delete")
    secured = (token and "401" in operation["responses"]) or "metrics_token" in str(operation.get("security"))
    words += ["-H", "Authorization: Bearer TOKEN"] * secured
    bodies: list[list[str]] = [_FILE, _FORM] if content else [[]]
    if takes:
        bodies = [["-H", "Content-Type: application/json", "-d", json.dumps(takes["examples"][0])]]
    code, good = next((code, reply) for code, reply in operation["responses"].items() if code.startswith("2"))
    kinds: _Schema = good.get("content", {})
    words += ["-o", "FILE"] * any(kind.startswith("image/") for kind in kinds)
    place = path.replace("{scene}", "ID").replace("{name}", "NAME")
    place += "".join(f"?{each['name']}=NAME" for each in operation.get("parameters", []) if each["in"] == "query")
    commands = [" ".join(map(quote, [*words, *body, url + place])) for body in bodies]
    body = takes["examples"][0] if takes else None
    program = _program(operation["operationId"], method, url, place, body, kinds, token=secured)
    reply: _Schema = kinds.get("application/json", {})
    replied = _resolved(reply.get("schema", {}), schemas)
    told = [reply["example"]] if "example" in reply else replied.get("examples", [])
    opened = operation["operationId"] in _OPEN
    good_reply = good["description"][0].lower() + good["description"][1:]
    replies = f"Reply with status {code} ({', '.join(kinds) or 'no body'}): {escape(good_reply)}"
    said = " ".join(filter(None, (f"{operation['summary']}.", operation.get("description"))))
    return (
        f'<section id="{operation["operationId"]}"><h3><code>{method.upper()} {escape(path)}</code></h3>'
        f"<p>{_marked(said)}</p>{_table('Request', rows, schemas, opened=opened)}"
        f"{''.join(map(_command, commands))}{_folded(program, url, opened=opened)}"
        f"<p>{replies} {_refusals(operation)}</p>"
        f"{_table('Reply', _rows(replied, schemas), schemas, opened=opened)}{''.join(map(_example, told))}</section>\n"
    )


def _refusals(operation: _Schema) -> str:
    """The statuses of errors that an endpoint replies with."""
    statuses = sorted(status for status in operation["responses"] if status >= "400")
    return f'<a href="#errors">Errors</a>: {", ".join(statuses)}.'


def _errors(schemas: _Schema) -> str:
    """What an error looks like, and what to do about each code."""
    problem = schemas["Problem"]
    lines = "".join(
        f'<tr><th scope="row">{CODES[code]}</th><td><code>{code}</code></td>'
        f"<td>{_marked(meaning)}</td><td>{_marked(act)}</td></tr>"
        for code, (meaning, act) in MEANINGS.items()
    )
    return (
        '<section id="errors"><h2>Errors</h2><p>A reply with a status of 400 or more is an object that says what is '
        f"wrong, and what to do about it.</p>{_table('Reply', _rows(problem, schemas), schemas)}"
        f'{_example(problem["examples"][0])}<table><thead><tr><th scope="col">Status</th><th scope="col">Code</th>'
        '<th scope="col">Meaning</th>'
        f'<th scope="col">What to do</th></tr></thead><tbody>{lines}</tbody></table></section>\n'
    )


def _client(url: str) -> str:
    """A program that uses the client, with the URL of the service, and the client itself."""
    program = re.sub(r"(?<=Client\().*(?=\))", _literal(url), CLIENT, count=1)
    copied = program.replace("twelve.client", "client")
    return (
        '<section id="client"><h2>A client in Python</h2><p>The client sends the token of the environment variable '
        "<code>TWELVE_TOKEN</code>, waits while the service is busy, and sends an image again if the service no "
        "longer stores its scene. Given a list of texts, it asks several at a time. It needs Python 3.10 or newer, and "
        "its standard library alone. Save it beside a program such as this.</p>"
        f"{_command(f'curl -sO {url}/client.py')}"
        f'<pre tabindex="0" aria-label="A program that uses the client">{escape(copied)}</pre>'
        '<details class="program"><summary>client.py</summary>'
        f'<pre tabindex="0" aria-label="client.py">{escape(inspect.getsource(client))}</pre></details></section>\n'
    )


def _limits(limits: Limits) -> str:
    """The limits of the service and their values."""
    rows = "".join(
        f'<tr><th scope="row"><code>{name}</code></th><td class="value">{_number(getattr(limits, name))}</td>'
        f"<td>{meaning}</td></tr>"
        for name, meaning in LIMITED.items()
    )
    body = ("bytes of a body, which follow from `max_bytes`; more get 413", _number(limits.max_body))
    fixed = "".join(
        f'<tr><th scope="row">{_marked(meaning)}</th><td class="value">{value}</td></tr>'
        for meaning, value in (body, *FIXED)
    )
    return (
        '<section id="limits"><h2>Limits</h2><p>The limits of this service. Its operator can change each of the '
        "following with an option, such as <code>--max-bytes</code>.</p>"
        '<table><thead><tr><th scope="col">Limit</th><th scope="col">Value</th><th scope="col">Meaning</th></tr>'
        f"</thead><tbody>{rows}</tbody></table><p>The following limits have no option of their own.</p>"
        '<table class="fixed"><thead><tr><th scope="col">Limit</th><th scope="col">Value</th></tr></thead>'
        f"<tbody>{fixed}</tbody></table></section>\n"
    )


def _number(value: float) -> str:
    return f"{value:,}".removesuffix(".0")


def _token(found: Iterable[tuple[str, str, _Schema]]) -> str:
    found = list(found)
    free = [f"<code>{escape(path)}</code>" for _, path, each in found if "401" not in each["responses"]]
    own = [path for _, path, each in found if "metrics_token" in str(each.get("security"))]
    other = "".join(f" <code>{path}</code> needs another token, the metrics token." for path in own)
    return (
        '<section id="token"><h2>Token</h2><p>Ask the operator of this service for the token. Send it in the header '
        "<code>Authorization: Bearer TOKEN</code> of every request, as in the examples. These paths need none: "
        f"{', '.join(free)}, <code>/docs</code>, <code>/client.py</code> and <code>/openapi.json</code>.{other}</p>"
        "</section>\n"
    )


def _command(line: str) -> str:
    return f'<pre tabindex="0" aria-label="Example for curl">{escape(line)}</pre>'


def _program(name: str, method: str, url: str, path: str, body: object, kinds: _Schema, *, token: bool) -> str:
    """An example in Python, which calls an endpoint with the client below: with its method, if it has one."""
    drawn, read = any(kind.startswith("image/") for kind in kinds), "application/json" in kinds
    lines = ["from pathlib import Path"] * drawn + ["from client import Client", ""]
    lines += [f"service = Client({_literal(url)}{', ' * token}{_literal('TOKEN') * token})"]
    if isinstance(body, Mapping):
        call = _asked(path.rpartition("/")[2], body)
    elif (call := _CALLS.get(name, "")) == "":
        call = f"service.{method}(" if read else f"service.request({_literal(method.upper())}, "
        call += f"{_literal(path)})"
    lines += [f"scene = service.scene({_literal(_FILE[-1][1:])})"] * bool(re.search(r"\bscene\b", call))
    if drawn:
        lines += [f'Path("FILE").write_bytes({call})']
    else:
        lines += [f"print({call})" if read else f"print({call}.decode())" if kinds else call]
    return "\n".join(lines)


def _asked(name: str, body: Mapping[str, object]) -> str:
    """The call of the client's method that sends an object."""
    of_scene = hasattr(client.RemoteScene, name)
    method = getattr(client.RemoteScene if of_scene else client.Client, name)
    images = {"left": "scene", "right": "scene", "images": "[scene]"}
    taken = inspect.signature(method).parameters.values()
    places = [each.name for each in taken if each.kind is each.POSITIONAL_OR_KEYWORD and each.name != "self"]
    given = [images.get(each) or _literal(body[each]) for each in places]
    given += [f"{key}={_literal(value)}" for key, value in body.items() if key not in {*places, "image", "images"}]
    return f"{'scene' if of_scene else 'service'}.{name}({', '.join(given)})"


def _literal(value: object) -> str:
    """A value of JSON as Python writes it, with double quotes."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(name)}: {_literal(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _folded(lines: str, url: str, *, opened: bool) -> str:
    return (
        f'<details class="program"{" open" * opened}><summary>The same in Python</summary>'
        f'<pre tabindex="0" aria-label="Example for Python">{escape(lines)}</pre>'
        f'<p>Save <a href="#client">client.py</a> beside it: <code>curl -sO {escape(url)}/client.py</code></p>'
        "</details>"
    )


def _example(of: Any) -> str:
    return f"<details><summary>Example of the reply</summary><code>{escape(_indented(of))}</code></details>"


def _indented(of: Any) -> str:
    """JSON with a line for each field, and for each list of numbers."""
    text = json.dumps(of, indent=2, ensure_ascii=False)
    return re.sub(
        r"\[\n[^][{}\"]+\]", lambda numbers: " ".join(numbers[0].split()).replace("[ ", "[").replace(" ]", "]"), text
    )


def _marked(text: str) -> str:
    """A text as HTML, in which backticks mark code."""
    return re.sub("`(.*?)`", r"<code>\1</code>", escape(text))


def _table(title: str, rows: Iterable[_Row], schemas: _Schema, *, opened: bool = False) -> str:
    rows = list(rows)
    lines = "".join(_line(*row, schemas) for row in rows)
    names = ", ".join(f"<code>{escape(name)}</code>" for name, _, _ in rows if "." not in name)
    shown = title if opened or not names else f"{title}: {names}"
    return f"<details{' open' * opened}><summary>{shown}</summary><table>{lines}</table></details>" if lines else ""


def _line(path: str, of: _Schema, optional: bool, schemas: _Schema) -> str:
    """The row of a field, indented below the field that it is in."""
    depth, name = path.count("."), path.rpartition(".")[2]
    head = f' class="in-{depth}" aria-label="{escape(path)}"' if depth else ""
    part, kind = SHARED.get(_inside(of, schemas)[2]), "; ".join(_kind(of, schemas))
    more = f'; <a href="#{part}">{"their" if kind.startswith("list") else "its"} fields</a>' if part else ""
    return (
        f'<tr><th scope="row"{head}><code>{escape(name)}</code></th><td>'
        f"{escape(kind)}{' (optional)' * optional}{more}</td></tr>"
    )


def _shared(schemas: _Schema) -> str:
    """What is described once for all replies."""
    parts = "".join(
        f'<section id="{field}"><h3><code>{field}</code></h3><p>{_marked(schemas[name]["description"])}</p>'
        f"<table>{''.join(_line(*row, schemas) for row in _rows(schemas[name], schemas))}</table>"
        f"{_codes_of_warnings() * (field == 'warnings')}</section>\n"
        for name, field in SHARED.items()
    )
    return f"<h2>Parts of replies</h2><p>Fields that several replies have.</p>\n{parts}"


def _codes_of_warnings() -> str:
    """Which warnings make a reply unreliable."""
    rows = "".join(
        f'<tr><th scope="row"><code>{code}</code></th><td>{str(code in HARMLESS).lower()}</td></tr>' for code in WARNED
    )
    return (
        "<p>Each code, and the value of <code>reliable</code> of a reply with only this warning.</p><table><thead><tr>"
        '<th scope="col">Code</th><th scope="col"><code>reliable</code></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _kinds(content: _Schema) -> Iterator[_Row]:
    """The content types of a body that is no JSON, those of one schema in one row."""
    for schema, alike in groupby(content, key=lambda kind: content[kind]["schema"]):
        yield ", ".join(alike), schema, False


def _rows(of: _Schema, schemas: _Schema, *, sent: bool = False, above: str = "") -> Iterator[_Row]:
    """The fields of an object, each followed by the fields of the objects in it; of a request, required ones first."""
    needed = {*of.get("required", ()), *(name for one in of.get("oneOf", ()) for name in one["required"])}
    fields = of.get("properties", {}).items()
    for name, schema in sorted(fields, key=lambda field: sent and field[0] not in needed):
        yield above + name, schema, sent and name not in needed
        inner, marks, kind = _inside(schema, schemas)
        if kind not in SHARED:
            yield from _rows(inner, schemas, sent=sent, above=f"{above}{name}{marks}.")


def _inside(schema: _Schema, schemas: _Schema) -> tuple[_Schema, str, str]:
    """The object in a field, which may be in lists ([]) or have a name of its own ({NAME}); and the name of its schema,
    empty if it has none."""
    found, marks, kind = _resolved(schema, schemas), "", schema.get("$ref", "")
    while inner := found.get("anyOf", [None])[0] or found.get("items") or found.get("additionalProperties"):
        if not isinstance(inner, Mapping):
            break
        marks += "[]" if "items" in found else "" if "anyOf" in found else "{NAME}"
        found, kind = _resolved(inner, schemas), inner.get("$ref", "")
    return found, marks, kind.rpartition("/")[2]


def _resolved(schema: _Schema, schemas: _Schema) -> _Schema:
    found: _Schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _kind(schema: _Schema, schemas: _Schema) -> Iterator[str]:
    """The type of a field, its range, default and meaning, in words."""
    found = _resolved(schema, schemas)
    if "anyOf" in found:
        yield " or ".join(next(_kind(each, schemas)) for each in found["anyOf"])
        found = {**found["anyOf"][0], **found}
    elif "items" in found:
        yield f"list of {_several(next(_kind(found['items'], schemas)))}"
    elif "prefixItems" in found:
        kind = next(_kind(found["prefixItems"][0], schemas))
        yield f"list of {len(found['prefixItems'])} {_several(kind)}"
    elif isinstance(inner := found.get("additionalProperties"), Mapping) and not found.get("properties"):
        yield f"object with a {next(_kind(inner, schemas))} for each name"
    else:
        choices = found.get("enum", [found["const"]] if "const" in found else [])
        yield " or ".join(map(json.dumps, choices)) or _TYPES.get(found["type"]) or found["type"]
    for low, high, what in RANGES:
        if high in found and not {"prefixItems", "enum"} & found.keys():
            least = f"{found[low]:,g} to" if low in found else "at most"
            yield f"{least} {found[high]:,g}{what}"
    if found.get("default") not in (None, []):
        yield f"default {json.dumps(found['default'])}"
    if "description" in found:
        said = found["description"].replace("`", "")
        yield re.sub("^[A-Z](?=[a-z]* )", lambda first: first[0].lower(), said).removesuffix(".")


def _several(kind: str) -> str:
    """The plural of a type."""
    return re.sub("^(string|number|whole number|object|list)(?= |$)", r"\1s", kind)
