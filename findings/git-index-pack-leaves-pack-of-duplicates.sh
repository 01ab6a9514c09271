#!/usr/bin/env bash
# git 2.39.5: `git index-pack --strict --stdin` refuses a pack that holds one blob twice ("appears twice
# in the pack") after it has written the whole pack, and leaves it behind as objects/pack/tmp_pack_*.
# Stock `git unpack-objects` takes the very same bytes. A host that receives such packs fills its disk
# unless it sweeps those files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git --version
python3 - "$folder/twice.pack" <<'PY'
import hashlib, sys, zlib
blob = b"the same twice\n"
entry = bytes([3 << 4 | len(blob)]) + zlib.compress(blob)
pack = b"PACK\0\0\0\2\0\0\0\2" + entry + entry
open(sys.argv[1], "wb").write(pack + hashlib.sha1(pack).digest())
PY
git init --quiet --bare "$folder/strict.git"
git init --quiet --bare "$folder/loose.git"
said=$(git -C "$folder/strict.git" index-pack --strict --stdin < "$folder/twice.pack" 2>&1) && status=0 || status=$?
left=$(find "$folder/strict.git/objects/pack" -name 'tmp_pack_*' | wc -l)
echo "index-pack --strict: exit $status: $said"
echo "left behind: $left file(s)"
git -C "$folder/loose.git" unpack-objects -q < "$folder/twice.pack"
echo "unpack-objects: $(find "$folder/loose.git/objects" -type f | wc -l) object"
[ "$status" -ne 0 ] && [ "$left" -eq 1 ]
