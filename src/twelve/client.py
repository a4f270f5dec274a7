"""A client of ``twelve serve``. It needs the standard library alone: copy this file to where twelve is not installed.

.. code-block:: python

    service = Client("http://127.0.0.1:8012")
    scene = service.scene("boat.jpg")
    print(scene.answer("what colour is the boat?")["answer"])

Replies are the objects of docs/http-api.md, as dictionaries.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeAlias, overload
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

Reply = dict[str, Any]
"""A reply, as docs/http-api.md describes it."""
ImageLike: TypeAlias = "RemoteScene | Path | str | bytes"
"""Images that methods about several images accept: a scene, the path of a file, or its bytes."""
_AGAIN = (429, 502, 503)
"""Statuses of a service that is busy or restarts. Where it was too slow, a request sent again would slow it further."""

_TOKEN = "pass the token of the service as token=..., or set the environment variable TWELVE_TOKEN"


class RequestError(Exception):
    """The service refused a request, or did not reply.

    Attributes:
        code: for programs (docs/http-api.md#errors); "no_reply" if there was no reply, "" if another server replied,
            such as a proxy.
        status: the HTTP status; None if there was no reply.
        remedy: what to do, in words; may be empty.
        fields: ``path`` and ``message`` of each invalid field of the request.
    """

    def __init__(
        self, problem: str, *, code: str, status: int | None = None, remedy: str = "", fields: Sequence[Reply] = ()
    ) -> None:
        super().__init__(f"{problem} -> {remedy}" if remedy else problem)
        self.code, self.status, self.remedy, self.fields = code, status, remedy, list(fields)


class _NoRedirects(HTTPRedirectHandler):
    """Another server must not get the token."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """A client of ``twelve serve``. Threads may share it.

    Args:
        url: the URL of the service, such as ``https://images.example.org``.
        token: the token to send; None reads it from the environment variable ``TWELVE_TOKEN``. A service without a
            token ignores it.
        timeout: seconds to wait for each reply; more than the service or its proxy waits (60 and 90).
        tries: how often a request is sent while the service is busy. The client waits between them as long as the
            service asks for or, if this is longer, 1, 2, 4, ... seconds: seven tries take a minute or more.
        at_once: number of requests of a list that are open at a time. The service answers them in batches.

    Raises:
        ValueError: the URL does not begin with http:// or https://, or the token cannot be sent.
    """

    def __init__(
        self, url: str, token: str | None = None, *, timeout: float = 100, tries: int = 7, at_once: int = 8
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"expected a URL that begins with http:// or https://, found {url!r}")
        self.url, self.timeout, self.tries, self.at_once = url.rstrip("/"), timeout, tries, at_once
        self._token = (token or os.environ.get("TWELVE_TOKEN") or "").strip()
        if not self._token.isascii() or len(self._token.split()) > 1:
            raise ValueError("expected one token, of ASCII without spaces or line breaks")  # without showing it
        self._opener = build_opener(_NoRedirects)

    def scene(self, image: Path | str | bytes) -> RemoteScene:
        """An image, sent to the service once for any number of questions.

        Args:
            image: the path of a file, or its bytes.

        Raises:
            TypeError: ``image`` is something else.
            FileNotFoundError: there is no such file.
            OSError: the file cannot be read.
            RequestError: the service does not accept it.
        """
        if not isinstance(image, Path | str | bytes):
            raise TypeError(f"expected a path or the bytes of a file, found {type(image).__name__}")
        return RemoteScene(self, image if isinstance(image, bytes) else Path(image).read_bytes())

    def verify(self, left: ImageLike, right: ImageLike, statement: str, **options: Any) -> Reply:
        """Whether a statement is true of two images.

        Args:
            left, right: scenes, or what :meth:`scene` takes. The client sends such an image to the service, and deletes
                it there after the reply.
            statement: the statement.
            options: further fields of the request.

        Raises:
            TypeError: an image is something else.
            OSError: a file cannot be read.
            RequestError: the service refused a request, or did not reply.
        """
        with self._scenes([left, right]) as scenes:
            one, other = scenes
            body = lambda: {"left": one.sent, "right": other.sent, "statement": statement, **options}  # noqa: E731
            return self._about(scenes, "verify", body)

    def match(self, images: Sequence[ImageLike] | ImageLike, captions: Sequence[str] | str, **options: Any) -> Reply:
        """Every caption's images, best first, each with its ``index`` among ``images``.

        Args:
            images: scenes, or what :meth:`scene` takes; one or several. The client sends such an image to the service,
                and deletes it there after the reply.
            captions: one or several.
            options: further fields of the request.

        Raises:
            TypeError, OSError, RequestError: as :meth:`verify`.
        """
        texts = [captions] if isinstance(captions, str) else list(captions)
        several = isinstance(images, Sequence) and not isinstance(images, str | bytes)
        with self._scenes(images if several else [images]) as scenes:
            body = lambda: {"images": [each.sent for each in scenes], "captions": texts, **options}  # noqa: E731
            return self._about(scenes, "match", body)

    def search(self, text: str, **options: Any) -> Reply:
        """The images of the service's index that match a text, best first."""
        return self.post("/api/v1/search", {"text": text, **options})

    def thumbnail(self, image: str) -> bytes:
        """The thumbnail, a JPEG file, of an image that a search found, named as in the reply."""
        return self.request("GET", f"/api/v1/thumbnail?{urlencode({'image': image})}")

    def model(self) -> Reply:
        """Methods, tasks and limits of the service."""
        return self.get("/api/v1/model")

    def get(self, path: str) -> Reply:
        """The JSON object at a path."""
        return self._read(self.request("GET", path))

    def post(self, path: str, body: Reply | bytes) -> Reply:
        """The reply to an object, or to the bytes of an image."""
        return self._read(self.request("POST", path, body))

    def request(self, method: str, path: str, body: Reply | bytes | None = None) -> bytes:
        """Send any request, and return the body of the reply; all other methods use this one.

        Raises:
            RequestError: the service refused it, or did not reply.
        """
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)
        for tried in range(self.tries):
            try:
                with self._opener.open(request, timeout=self.timeout) as reply:
                    return bytes(reply.read())
            except HTTPError as error:
                wait = error.headers.get("Retry-After", "")
                told = _told(error)
                again = told.status in _AGAIN and told.code != "too_slow" and wait.isdigit()
                if not again or tried + 1 == self.tries:
                    raise told from None
                # Random, so that clients who were refused together do not return together.
                time.sleep(max(int(wait), 2**tried) * random.uniform(1, 1.5))
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = f"no reply from {self.url}: {getattr(reason, 'strerror', None) or reason}"
                broken = isinstance(reason, (ConnectionResetError, BrokenPipeError))
                remedy = f"check {'the size of the image' if broken else 'the URL, and that the service runs'}"
                raise RequestError(problem, code="no_reply", remedy=remedy) from None
        raise ValueError(f"expected at least one try, found {self.tries}")

    def _read(self, reply: bytes) -> Reply:
        try:
            return dict(json.loads(reply))
        except (TypeError, ValueError):
            raise RequestError(f"{self.url} replied with something else than the service's JSON", code="") from None

    @contextmanager
    def _scenes(self, images: Any) -> Iterator[list[RemoteScene]]:
        """The scenes of images. Those that are made here are deleted at the end."""
        for each in images:  # before the first is sent
            if not isinstance(each, RemoteScene | Path | str | bytes):
                raise TypeError(f"expected a scene, a path or the bytes of a file, found {type(each).__name__}")
        made: list[RemoteScene] = []
        try:
            scenes = []
            for each in images:
                if not isinstance(each, RemoteScene):
                    made.append(each := self.scene(each))
                scenes.append(each)
            yield scenes
        finally:
            for scene in made:
                with suppress(RequestError):  # it must not replace the reply; the service deletes the scene in time
                    scene.delete()

    def _about(self, scenes: Sequence[RemoteScene], method: str, body: Callable[[], Reply]) -> Reply:
        """The reply about scenes. If the service has one no longer, their images are sent again, once."""
        ids = [scene.id for scene in scenes]
        try:
            return self.post(f"/api/v1/{method}", body())
        except RequestError as error:
            if error.code != "unknown_scene":
                raise
        for scene, lost in zip(scenes, ids, strict=True):
            if len(scenes) == 1 or not self._stores(lost):
                scene._stored_again(lost)
        return self.post(f"/api/v1/{method}", body())

    def _stores(self, scene: str) -> bool:
        """Whether the service still has the scene of an id."""
        try:
            self.get(f"/api/v1/scenes/{scene}")
        except RequestError as error:
            if error.code != "unknown_scene":
                raise
            return False
        return True


def _told(error: HTTPError) -> RequestError:
    try:
        with error:
            told = json.load(error)
        remedy = _TOKEN if told["code"] == "unauthorized" else told["remedy"]  # the service speaks of its header
        of = {"code": told["code"], "remedy": remedy, "fields": told["fields"] or ()}
        return RequestError(told["error"], status=error.code, **of)
    except (KeyError, TypeError, ValueError, OSError, HTTPException):  # of another server, or cut off
        remedy = f"use the URL {error.headers['Location']}" if error.headers["Location"] else ""
        return RequestError(str(error), code="", status=error.code, remedy=remedy)


class RemoteScene:
    """A scene: an image that the service stores with its regions; :meth:`Client.scene` creates it.

    The service deletes a scene some minutes after the last question; the next question then sends the image again. At
    the end of a ``with`` block, the scene is deleted.

    Attributes:
        id: its id in the service.
        width, height: of the image, in pixels.
        boxes: of its regions: x1, y1, x2, y2 in pixels of the image after its EXIF rotation.
        labels: the detector's class of each region; empty if the detector names no classes.
        warnings: reasons to doubt replies about the image, each with a ``code`` and a ``text``.
    """

    def __init__(self, client: Client, image: bytes) -> None:
        self._client, self._image, self._lock = client, image, threading.Lock()
        self._store()

    def _store(self) -> None:
        told = self._client.post("/api/v1/scenes", self._image)
        self.id: str = told["id"]
        self.width: int = told["width"]
        self.height: int = told["height"]
        self.boxes: list[list[float]] = told["boxes"]
        self.labels: list[str] = told["labels"]
        self.warnings: list[Reply] = told.get("warnings", [])  # an earlier service sends none

    def _stored_again(self, lost: str) -> None:
        with self._lock:
            if self.id == lost:  # no other thread has done so
                self._store()

    @property
    def sent(self) -> Reply:
        """The scene, as requests name it."""
        return {"scene": self.id}

    @overload
    def answer(self, question: str, **options: Any) -> Reply: ...
    @overload
    def answer(self, question: list[str], **options: Any) -> list[Reply]: ...
    def answer(self, question: str | list[str], **options: Any) -> Reply | list[Reply]:
        """The reply to a question; for a list of questions, a list of replies."""
        return self._texts("answer", "question", question, options)

    @overload
    def locate(self, phrase: str, **options: Any) -> Reply: ...
    @overload
    def locate(self, phrase: list[str], **options: Any) -> list[Reply]: ...
    def locate(self, phrase: str | list[str], **options: Any) -> Reply | list[Reply]:
        """The box that a phrase refers to; for a list of phrases, a list of replies."""
        return self._texts("locate", "phrase", phrase, options)

    @overload
    def entails(self, statement: str, **options: Any) -> Reply: ...
    @overload
    def entails(self, statement: list[str], **options: Any) -> list[Reply]: ...
    def entails(self, statement: str | list[str], **options: Any) -> Reply | list[Reply]:
        """Whether the image entails a statement; for a list of statements, a list of replies."""
        return self._texts("entails", "statement", statement, options)

    def choose(self, question: str, boxes: Sequence[Sequence[float]], **options: Any) -> Reply:
        """The box that answers a question."""
        return self._asked("choose", {"question": question, "boxes": boxes, **options})

    def guess(
        self, dialogue: Sequence[tuple[str, str] | Reply], boxes: Sequence[Sequence[float]], **options: Any
    ) -> Reply:
        """The box that a dialogue is about. A turn of the dialogue is a question and an answer (yes, no or n/a), as a
        pair or as ``{"question": ..., "answer": ...}``."""
        turns = [
            turn if isinstance(turn, dict) else dict(zip(("question", "answer"), turn, strict=True))
            for turn in dialogue
        ]
        return self._asked("guess", {"dialogue": turns, "boxes": boxes, **options})

    def depends(self, text: str, *, right: ImageLike | None = None, **options: Any) -> Reply:
        """The regions that an answer depends on. With ``method="verify"``, this scene is the left image, and ``right``
        the right one, as :meth:`Client.verify` takes it."""
        with self._client._scenes([self] if right is None else [self, right]) as scenes:

            def body() -> Reply:
                other = {} if right is None else {"right": scenes[1].sent}
                return {"image": self.sent, "text": text, **other, **options}

            return self._client._about(scenes, "depends", body)

    def ask(self, method: str, text: str, **options: Any) -> Reply:
        """Ask with any method that takes a text and no boxes, such as that of an output of your own."""
        body = lambda: {"method": method, "text": text, "images": [self.sent], **options}  # noqa: E731
        return self._client._about([self], "ask", body)

    def delete(self) -> None:
        """Delete the scene from the service."""
        try:
            self._client.request("DELETE", f"/api/v1/scenes/{self.id}")
        except RequestError as error:
            if error.code != "unknown_scene":
                raise

    def __enter__(self) -> RemoteScene:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def _asked(self, method: str, body: Reply) -> Reply:
        return self._client._about([self], method, lambda: {"image": self.sent, **body})

    def _texts(self, method: str, field: str, texts: str | list[str], options: Reply) -> Reply | list[Reply]:
        def ask(text: str) -> Reply:
            return self._asked(method, {field: text, **options})

        def one_of(number: int, text: str) -> Reply:
            try:
                return ask(text)
            except RequestError as error:
                error.args = (f"text {number} of {len(texts)}: {error}",)
                raise

        if isinstance(texts, str):
            return ask(texts)
        with ThreadPoolExecutor(self._client.at_once) as threads:
            return list(threads.map(one_of, range(1, len(texts) + 1), texts))
