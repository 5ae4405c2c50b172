"""What storage asks of boto3: a client for the endpoint of the settings, and its errors in words that help."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from infra.errors import UserError
from infra.settings import redact_url, set_defaults, settings

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

    retries = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=16)
    return boto3.Session().client("s3", endpoint_url=endpoint or None, config=retries)


os.register_at_fork(after_in_child=make_client.cache_clear)  # two processes cannot share a client's connections


@contextmanager
def explain_s3_errors(uri: str) -> Iterator[None]:
    """Botocore's errors as FileNotFoundError or EOFError, or as a line that says what to mend."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions as known

    try:
        yield
    except known.NoCredentialsError as error:
        raise UserError(f"{uri}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from error
    except (known.ConnectionError, known.HTTPClientError) as error:
        server = redact_url(settings().s3_endpoint) or "AWS"
        raise UserError(f"{uri}: no S3 server answers at {server}; see AWS_ENDPOINT_URL") from error
    except (known.ClientError, known.BotoCoreError, Boto3Error) as error:
        raise _named(uri, error) from error


def _named(uri: str, error: Exception) -> Exception:
    cause = error if hasattr(error, "response") else error.__context__  # an upload wraps the server's answer
    code = getattr(cause, "response", {}).get("Error", {}).get("Code", "")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), uri)
    if code in {"InvalidRange", "416"}:
        return EOFError(uri)
    return UserError(f"{uri}: {HINTS.get(code, ' '.join(str(error).split()))}")
