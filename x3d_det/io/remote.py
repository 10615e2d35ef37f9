"""The far end of a download: the bytes of a URL, or of a local file, from an offset on.

Private to `io.download`. Ranges, conditions and their answers follow RFC 9110, sections 13 to 15.
"""

import contextlib
import re
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests
import urllib3

_CHUNK_BYTES = 1 << 16  # a connection that breaks off loses less than one
_MAX_REDIRECTS = 10
_SCHEMES = ("http", "https", "file")
# Answers that another try may change: timeouts, too many requests, faults of the server.
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_ASKED_WAIT_SECONDS = 120.0


class Fault(Exception):
    """A request that failed.

    Args:
        reason: what happened, in words.
        passes: another try may go well.
        wait_seconds: what the server asks to wait before it.
    """

    def __init__(self, reason: str, *, passes: bool, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.passes = passes
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, kw_only=True)
class Version:
    """What tells one content of a URL from a later one."""

    num_bytes: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    md5: str | None = None
    """32 hexadecimal digits, where the server promises them."""

    @property
    def condition(self) -> str | None:
        """The value of `If-Range`, which must be a strong ETag or a date; None: cannot resume."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.last_modified

    def is_same(self, other: "Version") -> bool:
        """Return whether bytes of both may be joined."""
        same_size = self.num_bytes == other.num_bytes or None in (self.num_bytes, other.num_bytes)
        return same_size and self.condition == other.condition


@dataclass(frozen=True, kw_only=True)
class Body:
    """An answer whose bytes wait to be read."""

    version: Version
    start: int
    """Offset of the first byte; 0 where the source would not, or must not, go on."""
    knows_its_end: bool
    """False where a cut connection looks like the end of the file."""
    chunks: Iterator[bytes]
    """The bytes; raises Fault where they break off."""


def is_web(url: str) -> bool:
    """Return whether `url` is asked for over the network."""
    return urllib.parse.urlsplit(url).scheme.lower() in ("http", "https")


def shown(url: str) -> str:
    """Return a URL for messages and files: without a user's name and password."""
    if not is_web(url):
        return url
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextlib.contextmanager
def open_body(url: str, *, offset: int, version: Version, timeout_seconds: float) -> Iterator[Body]:
    """Give the bytes from `offset` on if the file is still of `version`, else from 0.

    Args:
        url: http, https or file URL, or a local path.
        offset: bytes already had.
        version: of those bytes.
        timeout_seconds: longest silence.

    Raises:
        Fault: no answer, or one that is not the file; also while the chunks are read.
    """
    if not is_web(url):
        with _open_local(local_path(url), offset=offset, version=version) as body:
            yield body
        return
    can_resume = offset > 0 and version.condition is not None
    response = _get(url, offset if can_resume else 0, version.condition, timeout_seconds)
    try:
        if not _goes_on(response, offset, version):
            response.close()
            response = _get(url, 0, None, timeout_seconds)
        _check_status(response)
        start = offset if response.status_code == 206 else 0
        _check_encoding(response, url)
        yield Body(
            version=_version(response),
            start=start,
            knows_its_end="Content-Length" in response.headers
            or response.headers.get("Transfer-Encoding", "").lower() == "chunked",
            chunks=_chunks(response),
        )
    finally:
        response.close()


def version_of(url: str, *, timeout_seconds: float) -> Version:
    """Return length and marks of a file without its bytes.

    Raises:
        Fault: as `open_body`.
    """
    if not is_web(url):
        with _open_local(local_path(url), offset=0, version=Version()) as body:
            return body.version
    response = _request("HEAD", url, {}, timeout_seconds)
    if response.status_code in (403, 405, 501):  # some servers answer GET alone
        response.close()
        response = _request("GET", url, {"Range": "bytes=0-0"}, timeout_seconds)
    with response:
        _check_status(response)
        return _version(response)


def local_path(url: str) -> Path:
    """Return the path of a file URL, or of what is one already.

    Raises:
        Fault: a URL of another kind.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme.lower() == "file":
        return Path(urllib.request.url2pathname(parts.path))
    if "://" in url:
        raise Fault(f"{parts.scheme} is not one of {', '.join(_SCHEMES)}", passes=False)
    return Path(url)


@contextlib.contextmanager
def _open_local(path: Path, *, offset: int, version: Version) -> Iterator[Body]:
    try:
        if not path.is_file():
            raise Fault("there is no such file", passes=False)
        with open(path, "rb") as file:
            facts = path.stat()
            found = Version(num_bytes=facts.st_size, etag=f'"{facts.st_mtime_ns}"')
            start = offset if found.is_same(version) else 0
            file.seek(start)
            yield Body(version=found, start=start, knows_its_end=True, chunks=_local_chunks(file))
    except OSError as error:
        if error.filename != str(path):
            raise  # of the block's own work
        raise Fault(f"cannot be read ({error.strerror})", passes=False) from error


def _local_chunks(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise Fault(f"cannot be read ({error.strerror})", passes=False) from error


def _get(url: str, offset: int, condition: str | None, timeout_seconds: float) -> requests.Response:
    ask = {"Range": f"bytes={offset}-", "If-Range": condition or ""} if offset else {}
    return _request("GET", url, ask, timeout_seconds)


def _request(
    method: str, url: str, headers: dict[str, str], timeout_seconds: float
) -> requests.Response:
    """Send a request and follow its redirects, never from https to anything weaker."""
    # Compressed bytes could be neither counted nor resumed.
    headers = {"Accept-Encoding": "identity", **headers}
    for _ in range(_MAX_REDIRECTS):
        try:
            response = requests.request(
                method,
                url,
                headers=headers,
                stream=True,
                timeout=timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _fault(error, timeout_seconds) from error
        if not response.is_redirect:
            return response
        response.close()
        url = _redirected(url, response.headers["Location"])
    raise Fault(f"more than {_MAX_REDIRECTS} redirects", passes=False)


def _redirected(url: str, location: str) -> str:
    target = urllib.parse.urljoin(url, location)
    scheme = urllib.parse.urlsplit(target).scheme.lower()
    was_secure = urllib.parse.urlsplit(url).scheme.lower() == "https"
    if scheme != "https" and (was_secure or scheme != "http"):
        raise Fault(
            f"is redirected to {shown(target)}, which is not https and is not followed",
            passes=False,
        )
    return target


def _goes_on(response: requests.Response, offset: int, version: Version) -> bool:
    """Return whether the answer may be used: the whole file, a fault, or exactly our rest."""
    if response.status_code == 416:
        return False  # the file has become shorter
    if response.status_code != 206:
        return True
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    starts_right = found is not None and int(found[1]) == offset
    return starts_right and _version(response).is_same(version)


def _check_status(response: requests.Response) -> None:
    code = response.status_code
    if code in (200, 206):
        return
    wait = response.headers.get("Retry-After", "")
    raise Fault(
        f"the server answers {code} ({response.reason or 'without a reason'})",
        passes=code in _PASSING_STATUS,
        wait_seconds=min(float(wait), _LONGEST_ASKED_WAIT_SECONDS) if wait.isdigit() else None,
    )


def _check_encoding(response: requests.Response, url: str) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    # Servers describe a stored .tar.gz so too; its bytes are the file all the same.
    if encoding != "identity" and not urllib.parse.urlsplit(url).path.endswith((".gz", ".tgz")):
        raise Fault(f"the server sends it compressed ({encoding}), unasked", passes=False)


def _version(response: requests.Response) -> Version:
    headers = response.headers
    length = headers.get("Content-Length", "")
    if response.status_code == 206:
        length = headers.get("Content-Range", "").rpartition("/")[2]
    etag = headers.get("ETag")
    return Version(
        num_bytes=int(length) if length.isdigit() else None,
        etag=etag,
        last_modified=headers.get("Last-Modified"),
        md5=etag.strip('"').lower() if etag and _etag_is_md5(response) else None,
    )


def _etag_is_md5(response: requests.Response) -> bool:
    """Return whether the ETag is the content's MD5.

    Source: Amazon S3 API reference, "Object": so for objects uploaded in one part and kept
    plain or under SSE-S3; those of several parts carry a dash and their number.
    """
    headers = response.headers
    is_s3 = headers.get("Server") == "AmazonS3"
    other_key = headers.get("x-amz-server-side-encryption", "AES256") != "AES256" or (
        "x-amz-server-side-encryption-customer-algorithm" in headers
    )
    is_hash = re.fullmatch(r'"[0-9a-fA-F]{32}"', headers.get("ETag", "")) is not None
    return is_s3 and is_hash and not other_key


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        # The bytes as they came: what `iter_content` would unpack is the file itself here.
        yield from response.raw.stream(_CHUNK_BYTES, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        reason = "went silent" if "timed out" in str(error).lower() else "broke off"
        raise Fault(f"the connection {reason}", passes=True) from error


def _fault(error: requests.RequestException, timeout_seconds: float) -> Fault:
    """Return what a failed request means, without the pools and adapters of its text."""
    if isinstance(error, requests.Timeout):
        return Fault(f"no answer within {timeout_seconds:g} s", passes=True)
    if isinstance(error, requests.exceptions.SSLError):
        return Fault("its certificate is not accepted", passes=False)
    if isinstance(error, requests.ConnectionError):
        return Fault(f"cannot be reached ({_root_reason(error)})", passes=True)
    return Fault(f"cannot be asked for ({error})", passes=False)


def _root_reason(error: BaseException) -> str:
    """Return the text of the operating system's own error under the layers above it."""
    reason = ""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.strerror:
            reason = current.strerror
        current = current.__cause__ or current.__context__
    return reason or "the connection broke off"
