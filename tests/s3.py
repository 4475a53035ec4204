"""A real S3 server on this machine that can be told to fail, to be slow, or to refuse."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

KEY, SECRET = "AKIDFORTESTS", "secret-that-nobody-may-see"
_CREDENTIAL = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True)
class Request:
    """What was asked of the server, and by whom: `key` is the access key that signed it."""

    method: str
    path: str
    range: str = ""
    query: str = ""
    key: str = ""


class _Silent(WSGIRequestHandler):
    def log_request(self, *arguments: Any) -> None:
        """Tests have their own record of requests."""


class S3Server:
    """An S3 server at `endpoint`, in threads of this process; other processes reach it with `environment`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.latency_s = 0.0
        self.knows_conditions = True  # whether `If-None-Match` is heeded, which not all stores do
        self.n_bytes_sent = 0
        self._is_cut: Callable[[Request], bool] = lambda request: False
        self._answer: Callable[[Request], tuple[str, str] | None] = lambda request: None
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._respond, threaded=True, request_handler=_Silent)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys below a prefix, without it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", [])]

    def size(self, bucket: str, key: str) -> int:
        """Bytes of an object."""
        return int(self.client.head_object(Bucket=bucket, Key=key)["ContentLength"])

    @contextmanager
    def answering(self, answer: Callable[[Request], tuple[str, str] | None]) -> Iterator[None]:
        """Answer requests with a status line and an S3 error code where `answer` gives them."""
        self._answer = answer
        try:
            yield
        finally:
            self._answer = lambda request: None

    @contextmanager
    def cutting(self, is_cut: Callable[[Request], bool]) -> Iterator[None]:
        """Break the connection in the middle of the answers to some requests."""
        self._is_cut = is_cut
        try:
            yield
        finally:
            self._is_cut = lambda request: False

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()

    def _respond(self, environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        signed_by = _CREDENTIAL.search(environment.get("HTTP_AUTHORIZATION", ""))
        request = Request(
            environment["REQUEST_METHOD"],
            environment["PATH_INFO"],
            environment.get("HTTP_RANGE", ""),
            environment["QUERY_STRING"],
            signed_by[1] if signed_by else "",
        )
        self.requests.append(request)
        if self.latency_s:
            time.sleep(self.latency_s)
        if not self.knows_conditions:
            environment.pop("HTTP_IF_NONE_MATCH", None)
        refusal = self._answer(request)
        if refusal is None:
            answer: Iterable[bytes] = self._application(environment, start_response)
            return self._sent(answer, is_cut=self._is_cut(request))
        status, code = refusal
        environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        # An answer to HEAD has no body: what came after the headers would be taken for the next answer.
        return [] if request.method == "HEAD" else [body]

    def _sent(self, answer: Iterable[bytes], *, is_cut: bool) -> Iterator[bytes]:
        for part in answer:
            self.n_bytes_sent += len(part)
            if is_cut:
                yield part[: len(part) // 2]
                raise ConnectionResetError  # the server closes the connection
            yield part
