#!/usr/bin/env bash
# httpx 0.28.1: a client that follows no redirects reads `Location` all the same, and a response whose
# Location is no URL is an exception instead of a response (RemoteProtocolError), for `send` with
# follow_redirects=False, too. A client that judges redirects itself never sees status and body.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1
"$folder/venv/bin/python" - <<'PY'
import httpx

def answer(where):
    return lambda request: httpx.Response(301, headers={"Location": where}, text="moved")

def ask(where):
    with httpx.Client(transport=httpx.MockTransport(answer(where)), follow_redirects=False) as client:
        try:
            return client.send(client.build_request("GET", "http://a.example/"), follow_redirects=False).status_code
        except httpx.RemoteProtocolError as error:
            return f"RemoteProtocolError: {error}"

good, odd = ask("http://b.example/"), ask("http://[::1")
print("httpx", httpx.__version__)
print("Location that is a URL:", good)
print("Location that is none :", odd)
assert good == 301
assert str(odd).startswith("RemoteProtocolError"), "this changed"
PY
