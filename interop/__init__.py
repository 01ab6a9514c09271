"""The node beside other software, for real: `make interop` writes docs/compatibility.md."""
