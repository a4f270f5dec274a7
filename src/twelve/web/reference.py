"""The page /docs: what the API takes and returns, from its OpenAPI description. Nothing is loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from html import escape
from shlex import quote
from typing import Any, TypeAlias

_Schema: TypeAlias = Mapping[str, Any]
RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>twelve: API</title><link rel="icon" href="icon.svg" type="image/svg+xml"><link rel="stylesheet" href="page.css">
</head><body class="reference"><header><h1>API</h1>
<p>Upload an image to <code>/api/scenes</code>, and write the <code>id</code> in the reply in place of <code>ID</code>.
The examples are about <code>examples/scene.jpg</code> of the repository. For programs:
<a href="openapi.json">openapi.json</a>. <a href="./">Back to the page</a></p></header><main>
"""


def reference(description: _Schema, address: str, *, token: bool = False) -> str:
    """The page as HTML; the examples have the ``address`` of the service, and a token where one is needed."""
    schemas = description["components"]["schemas"]
    found = ((method, path, each) for path, of in description["paths"].items() for method, each in of.items())
    return f"{HEAD}{''.join(_section(*each, schemas, address, token) for each in found)}</main></body></html>"


def _section(method: str, path: str, operation: _Schema, schemas: _Schema, address: str, token: bool) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    takes = _resolved(content.get("application/json", {}).get("schema", {}), schemas)
    needed = takes.get("required", ())
    rows = [(each["name"], each["schema"]) for each in operation.get("parameters", [])]
    rows += sorted(takes.get("properties", {}).items(), key=lambda row: row[0] not in needed)
    optional = {name for name, _ in rows if takes and name not in needed}
    words = ["curl", "-s"] + ["-X", method.upper()] * (method == "delete")
    words += ["-H", "Authorization: Bearer TOKEN"] * (token and "401" in operation["responses"])
    sent = ["-H", "Content-Type: image/jpeg", "--data-binary", "@examples/scene.jpg"] if content else []
    if takes:
        sent = ["-H", "Content-Type: application/json", "-d", json.dumps(takes["examples"][0])]
    command = " ".join(map(quote, [*words, *sent, address + path.replace("{scene}", "ID").replace("{name}", "NAME")]))
    reply = _reply(operation)
    replied = _resolved(reply.get("schema", {}), schemas)
    told = [reply["example"]] if "example" in reply else replied.get("examples", [])
    shown = "".join(
        f"<details><summary>Example</summary><code>{escape(json.dumps(each))}</code></details>" for each in told
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['description'])}</p>"
        f"{_table('Request', rows, schemas, optional)}"
        f'<pre tabindex="0" aria-label="Example">{escape(command)}</pre>'
        f"{_table('Reply', replied.get('properties', {}).items(), schemas)}{shown}</section>\n"
    )


def _reply(operation: _Schema) -> _Schema:
    """Schema and example of the reply to a request that succeeds, if it is JSON."""
    good: _Schema = next((reply for code, reply in operation["responses"].items() if code.startswith("2")), {})
    found: _Schema = good.get("content", {}).get("application/json", {})
    return found


def _table(title: str, rows: Iterable[tuple[str, _Schema]], schemas: _Schema, optional: Collection[str] = ()) -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>'
        f"{escape('; '.join(_kind(each, schemas)))}{' (optional)' * (name in optional)}</td></tr>"
        for name, each in rows
    )
    return f"<table><caption>{title}</caption>{lines}</table>" if lines else ""


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
        yield f"array of {next(_kind(found['items'], schemas))}"
    elif "prefixItems" in found:
        yield f"[{', '.join(next(_kind(each, schemas)) for each in found['prefixItems'])}]"
    elif "properties" in found:
        yield f"object {{{', '.join(found['properties'])}}}"
    else:
        choices = found.get("enum", [found["const"]] if "const" in found else [])
        yield " or ".join(map(json.dumps, choices)) or found["type"]
    for low, high, what in RANGES:
        if high in found and not {"prefixItems", "enum"} & found.keys():
            yield f"{found.get(low, 0):,g} to {found[high]:,g}{what}"
    if found.get("default") is not None:
        yield f"default {json.dumps(found['default'])}"
    if "description" in found:
        yield found["description"].replace("`", "")
