# shellcheck shell=bash
# For scripts/install and scripts/copy: copy the code for root, with a virtual environment of its own. Root must not
# run code in a clone that another user can change.

# Print the code of a clone as an archive that depends only on names, content and which files are programs.
pack_code() {  # pack_code CLONE
    tar -C "$1" --exclude=__pycache__ --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        --mode=u+rwX,go+rX,go-w -cf - manage.py dockerfw dockerfw_site rules templates scripts deploy docs \
        requirements.txt pyproject.toml README.md CHANGELOG.md LICENSE
}

# Unpack an archive from standard input into the empty folder NEW, which moves to PLACE when it is complete. FORMER is an
# earlier copy: with the same requirements its environment is used again. PURPOSE is that of scripts/setup.
unpack_code() {  # unpack_code NEW PLACE PURPOSE [FORMER]
    local new=$1 place=$2 purpose=$3 former=${4:-} link
    tar -C "$new" --no-same-owner --no-same-permissions -xf -
    link=$(find "$new" -type l -print -quit)
    if [ -n "$link" ]; then
        printf 'dockerfw: %s is a symbolic link. Root runs no code outside its own copy. Remove the link.\n' \
            "${link#"$new/"}" >&2
        return 1
    fi
    # (scripts/setup checks whether it fits.)
    if [ -n "$former" ] && cmp -s "$former/requirements.txt" "$new/requirements.txt" &&
        "$former/.venv/bin/python" -c 'import django, gunicorn, redis, rq' 2>/dev/null; then
        cp -al "$former/.venv" "$new/.venv"
    fi
    (cd "$new" && scripts/setup "$purpose")
    [ ! -e "$new/var/setup.log" ] || mv "$new/var/setup.log" "$new/install.log"
    rm -rf "${new:?}/var"
    # The environment was made in another folder than it will run in.
    { grep -rlIF -e "$new" -e "${former:-$new}" "$new/.venv/bin" "$new/.venv/pyvenv.cfg" || true; } |
        xargs -r sed -i "s|$new|$place|g;s|${former:-$new}|$place|g"
    "$new/.venv/bin/python" -m compileall -q -s "$new" -p "$place" \
        "$new/manage.py" "$new/dockerfw" "$new/dockerfw_site" "$new/rules" "$new/scripts"
    chown -R 0:0 "$new"
    # Packages may have been made with another umask.
    chmod -R u+rwX,go+rX,go-w "$new"
}
