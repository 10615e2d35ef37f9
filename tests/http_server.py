"""A web server on loopback that can be told to misbehave, request by request."""

import contextlib
import email.utils
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Answer:
    """How one GET is answered; the defaults serve the file as it should be."""

    status: int | None = None
    """A bare answer of this code."""
    location: str | None = None
    """Redirect there."""
    drop_after: int | None = None
    """End the connection after this many bytes of the body, all of which arrive."""
    reset: bool = False
    """End it by a reset, which may overtake the last bytes."""
    ignore_range: bool = False
    wrong_start: bool = False
    """Answer 206 from byte 0 whatever was asked."""
    ignore_condition: bool = False
    """Answer 206 although `If-Range` does not hold."""
    length: int | None = None
    """Claim this Content-Length, and send so much."""
    no_length: bool = False
    chunked: bool = False
    pause_seconds: float = 0.0
    """Wait before the body's second half."""
    num_pauses: int = 1
    """That half comes in so many pieces, with a wait before each."""
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Resource:
    """A file of the server."""

    content: bytes
    answers: list[Answer] = field(default_factory=list)
    """Consumed one a GET; afterwards `default`."""
    default: Answer = field(default_factory=Answer)
    etag: str | None = None
    """None: the quoted MD5, as S3 gives it; an empty text: no ETag."""

    @property
    def tag(self) -> str:
        if self.etag is not None:
            return self.etag
        return f'"{hashlib.md5(self.content).hexdigest()}"'


class Server:
    """`files` by path; `requests` are the (method, path, Range) so far."""

    def __init__(self) -> None:
        self.files: dict[str, Resource] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.base = ""
        self.head_status: int | None = None
        self.software = "Test/1"
        """What it calls itself in the header `Server`."""

    def add(self, path: str, content: bytes, *answers: Answer, etag: str | None = None) -> str:
        """Serve `content` at `path`; return its URL."""
        self.files[path] = Resource(content, list(answers), etag=etag)
        return f"{self.base}{path}"

    def gets(self, path: str) -> list[str | None]:
        """Return the Range of each GET of `path`."""
        return [asked for method, at, asked in self.requests if method == "GET" and at == path]


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Give a running server."""
    server = Server()
    handler = type("Handler", (_Handler,), {"site": server})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads = True
    server.base = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def version_string(self) -> str:
        return self.site.software

    def do_HEAD(self) -> None:
        self._note()
        resource = self.site.files.get(self.path)
        status = self.site.head_status or (200 if resource else 404)
        self.send_response(status)
        if status == 200:
            self._describe(resource, resource.tag)
            self.send_header("Content-Length", str(len(resource.content)))
        self.end_headers()

    def do_GET(self) -> None:
        self._note()
        resource = self.site.files.get(self.path)
        if resource is None:
            self._bare(404)
            return
        answer = resource.answers.pop(0) if resource.answers else resource.default
        if answer.status is not None:
            self._bare(answer.status, answer)
        elif answer.location is not None:
            self._bare(302, answer, Location=answer.location)
        else:
            self._serve(resource, answer)

    def _note(self) -> None:
        self.site.requests.append((self.command, self.path, self.headers.get("Range")))

    def _bare(self, status: int, answer: Answer | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**(answer.headers if answer else {}), **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _describe(self, resource: Resource, tag: str) -> None:
        self.send_header("Accept-Ranges", "bytes")
        if tag:
            self.send_header("ETag", tag)
        if resource.etag != "":
            self.send_header("Last-Modified", email.utils.formatdate(1_500_000_000, usegmt=True))

    def _serve(self, resource: Resource, answer: Answer) -> None:
        tag = answer.etag or resource.tag
        start = self._start(answer, tag)
        total = len(resource.content)
        if start is not None and start >= total:
            self._bare(416, **{"Content-Range": f"bytes */{total}"})
            return
        first = 0 if start is None or answer.wrong_start else start
        body = resource.content[first : None if answer.length is None else answer.length]
        self.send_response(200 if start is None else 206)
        self._describe(resource, tag)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if start is not None:
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not answer.no_length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self._send(body, answer)

    def _start(self, answer: Answer, tag: str) -> int | None:
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked is None or answer.ignore_range:
            return None
        dates = email.utils.formatdate(1_500_000_000, usegmt=True)
        if condition not in (None, tag, dates) and not answer.ignore_condition:
            return None
        return int(asked.removeprefix("bytes=").split("-")[0])

    def _send(self, body: bytes, answer: Answer) -> None:
        sent = body if answer.drop_after is None else body[: answer.drop_after]
        for number, piece in enumerate(_pieces(sent, answer)):
            if number:
                self.wfile.flush()
                time.sleep(answer.pause_seconds)
            if answer.chunked and piece:
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            with contextlib.suppress(OSError):  # the client may have gone
                self.wfile.write(piece)
        if answer.drop_after is not None:
            self.close_connection = True
            if answer.reset:
                self._reset()
        elif answer.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        """Let the socket end without a polite word."""
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()


def _pieces(body: bytes, answer: Answer) -> list[bytes]:
    """Return what is sent between the pauses."""
    if not answer.pause_seconds:
        return [body]
    half = len(body) // 2
    step = -(-(len(body) - half) // answer.num_pauses)
    ends = range(half, len(body), max(step, 1))
    return [body[:half], *(body[end : end + step] for end in ends)]
