"""A stand-in of the hub's API on this machine, for what huggingface_hub's client asks when a model is pushed or pulled.

The client is told its URL with HF_ENDPOINT, and HF_HUB_DISABLE_XET=1 makes it upload large files by Git LFS. Routes
and fields are those that huggingface_hub 2.4 uses (hf_api.py, _commit_api.py, lfs.py, file_download.py).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_stand_in"


class Hub(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        repositories: owner/model -> path -> content.
        large: sha256 -> content of files that were uploaded by Git LFS.
        asked: method and path of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.commits = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def environment(self, token: str = TOKEN) -> dict[str, str]:
        """Variables with which huggingface_hub talks to this server."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        for pattern, route in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                route(self, body, *found.groups())
                return
        self._say(404, {"error": f"no route {path}"})

    def _say(self, status: int, tree: Any = None, content: bytes | None = None, **headers: str) -> None:
        sent = json.dumps(tree).encode() if content is None else content
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)

    # --- pushing -----------------------------------------------------------------------------------------------
    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        if not self._may_write():
            return
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = name in self.server.repositories
        self.server.repositories.setdefault(name, {})
        self.server.private.setdefault(name, asked.get("visibility") == "private")
        self._say(409 if there else 200, {"url": f"{self.server.url}/{name}", "name": name})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._say(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            each | {"actions": {"upload": {"href": f"{self.server.url}/lfs/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._say(200, {})

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if not self._may_write():
            return
        files = self.server.repositories[name]
        for line in body.decode().splitlines():
            asked = json.loads(line)
            value = asked["value"]
            if asked["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif asked["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif asked["key"] == "deletedFile":
                del files[value["path"]]
        self.server.commits += 1
        sha = self._sha(name)
        self._say(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"})

    def validate(self, body: bytes) -> None:
        head = json.loads(body)["content"]
        self._say(200, {"errors": [] if head.startswith("---\n") else [{"message": "no metadata"}], "warnings": []})

    def who(self, body: bytes) -> None:
        self._say(200, {"type": "user", "name": "me", "auth": {"accessToken": {"role": "write"}}})

    # --- pulling -----------------------------------------------------------------------------------------------
    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        if name not in self.server.repositories:
            self._say(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return
        siblings = [{"rfilename": path} for path in self.server.repositories[name]]
        tree = {"_id": "0", "id": name, "sha": self._sha(name), "siblings": siblings, "private": False, "tags": []}
        self._say(200, tree | {"downloads": 0, "likes": 0})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        found = []
        for path, content in self.server.repositories[name].items():
            oid = hashlib.sha256(content).hexdigest()
            large = {"lfs": {"oid": oid, "size": len(content), "pointerSize": 134}} if path.endswith("tensors") else {}
            found.append({"type": "file", "path": path, "size": len(content), "oid": oid[:40]} | large)
        self._say(200, found)

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        content = self.server.repositories.get(name, {}).get(path)
        if content is None:
            code = "EntryNotFound" if name in self.server.repositories else "RepoNotFound"
            self._say(404, {"error": "not found"}, X_Error_Code=code)
            return
        tag = hashlib.sha256(content).hexdigest()
        self._say(200, content=content, ETag=f'"{tag}"', X_Repo_Commit=self._sha(name))

    def _may_write(self) -> bool:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not allowed:
            self._say(401, {"error": "Invalid username or password."})
        return allowed

    def _sha(self, name: str) -> str:
        files = self.server.repositories[name]
        parts = [f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in sorted(files.items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()


_REPO = r"([\w.-]+/[\w.-]+)"
ROUTES: tuple[tuple[str, Any], ...] = (
    ("POST /api/repos/create", Handler.create),
    (rf"POST /api/models/{_REPO}/preupload/(\w+)", Handler.preupload),
    (rf"POST /{_REPO}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(\w+)", Handler.put),
    (rf"POST /api/models/{_REPO}/commit/(\w+)", Handler.commit),
    ("POST /api/validate-yaml", Handler.validate),
    ("GET /api/whoami-v2", Handler.who),
    (rf"GET /api/models/{_REPO}(?:/revision/(\w+))?", Handler.info),
    (rf"GET /api/models/{_REPO}/tree/(\w+).*", Handler.tree),
    (rf"(?:GET|HEAD) /{_REPO}/resolve/(\w+)/(.+)", Handler.resolve),
)


@contextmanager
def hub() -> Iterator[Hub]:
    """The stand-in, until the block ends."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """A whole answer of a web server."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@contextmanager
def other(said: bytes | None) -> Iterator[dict[str, str]]:
    """Variables of huggingface_hub with the URL of a server that says the same to everybody, or, with None, of no
    server; until the block ends."""

    class Same(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            self.request.sendall(said or b"")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Same) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        if said is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {"HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        finally:
            if said is not None:
                server.shutdown()
