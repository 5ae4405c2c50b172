"""What storage asks of boto3: a client for the endpoint of the settings, and its errors in words that help."""

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from infra.errors import UserError, redact_url
from infra.retry import retry_outages
from infra.settings import set_defaults, settings

# Servers other than AWS often know no checksums in trailers; the manifest holds SHA-256 of every file anyway.
OTHER_SERVERS = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}
HINTS = {
    "NoSuchBucket": "the bucket does not exist; create it or correct the name",
    "InvalidAccessKeyId": "the server does not know this key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret is wrong; check AWS_SECRET_ACCESS_KEY",
    "AccessDenied": "access denied; check the credentials and the bucket's policy",
    "403": "access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
}

BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
CONNECT_SECONDS = 10  # of one try, and there are several
Answer = TypeVar("Answer")


def bucket_and_key(uri: str) -> dict[str, str]:
    """s3://bucket/key as the arguments of boto3's calls."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def client() -> Any:
    """The client for the endpoint of the settings, made once a process."""
    return make_client(settings().s3_endpoint)


@cache
def make_client(endpoint: str) -> Any:
    if endpoint:
        set_defaults(OTHER_SERVERS)
    import boto3  # half a second that a local run need not pay
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": 2}  # what passes in a second is nothing to tell of
    how = Config(retries=retries, max_pool_connections=16, connect_timeout=CONNECT_SECONDS)
    return boto3.Session().client("s3", endpoint_url=endpoint or None, config=how)


os.register_at_fork(after_in_child=make_client.cache_clear)  # two processes cannot share a client's connections


def request(uri: str, ask: Callable[[Any], Answer]) -> Answer:
    """What `ask` returns of the client. A server that is away is waited for, so it may be asked again from the start.

    Raises FileNotFoundError and EOFError as a file would, else a UserError that says what to mend, at once where
    waiting mends nothing.
    """
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as known

    server = redact_url(settings().s3_endpoint) or "AWS"
    try:
        return retry_outages(lambda: ask(client()), is_outage, f"the S3 server at {server}")
    except known.NoCredentialsError as error:
        raise UserError(f"{uri}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except known.SSLError as error:
        raise UserError(f"{uri}: no safe connection to {server}: {' '.join(str(error).split())}") from error
    except (known.ConnectionError, known.HTTPClientError) as error:
        raise UserError(f"{uri}: no S3 server answers at {server}; see AWS_ENDPOINT_URL") from error
    except (known.ClientError, known.BotoCoreError, Boto3Error) as error:
        raise _named(uri, error) from error


def is_outage(error: BaseException | None) -> bool:
    """Whether the server, or the way to it, may be better in a while."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as known

    if error is None or isinstance(error, known.SSLError | known.InvalidProxiesConfigError):
        return False
    if isinstance(error, known.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return _code(error) in BUSY or status == 429 or (status >= 500 and status != 501)
    away = (known.ConnectionError, known.HTTPClientError, known.IncompleteReadError)
    if isinstance(error, Boto3Error):  # transfers in several parts wrap what went wrong with one
        return is_outage(getattr(error, "last_exception", None) or error.__context__)
    return isinstance(error, away)


def _code(error: Any) -> str:
    return getattr(error, "response", {}).get("Error", {}).get("Code", "")


def _named(uri: str, error: Exception) -> Exception:
    code = _code(error) or _code(error.__context__)  # an upload wraps the server's answer
    if code in {"NoSuchKey", "404", "NotFound"}:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri)
    if code in {"InvalidRange", "416"}:
        return EOFError(uri)
    return UserError(f"{uri}: {HINTS.get(code, ' '.join(str(error).split()))}")
