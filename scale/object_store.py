"""An object store that speaks S3: moto's server, which keeps what it holds on disk, and what the demo asks of it.

`python -m scale.object_store PORT` serves it until it is ended.
"""

import resource
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from scale.site import BUCKET, STORE_LOGIN, STORE_SECRET, address_of


class ObjectStore:
    """A client of the store."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.url = address_of(ports, "object_store")
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=STORE_LOGIN,
            aws_secret_access_key=STORE_SECRET,
            config=Config(proxies={}, retries={"max_attempts": 1}),
        )

    def create_bucket(self) -> None:
        """Make the bucket; nothing happens if it is there."""
        self._client.create_bucket(Bucket=BUCKET)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the bytes of each object below a prefix by its key."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}


def serve(port: int) -> None:
    """Serve an empty store; each object is a temporary file below TMPDIR that goes with the process."""
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - the server only
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import run_simple  # noqa: PLC0415 - the server only

    # Each object that lies on disk is an open file.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run_simple("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
