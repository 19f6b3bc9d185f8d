"""The same copy with dlt: its REST source, merged by primary key into PostgreSQL, or into SQLite by SQLAlchemy.

Run by the interpreter of build/bench-venv with the task as JSON on stdin; answers with JSON in its last line. The clock
runs while the pipeline does; Python's start and dlt's import do not count.
"""

import json
import os
import sys
import time
from typing import Any

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

import dlt
import requests
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.rest_api import rest_api_resources


def main() -> None:
    """Copy, and say how long it took."""
    task = json.load(sys.stdin)
    pipeline = dlt.pipeline(
        pipeline_name="bench", pipelines_dir=task["folder"], destination=destination(task), dataset_name=task["dataset"]
    )
    resource = leads(task)
    begun = time.perf_counter()
    pipeline.run(resource)
    seconds = time.perf_counter() - begun
    counts = pipeline.last_trace.last_normalize_info.row_counts
    steps = {step.step: (step.finished_at - step.started_at).total_seconds() for step in pipeline.last_trace.steps}
    print(json.dumps({"seconds": seconds, "rows": counts["lead"], "steps": steps}))


def destination(task: dict[str, Any]) -> Any:
    """Where the rows go."""
    if task["database"].startswith("sqlite"):
        return dlt.destinations.sqlalchemy(task["database"])
    return dlt.destinations.postgres(task["database"])


def leads(task: dict[str, Any]) -> Any:
    """The rows of the organisation, page after page."""
    session = requests.Session()
    session.trust_env = False
    session.verify = task["ca_file"]
    session.headers["Prefer"] = task["prefer"]
    client = {
        "base_url": task["root"],
        "auth": BearerTokenAuth(token=task["token"]),
        "paginator": {"type": "json_link", "next_url_path": "$['@odata.nextLink']"},
        "session": session,
    }
    endpoint = {"path": task["path"], "data_selector": "value"}
    resource = {
        "name": "lead",
        "primary_key": task["key"],
        "write_disposition": "merge",
        "endpoint": endpoint,
    }
    return rest_api_resources({"client": client, "resources": [resource]})


if __name__ == "__main__":
    main()
