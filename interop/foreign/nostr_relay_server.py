"""nostr_relay (SQLite, uvicorn): serve PORT."""

import os
import sys
import tempfile
from pathlib import Path

import nostr_relay

port = sys.argv[2]
folder = tempfile.mkdtemp(prefix="nostr-relay-")
text = (Path(nostr_relay.__file__).parent / "config.yaml").read_text()
text = text.replace("///nostr.sqlite3", f"///{folder}/nostr.sqlite3").replace("6969", port)
(Path(folder) / "config.yaml").write_text(text)
command = os.path.join(os.path.dirname(sys.executable), "nostr-relay")
os.execv(command, [command, "-c", f"{folder}/config.yaml", "serve"])
