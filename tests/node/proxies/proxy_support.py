"""nginx and Caddy from Debian, started with the files of deploy/."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from purgatory_sync.testing.node_process import free_port

DEPLOY: Final = Path(__file__).parents[3] / "deploy"
START_SECS: Final = 20.0
_SERVER: Final = "git.example.org"
_NODE: Final = "127.0.0.1:7334"
_TLS: Final = ("listen ", "ssl_certificate")


def nginx_config(folder: Path, port: int, node: str, base: str, changed: Mapping[str, str]) -> str:
    """deploy/nginx.conf at a port of loopback without TLS; `changed` are other values of lines.

    Args:
      base: only what lies below it goes to the node.
    """
    lines = []
    secure = (DEPLOY / "nginx.conf").read_text().partition("# Port 80:")[0]
    for line in secure.splitlines():
        words = line.split()
        if words and words[0] in changed:
            line = f"{words[0]} {changed[words[0]]};"
        if not line.strip().startswith(_TLS):
            line = line.replace("location / {", f"location {base or '/'} {{")
            lines.append(line.replace(_SERVER, "localhost").replace(_NODE, node))
        if line.strip().startswith("server_name"):
            lines.append(f"listen 127.0.0.1:{port};")
    site = "\n".join(lines)
    temp = "\n".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return (
        f"{user} pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off;\n{temp}\n{site}\n}}\n"
    )


def caddy_config(port: int, node: str, base: str = "") -> str:
    """deploy/Caddyfile at a port of loopback without TLS."""
    site = (DEPLOY / "Caddyfile").read_text()
    site = site.replace(f"{_SERVER} {{", f"http://127.0.0.1:{port} {{").replace(_NODE, node)
    site = site.replace(
        "reverse_proxy {$", f"reverse_proxy {base}* {{$" if base else "reverse_proxy {$"
    )
    return f"{{\n\tadmin off\n\tauto_https off\n}}\n{site}"


@asynccontextmanager
async def proxy(
    name: str, folder: Path, node: str, port: int = 0, base: str = "", **changed: str
) -> AsyncIterator[str]:
    """Run `nginx` or `caddy` before a node; its address."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"no {name} is installed")
    port = port or free_port()
    command = [program, *_arguments(name, folder, (port, node, base), changed)]
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        await _answers(process, port, folder)
        yield f"127.0.0.1:{port}"
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            await process.wait()


def _arguments(
    name: str, folder: Path, place: tuple[int, str, str], changed: Mapping[str, str]
) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config"
    if name == "nginx":
        config.write_text(nginx_config(folder, *place, changed))
        return ["-p", str(folder), "-c", str(config)]
    config.write_text(caddy_config(*place))
    return ["run", "--config", str(config), "--adapter", "caddyfile"]


async def _answers(process: trio.Process, port: int, folder: Path) -> None:
    with trio.move_on_after(START_SECS):
        while process.poll() is None:
            try:
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
            except OSError:
                await trio.sleep(0.02)
            else:
                return
    logs = [each.read_text() for each in (folder / "log", folder / "error.log") if each.exists()]
    raise AssertionError("the proxy did not start:\n" + "\n".join(logs))
