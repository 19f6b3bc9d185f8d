"""The one way to make a `requests.Session`."""

import logging
from http.cookiejar import DefaultCookiePolicy

import requests


def open_session(ca_file: str | None = None, *, proxy: str | None = None) -> requests.Session:
    """Return a session that no environment variable and no cookie changes.

    REQUESTS_CA_BUNDLE would silently win over `ca_file`, and the affinity cookie would bind all calls to one
    server and its limits.
    """
    # At DEBUG, urllib3 logs each address with its query, which may hold values of records.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    session = requests.Session()
    session.trust_env = False
    session.verify = ca_file or True
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if proxy:
        session.proxies = {"https": proxy}
    return session
