#!/usr/bin/env bash
# dulwich 1.2.21: its server (dulwich.web, klaus) puts each write of the pack into a side-band packet of
# its own: three packets for an object, two of them a few bytes, where git fills packets of 65,515 bytes. A
# client that counts tiny packets as noise has to allow for the pack's number of objects.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dulwich==1.2.21
git init --quiet --bare "$folder/r.git"
for number in $(seq 1000); do
    printf 'commit refs/heads/main\ncommitter a <a@b> %d +0000\ndata 1\nx\nM 100644 inline f\ndata 5\n%05d\n' \
        $((1700000000 + number)) "$number"
done | git -C "$folder/r.git" fast-import --quiet
"$folder/venv/bin/python" - "$folder/r.git" <<'PY'
import io, sys
from dulwich.protocol import pkt_line
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

repository = Repo(sys.argv[1])
application = make_wsgi_chain(DictBackend({"/r.git": repository}))

def ask(method, path, query, body=b""):
    out, written = [], []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "SCRIPT_NAME": "",
        "CONTENT_TYPE": "application/x-git-upload-pack-request", "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
    }
    def start_response(status, headers, exc_info=None):
        return written.append
    out.extend(application(environ, start_response))
    return b"".join(written + out)

tip = repository.refs[b"refs/heads/main"]
capabilities = b"multi_ack_detailed side-band-64k thin-pack no-progress ofs-delta"
ask("GET", "/r.git/info/refs", "service=git-upload-pack")
request = pkt_line(b"want " + tip + b" " + capabilities + b"\n") + b"0000" + pkt_line(b"done\n")
answer = ask("POST", "/r.git/git-upload-pack", "", request)
at, packets, tiny, pack = 0, 0, 0, b""
while at < len(answer):
    length = int(answer[at:at + 4], 16)
    payload = answer[at + 4:at + max(length, 4)]
    at += max(length, 4)
    if payload[:1] == b"\x01":
        packets, tiny, pack = packets + 1, tiny + (len(payload) < 33), pack + payload[1:]
objects = int.from_bytes(pack[8:12], "big")
print(f"{objects} objects in a pack of {len(pack)} bytes: {packets} packets, {tiny} of them below 32 bytes")
assert objects >= 3000
repository.close()
assert packets > 1.5 * objects, "this changed"
PY
