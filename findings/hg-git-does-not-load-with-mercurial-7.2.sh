#!/usr/bin/env bash
# hg-git 1.2.0 (the newest) asks for Mercurial without an upper bound, so pip installs it with
# Mercurial 7.2.4. There the extension fails to set up (`mercurial.bundle2` has no `parthandler`), hg
# prints that, goes on without it, and says that a git repository is not found. With Mercurial 7.1.2
# the same command clones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git init --quiet --initial-branch=main "$folder/tree"
git -C "$folder/tree" -c user.name=a -c user.email=a@b commit --quiet --allow-empty --message=one
printf '[extensions]\nhggit =\n' > "$folder/hgrc"
clone() { # with this Mercurial
    python3 -m venv "$folder/$1"
    "$folder/$1/bin/pip" install --quiet --disable-pip-version-check hg-git==1.2.0 "mercurial==$1"
    HGRCPATH=$folder/hgrc "$folder/$1/bin/hg" clone "$folder/tree/.git" "$folder/by-$1" 2>&1
}
if said=$(clone 7.2.4); then echo "this changed: it cloned with Mercurial 7.2.4"; exit 1; fi
echo "Mercurial 7.2.4: $(grep -o "failed to set up extension hggit: .*" <<< "$said")"
clone 7.1.2 > "$folder/said" || { cat "$folder/said"; echo "this changed"; exit 1; }
echo "Mercurial 7.1.2: cloned"
